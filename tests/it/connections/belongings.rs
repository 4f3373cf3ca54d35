//! What a node keeps of a connection goes with it.

use std::{sync::Arc, time::Duration};

use serde_json::json;
use wicketgate::config::Role;

use crate::{
    link::Ours,
    support::{
        TestNode,
        clock::MovableClock,
        pair::Pair,
        stranger::{Invited, Mate},
        until_said,
    },
};

/// The secrets that a node keeps of a connection.
async fn kept(node: &TestNode, id: &str) -> Vec<String> {
    let names = ["ahead", "gone"].map(|what| format!("link.{what}.{id}"));
    let store = &node.node.as_ref().expect("it runs").store;
    let read = store.read("test.kept", |tx| {
        Box::pin(async move {
            let mut kept = Vec::new();
            for name in names {
                if tx.secret(&name).await?.is_some() {
                    kept.push(name);
                }
            }
            Ok(kept)
        })
    });
    read.await.expect("read")
}

/// A partner whose clock is ahead, before it has said anything.
async fn ahead(ours: &Ours, name: &str) -> Mate {
    let (_, code) = ours.invite(json!({"name": name})).await;
    let invited = Invited::new(&code);
    invited.accept(&invited.body(None)).await.good();
    let clock = MovableClock::default();
    clock.advance(Duration::from_secs(40));
    let mut partner = invited.partner();
    partner.clock = Arc::new(clock);
    Mate::new(partner)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_secrets_of_a_connection_go_with_it() {
    let ours = Ours::start(Role::Public).await;
    let mut mate = ahead(&ours, "ahead").await;
    let id = mate.partner.connection.clone();
    mate.turn(0).await;
    assert_eq!(kept(&ours.node, &id).await, [format!("link.ahead.{id}")]);
    assert_eq!(ours.node.call("DELETE", &format!("/connections/{id}"), None).await.status, 204);
    assert_eq!(kept(&ours.node, &id).await, [format!("link.gone.{id}")], "only what lets the partner be told");
    mate.partner.exchange(json!({})).await.refused(410, "connection_gone");
    assert_eq!(kept(&ours.node, &id).await, [format!("link.gone.{id}")], "being told makes nothing anew");
    // It has deleted its side too: nobody is left to be told.
    mate.partner.exchange(json!({"state": "gone"})).await.refused(410, "connection_gone");
    assert_eq!(kept(&ours.node, &id).await, Vec::<String>::new());
    let after = mate.partner.exchange(json!({})).await;
    assert_eq!((after.status, after.code()), (404, "unknown_connection"));
    ours.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_of_a_connection_is_left_once_both_have_deleted_it() {
    for private_first in [false, true] {
        let pair = Pair::start().await;
        let id = pair.join(json!({})).await;
        let path = format!("/connections/{id}");
        let (first, second) = if private_first { (&pair.private, &pair.public) } else { (&pair.public, &pair.private) };
        assert_eq!(first.call("DELETE", &path, None).await.status, 204);
        until_said("the other side to know", || async { second.get(&path).await["remote"]["state"] == "gone" }).await;
        assert_eq!(second.call("DELETE", &path, None).await.status, 204);
        for node in [first, second] {
            assert_eq!(kept(node, &id).await, Vec::<String>::new(), "private first: {private_first}");
        }
        pair.stop().await;
    }
}
