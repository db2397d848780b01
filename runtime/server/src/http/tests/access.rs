//! Who is let in, and what holds around every call.
use super::*;

#[tokio::test]
async fn a_call_keeps_its_id_or_gets_one() {
    let door = Door::open().await;
    let own = door.call("GET /version", &[("millstream-request-id", "mine")], "").await.has(200);
    assert_eq!(own.header("millstream-request-id"), "mine");
    let (one, two) = (door.get("/version").await, door.get("/nowhere").await.has(404));
    assert!(!one.header("millstream-request-id").is_empty());
    assert_ne!(one.header("millstream-request-id"), two.header("millstream-request-id"));
}

#[tokio::test]
async fn without_a_token_only_the_probes_answer() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), "secret\n").expect("written");
    let access = Access::with_token_file(file.path(), false).expect("a token");
    let door = Door::with(access, |_| ()).await;
    for path in ["/livez", "/readyz"] {
        door.get(path).await.has(200);
    }
    for path in ["/metrics", "/v1/topics", "/version", "/nowhere"] {
        let refused = door.get(path).await.has(401);
        assert_eq!(refused.header("www-authenticate"), "Bearer");
        door.call(&format!("GET {path}"), &[("authorization", "Bearer secre")], "").await.has(401);
    }
    door.call("GET /v1/topics", &[("authorization", "Bearer secret")], "").await.has(200);
}

#[tokio::test]
async fn a_strange_host_or_origin_changes_nothing() {
    let door = Door::open().await;
    for (headers, code) in [
        (vec![("host", "evil.example")], "forbidden_host"),
        (vec![("host", "localhost:8470"), ("origin", "http://evil.example")], "forbidden_origin"),
    ] {
        let refused = door.call("PUT /v1/topics/t", &headers, "").await.has(403);
        assert_eq!(refused.error()["code"], code);
        assert!(!refused.header("millstream-request-id").is_empty());
    }
    door.get("/v1/topics/t").await.has(404);
}

#[tokio::test]
async fn operators_get_their_answers() {
    let door = Door::open().await;
    assert_eq!(door.get("/livez").await.has(200).text(), "ok\n");
    assert_eq!(door.get("/readyz").await.has(200).value()["ready"], true);
    assert_eq!(door.get("/version").await.has(200).value()["name"], "millstream");
    door.get("/nowhere").await.has(404);
    let metrics = door.get("/metrics").await.has(200);
    assert!(
        metrics.text().contains(r#"millstream_http_requests_total{method="GET",status="404"} 1"#)
    );
    door.stop.cancel();
    let told = door.get("/readyz").await.has(503).value();
    assert_eq!(told["reasons"][0]["reason"], "the server is shutting down");
}
