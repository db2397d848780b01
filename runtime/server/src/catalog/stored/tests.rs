//! Documents of the first format: what was stored is read for ever, and written back as it was.
use super::*;
use crate::catalog::Selector;

fn again<T: Serialize>(body: T, stored: &str) {
    let written: serde_json::Value =
        serde_json::from_slice(&encode(body)).expect("what we write is JSON");
    let expected: serde_json::Value = serde_json::from_str(stored).expect("the fixture is JSON");
    assert_eq!(written, expected);
}

#[test]
fn a_trigger_of_the_first_format_is_read_and_written_back() {
    let stored = r#"{"format":1,"created_at":5,"source_id":3,"starts":{"0":17},"source":"orders",
        "function":"enrich@live","output":"enriched","outputs":["alerts"],"cursor":"c","enabled":true,
        "start":{"at":1000},"batch_records_max":100,"batch_bytes_max":6291456,"batch_wait_ms":250,
        "ordering":"key","item_failures":"each","attempts_max":5,"bisect":true,
        "record_age_max_ms":null,"backoff_min_ms":250,"backoff_max_ms":60000,
        "on_failure":"dead_letter","dead_letters":null,"halt_on_failure_share":0.5,"filter":null,
        "window_ms":null,"concurrency_min":0,"concurrency_max":16,"lag_target_ms":5000}"#;
    let read: StoredTrigger = decode("triggers/t", stored.as_bytes()).expect("it is readable");
    let name = TriggerName::parse("t").expect("a name");
    let trigger = read.read("triggers/t", name, Etag(9), Flags::default()).expect("it is whole");
    assert_eq!(trigger.starts[&PartitionId(0)], Offset(17));
    assert_eq!(trigger.definition.function.selector, Selector::Alias("live".into()));
    assert_eq!(trigger.definition.start, Start::At(Timestamp(1_000)));
    assert_eq!(trigger.definition.problems(), []);
    again(StoredTrigger::from(&trigger), stored);
}

#[test]
fn a_function_of_the_first_format_is_read_and_written_back() {
    let stored = r#"{"format":1,"created_at":5,"versions":2,"limits":{"timeout_ms":30000,
        "memory_bytes":67108864,"output_bytes_max":16777216,"output_records_max":10000,
        "log_bytes_max":262144,"concurrency_max":null},"environment":{"RATE":"3"},
        "aliases":{"live":2},"allowed_hosts":[]}"#;
    let read: StoredFunction = decode("functions/f", stored.as_bytes()).expect("it is readable");
    let settings = read.settings();
    assert_eq!(settings.limits, FunctionLimits::DEFAULT);
    again(StoredFunction::new(Timestamp(5), 2, &settings), stored);

    let digest = "ab".repeat(32);
    let stored = format!(
        r#"{{"format":1,"version":2,"digest":"sha256:{digest}","world":"w","bytes":7,
        "compile_ms":9,"imports":["wasi:io/error@0.2.0"],"created_at":5}}"#
    );
    let read: StoredVersion = decode("versions/f/2", stored.as_bytes()).expect("it is readable");
    let version = read.read("versions/f/2").expect("it is whole");
    assert_eq!(version.digest.hex(), digest);
    again(StoredVersion::from(&version), &stored);
}

#[test]
fn flags_of_the_first_format_are_read_and_written_back() {
    let stored = r#"{"format":1,"paused":3,"halted":{"since":4,"reason":"too many"}}"#;
    let read: StoredFlags = decode("flags/t", stored.as_bytes()).expect("they are readable");
    let flags = Flags::from(read);
    assert_eq!(flags.paused, Some(Timestamp(3)));
    assert_eq!(flags.halted.as_ref().map(|halted| &*halted.reason), Some("too many"));
    again(StoredFlags::from(&flags), stored);
}

#[test]
fn a_later_format_is_refused_and_not_guessed() {
    let refused = decode::<StoredFlags>("flags/t", br#"{"format":2,"paused":null,"halted":null}"#);
    let why = refused.err().expect("it is refused").to_string();
    assert_eq!(why, "document `flags/t` is unreadable: its format is 2, this program knows 1");
}
