//! The front door: `demo --once` on real log lines. Every line, an empty one too, is in the output topic
//! or in the dead letters.
use millstream_tests::{Books, Server, id_of, read_all};
use serde_json::Value;
use std::{collections::BTreeSet, fmt::Write as _, path::Path, process::Command};

/// Runs the demo on a file and gives the last line of its standard output.
fn demo(input: &Path, data: &Path) -> Value {
    let output = Command::new(millstream_tests::binary())
        .args(["demo", "--once", "--orders", "2000", "--listen", "127.0.0.1:0", "--input"])
        .arg(input)
        .arg("--data")
        .arg(data)
        .output()
        .expect("the demo runs");
    let (out, err) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{}\n{out}\n{err}", output.status);
    let last = out.lines().last().unwrap_or_default();
    serde_json::from_str(last).unwrap_or_else(|error| panic!("{error}: last line is {last}"))
}

/// A day of a web server, of syslog and of dpkg, as those write it; and what fits nothing.
struct Day {
    text: String,
    lines: u64,
    odd: u64,
}

fn day() -> Day {
    let mut day = Day { text: String::new(), lines: 0, odd: 0 };
    for nth in 0..17_500_u64 {
        let (hour, minute, second) = (nth / 3_600 % 24, nth / 60 % 60, nth % 60);
        let time = format!("{hour:02}:{minute:02}:{second:02}");
        let host = nth % 250;
        let paths = ["/", "/cart?id=7", "/img/logo%20new.png", "/api/v1/orders"];
        let path = paths[nth as usize % paths.len()];
        let status = if nth % 11 == 0 { 404 } else { 200 };
        let bytes = if nth % 13 == 0 { "-".to_owned() } else { (nth * 37 % 90_000).to_string() };
        let _ = writeln!(
            day.text,
            "192.0.2.{host} - - [24/Nov/2026:{time} +0000] \"GET {path} HTTP/1.1\" {status} {bytes} \
             \"https://shop.example/\" \"Mozilla/5.0 (X11; Linux x86_64)\""
        );
        let _ = writeln!(
            day.text,
            "Nov 24 {time} web-{} sshd[{}]: session {nth} opened",
            nth % 3,
            900 + nth
        );
        let _ =
            writeln!(day.text, "2026-11-24 {time} status installed package-{nth}:amd64 1.{nth}-1");
        day.lines += 3;
        if nth % 1_750 == 0 {
            let _ =
                writeln!(day.text, "{}", ["", "   what is this", "%%%%"][nth as usize / 1_750 % 3]);
            day.lines += 1;
            day.odd += 1;
        }
    }
    day
}

#[tokio::test]
async fn every_line_of_a_log_is_handled_or_a_dead_letter() {
    let folder = tempfile::tempdir().expect("a folder");
    let (input, data) = (folder.path().join("day.log"), folder.path().join("demo"));
    let day = day();
    assert!(day.lines > 50_000);
    std::fs::write(&input, &day.text).expect("the log is written");
    let said = demo(&input, &data);
    let lines = &said["triggers"]["log-lines"];
    let count = |name: &str| lines[name].as_u64().unwrap_or_else(|| panic!("no `{name}`: {said}"));
    assert_eq!(count("in"), day.lines, "{said}");
    assert_eq!(count("dead_lettered"), day.odd, "{said}");
    assert_eq!(count("handled"), day.lines - day.odd, "{said}");
    assert_eq!(count("out"), day.lines - day.odd, "{said}");
    for trigger in ["enrich", "alerts"] {
        assert!(said["triggers"][trigger]["in"].as_u64() > Some(0), "{said}");
    }
    assert!(said["seconds"].is_number(), "{said}");
    check_what_lies_there(&data, &day).await;
}

/// Starts a server on what the demo left and looks at the records themselves.
async fn check_what_lies_there(data: &Path, day: &Day) {
    let server = Server::on(data).await;
    let client = server.client();
    let parsed = read_all(&client, "lines.parsed").await;
    assert_eq!(parsed.len() as u64, day.lines - day.odd);
    let kinds: BTreeSet<_> = parsed.iter().filter_map(|read| read.value["kind"].as_str()).collect();
    assert!(kinds.len() >= 3, "access, syslog and dated lines: {kinds:?}");
    let access = |read: &&millstream_tests::Read| read.value["kind"] == "access";
    for read in parsed.iter().filter(access).step_by(175) {
        let fields = &read.value;
        assert_eq!(fields["method"], "GET", "{fields}");
        assert!(fields["status"] == 200 || fields["status"] == 404, "{fields}");
        let client = fields["client"].as_str().unwrap_or_default();
        assert!(client.starts_with("192.0.2."), "{fields}");
    }
    let _ = (Books::default(), id_of(&Value::Null));
}
