//! What an operator does to a running server, and what it does by itself: outages, pause, deletion and
//! re-creation, SIGTERM, scaling.
use millstream_tests::{Books, Client, Server, id_of, read_all, wait};
use serde_json::{Value, json};
use std::time::Duration;

fn lines(ids: std::ops::Range<u64>) -> Vec<(u64, String)> {
    ids.map(|id| (id, json!({"id": id, "key": format!("k-{}", id % 50)}).to_string())).collect()
}

async fn append(client: &Client, topic: &str, ids: std::ops::Range<u64>) -> Books {
    let mut books = Books::default();
    for first in ids.clone().step_by(1_000) {
        let some = lines(first..ids.end.min(first + 1_000));
        assert!(books.append(client, topic, "/key", &some).await, "it answers");
    }
    books
}

/// `in` → function → `out`, with what `more` adds to the trigger's spec.
async fn map(client: &Client, component: &str, partitions: u32, more: Value) {
    client.upload("f", component).await.expect(201);
    for topic in ["in", "out"] {
        let spec = json!({"partitions": partitions});
        client.put(&format!("/v1/topics/{topic}"), &spec).await.expect(201);
    }
    put_trigger(client, more).await;
}

async fn put_trigger(client: &Client, more: Value) -> Value {
    let mut spec = json!({"source": "in", "function": "f", "output": "out"});
    let fields = more.as_object().expect("an object").clone();
    spec.as_object_mut().expect("an object").extend(fields);
    client.put("/v1/triggers/t", &spec).await.expect(201).json()
}

async fn check_copies(client: &Client, books: &Books) {
    let copies = read_all(client, "out").await;
    let all = books.lines.keys().copied().collect();
    Books::check_once("copies", &all, copies.iter().map(|read| id_of(&read.value)));
}

/// The value of a series of `/metrics` that begins with this text, summed.
async fn metric(client: &Client, series: &str) -> f64 {
    let text = client.get("/metrics").await.expect(200).text();
    let values = text.lines().filter(|line| line.starts_with(series));
    values.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
}

#[tokio::test]
async fn an_outage_of_ten_seconds_spends_no_attempt_and_ends_by_itself() {
    let server = Server::start().await;
    let client = server.client();
    let retry = json!({"attempts_max": 1, "backoff_min": "100ms", "backoff_max": "500ms"});
    map(&client, "unavailable", 1, json!({"retry": retry})).await;
    let down = json!({"environment": {"DOWN": "1"}});
    client.json("PATCH", "/v1/functions/f", &down).await.expect(200);
    let books = append(&client, "in", 0..500).await;
    wait::until("the circuit opens", async || {
        let state = client.trigger("t").await["status"]["partitions"][0]["state"].clone();
        (state == "circuit_open").then_some(())
    })
    .await;
    wait::pass(Duration::from_secs(10)).await;
    assert_eq!(client.trigger("t").await["status"]["partitions"][0]["state"], "circuit_open");
    assert!(read_all(&client, "out").await.is_empty(), "it is down");
    let up = json!({"environment": {"DOWN": ""}});
    client.json("PATCH", "/v1/functions/f", &up).await.expect(200);
    client.caught_up("t").await;
    check_copies(&client, &books).await;
    let letters = client.get("/v1/triggers/t/dead-letters").await.expect(200).json();
    assert_eq!(letters["dead_letters"], json!([]), "no attempt was spent");
}

#[tokio::test]
async fn after_pause_has_answered_there_is_no_invocation() {
    let server = Server::start().await;
    let client = server.client();
    map(&client, "identity", 4, json!({"batch": {"records_max": 10}})).await;
    let mut books = append(&client, "in", 0..20_000).await;
    client.post("/v1/triggers/t/pause", &json!({})).await.expect(200);
    let series = "millstream_trigger_invocations_total";
    let (before, copies) = (metric(&client, series).await, read_all(&client, "out").await.len());
    let more = append(&client, "in", 20_000..21_000).await;
    books.lines.extend(more.lines);
    wait::pass(Duration::from_secs(1)).await;
    assert_eq!(metric(&client, series).await, before, "nothing is invoked");
    assert_eq!(read_all(&client, "out").await.len(), copies, "nothing comes out");
    let status = client.trigger("t").await["status"].clone();
    assert_eq!((&status["state"], &status["concurrency"]["busy"]), (&json!("paused"), &json!(0)));
    client.post("/v1/triggers/t/resume", &json!({})).await.expect(200);
    client.caught_up("t").await;
    check_copies(&client, &books).await;
}

#[tokio::test]
async fn a_pause_survives_a_restart() {
    let mut server = Server::start().await;
    map(&server.client(), "identity", 1, json!({})).await;
    server.client().post("/v1/triggers/t/pause", &json!({})).await.expect(200);
    server.kill();
    server.restart().await;
    let client = server.client();
    let books = append(&client, "in", 0..100).await;
    wait::pass(Duration::from_millis(500)).await;
    assert!(read_all(&client, "out").await.is_empty(), "it is paused");
    client.post("/v1/triggers/t/resume", &json!({})).await.expect(200);
    client.caught_up("t").await;
    check_copies(&client, &books).await;
}

#[tokio::test]
async fn a_trigger_that_is_created_again_goes_on_at_its_cursor() {
    let server = Server::start().await;
    let client = server.client();
    map(&client, "identity", 1, json!({"cursor": "mine"})).await;
    let mut books = append(&client, "in", 0..1_000).await;
    client.caught_up("t").await;
    let gone = client.delete("/v1/triggers/t").await;
    assert!(matches!(gone.status, 200 | 204), "{}", gone.text());
    books.lines.extend(append(&client, "in", 1_000..2_000).await.lines);
    let again = put_trigger(&client, json!({"cursor": "mine"})).await;
    assert_eq!(again["resumed_from"]["0"], 1_000, "{again}");
    client.caught_up("t").await;
    check_copies(&client, &books).await;
}

#[tokio::test]
async fn sigterm_under_load_exits_cleanly_and_loses_nothing() {
    let mut server = Server::start().await;
    map(&server.client(), "identity", 4, json!({"batch": {"records_max": 20}})).await;
    let books = append(&server.client(), "in", 0..20_000).await;
    let status = server.terminate(Duration::from_secs(40)).await;
    assert!(status.success(), "{status}: {}", server.log());
    server.restart().await;
    let client = server.client();
    client.caught_up("t").await;
    check_copies(&client, &books).await;
}

#[tokio::test]
async fn a_seek_to_the_beginning_handles_everything_again() {
    let server = Server::start().await;
    let client = server.client();
    map(&client, "identity", 2, json!({})).await;
    append(&client, "in", 0..500).await;
    client.caught_up("t").await;
    let dry = json!({"to": "earliest", "dry_run": true});
    client.post("/v1/triggers/t/seek", &dry).await.expect(200);
    assert_eq!(client.trigger("t").await["status"]["lag_records"], 0, "a dry run moves nothing");
    client.post("/v1/triggers/t/seek", &json!({"to": "earliest"})).await.expect(200);
    wait::until("all are copied twice", async || {
        (read_all(&client, "out").await.len() == 1_000).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_step_of_load_moves_the_width_up_and_down_again_with_reasons() {
    let server = Server::start().await;
    let client = server.client();
    let scaling = json!({"concurrency_min": 1, "concurrency_max": 8, "lag_target": "1s"});
    let more = json!({"batch": {"records_max": 1}, "scaling": scaling});
    map(&client, "late", 8, more).await;
    let concurrency = async || client.trigger("t").await["status"]["concurrency"].clone();
    let body: String = (0..2_000).map(|id| format!("wait:20 {id}\n")).collect();
    let headers = [("content-type", "text/plain")];
    for partition in 0..8 {
        let path = format!("/v1/topics/in/records?partition={partition}");
        client.send("POST", &path, &headers, body.clone()).await.expect(201);
    }
    let up = wait::until("the width goes up", async || {
        let now = concurrency().await;
        (now["allowed"].as_u64() >= Some(4)).then_some(now)
    })
    .await;
    assert!(up["reason"].as_str().is_some_and(|reason| !reason.is_empty()), "{up}");
    wait::until_within("all is handled", Duration::from_secs(120), async || {
        (client.trigger("t").await["status"]["lag_records"] == 0).then_some(())
    })
    .await;
    let down = wait::until_within("the width comes down", Duration::from_secs(120), async || {
        let now = concurrency().await;
        (now["allowed"].as_u64() <= Some(1)).then_some(now)
    })
    .await;
    assert!(down["reason"].as_str().is_some_and(|reason| !reason.is_empty()), "{down}");
}
