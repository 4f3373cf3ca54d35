//! A partner's own program, written from docs/LINK.md alone: what it may do, and what it is refused.

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn anybody_may_ask_what_this_is() {
    let near = Node::start("near", true).await;
    let url = near.url.clone().expect("public").join("/link/v1").expect("a URL");
    let said: serde_json::Value = http().get(url).send().await.expect("answers").json().await.expect("JSON");
    assert_eq!(said["fingerprint"], json!(near.link.fingerprint()));
    assert_eq!(said["modes"], json!(["basic", "script"]));
    let unknown = near.url.clone().expect("public").join(&format!("/link/v1/connections/{}/exchange", Uuid::nil()));
    let refused = http().post(unknown.expect("a URL")).send().await.expect("answers");
    assert_eq!(refused.status(), 401);
}
