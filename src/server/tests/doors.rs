//! Outbound messages and webhooks: stored before acknowledged, never acknowledged otherwise.

use super::*;

async fn waiting(bench: &Bench) -> u64 {
    bench.node.store.read("test.count", |tx| Box::pin(async move { tx.count_changes("support").await })).await.expect("counts")
}

async fn codes(bench: &Bench) -> Vec<String> {
    let answer = bench.get("/errors", ADMIN).await.json();
    let mut titles: Vec<String> =
        answer["items"].as_array().expect("a list").iter().map(|one| one["title"].as_str().expect("text").to_owned()).collect();
    titles.sort();
    titles
}

async fn knock(bench: &Bench, path: &str, body: impl Into<reqwest::Body>, headers: &[(&str, &str)]) -> Answer {
    let mut request = bench.http.post(format!("{}{path}", bench.url)).body(body);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let answer = request.send().await.expect("answers");
    let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
    Answer { status, headers, text: answer.text().await.expect("text") }
}

fn door(bench: &Bench) -> String {
    let token = bench.node.doors.token("support").expect("a token");
    format!("/salesforce/support/outbound-messages/{}", token.expose())
}

#[tokio::test]
async fn a_message_is_acknowledged_once_it_is_stored() {
    let bench = Bench::start("").await;
    let answer = knock(&bench, &door(&bench), "one\nbroken\ntwo", &[]).await;
    assert_eq!(answer.status, 200);
    assert!(answer.text.contains("<Ack>true</Ack>"), "{}", answer.text);
    assert!(answer.headers["content-type"].to_str().expect("text").starts_with("text/xml"));
    assert_eq!(waiting(&bench).await, 2);
    assert_eq!(codes(&bench).await, ["A notification in an outbound message made no sense and was left aside"]);
    assert_eq!(knock(&bench, &door(&bench), "one\nbroken too", &[]).await.status, 200);
    let told = bench.get("/errors", ADMIN).await.json()["items"][0]["detail"].as_str().expect("text").to_owned();
    assert_eq!(told.lines().collect::<Vec<_>>(), ["broken", "broken too"], "the second does not push the first out of sight");
    bench.stop().await;
}

#[tokio::test]
async fn what_is_not_ours_is_never_acknowledged_and_the_operator_sees_why() {
    let bench = Bench::start("").await;
    let wrong = knock(&bench, "/salesforce/support/outbound-messages/guess", "one", &[]).await;
    assert_eq!((wrong.status, wrong.code()), (403, "wrong_door_token".into()));
    let other = knock(&bench, &door(&bench), "org", &[]).await;
    assert_eq!(other.status, 500);
    assert!(other.text.contains("soapenv:Fault") && !other.text.contains("Ack"), "{}", other.text);
    assert_eq!(knock(&bench, "/salesforce/nobody/outbound-messages/guess", "one", &[]).await.status, 404);
    assert_eq!(waiting(&bench).await, 0);
    assert_eq!(
        codes(&bench).await,
        ["Messages come from another Salesforce org", "Messages come with a wrong token in their address"]
    );
    // The next good message shows that the org is mended; a guessed token stays to be read.
    assert_eq!(knock(&bench, &door(&bench), "one", &[]).await.status, 200);
    assert_eq!(codes(&bench).await, ["Messages come with a wrong token in their address"]);
    let id = bench.get("/errors", ADMIN).await.json()["items"][0]["id"].as_str().expect("an id").to_owned();
    assert_eq!(bench.post(&format!("/errors/{id}/skip"), ADMIN, serde_json::json!({})).await.status, 202);
    assert!(codes(&bench).await.is_empty());
    bench.stop().await;
}

#[tokio::test]
async fn guessing_is_slowed_and_the_good_sender_is_not() {
    let bench = Bench::start("").await;
    let mut last = 0;
    for _ in 0..25 {
        last = knock(&bench, "/hooks/support/guess", "x", &[]).await.status;
    }
    assert_eq!(last, 429);
    assert_eq!(knock(&bench, &door(&bench), "one", &[]).await.status, 200);
    bench.stop().await;
}

#[tokio::test]
async fn a_body_too_large_is_told_and_the_connection_lives() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let bench = Bench::start("").await;
    let mut line = tokio::net::TcpStream::connect(bench.url.trim_start_matches("http://")).await.expect("connects");
    let head = |size: usize| format!("POST {} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {size}\r\n\r\n", door(&bench));
    line.write_all(head(17_000_000).as_bytes()).await.expect("sends");
    line.write_all(&vec![b'x'; 17_000_000]).await.expect("sends all of it");
    let mut answer = vec![0; 4096];
    let read = line.read(&mut answer).await.expect("answers");
    assert!(answer[..read].starts_with(b"HTTP/1.1 413"), "{}", String::from_utf8_lossy(&answer[..read]));
    line.write_all(format!("{}one", head(3)).as_bytes()).await.expect("sends again");
    let mut answer = String::new();
    while !answer.contains("</soapenv:Envelope>") {
        let mut part = vec![0; 4096];
        let read = line.read(&mut part).await.expect("answers");
        assert!(read > 0, "the connection was closed: {answer}");
        answer.push_str(&String::from_utf8_lossy(&part[..read]));
    }
    assert!(answer.contains("HTTP/1.1 200"), "{answer}");
    assert_eq!(codes(&bench).await, Vec::<String>::new(), "a good message mends what was told of the large one");
    bench.stop().await;
}

#[tokio::test]
async fn webhooks_need_their_signature() {
    let bench = Bench::start("").await;
    let token = bench.node.doors.token("support").expect("a token");
    let path = format!("/hooks/support/{}", token.expose());
    assert_eq!(knock(&bench, &path, "k", &[("webhook-signature", "good")]).await.status, 202);
    assert_eq!(waiting(&bench).await, 1);
    let old = knock(&bench, &path, "k", &[("webhook-signature", "old")]).await;
    assert_eq!((old.status, old.code()), (401, "stale_message".into()));
    assert_eq!(knock(&bench, &path, "k", &[]).await.code(), "wrong_signature");
    assert_eq!(knock(&bench, &path, vec![0xff], &[("webhook-signature", "good")]).await.status, 422);
    assert_eq!(knock(&bench, &path, vec![b'x'; 2_000_001], &[("webhook-signature", "good")]).await.status, 413);
    assert_eq!(waiting(&bench).await, 1);
    bench.stop().await;
}

#[tokio::test]
async fn a_rotated_token_lives_a_day_or_dies_at_once() {
    let bench = Bench::start("").await;
    let first = door(&bench);
    let rotated = bench.post("/trackers/support/rotate-token", ADMIN, serde_json::json!({})).await;
    assert_eq!(rotated.status, 200);
    let second = door(&bench);
    assert!(rotated.json()["outbound_message_url"].as_str().expect("shown").ends_with(&second));
    assert_eq!(knock(&bench, &first, "one", &[]).await.status, 200, "the old one lives on");
    bench.post("/trackers/support/rotate-token", ADMIN, serde_json::json!({"at_once": true})).await;
    assert_eq!(knock(&bench, &first, "one", &[]).await.status, 403);
    assert_eq!(knock(&bench, &second, "one", &[]).await.status, 403);
    assert_eq!(knock(&bench, &door(&bench), "one", &[]).await.status, 200);
    bench.stop().await;
}
