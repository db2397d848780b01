//! Topics: created, shown, listed, guarded, deleted.
use serde_json::{Value, json};

use super::*;

#[tokio::test]
async fn a_put_creates_then_finds_the_same() {
    let door = Door::open().await;
    let first = door.json("PUT /v1/topics/orders", r#"{"partitions": 2}"#).await.has(201);
    let again = door.json("PUT /v1/topics/orders", r#"{"partitions": 2}"#).await.has(200);
    assert_eq!(first.body, again.body);
    assert_eq!(first.header("etag"), again.header("etag"));
    let shown = door.get("/v1/topics/orders").await.has(200);
    assert_eq!(shown.body, first.body);
    assert_eq!(shown.header("etag"), first.header("etag"));
    let shown = shown.value();
    assert_eq!(shown["retention"], json!({"age": "7d", "bytes": null, "hold_for_triggers": true}));
    assert_eq!(
        shown["bounds"][1],
        json!({"partition": 1, "start": 0, "end": 0, "records": 0, "bytes": 0})
    );
    // What is shown can be put back.
    let mut spec = shown;
    let fields = spec.as_object_mut().expect("an object");
    fields.remove("name");
    fields.remove("bounds");
    door.json("PUT /v1/topics/orders", spec.to_string()).await.has(200);
}

#[tokio::test]
async fn retention_is_set_and_changed_and_does_what_it_says() {
    let door = Door::open().await;
    let set = async |retention: &str| {
        door.json("PUT /v1/topics/t", format!(r#"{{"retention": {retention}}}"#)).await
    };
    let first = set(r#"{"bytes": "1KiB", "hold_for_triggers": false}"#).await.has(201);
    let shown = json!({"age": "7d", "bytes": "1KiB", "hold_for_triggers": false});
    assert_eq!(first.value()["retention"], shown);
    for _ in 0..5 {
        door.append("", "text/plain", "x".repeat(500)).await.has(201);
    }
    let bounds = async || door.get("/v1/topics/t").await.value()["bounds"][0].clone();
    assert_eq!(
        bounds().await,
        json!({"partition": 0, "start": 2, "end": 5, "records": 3, "bytes": 1_500})
    );
    let second = set(r#"{"age": null, "bytes": "10B"}"#).await.has(200);
    assert_ne!(first.header("etag"), second.header("etag"));
    let shown = json!({"age": null, "bytes": "10B", "hold_for_triggers": true});
    assert_eq!(second.value()["retention"], shown);
    assert_eq!(bounds().await["start"], 4);
}

#[tokio::test]
async fn an_empty_body_means_all_defaults() {
    let door = Door::open().await;
    let bare = door.call("PUT /v1/topics/a", &[], "").await.has(201);
    assert_eq!(bare.value()["partitions"], 1);
}

#[tokio::test]
async fn bounds_tell_what_is_there() {
    let door = Door::with_topic().await;
    door.append("?partition=1", "text/plain", "ab\nc\n").await.has(201);
    let shown = door.get("/v1/topics/t").await.value();
    let bounds = json!({"partition": 1, "start": 0, "end": 2, "records": 2, "bytes": 3});
    assert_eq!(shown["bounds"][1], bounds);
}

#[tokio::test]
async fn a_list_comes_page_by_page() {
    let door = Door::open().await;
    for name in ["c", "a", "b"] {
        door.call(&format!("PUT /v1/topics/{name}"), &[], "").await.has(201);
    }
    let names = |answer: &Answer| -> Vec<Value> {
        let topics = answer.value()["topics"].clone();
        topics.as_array().expect("a list").iter().map(|topic| topic["name"].clone()).collect()
    };
    let first = door.get("/v1/topics?limit=2").await.has(200);
    assert_eq!(names(&first), ["a", "b"]);
    assert_eq!(first.value()["next"], "b");
    let rest = door.get("/v1/topics?limit=2&after=b").await.has(200);
    assert_eq!(names(&rest), ["c"]);
    assert_eq!(rest.value().get("next"), None);
}

#[tokio::test]
async fn guards_keep_two_writers_apart() {
    let door = Door::open().await;
    let put =
        async |name: &str, value: &str| door.call("PUT /v1/topics/t", &[(name, value)], "").await;
    put("if-match", "\"1\"").await.has(412);
    put("if-match", "*").await.has(412);
    let etag = put("if-none-match", "*").await.has(201).header("etag").to_owned();
    let told = put("if-none-match", "*").await.has(412).error();
    assert_eq!(told["code"], "precondition_failed");
    put("if-match", &etag).await.has(200);
    put("if-match", "*").await.has(200);
    let delete = |value: &str| {
        let value = value.to_owned();
        let door = &door;
        async move { door.call("DELETE /v1/topics/t", &[("if-match", &value)], "").await }
    };
    delete("\"1\"").await.has(412);
    delete(&etag).await.has(200);
}

#[tokio::test]
async fn a_deleted_topic_is_gone_and_its_name_is_free() {
    let door = Door::with_topic().await;
    door.append("", "text/plain", "old").await.has(201);
    let told = door.call("DELETE /v1/topics/t", &[], "").await.has(200);
    assert_eq!(told.value(), json!({"deleted": "t", "stopped": []}));
    door.get("/v1/topics/t").await.has(404);
    door.get("/v1/topics/t/records").await.has(404);
    door.call("DELETE /v1/topics/t?force=true", &[], "").await.has(404);
    door.call("PUT /v1/topics/t", &[], "").await.has(201);
    assert!(door.all().await.is_empty(), "a new topic of the name is empty");
}
