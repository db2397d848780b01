//! Reading: places, pages, waiting, following, single records.
use futures::StreamExt as _;
use serde_json::{Value, json};

use super::*;

const EVENTS: (&str, &str) = ("accept", "text/event-stream");

async fn with_lines(lines: &str) -> Door {
    let door = Door::with_topic().await;
    door.append("?partition=0", "text/plain", lines.to_owned()).await.has(201);
    door
}

fn texts(answer: &Answer) -> Vec<String> {
    let records = answer.value()["records"].clone();
    let text = |record: &Value| record["value_text"].as_str().expect("text").to_owned();
    records.as_array().expect("a list").iter().map(text).collect()
}

#[tokio::test]
async fn next_goes_on_where_an_answer_ended() {
    let door = with_lines("a\nb\nc").await;
    door.append("?partition=2", "text/plain", "x\ny").await.has(201);
    let (mut seen, mut from) = (Vec::new(), "earliest".to_owned());
    loop {
        let answer = door.get(&format!("/v1/topics/t/records?limit=2&from={from}")).await.has(200);
        assert_eq!(
            answer.header("millstream-next"),
            answer.value()["next"].as_str().expect("next")
        );
        let page = texts(&answer);
        if page.is_empty() {
            break;
        }
        assert!(page.len() <= 2);
        seen.extend(page);
        from = answer.header("millstream-next").to_owned();
    }
    assert_eq!(seen, ["a", "b", "c", "x", "y"], "oldest first over all partitions");
    assert_eq!(from, "0:3,1:0,2:2");
}

#[tokio::test]
async fn a_partition_is_read_from_any_kind_of_place() {
    let door = with_lines("a\nb\nc").await;
    let read = async |query: &str| {
        texts(&door.get(&format!("/v1/topics/t/records?partition=0&{query}")).await.has(200))
    };
    assert_eq!(read("from=earliest").await, ["a", "b", "c"]);
    assert_eq!(read("from=1").await, ["b", "c"]);
    assert_eq!(read("from=0:2").await, ["c"]);
    assert_eq!(read("from=1970-01-01T00:00:00Z&limit=1").await, ["a"]);
    assert!(read("from=latest").await.is_empty());
    assert!(read("from=2999-01-01T00:00:00Z").await.is_empty());
    assert!(read("from=99").await.is_empty(), "beyond the end nothing is there yet");
}

#[tokio::test]
async fn who_waits_is_woken_by_an_append_to_any_partition() {
    let door = Door::with_topic().await;
    let waiting = door.get("/v1/topics/t/records?from=latest&wait=60s");
    let appending = async {
        tokio::task::yield_now().await;
        door.append("?partition=1", "text/plain", "hello").await.has(201)
    };
    let (answer, _) = tokio::join!(waiting, appending);
    // Whichever was first: a reader from the end before the append sees it, one after it waits in vain.
    assert_eq!(texts(&answer.has(200)), ["hello"]);
}

#[tokio::test]
async fn the_end_of_the_program_ends_a_wait() {
    let door = Door::with_topic().await;
    let waiting = door.get("/v1/topics/t/records?wait=60s");
    let ending = async { door.stop.cancel() };
    let (answer, ()) = tokio::join!(waiting, ending);
    assert!(texts(&answer.has(200)).is_empty());
}

/// Events as (id, data), until so many have come.
async fn events(body: Body, count: usize) -> Vec<(String, Value)> {
    let mut stream = body.into_data_stream();
    let (mut text, mut found) = (String::new(), Vec::new());
    while found.len() < count {
        let piece = stream.next().await.expect("it goes on").expect("it does not fail");
        text.push_str(std::str::from_utf8(&piece).expect("text"));
        while let Some((event, rest)) = text.split_once("\n\n") {
            if let Some((id, data)) = event.split_once("\ndata: ") {
                let id = id.strip_prefix("id: ").expect("an id").to_owned();
                found.push((id, serde_json::from_str(data).expect("JSON")));
            }
            text = rest.to_owned();
        }
    }
    found
}

#[tokio::test]
async fn a_follower_gets_what_is_there_and_what_comes() {
    let door = with_lines("a\nb").await;
    let response = door.send("GET /v1/topics/t/records", &[EVENTS], "").await;
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let following = events(response.into_body(), 3);
    let appending = door.append("?partition=1", "text/plain", "c");
    let (told, _) = tokio::join!(following, appending);
    let data: Vec<&str> =
        told.iter().map(|(_, data)| data["value_text"].as_str().expect("text")).collect();
    assert_eq!(data, ["a", "b", "c"]);
    let ids: Vec<&str> = told.iter().map(|(id, _)| id.as_str()).collect();
    assert_eq!(ids[..2], ["0:1,1:0,2:0", "0:2,1:0,2:0"]);
    let again = [EVENTS, ("last-event-id", ids[0])];
    let response = door.send("GET /v1/topics/t/records?from=latest", &again, "").await;
    let told = events(response.into_body(), 2).await;
    assert_eq!(told[0].1["value_text"], "b", "exactly behind the event that was seen");
}

#[tokio::test]
async fn a_follower_ends_with_the_program() {
    let door = with_lines("a").await;
    let response = door.send("GET /v1/topics/t/records", &[EVENTS], "").await;
    let ending = async { door.stop.cancel() };
    let (whole, ()) = tokio::join!(response.into_body().collect(), ending);
    whole.expect("it ends in order");
}

#[tokio::test]
async fn followers_are_bounded_and_leave_their_place() {
    let door = Door::with(Access::open(true), |config| config.limits.followers_max = 1).await;
    door.json("PUT /v1/topics/t", "{}").await.has(201);
    let first = door.send("GET /v1/topics/t/records", &[EVENTS], "").await;
    let refused = door.call("GET /v1/topics/t/records", &[EVENTS], "").await.has(429);
    assert_eq!(refused.error()["code"], "too_many_followers");
    assert_eq!(refused.header("retry-after"), "5");
    drop(first);
    let second = door.send("GET /v1/topics/t/records", &[EVENTS], "").await;
    assert_eq!(second.status(), 200);
}

#[tokio::test]
async fn what_retention_took_is_told_not_skipped_in_silence() {
    let door = with_lines("a\nb\nc").await;
    let topic = door.app.catalog.topics().list().remove(0);
    let place = log_contract::PartitionRef::new(topic.id, log_contract::PartitionId(0));
    door.app.log.trim(place, log_contract::Offset(2)).await.expect("trimmed");
    let answer = door.get("/v1/topics/t/records?partition=0&from=0").await.has(200);
    assert_eq!(texts(&answer), ["c"]);
    assert_eq!(answer.value()["gone"], json!([{"partition": 0, "from": 0, "start": 2}]));
    assert_eq!(answer.header("millstream-gone"), "0:0-2");
    let earliest = door.get("/v1/topics/t/records?partition=0").await.has(200);
    assert_eq!(earliest.value().get("gone"), None);
    let one = door.get("/v1/topics/t/partitions/0/records/1").await.has(404).error();
    assert!(one["hint"].as_str().expect("a hint").contains("2"), "{one}");
}

#[tokio::test]
async fn one_record_is_found_or_told_why_not() {
    let door = with_lines("a").await;
    let one = door.get("/v1/topics/t/partitions/0/records/0").await.has(200).value();
    assert_eq!(one["value_text"], "a");
    for (path, code) in [
        ("0/records/1", "record_not_found"),
        ("3/records/0", "partition_not_found"),
        ("x/records/0", "invalid_name"),
        ("0/records/-1", "invalid_name"),
    ] {
        let answer = door.get(&format!("/v1/topics/t/partitions/{path}")).await;
        assert_eq!(answer.error()["code"], code, "{path}");
    }
    door.json("POST /v1/topics/t/records?partition=1", r#"{"records": [{"value": null}]}"#)
        .await
        .has(201);
    let bytes = [("accept", "application/octet-stream")];
    door.call("GET /v1/topics/t/partitions/1/records/0", &bytes, "").await.has(204);
}
