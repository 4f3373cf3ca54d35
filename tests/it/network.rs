//! What lies between the two nodes: lines that break, proxies, foreign certificates, wrong clocks, strangers.
//!
//! The nodes are whole ones over real HTTP; what stands between them is in `support/net`. Where a minute must pass, the
//! nodes run on a clock that is faster than life.

mod clocks;
mod line;
mod ports;
mod proxies;
mod silence;
mod strangers;
mod tls;

use std::{net::SocketAddr, sync::Arc};

use serde_json::{Value, json};

use crate::support::{
    Settings, TestNode, World,
    net::{self, line::Line},
    pace::TestClock,
    until, until_said,
};

/// Where a node of this URL listens.
fn address_of(url: &str) -> SocketAddr {
    url.split_once("://").expect("a scheme").1.parse().expect("an address")
}

/// A joined pair with a line between the nodes.
async fn over_a_line(seed: u64, mut settings: Settings) -> (World, Line) {
    let line = Line::start(seed).await;
    settings.public_url = Some(line.url());
    let more = std::mem::replace(&mut settings.connection, json!({}));
    let joined = std::mem::replace(&mut settings.joined, false);
    let mut world = World::with(settings).await;
    line.aim(address_of(&world.public.url));
    if joined {
        world.join(more).await;
    }
    (world, line)
}

/// Both nodes on one clock of this pace.
fn paced(clock: &TestClock) -> Settings {
    let clock = Arc::new(clock.clone());
    Settings { public_clock: clock.clone(), private_clock: clock, ..Settings::default() }
}

/// The open errors of a node by title.
async fn errors(node: &TestNode) -> Vec<Value> {
    node.get("/errors").await["items"].as_array().cloned().unwrap_or_default()
}

/// Waits until a node shows an error whose title holds these words; gives it back.
async fn error_with(node: &TestNode, words: &str) -> Value {
    let find = async || errors(node).await.into_iter().find(|error| error["title"].as_str().is_some_and(|t| t.contains(words)));
    until_said(&format!("an error: {words}"), async || find().await.is_some()).await;
    find().await.expect("it was there")
}

/// Why the private node's connection rests, once it says so.
async fn pause_of(world: &World) -> String {
    let path = format!("/connections/{}", world.connection);
    let reason = async || world.private.get(&path).await["health"]["paused"]["reason"].as_str().map(str::to_owned);
    until_said("a reason for the pause", async || reason().await.is_some()).await;
    reason().await.expect("it was there")
}

/// Every Case has its issue and every issue its Case, once.
async fn nothing_lost_or_doubled(world: &World, count: usize) {
    until("all records on both sides", || world.org.handle.count("Case") >= count && world.tracker.handle.count() >= count).await;
    world.quiet().await;
    assert_eq!((world.org.handle.count("Case"), world.tracker.handle.count()), (count, count));
    let mut subjects: Vec<_> = world.org.handle.all("Case").iter().map(|case| case["Subject"].to_string()).collect();
    let mut summaries: Vec<_> = world.tracker.handle.all().iter().map(|issue| issue.fields["summary"].to_string()).collect();
    subjects.sort();
    summaries.sort();
    assert_eq!(subjects, summaries);
}
