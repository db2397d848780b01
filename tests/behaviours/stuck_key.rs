//! Under `ordering: key` a key that fails again and again holds its own records and no others, until so
//! many gaps are open that progress could not be written down; and all goes on when the key is free.
use millstream_tests::{Books, Client, Server, id_of, read_all, wait};
use serde_json::{Value, json};
use std::collections::BTreeSet;

const STUCK: &str = "stuck";

/// Orders of which every `every`th is the stuck customer's; the first of those has no total.
fn orders(ids: std::ops::Range<u64>, every: u64) -> Vec<(u64, String)> {
    let order = |id: u64| match id {
        0 => json!({"id": id, "customer": STUCK}),
        id if id % every == 0 => json!({"id": id, "customer": STUCK, "total": 1}),
        id => json!({"id": id, "customer": format!("c-{}", id % 9_973), "total": 1}),
    };
    ids.map(|id| (id, order(id).to_string())).collect()
}

async fn set_up(client: &Client) {
    client.upload("tally", "tally").await.expect(201);
    let environment = json!({"environment": {"FAILS": "items"}});
    client.json("PATCH", "/v1/functions/tally", &environment).await.expect(200);
    for topic in ["orders", "counted"] {
        client.put(&format!("/v1/topics/{topic}"), &json!({})).await.expect(201);
    }
    let tally = json!({
        "source": "orders", "function": "tally", "output": "counted", "ordering": "key",
        "batch": {"records_max": 500},
        "retry": {"attempts_max": null, "backoff_min": "50ms", "backoff_max": "500ms"},
    });
    client.put("/v1/triggers/tally", &tally).await.expect(201);
}

async fn append(client: &Client, books: &mut Books, ids: std::ops::Range<u64>, every: u64) {
    for first in ids.clone().step_by(1_000) {
        let some = orders(first..ids.end.min(first + 1_000), every);
        assert!(books.append(client, "orders", "/customer", &some).await, "it answers");
    }
}

async fn set_free(client: &Client) {
    let environment = json!({"environment": {"FAILS": "items", "FORGIVE": "1"}});
    client.json("PATCH", "/v1/functions/tally", &environment).await.expect(200);
}

async fn partition(client: &Client) -> Value {
    client.trigger("tally").await["status"]["partitions"][0].clone()
}

async fn check_all(client: &Client, books: &Books) {
    client.caught_up("tally").await;
    let all: BTreeSet<u64> = books.lines.keys().copied().collect();
    let counted = read_all(client, "counted").await;
    Books::check_once("outputs", &all, counted.iter().map(|read| id_of(&read.value)));
    let stuck = counted.iter().filter(|read| read.key.as_deref() == Some(STUCK));
    let stuck: Vec<_> = stuck.map(|read| id_of(&read.value)).collect();
    assert!(stuck.is_sorted(), "the stuck key keeps its order");
}

#[tokio::test]
async fn a_thousand_records_of_a_stuck_key_hold_up_no_other() {
    let server = Server::start().await;
    let client = server.client();
    set_up(&client).await;
    let mut books = Books::default();
    append(&client, &mut books, 0..20_000, 20).await;
    wait::until("all others are handled", async || {
        (read_all(&client, "counted").await.len() == 19_000).then_some(())
    })
    .await;
    let stands = partition(&client).await;
    assert_eq!((&stands["next"], &stands["lag_records"]), (&json!(0), &json!(1_000)), "{stands}");
    append(&client, &mut books, 20_001..20_020, 20).await;
    wait::until("fresh ones of others still go on", async || {
        (read_all(&client, "counted").await.len() == 19_019).then_some(())
    })
    .await;
    set_free(&client).await;
    check_all(&client, &books).await;
}

#[tokio::test]
async fn ten_thousand_gaps_make_the_partition_wait_until_the_key_is_free() {
    let server = Server::start().await;
    let client = server.client();
    set_up(&client).await;
    let mut books = Books::default();
    append(&client, &mut books, 0..20_000, 2).await;
    wait::until("it says what it waits for", async || {
        let stands = partition(&client).await;
        let handled = read_all(&client, "counted").await.len();
        // As far as its bound of 4,096 ranges lets whole batches, and no further.
        (stands["state"] == "waiting_for_ranges" && handled > 3_000).then_some(())
    })
    .await;
    assert!(read_all(&client, "counted").await.len() < 5_000, "no further than its bound");
    set_free(&client).await;
    check_all(&client, &books).await;
}
