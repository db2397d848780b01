//! Appending: each content type and what it leaves in the log.
use std::io::Write as _;

use serde_json::{Value, json};

use super::*;

const JSON: &str = "application/json";
const LINES: &str = "application/x-ndjson";

/// Without what the clock gives.
fn timeless(mut records: Vec<Value>) -> Vec<Value> {
    for record in &mut records {
        let fields = record.as_object_mut().expect("an object");
        fields.remove("appended_at");
        fields.remove("timestamp");
    }
    records
}

#[tokio::test]
async fn records_as_json_are_kept_as_they_were_sent() {
    let door = Door::with_topic().await;
    let body = r#"{"records": [
        {"key": "o-1", "value": {"b" : 1,  "a": [ ] }, "headers": {"h": "x"}, "partition": 2, "timestamp": "2026-01-01T00:00:00.5Z"},
        {"key_base64": "/w==", "value_text": "null", "partition": 2},
        {"key": null, "value_base64": "AP8", "partition": 2},
        {"key": "gone", "value": null, "partition": 2}
    ]}"#;
    let told = door.append("", JSON, body).await.has(201).value();
    let places: Vec<Value> = (0..4).map(|n| json!({"partition": 2, "offset": n})).collect();
    assert_eq!(told, json!({"records": 4, "appended": places}));
    let records = door.all().await;
    assert_eq!(records[0]["timestamp"], "2026-01-01T00:00:00.500Z");
    assert_eq!(
        timeless(records),
        [
            json!({"partition": 2, "offset": 0, "key": "o-1", "value": {"b": 1, "a": []}, "headers": {"h": "x"}}),
            json!({"partition": 2, "offset": 1, "key_base64": "/w==", "value_text": "null", "headers": {}}),
            json!({"partition": 2, "offset": 2, "value_base64": "AP8=", "headers": {}}),
            json!({"partition": 2, "offset": 3, "key": "gone", "value": null, "headers": {}}),
        ]
    );
    let path = "GET /v1/topics/t/partitions/2/records/0";
    let bytes = door.call(path, &[("accept", "application/octet-stream")], "").await.has(200);
    assert_eq!(bytes.text(), r#"{"b" : 1,  "a": [ ] }"#);
    assert_eq!(bytes.header("millstream-key"), "o-1");
}

#[tokio::test]
async fn json_lines_are_untouched_and_give_their_key() {
    let door = Door::with_topic().await;
    let body =
        "{\"customer\": {\"id\": \"c-7\"},  \"n\":1}\r\n\n {\"customer\":{\"id\":42}} \nnull";
    let refused = door.append("?key=/customer/id", LINES, body).await.has(400).error();
    assert_eq!(refused["field"], "line 4");
    assert!(door.all().await.is_empty(), "all or none");
    let body = body.strip_suffix("\nnull").expect("the last line");
    let told = door.append("?key=/customer/id", LINES, body).await.has(201).value();
    for (nth, (key, bytes)) in [
        ("c-7", "{\"customer\": {\"id\": \"c-7\"},  \"n\":1}"),
        ("42", " {\"customer\":{\"id\":42}} "),
    ]
    .into_iter()
    .enumerate()
    {
        let place = &told["appended"][nth];
        let path = format!(
            "GET /v1/topics/t/partitions/{}/records/{}",
            place["partition"], place["offset"]
        );
        let answer = door.call(&path, &[("accept", "application/octet-stream")], "").await.has(200);
        assert_eq!(answer.text(), bytes);
        assert_eq!(answer.header("millstream-key"), key);
    }
    door.append("", LINES, "null\n").await.has(201);
    let is_null = |record: &Value| record["value_text"] == "null";
    assert!(door.all().await.iter().any(is_null), "four bytes, no tombstone");
}

#[tokio::test]
async fn envelopes_bring_a_topic_back_as_it_was() {
    let door = Door::with_topic().await;
    let body = r#"{"records": [{"key": "a", "value": {"x":1}, "headers": {"h": ["1", {"base64": "/w=="}]}}, {"key_base64": "/w==", "value": null}, {"value_text": "l1\nl2"}]}"#;
    door.append("", JSON, body).await.has(201);
    let lines = door.call("GET /v1/topics/t/records", &[("accept", LINES)], "").await.has(200);
    assert_eq!(lines.header("content-type"), LINES);
    assert_eq!(lines.text().lines().count(), 3);
    let before = door.all().await;
    door.call("DELETE /v1/topics/t", &[], "").await.has(200);
    door.json("PUT /v1/topics/t", r#"{"partitions": 3}"#).await.has(201);
    door.append("?envelope=true", LINES, lines.body.clone()).await.has(201);
    let strip = |records: Vec<Value>| -> Vec<Value> {
        let mut records = records;
        records
            .iter_mut()
            .for_each(|it| drop(it.as_object_mut().expect("an object").remove("appended_at")));
        records
    };
    assert_eq!(strip(door.all().await), strip(before));
}

#[tokio::test]
async fn text_is_a_record_a_line_and_anything_else_is_one() {
    let door = Door::with_topic().await;
    door.append("?partition=0", "text/plain; charset=utf-8", "one\r\n\ntwo").await.has(201);
    let texts: Vec<Value> = door.all().await.iter().map(|it| it["value_text"].clone()).collect();
    assert_eq!(texts, ["one", "", "two"]);
    let what = "POST /v1/topics/t/records?partition=1";
    let headers = [("content-type", "image/png"), ("millstream-key", "logo")];
    door.call(what, &headers, vec![0x89, 0xff]).await.has(201);
    let one = door.get("/v1/topics/t/partitions/1/records/0").await.has(200).value();
    assert_eq!(one["key"], "logo");
    assert_eq!(one["value_base64"], "if8=");
    assert_eq!(one["headers"], json!({"content-type": "image/png"}));
    door.call("POST /v1/topics/t/records?partition=2", &[], "untyped").await.has(201);
    let one = door.get("/v1/topics/t/partitions/2/records/0").await.has(200).value();
    assert_eq!(one["headers"], json!({}));
}

#[tokio::test]
async fn one_key_goes_to_one_partition_and_the_query_wins() {
    let door = Door::with_topic().await;
    let body = r#"{"records": [{"key": "k", "value": 1}, {"key": "k", "value": 2}]}"#;
    let told = door.append("", JSON, body).await.has(201).value();
    assert_eq!(told["appended"][0]["partition"], told["appended"][1]["partition"]);
    let body = r#"{"records": [{"key": "k", "value": 1, "partition": 1}, {"value": 2}]}"#;
    let told = door.append("?partition=2", JSON, body).await.has(201).value();
    let partitions = [0, 1].map(|nth| told["appended"][nth]["partition"].clone());
    assert_eq!(partitions, [2, 2]);
}

#[tokio::test]
async fn packed_bodies_are_understood_and_bounded() {
    let door = Door::with_topic().await;
    let plain = "{\"n\":1}\n".repeat(2_000);
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(plain.as_bytes()).expect("into memory");
    let gzip = gzip.finish().expect("into memory");
    let zstd = zstd::bulk::compress(plain.as_bytes(), 1).expect("into memory");
    let send = async |encoding: &str, body: Vec<u8>| {
        let headers = [("content-type", LINES), ("content-encoding", encoding)];
        door.call("POST /v1/topics/t/records?partition=0", &headers, body).await
    };
    let told = send("gzip", gzip).await.has(201).value();
    assert_eq!(told["records"], 2_000);
    assert_eq!(told["appended"], json!([{"partition": 0, "offset": 0, "records": 2_000}]));
    send("zstd", zstd).await.has(201);
    let bomb = zstd::bulk::compress(&vec![b' '; 17 << 20], 1).expect("into memory");
    assert_eq!(send("zstd", bomb).await.has(413).error()["code"], "body_too_large");
    assert_eq!(send("br", b"x".to_vec()).await.has(415).error()["code"], "unsupported_encoding");
    assert_eq!(
        send("gzip", b"no gzip".to_vec()).await.has(400).error()["field"],
        "content-encoding"
    );
}

#[tokio::test]
async fn too_many_records_or_bytes_are_told_with_the_limit() {
    let door = Door::with_topic().await;
    let body = "1\n".repeat(10_000);
    door.append("", LINES, body.clone()).await.has(201);
    let told = door.append("", LINES, body + "1").await.has(413).error();
    assert_eq!(told["code"], "too_many_records");
    assert!(told["hint"].as_str().expect("a hint").contains("10000"));
    let told = door.append("", "text/plain", vec![b'x'; (16 << 20) + 1]).await.has(413).error();
    assert_eq!(told["code"], "body_too_large");
    assert!(told["message"].as_str().expect("a message").contains("16MiB"));
    let told = door.append("", "text/plain", vec![b'x'; 16 << 20]).await.has(413).error();
    assert_eq!(told["code"], "record_too_large");
}

#[tokio::test]
async fn all_problems_of_a_body_come_at_once() {
    let door = Door::with_topic().await;
    let body = r#"{"records": [
        {"vale": 1},
        {"key": 5, "value": 1, "partition": 9},
        7,
        {"value": 1, "value_text": "x", "timestamp": "noon", "headers": {"a": 1}},
        {"value": 1, "offset": 3, "key": "a", "key_base64": "YQ=="},
        {"value_base64": "!", "headers": 3, "partition": -1}
    ], "more": 1}"#;
    let told = door.append("", JSON, body).await.has(400).error();
    assert_eq!(told["code"], "invalid_body");
    let problems = told["problems"].as_array().expect("a list");
    let fields: Vec<&str> =
        problems.iter().map(|it| it["field"].as_str().expect("a field")).collect();
    assert_eq!(
        fields,
        [
            "records[0].vale",
            "records[0].value",
            "records[1].key",
            "records[1].partition",
            "records[2]",
            "records[3].value",
            "records[3].timestamp",
            "records[3].headers.a",
            "records[4].offset",
            "records[4].key_base64",
            "records[5].value_base64",
            "records[5].partition",
            "records[5].headers",
            "more",
        ]
    );
    assert_eq!(problems[0]["message"], "unknown field `vale`; did you mean `value`?");
    assert!(door.all().await.is_empty(), "all or none");
}

#[tokio::test]
async fn an_append_may_say_where_it_expects_to_lie() {
    let door = Door::with_topic().await;
    let append = async |query: &str, expected: &str, body: &'static str| {
        let headers = [("content-type", "text/plain"), ("millstream-expected-end", expected)];
        door.call(&format!("POST /v1/topics/t/records{query}"), &headers, body).await
    };
    append("?partition=1", "0", "a\nb\n").await.has(201);
    let told = append("?partition=1", "0", "c").await.has(412).error();
    assert_eq!(told["code"], "precondition_failed");
    assert!(told["message"].as_str().expect("text").contains("ends at 2"), "{told}");
    append("?partition=1", "2", "c").await.has(201);
    let bounds = door.get("/v1/topics/t").await.value()["bounds"][1].clone();
    assert_eq!((&bounds["end"], &bounds["bytes"]), (&json!(3), &json!(3)));
}
