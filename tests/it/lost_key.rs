//! The key file is lost: told as that, with a way out.

use std::{path::PathBuf, sync::Arc};

use serde_json::json;
use wicketgate::{
    app::node::{Node, Outside},
    clock::SystemClock,
    config::{Config, Role},
};

use crate::support::{Settings, World};

fn outside(forget_sealed: bool) -> Outside {
    Outside { clock: Arc::new(SystemClock), program: PathBuf::from(env!("CARGO_BIN_EXE_wicketgate")), forget_sealed }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_key_file_is_told_and_forgetting_what_it_sealed_lets_the_node_start() {
    let mut world = World::with(Settings { joined: false, ..Settings::default() }).await;
    let wanted = json!({"tracker": "support", "mode": "basic", "local_short_name": "a", "remote_short_name": "b"});
    world.public.post("/connections", wanted).await;
    let door = world.public.get("/trackers/support").await["outbound_message_url"].clone();
    world.public.stop().await;
    let key = world.public.dir.join("seal.key");
    std::fs::remove_file(&key).expect("removed");
    let config = Config::parse("test.toml", &world.public.config, std::iter::empty(), Role::Public).expect("a configuration");

    let refused = Node::start(&config, outside(false)).await.err().expect("refused").to_string();
    assert!(refused.contains("seal.key") && refused.contains("--forget-sealed") && refused.contains("re-key"), "{refused}");
    assert!(!key.exists(), "no key is made that opens nothing");

    world.public.node = Some(Node::start(&config, outside(true)).await.expect("starts"));
    let connections = world.public.get("/connections").await;
    assert_eq!(connections["items"][0]["name"], "a_to_b", "what was not sealed is there");
    let renewed = world
        .public
        .post(&format!("/connections/{}/invitation", connections["items"][0]["id"].as_str().expect("an id")), json!({}))
        .await;
    assert!(renewed["code"].is_string(), "{renewed}");
    assert_ne!(world.public.get("/trackers/support").await["outbound_message_url"], door, "the doors have new addresses");
    world.stop().await;
}
