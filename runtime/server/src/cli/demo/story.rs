//! What there is to see when records have been handled: samples of each output, one dead letter with its
//! story, and the calls that a person can make next. Never a count.
use std::{net::SocketAddr, path::Path};

use anyhow::Result;
use serde_json::Value;

use super::{client::Client, pipelines::Pipeline, screen::Screen};

/// Records that are shown of each output.
const SAMPLES: u32 = 2;

/// Shows the first records of each output, and the first dead letter of the first trigger that has one.
pub(super) async fn tell(
    client: &mut Client,
    pipelines: &[Pipeline],
    screen: &mut Screen,
) -> Result<()> {
    for pipeline in pipelines {
        let path = format!("/v1/topics/{}/records?from=earliest&limit={SAMPLES}", pipeline.output);
        let answer = client.get(&path).await?;
        let records = answer["records"].as_array().map_or(&[][..], Vec::as_slice);
        screen.say(&format!("\n{}: `{}` {}", pipeline.output, pipeline.name, pipeline.about));
        if records.is_empty() {
            screen.say("  nothing came out");
        }
        for record in records {
            screen.say(&sample(record));
        }
    }
    for pipeline in pipelines {
        let base = format!("/v1/triggers/{}/dead-letters", pipeline.name);
        let answer = client.get(&format!("{base}?limit=1")).await?;
        let Some(id) = answer["dead_letters"][0]["id"].as_str() else { continue };
        let letter = client.get(&format!("{base}/{id}")).await?;
        screen.say(&format!(
            "\n{}: a record that could not be handled, whole, with its story",
            pipeline.dead_letters()
        ));
        screen.say(&indented(&letter));
    }
    Ok(())
}

/// Its place and key, then the value.
fn sample(record: &Value) -> String {
    let value =
        ["value", "value_text", "value_base64"].into_iter().find_map(|name| record.get(name));
    let key = record["key"].as_str().map(|key| format!(", key {key}")).unwrap_or_default();
    let place = format!("  partition {}, offset {}{key}", record["partition"], record["offset"]);
    format!("{place}\n{}", indented(value.unwrap_or(&Value::Null)))
}

fn indented(value: &Value) -> String {
    let pretty = serde_json::to_string_pretty(value).unwrap_or_default();
    let lines = pretty.lines().map(|line| format!("    {line}"));
    lines.collect::<Vec<_>>().join("\n")
}

/// What to try while the server runs.
pub(super) fn next_steps(at: SocketAddr, data: &Path, pipelines: &[Pipeline]) -> String {
    let base = format!("http://{at}");
    let mut text = format!("\nThe server goes on at {base}. Try, in another terminal:\n\n");
    let mut add = |what: &str, command: &str| text.push_str(&format!("  # {what}\n  {command}\n"));
    if pipelines.iter().any(|one| one.source == "orders") {
        add(
            "follow what comes out; let it run, and go on in another terminal",
            &format!(
                "curl -sN -H 'accept: text/event-stream' \
                 '{base}/v1/topics/orders.enriched/records?from=latest'"
            ),
        );
        add(
            "append an order of your own, and one that is broken",
            &format!(
                "curl -s '{base}/v1/topics/orders/records?key=/customer/id' \
                 -H 'content-type: application/x-ndjson' --data-binary '{ORDER}\n{BROKEN}'"
            ),
        );
        add("how a trigger is doing", &format!("curl -s {base}/v1/triggers/enrich"));
        add(
            "what could not be handled",
            &format!("curl -s '{base}/v1/triggers/enrich/dead-letters?limit=3'"),
        );
        add("who looks like fraud", &format!("curl -s '{base}/v1/topics/alerts/records?limit=3'"));
    }
    if pipelines.iter().any(|one| one.source == "lines") {
        add(
            "append lines of your own",
            &format!(
                "tail -n 5 /var/log/dpkg.log | curl -s '{base}/v1/topics/lines/records' \
                 -H 'content-type: text/plain' --data-binary @-"
            ),
        );
        add(
            "what became of them",
            &format!("curl -s '{base}/v1/topics/lines.parsed/records?limit=3'"),
        );
    }
    add("for Prometheus", &format!("curl -s {base}/metrics"));
    text.push_str(&format!("\nData: {}\nCtrl-C ends it.", data.display()));
    text
}

const ORDER: &str = r#"{"order_id":"o-mine","customer":{"id":"c-me","country":"DE"},"items":[{"sku":"samovar-brass","qty":5,"price_cents":24900}],"currency":"EUR","placed_at":"2026-11-24T09:30:00Z"}"#;
const BROKEN: &str = r#"{"order_id":"o-broken","customer":{"id":"c-me"},"items":[],"currency":"EUR","placed_at":"yesterday"}"#;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::cli::demo::pipelines::{ALERTS, ENRICH, LOG_LINES};

    #[test]
    fn a_sample_says_where_it_lies_and_shows_its_value() {
        let record = json!({"partition": 2, "offset": 17, "key": "c-1", "value": {"a": 1}});
        assert_eq!(
            sample(&record),
            "  partition 2, offset 17, key c-1\n    {\n      \"a\": 1\n    }"
        );
        let record = json!({"partition": 0, "offset": 0, "value_text": "plain"});
        assert_eq!(sample(&record), "  partition 0, offset 0\n    \"plain\"");
    }

    #[test]
    fn what_to_try_fits_what_is_there() {
        let at: SocketAddr = "127.0.0.1:8470".parse().unwrap();
        let all = next_steps(at, Path::new("/tmp/x"), &[ENRICH, ALERTS, LOG_LINES]);
        for part in ["/v1/topics/orders/", "/v1/topics/lines/", "/metrics", "Ctrl-C", "/tmp/x"] {
            assert!(all.contains(part), "{part}: {all}");
        }
        let lines = next_steps(at, Path::new("/tmp/x"), &[LOG_LINES]);
        assert!(!lines.contains("/v1/topics/orders/"), "{lines}");
    }
}
