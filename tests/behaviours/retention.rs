//! Retention: what it takes, what it holds for triggers, what is said of what they missed; and that the
//! disk gets its room back.
use millstream_tests::{Client, Server, id_of, read_all, wait};
use serde_json::{Value, json};
use std::{path::Path, time::Duration};

/// It is looked for what may go every 10 s.
const SOON: Duration = Duration::from_secs(90);

async fn append(client: &Client, topic: &str, ids: std::ops::Range<u64>) {
    let pad = "x".repeat(980);
    for first in ids.clone().step_by(1_000) {
        let some = first..ids.end.min(first + 1_000);
        let lines: String = some.map(|id| format!("{}\n", json!({"id": id, "pad": pad}))).collect();
        let headers = [("content-type", "application/x-ndjson")];
        let path = format!("/v1/topics/{topic}/records");
        client.send("POST", &path, &headers, lines).await.expect(201);
    }
}

async fn bounds(client: &Client, topic: &str) -> Value {
    client.get(&format!("/v1/topics/{topic}")).await.expect(200).json()["bounds"][0].clone()
}

async fn map(client: &Client, name: &str, retention: Value) {
    for (topic, retention) in [("in", retention), ("out", json!({}))] {
        let spec = json!({"retention": retention});
        client.put(&format!("/v1/topics/{topic}-{name}"), &spec).await.expect(201);
    }
    let spec = json!({
        "source": format!("in-{name}"), "function": "f", "output": format!("out-{name}"),
    });
    client.put(&format!("/v1/triggers/{name}"), &spec).await.expect(201);
}

async fn pause(client: &Client, trigger: &str) {
    client.post(&format!("/v1/triggers/{trigger}/pause"), &json!({})).await.expect(200);
}

async fn resume(client: &Client, trigger: &str) {
    client.post(&format!("/v1/triggers/{trigger}/resume"), &json!({})).await.expect(200);
}

#[tokio::test]
async fn what_a_trigger_has_not_read_is_held_or_told_of_as_lost() {
    let server = Server::start().await;
    let client = server.client();
    client.upload("f", "identity").await.expect(201);
    map(&client, "held", json!({"age": null, "bytes": "64KiB"})).await;
    let unheld = json!({"age": null, "bytes": "64KiB", "hold_for_triggers": false});
    map(&client, "unheld", unheld).await;
    for name in ["held", "unheld"] {
        append(&client, &format!("in-{name}"), 0..10).await;
        client.caught_up(name).await;
        pause(&client, name).await;
        append(&client, &format!("in-{name}"), 10..1_010).await;
    }
    // What was appended together goes together: so another piece, which stays.
    append(&client, "in-unheld", 1_010..1_110).await;
    append(&client, "in-held", 1_010..1_110).await;
    let start = wait::until_within("some of it is gone", SOON, async || {
        let start = bounds(&client, "in-unheld").await["start"].as_u64().expect("a number");
        (start == 1_010).then_some(start)
    })
    .await;
    let held = bounds(&client, "in-held").await;
    assert!(held["start"].as_u64().expect("a number") <= 10, "{held}: what is unread stays");
    for name in ["held", "unheld"] {
        resume(&client, name).await;
        client.caught_up(name).await;
    }
    let copies = async |topic: &str| -> Vec<u64> {
        let copies = read_all(&client, topic).await;
        let mut ids: Vec<u64> = copies.iter().map(|read| id_of(&read.value)).collect();
        ids.sort_unstable();
        ids
    };
    assert!(copies("out-held").await.into_iter().eq(0..1_110));
    assert!(copies("out-unheld").await.into_iter().eq((0..10).chain(start..1_110)));
    let status = client.trigger("unheld").await["status"].clone();
    assert_eq!(status["lost_records"], 1_000, "{status}");
    assert_eq!(client.trigger("held").await["status"]["lost_records"], 0);
    let metrics = client.get("/metrics").await.expect(200).text();
    let lost = r#"millstream_trigger_records_lost_total{trigger="unheld"} 1000"#;
    assert!(metrics.contains(lost), "{lost} is not among the metrics");
    assert!(server.log().contains("retention took records before they were read"));
    wait::until_within("what was held may go", SOON, async || {
        (bounds(&client, "in-held").await["start"] == 1_010).then_some(())
    })
    .await;
}

/// The numbers of the segments that have a file.
fn segments(data: &Path) -> Vec<u64> {
    let names = std::fs::read_dir(data.join("journal")).expect("it is there");
    let names = names.map(|entry| entry.expect("an entry").file_name().into_string());
    let ids = names.filter_map(|name| name.ok()?.strip_suffix(".seg")?.parse().ok());
    let mut ids: Vec<u64> = ids.collect();
    ids.sort_unstable();
    ids
}

#[tokio::test]
async fn the_disk_gets_its_room_back_and_all_is_as_it_was_after_kill_9() {
    let mut server = Server::start().await;
    let client = server.client();
    let kept = json!({"retention": {"age": null}});
    client.put("/v1/topics/long", &kept).await.expect(201);
    // In the first segment, which is small.
    append(&client, "long", 0..300).await;
    let short = json!({"retention": {"age": null, "bytes": "1MiB"}});
    client.put("/v1/topics/short", &short).await.expect(201);
    // The second and the third are in front of both snapshots then, which a clean end leaves.
    for _ in 0..2 {
        append(&server.client(), "short", 0..40_000).await;
        assert!(server.terminate(SOON).await.success());
        server.restart().await;
    }
    wait::until_within("segments are removed", SOON, async || {
        let left = segments(server.data());
        assert_eq!(left.first(), Some(&1), "somebody's records are in it");
        (!left.contains(&2) && !left.contains(&3)).then_some(())
    })
    .await;
    server.kill();
    server.restart().await;
    let client = server.client();
    let long = read_all(&client, "long").await;
    assert!(long.iter().map(|read| id_of(&read.value)).eq(0..300), "{} are left", long.len());
    let short = bounds(&client, "short").await;
    assert_eq!(short["end"], 80_000);
    let records = short["records"].as_u64().expect("a number");
    assert!((1_000..3_000).contains(&records), "{short}");
    assert_eq!(read_all(&client, "short").await.len() as u64, records);
}
