//! Bad requests, one a line: each gets its status, code, field and hint, and changes nothing.
use super::*;

/// What is sent (`method path`, headers, body) and what comes back (status, code, field).
type Case = (
    &'static str,
    &'static [(&'static str, &'static str)],
    &'static str,
    u16,
    &'static str,
    &'static str,
);

const J: &[(&str, &str)] = &[("content-type", "application/json")];
const L: &[(&str, &str)] = &[("content-type", "application/x-ndjson")];
const T: &[(&str, &str)] = &[("content-type", "text/plain")];

const TOPICS: &[Case] = &[
    ("PUT /v1/topics/_mine", J, "{}", 400, "invalid_name", ""),
    ("PUT /v1/topics/a%2Fb", J, "{}", 400, "invalid_name", ""),
    ("PUT /v1/topics/%FF", J, "{}", 400, "invalid_name", ""),
    ("PUT /v1/topics/n", J, "{\"partitions\": 0}", 400, "invalid_body", "partitions"),
    ("PUT /v1/topics/n", J, "{\"partitions\": 10001}", 400, "invalid_body", "partitions"),
    ("PUT /v1/topics/n", J, "{\"partitions\": \"3\"}", 400, "invalid_body", "partitions"),
    ("PUT /v1/topics/n", J, "{\"partition\": 3}", 400, "invalid_body", "partition"),
    ("PUT /v1/topics/n", J, "{\"retention\": {\"age\": 7}}", 400, "invalid_body", "retention.age"),
    (
        "PUT /v1/topics/n",
        J,
        "{\"retention\": {\"age\": \"7 parsecs\"}}",
        400,
        "invalid_body",
        "retention.age",
    ),
    (
        "PUT /v1/topics/n",
        J,
        "{\"retention\": {\"bytes\": \"0B\"}}",
        400,
        "invalid_body",
        "retention.bytes",
    ),
    ("PUT /v1/topics/n", J, "{", 400, "invalid_body", ""),
    ("PUT /v1/topics/n", J, "[]", 400, "invalid_body", ""),
    (
        "PUT /v1/topics/n",
        J,
        "{\"partitions\": 1, \"partitions\": 2}",
        400,
        "invalid_body",
        "partitions",
    ),
    (
        "PUT /v1/topics/n",
        J,
        "{\"compaction\": {\"enabled\": true}}",
        422,
        "not_supported_yet",
        "compaction.enabled",
    ),
    ("PUT /v1/topics/t", J, "{\"partitions\": 4}", 422, "not_supported_yet", "partitions"),
    ("PUT /v1/topics/t", J, "{\"partitions\": 2}", 409, "partitions_shrink", "partitions"),
    ("PUT /v1/topics/n?force=true", J, "{}", 400, "invalid_parameter", "force"),
    (
        "PUT /v1/topics/n",
        &[("content-type", "application/x-www-form-urlencoded")],
        "{}",
        415,
        "unsupported_content_type",
        "content-type",
    ),
    ("PUT /v1/topics/n", &[("if-match", "v7")], "", 400, "invalid_header", "if-match"),
    ("PUT /v1/topics/n", &[("accept", "text/html")], "", 406, "not_acceptable", "accept"),
    ("GET /v1/topics/n", &[], "", 404, "topic_not_found", ""),
    ("GET /v1/topics?limit=0", &[], "", 400, "invalid_parameter", "limit"),
    ("GET /v1/topics?limt=1", &[], "", 400, "invalid_parameter", "limt"),
    ("DELETE /v1/topics/n", &[], "", 404, "topic_not_found", ""),
    ("DELETE /v1/topics/t?force=yes", &[], "", 400, "invalid_parameter", "force"),
    ("PATCH /v1/topics/t", &[], "", 405, "method_not_allowed", ""),
    ("GET /v1/topics/", &[], "", 404, "path_not_found", ""),
];

const RECORDS: &[Case] = &[
    ("POST /v1/topics/n/records", T, "x", 404, "topic_not_found", ""),
    ("POST /v1/topics/t/records", J, "", 400, "invalid_body", ""),
    ("POST /v1/topics/t/records", J, "{}", 400, "invalid_body", "records"),
    ("POST /v1/topics/t/records", J, "[{\"value\": 1}]", 400, "invalid_body", ""),
    ("POST /v1/topics/t/records", J, "{\"records\": []}", 400, "invalid_body", "records"),
    ("POST /v1/topics/t/records", J, "{\"records\": {}}", 400, "invalid_body", ""),
    ("POST /v1/topics/t/records", J, "{\"records\": [{\"value\": 1}", 400, "invalid_body", ""),
    ("POST /v1/topics/t/records", J, "{\"records\": [{\"value\": tru}]}", 400, "invalid_body", ""),
    (
        "POST /v1/topics/t/records",
        J,
        "{\"records\": [{}]}",
        400,
        "invalid_body",
        "records[0].value",
    ),
    (
        "POST /v1/topics/t/records",
        J,
        "{\"records\": [{\"value\": 1}, 2]}",
        400,
        "invalid_body",
        "records[1]",
    ),
    (
        "POST /v1/topics/t/records",
        J,
        "{\"records\": [{\"value\": 1, \"appended_at\": \"x\"}]}",
        400,
        "invalid_body",
        "records[0].appended_at",
    ),
    (
        "POST /v1/topics/t/records",
        J,
        "{\"records\": [{\"value\": 1}], \"rcords\": 1}",
        400,
        "invalid_body",
        "rcords",
    ),
    ("POST /v1/topics/t/records", L, "", 400, "invalid_body", "records"),
    ("POST /v1/topics/t/records", L, "{\"a\": 1}\n{\"a\": }\n", 400, "invalid_body", "line 2"),
    ("POST /v1/topics/t/records?key=/b", L, "{\"a\": 1}", 400, "invalid_body", "line 1"),
    ("POST /v1/topics/t/records?key=a", L, "{\"a\": 1}", 400, "invalid_parameter", "key"),
    ("POST /v1/topics/t/records?key=/a&envelope=true", L, "{}", 400, "invalid_parameter", "key"),
    ("POST /v1/topics/t/records?envelope=true", L, "{\"a\": 1}", 400, "invalid_body", "line 1.a"),
    ("POST /v1/topics/t/records?key=/a", J, "{}", 400, "invalid_parameter", "key"),
    ("POST /v1/topics/t/records?envelope=true", T, "x", 400, "invalid_parameter", "envelope"),
    ("POST /v1/topics/t/records?partition=3", T, "x", 404, "partition_not_found", "partition"),
    ("POST /v1/topics/t/records?partition=x", T, "x", 400, "invalid_parameter", "partition"),
    ("POST /v1/topics/t/records?partitoin=1", T, "x", 400, "invalid_parameter", "partitoin"),
    ("POST /v1/topics/t/records", T, "", 400, "invalid_body", "records"),
    (
        "POST /v1/topics/t/records",
        &[("content-type", "application/x-www-form-urlencoded")],
        "x",
        415,
        "unsupported_content_type",
        "content-type",
    ),
    (
        "POST /v1/topics/t/records",
        &[("content-type", "text/plain"), ("millstream-key", "k")],
        "x",
        400,
        "invalid_header",
        "millstream-key",
    ),
    (
        "POST /v1/topics/t/records",
        &[("content-type", "text/plain"), ("millstream-producer-id", "p")],
        "x",
        422,
        "not_supported_yet",
        "millstream-producer-id",
    ),
    (
        "POST /v1/topics/t/records",
        &[("content-type", "text/plain"), ("millstream-expected-end", "-1")],
        "x",
        400,
        "invalid_header",
        "millstream-expected-end",
    ),
    (
        "POST /v1/topics/t/records?partition=0",
        &[("content-type", "text/plain"), ("millstream-expected-end", "7")],
        "x",
        412,
        "precondition_failed",
        "millstream-expected-end",
    ),
    (
        "POST /v1/topics/t/records",
        &[("content-type", "text/plain"), ("millstream-keys", "k")],
        "x",
        400,
        "invalid_header",
        "millstream-keys",
    ),
    (
        "POST /v1/topics/t/records",
        &[("content-type", "text/plain"), ("millstream-producer-id", "p")],
        "x",
        422,
        "not_supported_yet",
        "millstream-producer-id",
    ),
    (
        "POST /v1/topics/t/records",
        &[("content-type", "text/plain"), ("content-encoding", "br")],
        "x",
        415,
        "unsupported_encoding",
        "content-encoding",
    ),
    ("DELETE /v1/topics/t/records", &[], "", 405, "method_not_allowed", ""),
    ("GET /v1/topics/n/records", &[], "", 404, "topic_not_found", ""),
    ("GET /v1/topics/t/records?from=newest", &[], "", 400, "invalid_parameter", "from"),
    ("GET /v1/topics/t/records?from=7", &[], "", 400, "invalid_parameter", "from"),
    ("GET /v1/topics/t/records?from=3:0", &[], "", 400, "invalid_parameter", "from"),
    ("GET /v1/topics/t/records?partition=1&from=0:0", &[], "", 400, "invalid_parameter", "from"),
    ("GET /v1/topics/t/records?partition=7", &[], "", 404, "partition_not_found", "partition"),
    ("GET /v1/topics/t/records?limit=10001", &[], "", 400, "invalid_parameter", "limit"),
    ("GET /v1/topics/t/records?wait=61s", &[], "", 400, "invalid_parameter", "wait"),
    ("GET /v1/topics/t/records?wait=5", &[], "", 400, "invalid_parameter", "wait"),
    ("GET /v1/topics/t/records?wiat=5s", &[], "", 400, "invalid_parameter", "wiat"),
    ("GET /v1/topics/t/records", &[("accept", "text/html")], "", 406, "not_acceptable", "accept"),
    (
        "GET /v1/topics/t/records?limit=1",
        &[("accept", "text/event-stream")],
        "",
        400,
        "invalid_parameter",
        "limit",
    ),
    (
        "GET /v1/topics/t/records",
        &[("accept", "text/event-stream"), ("last-event-id", "x")],
        "",
        400,
        "invalid_header",
        "last-event-id",
    ),
];

const OTHERS: &[Case] = &[
    ("PUT /v1/triggers/x", J, "{}", 400, "invalid_body", "source"),
    (
        "PUT /v1/triggers/x",
        J,
        "{\"source\": \"n\", \"function\": \"f\"}",
        404,
        "topic_not_found",
        "source",
    ),
    (
        "PUT /v1/triggers/x",
        J,
        "{\"source\": \"t\", \"function\": \"f\"}",
        404,
        "function_not_found",
        "function",
    ),
    (
        "PUT /v1/triggers/x",
        J,
        "{\"source\": \"t\", \"function\": \"f\", \"batch\": {\"records_max\": 0}}",
        400,
        "invalid_body",
        "batch.records_max",
    ),
    (
        "PUT /v1/triggers/x",
        J,
        "{\"source\": \"t\", \"function\": \"f\", \"filter\": {\"a\": [1]}}",
        422,
        "not_supported_yet",
        "filter",
    ),
    (
        "PUT /v1/triggers/x",
        J,
        "{\"source\": \"t\", \"function\": \"f\", \"window\": {\"length\": \"1m\"}}",
        422,
        "not_supported_yet",
        "window",
    ),
    ("GET /v1/triggers/x", &[], "", 404, "trigger_not_found", ""),
    ("DELETE /v1/triggers/x", &[], "", 404, "trigger_not_found", ""),
    ("GET /v1/triggers/x/dead-letters", &[], "", 404, "trigger_not_found", ""),
    ("POST /v1/triggers/x/seek", J, "{\"to\": \"there\"}", 400, "invalid_body", "to"),
    ("POST /v1/triggers/x/pause", J, "{\"for\": \"1h\"}", 400, "invalid_body", "for"),
    (
        "POST /v1/triggers/x/dead-letters/redrive",
        J,
        "{\"all\": true}",
        404,
        "call_not_supported_yet",
        "",
    ),
    (
        "POST /v1/triggers/x/partitions/0/skip",
        J,
        "{\"offset\": 1}",
        404,
        "call_not_supported_yet",
        "",
    ),
    ("GET /v1/scale", &[], "", 404, "call_not_supported_yet", ""),
    ("GET /v1/events", &[], "", 404, "call_not_supported_yet", ""),
    ("GET /openapi.json", &[], "", 404, "call_not_supported_yet", ""),
    ("PUT /v1/functions/f", J, "{}", 415, "unsupported_content_type", "content-type"),
    ("GET /v1/functions/f", &[], "", 404, "function_not_found", ""),
    ("GET /v1/functions/f/versions/1", &[], "", 404, "function_not_found", ""),
    ("GET /v1/functions/f/logs", &[], "", 404, "function_not_found", ""),
    ("PATCH /v1/functions/f", J, "{\"limit\": {}}", 400, "invalid_body", "limit"),
    ("PATCH /v1/functions/f", J, "{}", 404, "function_not_found", ""),
    (
        "POST /v1/functions/f/invoke",
        J,
        "{\"records\": [{\"value\": 1}]}",
        404,
        "function_not_found",
        "",
    ),
    ("POST /v1/functions/f@@/invoke", J, "{}", 400, "invalid_name", ""),
    ("DELETE /v1/functions/f", &[], "", 404, "function_not_found", ""),
    ("DELETE /v1/cursors/c", &[], "", 404, "cursor_not_found", ""),
    ("GET /version?x=1", &[], "", 400, "invalid_parameter", "x"),
    ("GET /v2/topics", &[], "", 404, "path_not_found", ""),
];

#[tokio::test]
async fn each_bad_request_gets_its_refusal_and_changes_nothing() {
    let door = Door::with_topic().await;
    door.append("?partition=0", "text/plain", "there").await.has(201);
    let before = door.get("/v1/topics").await.has(200).body;
    let records = door.all().await;
    for (what, headers, body, status, code, field) in [TOPICS, RECORDS, OTHERS].concat() {
        let answer = door.call(what, headers, body).await;
        assert_eq!(answer.status, status, "{what} {body}: {}", answer.text());
        assert_eq!(answer.header("content-type"), "application/json", "{what}");
        let error = answer.error();
        assert_eq!(error["code"], code, "{what} {body}: {error}");
        assert_eq!(error["field"].as_str().unwrap_or_default(), field, "{what} {body}: {error}");
        assert!(!error["message"].as_str().unwrap_or_default().is_empty(), "{what}");
        if status == 405 {
            assert!(!answer.header("allow").is_empty(), "{what} says what it takes");
        }
        if matches!(status, 415 | 422)
            && code != "not_supported_yet"
            && code != "unsupported_encoding"
        {
            assert!(!error["hint"].as_str().unwrap_or_default().is_empty(), "{what}: {error}");
        }
    }
    assert_eq!(door.get("/v1/topics").await.body, before, "nothing was made or appended");
    assert_eq!(door.all().await, records);
}
