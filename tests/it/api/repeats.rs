//! `Idempotency-Key`: a caller that lost an answer asks again and nothing is done twice.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use serde_json::{Value, json};
use tokio::{
    io::AsyncWriteExt as _,
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

use crate::support::{Settings, TOKEN, World, http, until, until_said};

async fn post(url: &str, key: &str, body: &Value) -> (u16, Value) {
    let request = http().post(url).bearer_auth(TOKEN).header("idempotency-key", key).json(body).timeout(Duration::from_secs(20));
    let answer = request.send().await.expect("an answer");
    (answer.status().as_u16(), answer.json().await.unwrap_or_default())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_at_once_with_one_key_one_is_done() {
    let world = World::start().await;
    let url = format!("{}/api/v1/connections/{}/triggers", world.public.url, world.connection);
    let body = json!({"entity_type": "Case", "filter": "Origin = 'Web'"});
    let mut calls = JoinSet::new();
    for _ in 0..8 {
        let (url, body) = (url.clone(), body.clone());
        calls.spawn(async move { post(&url, "one", &body).await });
    }
    let answers = calls.join_all().await;
    let made: Vec<&Value> = answers.iter().filter(|(status, _)| *status == 201).map(|(_, body)| body).collect();
    assert!(!made.is_empty() && made.iter().all(|body| *body == made[0]), "{answers:?}");
    let others: Vec<_> = answers.iter().filter(|(status, _)| *status != 201).collect();
    assert!(others.iter().all(|(status, body)| *status == 409 && body["code"] == "idempotency_in_progress"), "{others:?}");
    let path = format!("/connections/{}/triggers", world.connection);
    let triggers = world.public.get(&path).await;
    assert_eq!(triggers["items"].as_array().map(Vec::len), Some(2), "one, beside the first: {triggers}");
    let (status, other) = post(&url, "one", &json!({"entity_type": "Case", "filter": "Origin = 'Phone'"})).await;
    assert_eq!((status, &other["code"]), (422, &json!("idempotency_mismatch")));
    let (status, again) = post(&url, "one", &body).await;
    assert_eq!((status, &again), (201, made[0]));
    let refused = http().post(&url).bearer_auth(TOKEN).header("idempotency-key", "x".repeat(256)).json(&body).send().await;
    assert_eq!(refused.expect("an answer").status(), 400);
    world.stop().await;
}

/// The caller hangs up in the middle: the work goes on, and its answer waits for the caller's return.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_that_hung_up_gets_the_answer_when_it_asks_again() {
    let world = World::with(Settings { joined: false, ..Settings::default() }).await;
    // A stranger's host that takes its time.
    let slow = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let stranger = format!("http://{}", slow.local_addr().expect("bound"));
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = calls.clone();
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = slow.accept().await {
            counted.fetch_add(1, Ordering::SeqCst);
            tokio::spawn(async move {
                tokio::time::sleep(Duration::from_millis(700)).await;
                // The node may have given up.
                let _ = socket.write_all(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").await;
            });
        }
    });
    let body = json!({"url": stranger});
    let text = body.to_string();
    let address = world.public.url.trim_start_matches("http://");
    let mut line = TcpStream::connect(address).await.expect("connects");
    let head = format!(
        "POST /api/v1/destinations/check HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {TOKEN}\r\nidempotency-key: k\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{text}",
        text.len()
    );
    line.write_all(head.as_bytes()).await.expect("sends");
    until("the stranger to be called", || calls.load(Ordering::SeqCst) > 0).await;
    drop(line);
    let url = format!("{}/api/v1/destinations/check", world.public.url);
    until_said("the first one's answer", || async { post(&url, "k", &body).await.0 == 200 }).await;
    assert_eq!(post(&url, "k", &body).await.1["is_node"], false);
    assert_eq!(calls.load(Ordering::SeqCst), 1, "it was asked once");
    world.stop().await;
}
