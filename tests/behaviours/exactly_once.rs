//! Each record has its effect once, each bad one its dead letter once, in order, whatever happens to the
//! server: judged from outside, by books that know only what came over HTTP.
use millstream_tests::{Books, Client, Options, Place, Read, Server, id_of, read_all, wait};
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};
use tokio::sync::watch;

const PARTITIONS: u64 = 4;
const CUSTOMERS: u64 = 500;
const REQUEST: u64 = 500;

/// What the trigger under test is told.
#[derive(Clone, Copy)]
struct Plan {
    /// How `tally` treats a malformed order: `whole` or `items`.
    fails: &'static str,
    ordering: &'static str,
    records: u64,
}

fn is_bad(id: u64) -> bool {
    id % 100 == 37
}

/// An order; a malformed one has no total.
fn order(id: u64) -> String {
    let customer = format!("c-{}", id.wrapping_mul(0x9E37_79B9) % CUSTOMERS);
    match is_bad(id) {
        true => json!({"id": id, "customer": customer, "note": "no total"}).to_string(),
        false => json!({"id": id, "customer": customer, "total": 1 + id % 997}).to_string(),
    }
}

fn orders(ids: std::ops::Range<u64>) -> Vec<(u64, String)> {
    ids.map(|id| (id, order(id))).collect()
}

/// `orders` → `tally` → `counted`; where `chained`, on through `identity` to `final`.
async fn set_up(client: &Client, plan: Plan, chained: bool) {
    client.upload("tally", "tally").await.expect(201);
    let environment = json!({"environment": {"FAILS": plan.fails}});
    client.json("PATCH", "/v1/functions/tally", &environment).await.expect(200);
    for topic in ["orders", "counted", "final"] {
        let spec = json!({"partitions": PARTITIONS});
        client.put(&format!("/v1/topics/{topic}"), &spec).await.expect(201);
    }
    let retry = json!({"attempts_max": 3, "backoff_min": "1ms", "backoff_max": "10ms"});
    let tally = json!({
        "source": "orders", "function": "tally", "output": "counted",
        "batch": {"records_max": 100}, "ordering": plan.ordering, "retry": retry,
    });
    client.put("/v1/triggers/tally", &tally).await.expect(201);
    if chained {
        client.upload("identity", "identity").await.expect(201);
        let copy = json!({"source": "counted", "function": "identity", "output": "final"});
        client.put("/v1/triggers/copy", &copy).await.expect(201);
    }
}

/// All that the books can say about what came out.
async fn check(client: &Client, books: &Books, plan: Plan) {
    let all: BTreeSet<u64> = books.lines.keys().copied().collect();
    let (bad, good): (BTreeSet<u64>, BTreeSet<u64>) = all.iter().partition(|id| is_bad(**id));
    let counted = read_all(client, "counted").await;
    Books::check_once("outputs", &good, counted.iter().map(|read| id_of(&read.value)));
    check_order(books, &counted, plan.ordering);
    check_counts(&counted);
    let letters = dead_letters(client).await;
    Books::check_once("dead letters", &bad, letters.iter().map(|l| id_of(&l["record"]["value"])));
    for letter in &letters {
        check_letter(books, letter);
    }
}

/// Under `ordering: partition` an output partition holds its source partition's records in order (both
/// topics have the same partitions, and outputs keep their key); under `ordering: key` each key's.
fn check_order(books: &Books, outputs: &[Read], ordering: &str) {
    let mut last: BTreeMap<(u64, Option<&str>), Place> = BTreeMap::new();
    for read in outputs {
        let source = books.places[&id_of(&read.value)];
        assert_eq!(source.partition, read.place.partition, "a key stays in its partition");
        let key = read.key.as_deref().filter(|_| ordering == "key");
        if let Some(before) = last.insert((read.place.partition, key), source) {
            assert!(before < source, "{before:?} came after {source:?}");
        }
    }
}

/// The function's own counter, key by key, says 1, 2, 3, … as often as the key was handled.
fn check_counts(outputs: &[Read]) {
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    for read in outputs {
        let count = counts.entry(read.key.as_deref().expect("a key")).or_default();
        *count += 1;
        assert_eq!(read.value["n"], *count, "state counts each record once: {:?}", read.value);
    }
}

async fn dead_letters(client: &Client) -> Vec<Value> {
    let (mut letters, mut from) = (Vec::new(), String::new());
    loop {
        let path = format!("/v1/triggers/tally/dead-letters?limit=500{from}");
        let page = client.get(&path).await.expect(200).json();
        let some = page["dead_letters"].as_array().expect("a list").clone();
        if some.is_empty() {
            return letters;
        }
        letters.extend(some);
        let Some(next) = page["next"].as_str() else { return letters };
        from = format!("&from={next}");
    }
}

fn check_letter(books: &Books, letter: &Value) {
    let id = id_of(&letter["record"]["value"]);
    let (line, place) = (&books.lines[&id], books.places[&id]);
    let sent: Value = serde_json::from_str(line).expect("JSON was sent");
    assert_eq!(letter["record"]["value"], sent, "the whole record");
    assert_eq!(letter["record"]["key"], sent["customer"]);
    assert_eq!(letter["source"]["topic"], "orders");
    assert_eq!(letter["source"]["partition"], place.partition);
    assert_eq!(letter["source"]["offset"], place.offset);
    assert_eq!(letter["attempts"], 3, "{letter}");
    assert_eq!(letter["condition"], "attempts_exhausted");
    assert_eq!(letter["error"]["kind"], "rejected");
    let reason = letter["error"]["reason"].as_str().unwrap_or_default();
    assert!(reason.contains("total"), "the error says what is wrong: {letter}");
    assert_eq!((&letter["trigger"], &letter["function"]), (&json!("tally"), &json!("tally")));
    assert_eq!(letter["version"], 1);
}

async fn undisturbed(plan: Plan) {
    let server = Server::start().await;
    let client = server.client();
    set_up(&client, plan, false).await;
    let mut books = Books::default();
    for first in (0..plan.records).step_by(REQUEST as usize) {
        let lines = orders(first..first + REQUEST);
        assert!(books.append(&client, "orders", "/customer", &lines).await, "it answers");
    }
    client.caught_up("tally").await;
    check(&client, &books, plan).await;
}

#[tokio::test]
async fn each_order_counts_once_with_whole_batch_failures_and_bisect() {
    undisturbed(Plan { fails: "whole", ordering: "partition", records: 100_000 }).await;
}

#[tokio::test]
async fn each_order_counts_once_with_item_failures() {
    undisturbed(Plan { fails: "items", ordering: "partition", records: 100_000 }).await;
}

#[tokio::test]
async fn each_order_counts_once_with_ordering_by_key() {
    undisturbed(Plan { fails: "items", ordering: "key", records: 100_000 }).await;
}

const KILLS: u64 = 20;
const RECORDS_PER_LIFE: u64 = 5_000;

#[tokio::test]
async fn each_order_counts_once_through_twenty_kills_and_two_triggers() {
    let seed = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok());
    let seed: u64 = seed.unwrap_or_else(|| u64::from(std::process::id()));
    eprintln!("SEED={seed}");
    let plan = Plan { fails: "items", ordering: "partition", records: KILLS * RECORDS_PER_LIFE };
    let mut server = Server::with(Options::default()).await;
    set_up(&server.client(), plan, true).await;
    let (clients, current) = watch::channel(server.client());
    let (quota, allowed) = watch::channel(0);
    let producer = produce(plan.records, current, allowed);
    let ((), books) =
        tokio::join!(kill_again_and_again(&mut server, seed, clients, quota), producer);
    let client = server.client();
    client.caught_up("tally").await;
    client.caught_up("copy").await;
    check(&client, &books, plan).await;
    let copies = read_all(&client, "final").await;
    let good = books.lines.keys().copied().filter(|id| !is_bad(*id)).collect();
    Books::check_once("copies", &good, copies.iter().map(|read| id_of(&read.value)));
    check_order(&books, &copies, plan.ordering);
}

/// Kills at random moments under load. Each life has settled something before: else the poison guard
/// would rightly hold.
async fn kill_again_and_again(
    server: &mut Server,
    seed: u64,
    clients: watch::Sender<Client>,
    quota: watch::Sender<u64>,
) {
    let mut random = seed | 1;
    for life in 1..=KILLS {
        let before = progress(&server.client()).await;
        quota.send_replace(life * RECORDS_PER_LIFE);
        wait::until("`next` moves", async || {
            (progress(&server.client()).await > before).then_some(())
        })
        .await;
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        wait::pass(Duration::from_millis((random >> 33) % 300)).await;
        server.kill();
        server.restart().await;
        clients.send_replace(server.client());
    }
}

/// Sends all orders, over as many lives of the server as it takes. What no answer came for is looked up.
async fn produce(
    records: u64,
    mut clients: watch::Receiver<Client>,
    mut allowed: watch::Receiver<u64>,
) -> Books {
    let mut books = Books::default();
    for first in (0..records).step_by(REQUEST as usize) {
        let lines = orders(first..first + REQUEST);
        allowed.wait_for(|allowed| first < *allowed).await.expect("the killer goes on");
        let mut client = clients.borrow_and_update().clone();
        while !books.append(&client, "orders", "/customer", &lines).await {
            let is_there = loop {
                client = next_client(&mut clients, &client).await;
                if let Ok(is_there) = books.look_up(&client, "orders", &lines).await {
                    break is_there;
                }
            };
            if is_there {
                break;
            }
        }
    }
    books
}

/// The server's next life, or the same one where it is still there.
async fn next_client(clients: &mut watch::Receiver<Client>, before: &Client) -> Client {
    wait::until("the server is there again", async || {
        let client = clients.borrow().clone();
        let answer = client.try_send("GET", "/livez", &[], "").await.ok()?;
        (answer.status == 200 || client.base() != before.base()).then_some(client)
    })
    .await
}

/// The sum of `next` over all partitions of the first trigger.
async fn progress(client: &Client) -> u64 {
    let status = client.trigger("tally").await["status"].clone();
    let partitions = status["partitions"].as_array().cloned().unwrap_or_default();
    partitions.iter().filter_map(|partition| partition["next"].as_u64()).sum()
}
