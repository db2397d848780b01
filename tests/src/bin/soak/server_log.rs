//! What the server says of itself: no panic, and no warning that is not listed here with its reason.
use std::collections::BTreeMap;

use serde_json::Value;

/// A line above INFO that is expected.
struct Allowed {
    message: &'static str,
    is_it: fn(&Value, Moment) -> bool,
    why: &'static str,
}

/// Where in its life the server was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Moment {
    Serving,
    /// After SIGTERM.
    Ending,
}

const ALLOWED: [Allowed; 1] = [Allowed {
    message: "answered that it cannot",
    is_it: |line, moment| line["status"] == 503 && moment == Moment::Ending,
    why: "who asks while the server ends is told to come back later",
}];

/// How often each listed line came, and all that is not listed.
pub(crate) fn judge(log: &str) -> (BTreeMap<String, u64>, Vec<String>) {
    let (mut expected, mut problems) = (BTreeMap::<String, u64>::new(), Vec::new());
    let mut moment = Moment::Ending;
    for text in log.lines() {
        let Ok(line) = serde_json::from_str::<Value>(text) else {
            problems.push(format!("the server said: {text}"));
            continue;
        };
        let message = line["message"].as_str().unwrap_or_default();
        match line["level"].as_str() {
            Some("WARN" | "ERROR") => {
                let is_it = |allowed: &&Allowed| {
                    allowed.message == message && (allowed.is_it)(&line, moment)
                };
                match ALLOWED.iter().find(is_it) {
                    Some(Allowed { message, why, .. }) => {
                        *expected.entry(format!("{message}: {why}")).or_default() += 1;
                    }
                    None => problems.push(format!("the server's log: {text}")),
                }
            }
            _ if message.starts_with("serving on ") => moment = Moment::Serving,
            _ if message.starts_with("ending: ") => moment = Moment::Ending,
            _ => {}
        }
    }
    (expected, problems)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SERVING: &str = r#"{"level":"INFO","message":"serving on http://127.0.0.1:1"}"#;
    const ENDING: &str = r#"{"level":"INFO","message":"ending: no new requests"}"#;
    const CANNOT: &str = r#"{"level":"WARN","status":503,"message":"answered that it cannot"}"#;

    fn problems(lines: &[&str]) -> usize {
        judge(&lines.join("\n")).1.len()
    }

    #[test]
    fn what_is_not_listed_is_told_and_what_is_listed_has_its_moment() {
        assert_eq!(problems(&[SERVING, ENDING, CANNOT]), 0);
        assert_eq!(problems(&[SERVING, CANNOT, ENDING]), 1);
        assert_eq!(problems(&[SERVING, ENDING, SERVING, CANNOT]), 1);
        assert_eq!(problems(&[SERVING, ENDING, &CANNOT.replace("503", "500")]), 1);
        assert_eq!(problems(&[r#"{"level":"ERROR","message":"the feed is held"}"#]), 1);
        assert_eq!(problems(&["thread 'log-writer' panicked at src/writer.rs:1:1:"]), 1);
    }
}
