//! The main job with nothing to install: a sandbox org, a sandbox tracker, a public and a private node on loopback, one
//! accepted connection, live changes.
//!
//! Everything is done as its users would: sandboxes by what their people do, nodes by the API alone. With `check` the
//! story is played once in a temporary folder, with the private node in a process of its own, so that it can be killed
//! in the middle; each act prints what it saw and how long it took.

mod check;
mod stage;

use std::time::Duration;

use crate::lifecycle::Lifecycle;
use stage::{Place, Stage};

/// Plays the demo; with `check` once, answering whether all went well, else until interrupted.
pub async fn run(check: bool) -> anyhow::Result<bool> {
    if check {
        return check::play().await;
    }
    let lifecycle = Lifecycle::default();
    let stage = Stage::set(Place::Here, true).await?;
    println!("{}", welcome(&stage));
    let life = live(&stage);
    tokio::select! {
        result = life => result?,
        interrupted = tokio::signal::ctrl_c() => interrupted?,
        () = lifecycle.stopping() => {}
    }
    println!("\nStopping.");
    stage.strike().await?;
    Ok(true)
}

fn welcome(stage: &Stage) -> String {
    format!(
        "Wicketgate demo: a Salesforce org here, a tracker behind a firewall there, two nodes between them.\n\n\
         \x20 Org (Cases)        {}/\n\
         \x20 Tracker (issues)   {}/\n\
         \x20 Public node        {}   API under /api/v1, document at /api/v1/openapi.json\n\
         \x20 Private node       {}   it only dials out\n\n\
         \x20 export WICKETGATE_URL={} WICKETGATE_TOKEN={}\n\
         \x20 wicketgate connection list\n\n\
         Create or edit a Case or an issue on the two pages and watch it cross. Ctrl-C stops; nothing is kept.\n",
        stage.org.url, stage.tracker.url, stage.public.url, stage.private.url, stage.public.url, stage.public.token,
    )
}

/// A little life: a Case now and then, and what became of it.
async fn live(stage: &Stage) -> anyhow::Result<()> {
    let subjects = ["Pump stops under load", "Invoice shows the wrong address", "Login fails after reset", "Display stays dark"];
    for subject in subjects {
        let case = stage.new_case(subject)?;
        let took = stage.case_arrives(&case, Duration::from_secs(30)).await?;
        println!("  Case \"{subject}\" crossed in {} ms", took.as_millis());
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
    println!("\nYour turn.");
    std::future::pending::<()>().await;
    Ok(())
}
