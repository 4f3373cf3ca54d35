//! The story, played once: what is said is what was seen.

use std::{collections::BTreeSet, time::Duration};

use anyhow::ensure;
use serde_json::json;

use super::{
    say,
    stage::{Place, Stage, millis},
};

const PATIENCE: Duration = Duration::from_secs(60);
const BURST: usize = 200;

/// Plays all acts; `Ok(false)` and a line about it where one fails.
pub(super) async fn play() -> anyhow::Result<bool> {
    let mut stage = Stage::set(Place::Apart, false).await?;
    let played = acts(&mut stage).await;
    let struck = stage.strike().await;
    match played.and(struck) {
        Ok(()) => {
            say("All well.");
            Ok(true)
        }
        Err(error) => {
            say(&format!("FAILED  {error:#}"));
            Ok(false)
        }
    }
}

async fn acts(stage: &mut Stage) -> anyhow::Result<()> {
    say("A connection was made and accepted by its code; the private node dials, nothing dials in.");
    there(stage).await?;
    back(stage).await?;
    killed(stage).await
}

async fn there(stage: &Stage) -> anyhow::Result<()> {
    let mut times = Vec::new();
    for number in 1..=20 {
        let case = stage.new_case(&format!("Pump stops under load ({number})"))?;
        times.push(stage.case_arrives(&case, PATIENCE).await?);
    }
    times.sort();
    say(&format!(
        "A Case appears in the tracker: 20 of 20, median {} ms, slowest {} ms.",
        times[10].as_millis(),
        times[19].as_millis()
    ));
    Ok(())
}

async fn back(stage: &Stage) -> anyhow::Result<()> {
    let mut times = Vec::new();
    for number in 1..=10 {
        let summary = format!("Pump stops under load ({number})");
        times.push(stage.edit_comes_back(&summary, &format!("{summary}: valve replaced"), PATIENCE).await?);
    }
    times.sort();
    say(&format!(
        "An edit in the tracker comes back to its Case: 10 of 10, median {} ms, slowest {} ms.",
        times[5].as_millis(),
        times[9].as_millis()
    ));
    Ok(())
}

async fn killed(stage: &mut Stage) -> anyhow::Result<()> {
    let subjects: Vec<String> = (1..=BURST).map(|number| format!("Display stays dark ({number})")).collect();
    let begun = stage.clock.now();
    for subject in &subjects[..BURST / 2] {
        stage.new_case(subject)?;
    }
    stage.until(PATIENCE, "the first of the burst", || stage.issue(&json!(subjects[10])).is_some()).await?;
    stage.kill_private()?;
    for subject in &subjects[BURST / 2..] {
        stage.new_case(subject)?;
    }
    say(&format!("The private node is killed in the middle of {BURST} Cases, and started again."));
    stage.restart_private().await?;
    let all = || {
        let there: BTreeSet<String> = stage
            .tracker
            .handle
            .all()
            .iter()
            .filter_map(|issue| issue.fields.get("summary")?.as_str().map(str::to_owned))
            .collect();
        subjects.iter().all(|subject| there.contains(subject))
    };
    stage.until(PATIENCE, "all of the burst in the tracker", all).await?;
    let took = millis(stage.clock.as_ref(), begun);
    // Long enough that a second copy would have come.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let (cases, issues) = (stage.org.handle.count("Case"), stage.tracker.handle.count());
    ensure!(cases == issues, "{cases} Cases, but {issues} issues");
    let twice: Vec<String> =
        stage.tracker.handle.applied().into_iter().filter(|(_, times)| *times > 1).map(|(id, _)| id).collect();
    ensure!(twice.is_empty(), "applied more than once: {twice:?}");
    say(&format!(
        "Nothing lost, nothing doubled: {cases} Cases, {issues} issues; the {BURST} took {took} ms with the kill in between."
    ));
    Ok(())
}
