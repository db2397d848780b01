//! Bad requests: each gets the 4xx that the API's rules say, names the field, and changes nothing.
use millstream_tests::{Client, Server};
use serde_json::{Value, json};

const JSON: &str = "application/json";

/// Method, path, content type, body, status, code (empty: any), what the error must name.
type Case = (&'static str, &'static str, &'static str, String, u16, &'static str, &'static str);

fn topics() -> Vec<Case> {
    let body = |value: Value| value.to_string();
    vec![
        ("PUT", "/v1/topics/t2", JSON, "{".into(), 400, "", ""),
        ("PUT", "/v1/topics/t2", JSON, body(json!({"partitions": 0})), 400, "", "partitions"),
        ("PUT", "/v1/topics/t2", JSON, body(json!({"partitions": "many"})), 400, "", "partitions"),
        ("PUT", "/v1/topics/t2", JSON, body(json!({"partitons": 2})), 400, "", "partitions"),
        ("PUT", "/v1/topics/_mine", JSON, body(json!({})), 400, "", "_mine"),
        ("PUT", "/v1/topics/a%2Fb", JSON, body(json!({})), 400, "", "a/b"),
        ("PUT", "/v1/topics/t", JSON, body(json!({"partitions": 1})), 409, "", "partitions"),
        (
            "PUT",
            "/v1/topics/t2",
            JSON,
            body(json!({"compaction": {"enabled": true}})),
            422,
            "not_supported_yet",
            "compaction",
        ),
        (
            "PUT",
            "/v1/topics/t2",
            JSON,
            body(json!({"retention": {"bytes": "0B"}})),
            400,
            "invalid_body",
            "retention",
        ),
        ("DELETE", "/v1/topics/none", JSON, String::new(), 404, "topic_not_found", "none"),
        ("DELETE", "/v1/topics/t", JSON, String::new(), 409, "", ""),
        ("POST", "/v1/topics/t", JSON, body(json!({})), 405, "", ""),
    ]
}

fn records() -> Vec<Case> {
    let body = |value: Value| value.to_string();
    let one = || body(json!({"records": [{"value": 1}]}));
    let post = "POST";
    let path = "/v1/topics/t/records";
    let ndjson = "application/x-ndjson";
    vec![
        (post, "/v1/topics/none/records", JSON, one(), 404, "topic_not_found", "none"),
        (post, path, JSON, body(json!({"records": []})), 400, "", "records"),
        (post, path, JSON, body(json!({"records": [{}]})), 400, "", "value"),
        (
            post,
            path,
            JSON,
            body(json!({"records": [{"value": 1, "value_text": "1"}]})),
            400,
            "",
            "value",
        ),
        (
            post,
            path,
            JSON,
            body(json!({"records": [{"value_base64": "§"}]})),
            400,
            "",
            "value_base64",
        ),
        (post, path, JSON, body(json!({"records": [{"value": 1, "kee": "a"}]})), 400, "", "key"),
        (
            post,
            path,
            JSON,
            body(json!({"records": [{"value": 1, "partition": 7}]})),
            400,
            "",
            "partition",
        ),
        (post, "/v1/topics/t/records?partition=9", JSON, one(), 404, "", "partition"),
        (post, path, ndjson, "{\"a\":1}\nnot json\n".into(), 400, "", "2"),
        (post, "/v1/topics/t/records?key=nope", ndjson, "{\"a\":1}\n".into(), 400, "", "key"),
        (post, path, "text/plain", "x\n".repeat(10_001), 413, "", "10"),
        (post, path, "text/plain", "x".repeat((16 << 20) + 1), 413, "", ""),
        ("GET", "/v1/topics/t/records?from=17", "", String::new(), 400, "", "partition"),
        ("GET", "/v1/topics/t/records?limit=0", "", String::new(), 400, "", "limit"),
        ("GET", "/v1/topics/t/records?limit=10001", "", String::new(), 400, "", "limit"),
        ("GET", "/v1/topics/t/records?wait=61s", "", String::new(), 400, "", "wait"),
        ("GET", "/v1/topics/t/records?wait=soon", "", String::new(), 400, "", "wait"),
        ("GET", "/v1/topics/t/records?from=whenever", "", String::new(), 400, "", "from"),
        ("GET", "/v1/topics/t/partitions/0/records/99", "", String::new(), 404, "", ""),
    ]
}

fn triggers() -> Vec<Case> {
    let put = |path: &'static str, spec: Value, status, code, names| -> Case {
        ("PUT", path, JSON, spec.to_string(), status, code, names)
    };
    let with = |field: &str, value: Value| {
        let mut spec = json!({"source": "t", "function": "f"});
        spec[field] = value;
        spec
    };
    let new = "/v1/triggers/new";
    vec![
        put(new, json!({"function": "f"}), 400, "", "source"),
        put(new, json!({"source": "none", "function": "f"}), 404, "topic_not_found", "source"),
        put(new, json!({"source": "t", "function": "none"}), 404, "function_not_found", "function"),
        put(new, with("output", json!("none")), 404, "topic_not_found", "output"),
        put(new, with("batch", json!({"records_max": 0})), 400, "", "batch.records_max"),
        put(new, with("batch", json!({"records_max": 10_001})), 400, "", "batch.records_max"),
        put(new, with("batch", json!({"wait": "later"})), 400, "", "batch.wait"),
        put(new, with("ordering", json!("random")), 400, "", "ordering"),
        put(new, with("retry", json!({"attempts_max": 0})), 400, "", "retry.attempts_max"),
        put(
            new,
            with("retry", json!({"backoff_min": "2s", "backoff_max": "1s"})),
            400,
            "",
            "retry.backoff",
        ),
        put(new, with("halt_on_failure_share", json!(1.5)), 400, "", "halt_on_failure_share"),
        put(new, with("filter", json!({"a": [1]})), 422, "not_supported_yet", "filter"),
        put(new, with("window", json!("5s")), 422, "not_supported_yet", "window"),
        put(new, with("on_failure", json!("shrug")), 400, "", "on_failure"),
        put(new, with("sauce", json!("t")), 400, "", "source"),
        put("/v1/triggers/_x", with("ordering", json!("key")), 400, "", "_x"),
        ("POST", "/v1/triggers/none/pause", JSON, "{}".into(), 404, "trigger_not_found", "none"),
        (
            "POST",
            "/v1/triggers/r/seek",
            JSON,
            json!({"to": {"offsets": {"9": 1}}}).to_string(),
            400,
            "",
            "9",
        ),
        ("DELETE", "/v1/functions/f", JSON, String::new(), 409, "", ""),
        (
            "PATCH",
            "/v1/functions/f",
            JSON,
            json!({"limits": {"timeout": "0s"}}).to_string(),
            400,
            "",
            "timeout",
        ),
        ("PATCH", "/v1/functions/none", JSON, "{}".into(), 404, "function_not_found", "none"),
        ("PUT", "/v1/functions/g", "text/plain", "hello".into(), 415, "", ""),
        ("GET", "/v1/nothing/here", "", String::new(), 404, "", ""),
        ("POST", "/v1/triggers/r/dead-letters/redrive", JSON, "{}".into(), 404, "", ""),
        ("DELETE", "/v1/cursors/r", JSON, String::new(), 409, "", ""),
    ]
}

/// All that a user could have changed.
async fn everything(client: &Client) -> Vec<String> {
    let mut all = Vec::new();
    for path in ["/v1/topics", "/v1/topics/t", "/v1/functions", "/v1/functions/f", "/v1/cursors"] {
        all.push(client.get(path).await.expect(200).text());
    }
    all.push(client.trigger("r").await["spec"].to_string());
    all
}

#[tokio::test]
async fn each_bad_request_is_named_and_changes_nothing() {
    let server = Server::start().await;
    let client = server.client();
    client.put("/v1/topics/t", &json!({"partitions": 3})).await.expect(201);
    client.upload("f", "identity").await.expect(201);
    client.put("/v1/triggers/r", &json!({"source": "t", "function": "f"})).await.expect(201);
    let before = everything(&client).await;
    let cases: Vec<Case> = topics().into_iter().chain(records()).chain(triggers()).collect();
    assert!(cases.len() >= 50);
    let mut wrong = Vec::new();
    for (method, path, kind, body, status, code, names) in cases {
        let headers: &[(&str, &str)] =
            if kind.is_empty() { &[] } else { &[("content-type", kind)] };
        let short: String = body.chars().take(80).collect();
        let answer = client.send(method, path, headers, body).await;
        let error = serde_json::from_slice::<Value>(&answer.body).unwrap_or_default();
        let error = error["error"].clone();
        let is_right = answer.status == status
            && error["code"].as_str().is_some_and(|found| code.is_empty() || found == code)
            && error["message"].as_str().is_some_and(|message| !message.is_empty())
            && error.to_string().contains(names);
        if !is_right {
            wrong.push(format!(
                "{method} {path} {short}\n  wants {status} {code} naming `{names}`\n  got {} {}",
                answer.status,
                answer.text()
            ));
        }
    }
    assert!(wrong.is_empty(), "{} are wrong:\n{}", wrong.len(), wrong.join("\n"));
    assert_eq!(everything(&client).await, before, "nothing changes");
}

#[tokio::test]
async fn all_that_is_wrong_with_a_body_is_said_at_once() {
    let server = Server::start().await;
    let client = server.client();
    client.put("/v1/topics/t", &json!({})).await.expect(201);
    let spec = json!({
        "source": "t", "function": "f", "batch": {"records_max": 0, "wait": "x"}, "ordering": "none",
    });
    let error = client.put("/v1/triggers/r", &spec).await.expect(400).json()["error"].clone();
    let problems = error["problems"].as_array().expect("a list of problems");
    let fields: Vec<_> = problems.iter().filter_map(|problem| problem["field"].as_str()).collect();
    for field in ["batch.records_max", "batch.wait", "ordering"] {
        assert!(fields.contains(&field), "{field} is missing in {error}");
    }
}

#[tokio::test]
async fn a_foreign_host_or_origin_is_refused() {
    let server = Server::start().await;
    let client = server.client();
    for header in [("host", "evil.example"), ("origin", "https://evil.example")] {
        client.send("GET", "/v1/topics", &[header], "").await.expect(403);
    }
}
