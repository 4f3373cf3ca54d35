//! A public node that is away for days.

use std::time::{Duration, Instant};

use super::*;
use crate::support::net::line::Mode;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_days_of_silence_the_backlog_flows_at_once() {
    // A minute passes in a second.
    let clock = TestClock::fast(60);
    let (world, line) = over_a_line(1, paced(&clock)).await;
    world.new_case(json!({"Subject": "before"}));
    world.issue_with("before").await;
    world.quiet().await;
    line.set(Mode::Refuse);
    line.drop_all();
    for n in 0..20 {
        world.new_case(json!({"Subject": format!("out {n}")}));
        world.tracker.handle.create(&json!({"summary": format!("in {n}")}));
    }
    // Told: the pause with its reason at once, an error after some more.
    assert!(pause_of(&world).await.contains("connection"), "{}", pause_of(&world).await);
    let error = error_with(&world.private, "cannot be reached").await;
    assert!(error["advice"].as_str().expect("words").contains("tried again by itself"), "{error}");
    // Three days. It asks no faster than its pauses, a minute at most, and never stops asking.
    clock.set(3 * 24 * 3600);
    tokio::time::sleep(Duration::from_secs(2)).await;
    let (opened, begun) = (line.opened(), Instant::now());
    tokio::time::sleep(Duration::from_secs(6)).await;
    let minutes = begun.elapsed().as_secs_f64();
    let asked = f64::from(u32::try_from(line.opened() - opened).expect("few"));
    assert!(asked >= minutes / 2.0 && asked <= minutes * 2.5, "{asked} calls in {minutes} minutes");
    line.set(Mode::Pass);
    let back = Instant::now();
    nothing_lost_or_doubled(&world, 41).await;
    assert!(back.elapsed() < Duration::from_secs(15), "{:?}", back.elapsed());
    until_said("no pause and no error", async || {
        errors(&world.private).await.is_empty()
            && world.private.get(&format!("/connections/{}", world.connection)).await["health"]["paused"].is_null()
    })
    .await;
    world.stop().await;
}
