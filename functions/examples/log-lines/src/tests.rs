//! What becomes of lines as they really stand in logs.

use millstream::bindings::Blame;
use millstream::json::{self, Value, json};
use millstream::testing::Partition;

use super::handle;
use super::line::parse;

/// November 2026.
const NOW_MS: u64 = 1_795_529_721_000;

fn read(line: &str) -> Value {
    json::to_value(parse(line, NOW_MS).unwrap_or_else(|reason| panic!("{line}: {reason}")))
        .expect("JSON")
}

fn refused(line: &str) -> String {
    parse(line, NOW_MS)
        .map(|parsed| json::to_string(&parsed).expect("JSON"))
        .expect_err("it is refused")
}

mod access {
    use super::*;

    #[test]
    fn a_combined_line_is_read() {
        let line = r#"203.0.113.7 - frank [10/Oct/2026:13:55:36 -0700] "GET /apache_pb.gif?a=1 HTTP/1.1" 200 2326 "http://www.example.com/start.html" "Mozilla/5.0 (X11; Linux x86_64) \"quoted\" Gecko/20100101""#;
        let expected = json!({
            "kind": "access", "client": "203.0.113.7", "user": "frank", "time": "2026-10-10T13:55:36-07:00",
            "method": "GET", "path": "/apache_pb.gif?a=1", "protocol": "HTTP/1.1", "status": 200, "bytes": 2326,
            "referer": "http://www.example.com/start.html",
            "user_agent": "Mozilla/5.0 (X11; Linux x86_64) \"quoted\" Gecko/20100101",
        });
        assert_eq!(read(line), expected);
    }

    #[test]
    fn a_common_line_has_neither_referer_nor_agent() {
        let expected = json!({
            "kind": "access", "client": "2001:db8::1", "time": "2026-11-24T14:15:21+00:00", "method": "HEAD",
            "path": "/", "protocol": "HTTP/1.0", "status": 304,
        });
        assert_eq!(
            read(r#"2001:db8::1 - - [24/Nov/2026:14:15:21 +0000] "HEAD / HTTP/1.0" 304 -"#),
            expected
        );
    }

    #[test]
    fn a_virtual_host_in_front_is_told_from_a_client() {
        let line = r#"www.example.org:443 ::1 - - [24/Nov/2026:14:15:21 +0000] "OPTIONS * HTTP/1.0" 200 126 "-" "Apache""#;
        assert_eq!(read(line)["vhost"], "www.example.org:443");
        assert_eq!(read(line)["client"], "::1");
        let line = r#"::1 - Jane Doe [24/Nov/2026:14:15:21 +0000] "GET / HTTP/1.0" 200 126"#;
        assert_eq!(
            (&read(line)["client"], &read(line)["user"]),
            (&json!("::1"), &json!("Jane Doe"))
        );
    }

    #[test]
    fn a_request_that_is_no_http_comes_out_whole() {
        for (request, expected) in [
            (
                r"\x16\x03\x01\x02\x00\x01\x00\x01\xFC\x03\x03",
                json!(r"\x16\x03\x01\x02\x00\x01\x00\x01\xFC\x03\x03"),
            ),
            ("-", Value::Null),
            ("", Value::Null),
            ("quit", json!("quit")),
            (r#"t3 12.1.2\n"#, json!(r"t3 12.1.2\n")),
            (r#"say \"hi\""#, json!(r#"say "hi""#)),
            (r"GET /unescaped\", json!(null)),
        ] {
            let line =
                format!(r#"10.0.0.9 - - [24/Nov/2026:14:15:21 +0000] "{request}" 400 226 "-" "-""#);
            let parsed = read(&line);
            assert_eq!(parsed["request"], expected, "{line}");
            assert_eq!((&parsed["status"], &parsed["bytes"]), (&json!(400), &json!(226)), "{line}");
            assert!(
                parsed.get("referer").is_none() && parsed.get("user_agent").is_none(),
                "{line}"
            );
        }
    }

    #[test]
    fn odd_requests_are_still_http() {
        for (request, method, path, protocol) in [
            ("GET /a b c HTTP/1.1", "GET", "/a b c", json!("HTTP/1.1")),
            ("GET /old", "GET", "/old", Value::Null),
            ("PRI * HTTP/2.0", "PRI", "*", json!("HTTP/2.0")),
            ("CONNECT example.org:443 HTTP/1.1", "CONNECT", "example.org:443", json!("HTTP/1.1")),
            (r#"GET /\"><script> HTTP/1.1"#, "GET", "/\"><script>", json!("HTTP/1.1")),
        ] {
            let parsed =
                read(&format!(r#"10.0.0.9 - - [24/Nov/2026:14:15:21 +0000] "{request}" 200 1"#));
            assert_eq!(
                (&parsed["method"], &parsed["path"]),
                (&json!(method), &json!(path)),
                "{request}"
            );
            assert_eq!(parsed.get("protocol").unwrap_or(&Value::Null), &protocol, "{request}");
        }
    }

    #[test]
    fn an_agent_may_hold_quotes_that_nobody_escaped_and_more_may_follow() {
        let line = r#"10.0.0.9 - - [24/Nov/2026:14:15:21 +0000] "GET / HTTP/1.1" 200 1 "-" "a"b" "0.003" rt=4"#;
        let parsed = read(line);
        assert_eq!(
            (&parsed["user_agent"], &parsed["extra"]),
            (&json!("a\"b"), &json!("\"0.003\" rt=4"))
        );
    }

    #[test]
    fn a_long_line_is_a_line() {
        let path = "/a".repeat(100_000);
        let line = format!(
            r#"10.0.0.9 - - [24/Nov/2026:14:15:21 +0000] "GET {path} HTTP/1.1" 414 0 "-" "x""#
        );
        assert_eq!(read(&line)["path"], json!(path));
    }

    #[test]
    fn a_broken_line_says_what_is_broken() {
        let start = "10.0.0.9 - - [24/Nov/2026:14:15:21 +0000]";
        assert!(refused(start).contains("no request in quotes"));
        assert!(refused(&format!(r#"{start} "GET / HTTP/1.1" 200"#)).contains("size"));
        assert!(
            refused(r#"[24/Nov/2026:14:15:21 +0000] "GET / HTTP/1.1" 200 1"#)
                .contains("before the time")
        );
    }
}

mod syslog {
    use super::*;

    #[test]
    fn a_line_as_daemons_write_it_is_read() {
        let line = "Nov 24 14:15:21 web-1 sshd[1234]: Failed password for root from 203.0.113.7 port 22 ssh2";
        let expected = json!({
            "kind": "syslog", "time": "2026-11-24T14:15:21", "host": "web-1", "program": "sshd", "pid": "1234",
            "message": "Failed password for root from 203.0.113.7 port 22 ssh2",
        });
        assert_eq!(read(line), expected);
    }

    #[test]
    fn a_priority_names_facility_and_severity() {
        let parsed =
            read("<34>Oct  1 22:14:15 mymachine su: 'su root' failed for lonvick on /dev/pts/8");
        assert_eq!((&parsed["facility"], &parsed["severity"]), (&json!("auth"), &json!("crit")));
        assert_eq!((&parsed["program"], &parsed["host"]), (&json!("su"), &json!("mymachine")));
        assert_eq!(read("<13>whatever it is")["message"], "whatever it is");
        assert_eq!(
            read("<13>Nov 24 14:15:21 cron[7]: no host on a local socket")["program"],
            "cron"
        );
        assert_eq!(read("<191>2026-11-24T14:15:21Z h p: m")["severity"], "debug");
    }

    #[test]
    fn programs_have_many_shapes() {
        for (tail, program, pid, message) in [
            (
                "kernel: [12345.678901] eth0: link up",
                json!("kernel"),
                json!(null),
                "[12345.678901] eth0: link up",
            ),
            (
                "sshd(pam_unix)[19939]: check pass",
                json!("sshd(pam_unix)"),
                json!("19939"),
                "check pass",
            ),
            ("postfix/smtpd[99]: connect", json!("postfix/smtpd"), json!("99"), "connect"),
            (
                "/usr/sbin/cron[9]: (root) CMD (a: b)",
                json!("/usr/sbin/cron"),
                json!("9"),
                "(root) CMD (a: b)",
            ),
            ("CRON[9] (root) CMD", json!("CRON"), json!("9"), "(root) CMD"),
            (
                "com.apple.xpc.launchd[1] (com.x[2]): Service",
                json!("com.apple.xpc.launchd"),
                json!("1"),
                "(com.x[2]): Service",
            ),
            ("Some Helper[77]: x", json!("Some Helper"), json!("77"), "x"),
            (
                "last message repeated 3 times",
                json!(null),
                json!(null),
                "last message repeated 3 times",
            ),
            ("syslogd 1.4.1: restart.", json!(null), json!(null), "syslogd 1.4.1: restart."),
            ("-- MARK --", json!(null), json!(null), "-- MARK --"),
            ("systemd[1]:\tindented", json!("systemd"), json!("1"), "\tindented"),
            ("app: ", json!("app"), json!(null), ""),
        ] {
            let parsed = read(&format!("Nov  4 14:15:21 host {tail}"));
            let field = |name| parsed.get(name).cloned().unwrap_or(Value::Null);
            assert_eq!(parsed["host"], "host", "{tail}");
            assert_eq!(
                (field("program"), field("pid"), field("message")),
                (program, pid, json!(message)),
                "{tail}"
            );
        }
    }

    #[test]
    fn rsyslog_s_own_time_is_read() {
        let parsed =
            read("2026-11-24T14:15:21.123456+01:00 web-1 systemd[1]: Started Session 5 of User a.");
        let expected = json!({
            "kind": "syslog", "time": "2026-11-24T14:15:21.123456+01:00", "host": "web-1", "program": "systemd",
            "pid": "1", "message": "Started Session 5 of User a.",
        });
        assert_eq!(parsed, expected);
    }

    #[test]
    fn rfc_5424_is_read() {
        let line = r#"<165>1 2026-11-24T14:15:21.003Z host app 8710 ID47 [ex@32473 iut="3" note="a \"b\] c"][more@1] "#;
        let line = format!("{line}\u{feff}An event");
        let expected = json!({
            "kind": "syslog", "facility": "local4", "severity": "notice", "time": "2026-11-24T14:15:21.003Z",
            "host": "host", "program": "app", "pid": "8710", "message_id": "ID47",
            "data": {"ex@32473": {"iut": "3", "note": "a \"b] c"}, "more@1": {}}, "message": "An event",
        });
        assert_eq!(read(&line), expected);
        let bare =
            json!({"kind": "syslog", "facility": "kern", "severity": "emerg", "message": ""});
        assert_eq!(read("<0>1 - - - - - -"), bare);
        assert!(refused("<34>1 2026-11-24T14:15:21Z host app").contains("structured data"));
        assert!(refused("<34>1 yesterday h a p m -").contains("time"));
        assert!(refused("<34>1 - h a p m [x y=1] z").contains("structured data"));
    }
}

mod dated {
    use super::*;

    #[test]
    fn dpkg_s_log_is_read() {
        let time = "2026-11-24T14:15:21";
        for (line, expected) in [
            (
                "status installed foo:amd64 1.2",
                json!({"action": "status", "status": "installed", "package": "foo", "architecture": "amd64", "version": "1.2"}),
            ),
            (
                "install libc6:amd64 <none> 2.36-9+deb12u14",
                json!({"action": "install", "package": "libc6", "architecture": "amd64", "new_version": "2.36-9+deb12u14"}),
            ),
            (
                "upgrade tzdata:all 2026a-0 2026b-0",
                json!({"action": "upgrade", "package": "tzdata", "architecture": "all", "version": "2026a-0", "new_version": "2026b-0"}),
            ),
            (
                "startup archives unpack",
                json!({"action": "startup", "subject": "archives", "command": "unpack"}),
            ),
            (
                "conffile /etc/foo.conf keep",
                json!({"action": "conffile", "file": "/etc/foo.conf", "decision": "keep"}),
            ),
        ] {
            let mut expected = expected;
            expected["kind"] = json!("dpkg");
            expected["time"] = json!(time);
            assert_eq!(read(&format!("2026-11-24 14:15:21 {line}")), expected, "{line}");
        }
    }

    #[test]
    fn anybody_else_s_line_has_a_time_and_perhaps_a_level() {
        for (line, level) in [
            ("2026-11-24 14:15:21,747 - INFO  [QuorumPeer:Environment@100] - up", json!("info")),
            ("2026-11-24T14:15:21Z WARN tide::log: slow", json!("warn")),
            ("2026/11/24 14:15:21 [error] 123#0: *1 open() failed", json!("error")),
            ("2026-11-24 14:15:21 something happened", json!(null)),
            ("2026-11-24T14:15:21Z ERROR main: no host here", json!("error")),
        ] {
            let parsed = read(line);
            assert_eq!(parsed["kind"], "dated", "{line}");
            assert_eq!(parsed.get("level").unwrap_or(&Value::Null), &level, "{line}");
            assert!(
                parsed["time"].as_str().expect("text").starts_with("2026-11-24T14:15:21"),
                "{line}"
            );
        }
    }
}

#[test]
fn a_json_object_comes_out_byte_for_byte() {
    let parsed = parse(r#"{"kind": "mine", "n": 1.50, "big": 12345678901234567890123}"#, NOW_MS)
        .expect("it is one");
    assert_eq!(
        json::to_string(&parsed).expect("JSON"),
        r#"{"kind":"json","fields":{"kind": "mine", "n": 1.50, "big": 12345678901234567890123}}"#
    );
    assert!(refused(r#"{"cut": "#).starts_with("begins like a JSON object"));
}

#[test]
fn what_fits_nothing_is_refused_with_a_reason() {
    for line in ["", "  ", "\t"] {
        assert_eq!(refused(line), "the line is empty");
    }
    for line in [
        "hello",
        "\tat foo.Bar(Bar.java:12)",
        "[1, 2]",
        "Traceback (most recent call last):",
        "<html>",
        "1.2.3.4 - -",
    ] {
        assert!(refused(line).starts_with("fits no kind of line"), "{line}");
    }
}

#[test]
fn no_cut_of_any_line_is_too_much() {
    for line in [
        r#"h:80 ::1 - ü [24/Nov/2026:14:15:21 +0000] "GET /é\" HTTP/1.1" 200 1 "r\\" "ü" é"#,
        r#"<165>1 2026-11-24T14:15:21.003Z hö app 8710 ID47 [ex@32473 iut="ü\"" x="y"] é"#,
        "Nov  4 14:15:21.5 hö prög[1]: é",
        "2026-11-24T14:15:21.123456+01:00 hö prög[1]: é",
        "2026-11-24 14:15:21 status installed foo:amd64 1.2",
    ] {
        for (start, _) in line.char_indices() {
            for (end, _) in line[start..].char_indices() {
                let _ = parse(&line[start..start + end], NOW_MS);
            }
        }
    }
}

#[test]
fn the_handler_keeps_keys_and_sources_and_fails_only_the_bad() {
    let records = [("a", "Nov 24 14:15:21 h p[1]: m\r\n"), ("b", ""), ("c", "{}")];
    let answer = Partition::new().hand(handle, records).expect("handled");
    let places: Vec<_> =
        answer.outputs.iter().map(|output| (output.source, output.key.as_deref())).collect();
    assert_eq!(places, [(Some(0), Some(b"a".as_slice())), (Some(2), Some(b"c".as_slice()))]);
    assert_eq!(answer.failed.len(), 1);
    assert_eq!((answer.failed[0].index, answer.failed[0].blame), (1, Blame::Permanent));
    assert!(answer.values()[0].ends_with(r#""message":"m"}"#), "{}", answer.values()[0]);
}
