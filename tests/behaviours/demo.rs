//! The front door: `demo --once` on real log lines. Every line, an empty one too, is in the output topic
//! or in the dead letters.
use millstream_tests::{Read, Server, read_all};
use serde_json::{Value, json};
use std::{collections::BTreeMap, fmt::Write as _, path::Path, process::Command};

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

/// Lines of each kind, a second apart.
const SECONDS: u64 = 17_500;
/// Kinds of lines, as the function names them.
const KINDS: [&str; 3] = ["access", "syslog", "dpkg"];
/// Of each kind; a prime apart, so that every shape of line is among them.
const SAMPLES: usize = 100;
const APART: usize = 173;

fn day() -> Day {
    let mut day = Day { text: String::new(), lines: 0, odd: 0 };
    for nth in 0..SECONDS {
        for kind in KINDS {
            let (line, _) = line(kind, nth);
            let _ = writeln!(day.text, "{line}");
            day.lines += 1;
        }
        if nth % 1_750 == 0 {
            let _ =
                writeln!(day.text, "{}", ["", "   what is this", "%%%%"][nth as usize / 1_750 % 3]);
            day.lines += 1;
            day.odd += 1;
        }
    }
    day
}

fn time_of(nth: u64) -> String {
    format!("{:02}:{:02}:{:02}", nth / 3_600 % 24, nth / 60 % 60, nth % 60)
}

/// A line, and all fields that are to be read from it.
fn line(kind: &str, nth: u64) -> (String, Value) {
    let time = time_of(nth);
    let (line, mut fields) = match kind {
        "access" => access(nth, &time),
        "syslog" => syslog(nth, &time),
        _ => dpkg(nth, &time),
    };
    fields["kind"] = json!(kind);
    (line, fields)
}

fn access(nth: u64, time: &str) -> (String, Value) {
    let client = format!("192.0.2.{}", nth % 250);
    let paths = ["/", "/cart?id=7", "/img/logo%20new.png", "/api/v1/orders"];
    let path = paths[nth as usize % paths.len()];
    let status = if nth.is_multiple_of(11) { 404 } else { 200 };
    let (referer, agent) = ("https://shop.example/", "Mozilla/5.0 (X11; Linux x86_64)");
    let mut fields = json!({
        "client": client, "time": format!("2026-11-24T{time}+00:00"), "method": "GET", "path": path,
        "protocol": "HTTP/1.1", "status": status, "referer": referer, "user_agent": agent,
    });
    let mut bytes = "-".to_owned();
    if !nth.is_multiple_of(13) {
        bytes = (nth * 37 % 90_000).to_string();
        fields["bytes"] = json!(nth * 37 % 90_000);
    }
    let line = format!(
        "{client} - - [24/Nov/2026:{time} +0000] \"GET {path} HTTP/1.1\" {status} {bytes} \
         \"{referer}\" \"{agent}\""
    );
    (line, fields)
}

/// Such a line has no year: it is lent the one in which it was appended.
fn syslog(nth: u64, time: &str) -> (String, Value) {
    let (host, pid) = (format!("web-{}", nth % 3), (900 + nth).to_string());
    let message = format!("session {nth} opened");
    let fields = json!({
        "time": format!("-11-24T{time}"), "host": host, "program": "sshd", "pid": pid,
        "message": message,
    });
    (format!("Nov 24 {time} {host} sshd[{pid}]: {message}"), fields)
}

fn dpkg(nth: u64, time: &str) -> (String, Value) {
    let (package, version) = (format!("package-{nth}"), format!("1.{nth}-1"));
    let (rest, mut fields) = match nth % 5 {
        0 => (
            format!("status installed {package}:amd64 {version}"),
            json!({"action": "status", "status": "installed", "package": package,
                "architecture": "amd64", "version": version}),
        ),
        1 => (
            format!("install {package}:amd64 <none> {version}"),
            json!({"action": "install", "package": package, "architecture": "amd64",
                "new_version": version}),
        ),
        2 => (
            format!("upgrade {package}:all 1.0-1 {version}"),
            json!({"action": "upgrade", "package": package, "architecture": "all",
                "version": "1.0-1", "new_version": version}),
        ),
        3 => (
            "startup archives unpack".to_owned(),
            json!({"action": "startup", "subject": "archives", "command": "unpack"}),
        ),
        _ => (
            format!("conffile /etc/{package}.conf keep"),
            json!({"action": "conffile", "file": format!("/etc/{package}.conf"),
                "decision": "keep"}),
        ),
    };
    fields["time"] = json!(format!("2026-11-24T{time}"));
    (format!("2026-11-24 {time} {rest}"), fields)
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
    let text = |read: &Read, field: &str| read.value[field].as_str().unwrap_or_default().to_owned();
    let by_second: BTreeMap<(String, String), Value> = parsed
        .into_iter()
        .map(|read| {
            let time = text(&read, "time").get(11..19).unwrap_or_default().to_owned();
            ((text(&read, "kind"), time), read.value)
        })
        .collect();
    for kind in KINDS {
        for nth in (0..SECONDS).step_by(APART).take(SAMPLES) {
            let (line, expected) = line(kind, nth);
            let found = by_second.get(&(kind.to_owned(), time_of(nth)));
            let mut fields = found.unwrap_or_else(|| panic!("`{line}` is not there")).clone();
            if kind == "syslog" {
                let time = fields["time"].as_str().and_then(|time| time.get(4..));
                fields["time"] = json!(time);
            }
            assert_eq!(fields, expected, "{line}");
        }
    }
}
