//! Guests that misbehave: each costs its own batch, never a neighbour's, and never the server.
use millstream_tests::{Books, Client, Server, id_of, read_all, wait};
use serde_json::{Value, json};
use std::time::Duration;

/// Topic `<name>`, function and trigger `<name>`, output `<name>.out`, short limits.
async fn map(client: &Client, name: &str, more: Value) {
    client.upload(name, name).await.expect(201);
    // Those that would never end get a short time; the others as much as a busy machine needs.
    let timeout = if matches!(name, "spins" | "sleeps") { "300ms" } else { "20s" };
    let limits = json!({"limits": {"timeout": timeout, "memory": "64MiB"}});
    client.json("PATCH", &format!("/v1/functions/{name}"), &limits).await.expect(200);
    for topic in [name.to_owned(), format!("{name}.out")] {
        client.put(&format!("/v1/topics/{topic}"), &json!({})).await.expect(201);
    }
    let retry = json!({"attempts_max": 2, "backoff_min": "1ms", "backoff_max": "5ms"});
    let mut spec = json!({
        "source": name, "function": name, "output": format!("{name}.out"), "retry": retry,
        "batch": {"records_max": 8},
    });
    let fields = more.as_object().expect("an object").clone();
    spec.as_object_mut().expect("an object").extend(fields);
    client.put(&format!("/v1/triggers/{name}"), &spec).await.expect(201);
}

async fn send(client: &Client, topic: &str, values: &[String]) {
    let body: String = values.iter().map(|value| format!("{value}\n")).collect();
    let path = format!("/v1/topics/{topic}/records");
    client.send("POST", &path, &[("content-type", "text/plain")], body).await.expect(201);
}

async fn letters(client: &Client, trigger: &str) -> Vec<Value> {
    let path = format!("/v1/triggers/{trigger}/dead-letters?limit=500");
    let page = client.get(&path).await.expect(200).json();
    page["dead_letters"].as_array().expect("a list").clone()
}

/// Each vice with its mark, and how the dead letter names it.
const VICES: [(&str, &str, &str); 6] = [
    ("spins", "spin", "timed_out"),
    ("sleeps", "sleep", "timed_out"),
    ("eats-memory", "eat", "out_of_memory"),
    ("traps", "trap", "trapped"),
    ("floods-outputs", "flood", "bound_broken"),
    ("names-undeclared-topic", "to:elsewhere", "bound_broken"),
];

#[tokio::test]
async fn each_vice_costs_its_own_record_and_a_neighbour_goes_on() {
    let server = Server::start().await;
    let client = server.client();
    map(&client, "identity", json!({"batch": {"records_max": 100}})).await;
    for (vice, mark, _) in VICES {
        map(&client, vice, json!({})).await;
        let values: Vec<_> = (0..16)
            .map(|nth| if nth == 5 { mark.to_owned() } else { format!("fine {nth}") })
            .collect();
        send(&client, vice, &values).await;
    }
    let mut books = Books::default();
    for first in (0..20_000).step_by(500) {
        let some: Vec<_> =
            (first..first + 500).map(|id| (id, json!({"id": id}).to_string())).collect();
        assert!(books.append(&client, "identity", "/id", &some).await, "it answers");
    }
    client.caught_up("identity").await;
    let all = books.lines.keys().copied().collect();
    let copies = read_all(&client, "identity.out").await;
    Books::check_once("copies", &all, copies.iter().map(|read| id_of(&read.value)));
    for (vice, mark, kind) in VICES {
        client.caught_up(vice).await;
        let letters = letters(&client, vice).await;
        assert_eq!(letters.len(), 1, "{vice}: {letters:?}");
        assert_eq!(letters[0]["record"]["value_text"], mark, "{vice}");
        assert_eq!(letters[0]["error"]["kind"], kind, "{vice}: {}", letters[0]);
        assert_eq!(letters[0]["attempts"], 2, "{vice}");
        let out = read_all(&client, &format!("{vice}.out")).await;
        assert_eq!(out.len(), 15, "{vice}: the others are handled");
    }
}

#[tokio::test]
async fn nothing_reaches_a_topic_of_the_system() {
    let server = Server::start().await;
    let client = server.client();
    map(&client, "names-undeclared-topic", json!({})).await;
    send(&client, "names-undeclared-topic", &["to:_catalog".into(), "fine".into()]).await;
    client.caught_up("names-undeclared-topic").await;
    let letters = letters(&client, "names-undeclared-topic").await;
    assert_eq!(letters.len(), 1);
    let reason = letters[0]["error"]["reason"].as_str().unwrap_or_default();
    assert!(reason.contains("_catalog"), "it says which: {reason}");
}

#[tokio::test]
async fn a_flood_of_log_lines_is_cut_and_costs_nothing_else() {
    let server = Server::start().await;
    let client = server.client();
    map(&client, "floods-logs", json!({})).await;
    client
        .json("PATCH", "/v1/functions/floods-logs", &json!({"limits": {"timeout": "20s"}}))
        .await
        .expect(200);
    send(&client, "floods-logs", &["flood".into(), "fine".into()]).await;
    client.caught_up("floods-logs").await;
    assert_eq!(read_all(&client, "floods-logs.out").await.len(), 2, "it is handled");
    let logs = client.get("/v1/functions/floods-logs/logs").await.expect(200);
    assert!(logs.body.len() < 8 << 20, "{} bytes of log are kept", logs.body.len());
}

#[tokio::test]
async fn a_version_that_fails_on_everything_halts_its_trigger() {
    let server = Server::start().await;
    let client = server.client();
    map(&client, "fails-all", json!({"retry": {"attempts_max": 1}})).await;
    let values: Vec<_> = (0..5_000).map(|nth| format!("record {nth}")).collect();
    send(&client, "fails-all", &values).await;
    let halted = wait::until("the trigger halts", async || {
        let status = client.trigger("fails-all").await["status"].clone();
        (status["state"] == "halted").then_some(status)
    })
    .await;
    assert!(halted["reason"].as_str().is_some_and(|reason| !reason.is_empty()), "{halted}");
    let ready = client.get("/readyz").await;
    assert_eq!(ready.status, 503, "a halted trigger that lags is not ready: {}", ready.text());
    let bounds = client.get("/v1/topics/fails-all.dead-letters").await.expect(200).json();
    let dead = bounds["bounds"][0]["records"].as_u64().expect("a count");
    assert!(dead < 1_000, "it does not dead-letter the topic: {dead} of 5,000");
    // A version that works, and resume: the rest is handled.
    client.upload("fails-all", "identity").await.expect(201);
    client.post("/v1/triggers/fails-all/resume", &json!({})).await.expect(200);
    client.caught_up("fails-all").await;
    let handled = read_all(&client, "fails-all.out").await.len() as u64;
    let bounds = client.get("/v1/topics/fails-all.dead-letters").await.expect(200).json();
    let dead = bounds["bounds"][0]["records"].as_u64().expect("a count");
    assert_eq!(handled + dead, 5_000);
}

#[tokio::test]
async fn health_and_metrics_answer_while_guests_burn_every_core() {
    let server = Server::start().await;
    let client = server.client();
    map(&client, "spins", json!({"retry": {"attempts_max": null}})).await;
    client
        .json("PATCH", "/v1/functions/spins", &json!({"limits": {"timeout": "30s"}}))
        .await
        .expect(200);
    send(&client, "spins", &vec!["spin".to_owned(); 64]).await;
    wait::until("it burns", async || {
        let busy = client.trigger("spins").await["status"]["concurrency"]["busy"].clone();
        (busy.as_u64() > Some(0)).then_some(())
    })
    .await;
    for path in ["/livez", "/metrics", "/v1/topics"] {
        let answer = tokio::time::timeout(Duration::from_secs(10), client.get(path)).await;
        assert_eq!(answer.expect("it answers while guests burn").status, 200, "{path}");
    }
}

#[tokio::test]
async fn what_is_no_function_is_refused_with_what_to_do() {
    let server = Server::start().await;
    let client = server.client();
    for (component, says) in [
        ("core-module", "component"),
        ("no-handle", "handle"),
        ("imports-unknown", "acme:secret/store"),
    ] {
        let answer = client.upload("f", component).await.expect(422);
        let message = answer.json()["error"].to_string();
        assert!(message.contains(says), "{component}: {message}");
    }
    let headers = [("content-type", "application/wasm")];
    client.send("PUT", "/v1/functions/f", &headers, "no wasm at all").await.expect(422);
    client.get("/v1/functions/f").await.expect(404);
}
