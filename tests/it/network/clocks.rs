//! Clocks that are ten minutes apart: told, tolerated, and conflicts are judged by what really came later.

use std::time::Duration;

use super::*;
use crate::support::net::line::Mode;

/// Ten minutes, in seconds.
const OFF: i64 = 600;

async fn apart(seconds: i64) -> (World, Line, TestClock) {
    let right = TestClock::fast(20);
    let wrong = right.off_by(seconds);
    let settings = Settings { public_clock: Arc::new(right), private_clock: Arc::new(wrong.clone()), ..Settings::default() };
    let (world, line) = over_a_line(1, settings).await;
    (world, line, wrong)
}

/// So many seconds pass on clocks of that pace.
async fn pass(seconds: u64) {
    tokio::time::sleep(Duration::from_secs(seconds) / 20).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clocks_ten_minutes_apart_are_told_on_both_sides_and_tolerated() {
    for off in [OFF, -OFF] {
        let (world, _line, wrong) = apart(off).await;
        let (here, there) = if off > 0 { ("behind", "ahead of") } else { ("ahead of", "behind") };
        let told = error_with(&world.private, "clocks").await;
        assert!(told["detail"].as_str().expect("words").contains(&format!("{here} this node's")), "{told}");
        assert_eq!(told["scope"], "connection");
        world.new_case(json!({"Subject": "there"}));
        world.issue_with("there").await;
        world.tracker.handle.create(&json!({"summary": "and back"}));
        world.case_with("and back").await;
        let told = error_with(&world.public, "clocks").await;
        assert!(told["detail"].as_str().expect("words").contains(&format!("{there} this node's")), "{told}");
        nothing_lost_or_doubled(&world, 2).await;
        // The clock was set right: the errors close by themselves.
        wrong.set(0);
        world.new_case(json!({"Subject": "later"}));
        world.issue_with("later").await;
        world.tracker.handle.create(&json!({"summary": "later, and back"}));
        until_said("no errors", async || errors(&world.private).await.is_empty() && errors(&world.public).await.is_empty()).await;
        nothing_lost_or_doubled(&world, 4).await;
        world.stop().await;
    }
}

/// Both sides change the summary while nothing passes between them; the later edit must stand on both.
async fn the_later_wins(off: i64, tracker_last: bool) {
    let (world, line, _) = apart(off).await;
    let case = world.new_case(json!({"Subject": "first"}));
    let issue = world.issue_with("first").await;
    world.quiet().await;
    pass(5).await;
    line.set(Mode::Refuse);
    line.drop_all();
    let edit = |in_tracker: bool| match in_tracker {
        true => assert!(world.tracker.handle.edit(&issue, &json!({"summary": "from the tracker"}))),
        false => world.edit_case(&case, json!({"Subject": "from the org"})),
    };
    let waits = async |node: &TestNode| node.get("/queue").await["items"][0]["outbox"].as_u64() >= Some(1);
    edit(!tracker_last);
    let first = if tracker_last { &world.public } else { &world.private };
    until_said("the first edit to be read", async || waits(first).await).await;
    pass(8).await;
    edit(tracker_last);
    let second = if tracker_last { &world.private } else { &world.public };
    until_said("the second edit to be read", async || waits(second).await).await;
    line.set(Mode::Pass);
    let winner = if tracker_last { "from the tracker" } else { "from the org" };
    until("the later edit in the org", || world.case_field(&case, "Subject") == winner).await;
    until("the later edit in the tracker", || world.issue_field(&issue, "summary") == winner).await;
    world.quiet().await;
    assert_eq!(world.case_field(&case, "Subject"), winner, "off by {off}");
    assert_eq!(world.issue_field(&issue, "summary"), winner, "off by {off}");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_private_clock_loses_no_conflict_that_it_should_win() {
    the_later_wins(-OFF, true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fast_private_clock_wins_no_conflict_that_it_should_lose() {
    the_later_wins(OFF, false).await;
}
