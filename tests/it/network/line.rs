//! Lines that are cut, stall, fall silent; pages that answer in the node's place.

use std::time::Duration;

use super::*;
use crate::support::net::line::Mode;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_or_doubled_over_a_line_that_is_cut_anywhere() {
    let seed = 20_261_127;
    println!("seed {seed}");
    let (world, line) = over_a_line(seed, paced(&TestClock::fast(10))).await;
    line.set(Mode::Cut(8_000));
    line.drop_all();
    let mut made = 0;
    while line.ended() < 15 && made < 60 {
        let (ended, text) = (line.ended(), 100 * (made % 9));
        world.new_case(json!({"Subject": format!("from the org {made}"), "Description": "x".repeat(text)}));
        world.tracker.handle.create(&json!({"summary": format!("from the tracker {made}"), "description": "y".repeat(text)}));
        made += 1;
        // The line decides how fast it goes: a backlog is no part of this.
        let cut = async { until("a cut", || line.ended() > ended).await };
        let _ = tokio::time::timeout(Duration::from_millis(500), cut).await;
    }
    assert!(line.ended() >= 8, "only {} cuts", line.ended());
    line.set(Mode::Pass);
    line.drop_all();
    nothing_lost_or_doubled(&world, made * 2).await;
    // The same for edits: the newest state stands on both sides.
    let case = world.case_with("from the org 1").await;
    let issue = world.issue_with("from the org 1").await;
    line.set(Mode::Cut(2_500));
    line.drop_all();
    for n in 0..6 {
        world.edit_case(&case, json!({"Description": format!("edit {n}")}));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    line.set(Mode::Pass);
    until("the last edit", || world.issue_field(&issue, "description") == "edit 5").await;
    nothing_lost_or_doubled(&world, made * 2).await;
    assert!(errors(&world.private).await.is_empty());
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_line_that_stalls_or_falls_silent_is_left_and_opened_anew() {
    // Ten times as fast: what waits for a minute of the nodes' time waits six seconds.
    let clock = TestClock::fast(10);
    let (world, line) = over_a_line(1, Settings { private_link: "wait = \"1s\"\n".to_owned(), ..paced(&clock) }).await;
    world.new_case(json!({"Subject": "before"}));
    world.issue_with("before").await;
    // A firewall forgot every connection: nobody is told.
    line.freeze();
    world.new_case(json!({"Subject": "during"}));
    world.tracker.handle.create(&json!({"summary": "from inside"}));
    let begun = std::time::Instant::now();
    world.issue_with("during").await;
    world.case_with("from inside").await;
    assert!(begun.elapsed() < Duration::from_secs(25), "{:?}", begun.elapsed());
    nothing_lost_or_doubled(&world, 3).await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proxy_that_cuts_idle_requests_teaches_a_shorter_wait() {
    // A minute passes in a second. The wait asked for is three minutes; what lies between cuts after one.
    let clock = TestClock::fast(60);
    let (world, line) = over_a_line(1, Settings { private_link: "wait = \"180s\"\n".to_owned(), ..paced(&clock) }).await;
    line.set(Mode::Idle(Duration::from_secs(1)));
    until("a cut", || line.ended() >= 1).await;
    // It settles: over many more of its holds hardly one is cut, and records flow all the while.
    let cut = line.ended();
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert!(line.ended() <= cut + 2, "{} cuts after the first {cut}", line.ended());
    let case = world.new_case(json!({"Subject": "over the proxy"}));
    world.issue_with("over the proxy").await;
    assert_eq!(world.private.get(&format!("/connections/{}", world.connection)).await["health"]["paused"], Value::Null);
    assert!(errors(&world.private).await.is_empty());
    world.quiet().await;
    assert_eq!(world.public.twin_of(&case).await.expect("a twin")["status"], "in_sync");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_that_answers_in_the_nodes_place_acknowledges_and_ends_nothing() {
    let pages = [
        ("200 OK", "content-type: text/html\r\n", "<html><h1>Sign in to the hotel's network</h1></html>"),
        (
            "200 OK",
            "content-type: application/json\r\n",
            r#"{"run":"x","epoch":9,"ack":99,"ack_id":null,"after_id":null,"events":[],"max_events":1000,"want":[],"state":"gone","more":false}"#,
        ),
        (
            "200 OK",
            "content-type: application/json\r\nWicketgate-Signature: e30.e30.e30\r\n",
            r#"{"run":"x","epoch":1,"ack":1,"max_events":9,"state":"active","more":false}"#,
        ),
        (
            "410 Gone",
            "content-type: application/problem+json\r\n",
            r#"{"code":"connection_gone","status":410,"title":"gone","detail":""}"#,
        ),
        (
            "409 Conflict",
            "content-type: application/problem+json\r\n",
            r#"{"code":"epoch","present":77,"status":409,"title":"","detail":""}"#,
        ),
        ("413 Payload Too Large", "", ""),
        (
            "401 Unauthorized",
            "content-type: application/problem+json\r\n",
            r#"{"code":"clock_skew","seconds":99999,"status":401,"title":"","detail":""}"#,
        ),
        ("302 Found", "location: http://127.0.0.1:1/\r\n", ""),
        ("503 Service Unavailable", "retry-after: 86400\r\n", ""),
    ];
    let (world, line) = over_a_line(1, paced(&TestClock::fast(20))).await;
    let real = address_of(&world.public.url);
    for (n, (status, headers, body)) in pages.into_iter().enumerate() {
        let page = net::page(status, headers, body).await;
        line.aim(page.address);
        line.drop_all();
        let summary = format!("held up {n}");
        world.tracker.handle.create(&json!({"summary": summary}));
        until("the page to be asked", || page.asked() >= 3).await;
        line.aim(real);
        line.drop_all();
        drop(page);
        world.case_with(&summary).await;
        // What the page said of the connection counts for nothing.
        let shown = world.private.get(&format!("/connections/{}", world.connection)).await;
        assert_eq!((&shown["status"], &shown["remote"]["state"]), (&json!("active"), &json!("active")), "{status}: {shown}");
    }
    nothing_lost_or_doubled(&world, 9).await;
    assert!(errors(&world.private).await.is_empty(), "{:?}", errors(&world.private).await);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proxy_that_takes_only_small_bodies_teaches_smaller_batches() {
    let (world, line) = over_a_line(1, paced(&TestClock::fast(20))).await;
    let small = net::small_bodies(address_of(&world.public.url), 6_000).await;
    line.set(Mode::Refuse);
    line.drop_all();
    for n in 0..30 {
        world.tracker.handle.create(&json!({"summary": format!("small {n}"), "description": "z".repeat(500)}));
    }
    let backlog = async || world.private.get("/queue").await["items"][0]["outbox"].as_u64() >= Some(30);
    until_said("a backlog", backlog).await;
    line.aim(small.address);
    line.set(Mode::Pass);
    nothing_lost_or_doubled(&world, 30).await;
    assert!((1..=12).contains(&small.refused()), "413 came {} times", small.refused());
    // One that cannot pass alone parks its twin and holds up nobody.
    let giant = world.tracker.handle.create(&json!({"summary": "giant", "description": "g".repeat(8_000)}));
    world.tracker.handle.create(&json!({"summary": "its neighbour"}));
    world.case_with("its neighbour").await;
    let error = error_with(&world.private, "too large").await;
    let twin = world.private.twin_of(&giant).await.expect("a twin");
    assert_eq!((&twin["status"], &twin["id"]), (&json!("parked"), &error["twin_id"]), "{twin}");
    assert!(error["advice"].as_str().expect("words").contains("Raise the body limit"), "{error}");
    // The proxy was mended; a person says: again.
    line.aim(address_of(&world.public.url));
    line.drop_all();
    world.private.post(&format!("/errors/{}/retry", error["id"].as_str().expect("an id")), json!({})).await;
    world.case_with("giant").await;
    nothing_lost_or_doubled(&world, 32).await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_that_calls_everything_too_large_parks_nothing() {
    let (world, line) = over_a_line(1, paced(&TestClock::fast(20))).await;
    let page = net::page("413 Payload Too Large", "", "").await;
    line.aim(page.address);
    line.drop_all();
    let key = world.tracker.handle.create(&json!({"summary": "small enough"}));
    until("the page to be asked", || page.asked() >= 4).await;
    assert_eq!(world.private.twin_of(&key).await.expect("a twin")["status"], "waiting");
    line.aim(address_of(&world.public.url));
    line.drop_all();
    world.case_with("small enough").await;
    nothing_lost_or_doubled(&world, 1).await;
    world.stop().await;
}
