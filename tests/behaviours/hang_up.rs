//! Callers that hang up in the middle of a call. Never what a call does otherwise.
use millstream_tests::{Client, Server, wait};
use serde_json::json;
use std::io::Write as _;

/// Says it all, and leaves without the answer.
fn hang_up(client: &Client, request: &str) {
    let at = client.base().trim_start_matches("http://");
    let mut stream = std::net::TcpStream::connect(at).expect("it listens");
    stream.write_all(request.as_bytes()).expect("it takes it");
    stream.flush().expect("it is sent");
}

const TOPICS: usize = 60;

#[tokio::test]
async fn a_change_whose_caller_hangs_up_is_made_whole_or_not_at_all() {
    let server = Server::start().await;
    let client = server.client();
    for n in 0..TOPICS {
        let head = "host: localhost\r\ncontent-type: application/json\r\ncontent-length: 2";
        hang_up(&client, &format!("PUT /v1/topics/t{n} HTTP/1.1\r\n{head}\r\n\r\n{{}}"));
    }
    for n in 0..TOPICS {
        let path = format!("/v1/topics/t{n}");
        wait::until("what was asked for by halves can be asked for again", async || {
            let put = client.put(&path, &json!({})).await;
            matches!(put.status, 200 | 201).then_some(())
        })
        .await;
        client.get(&path).await.expect(200);
    }
    for n in 0..TOPICS {
        hang_up(&client, &format!("DELETE /v1/topics/t{n} HTTP/1.1\r\nhost: localhost\r\n\r\n"));
    }
    for n in 0..TOPICS {
        let path = format!("/v1/topics/t{n}");
        wait::until("it is gone", async || {
            let deleted = client.delete(&path).await;
            let listed = client.get("/v1/topics?limit=1000").await;
            assert_eq!(listed.status, 200, "{}", listed.text());
            (deleted.status == 404).then_some(())
        })
        .await;
        client.put(&path, &json!({})).await.expect(201);
    }
}
