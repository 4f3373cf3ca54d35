//! The main job with nothing to install: a sandbox org, a sandbox tracker, a public and a private node on loopback, one
//! accepted connection, live changes.
//!
//! Everything is done as its users would: sandboxes by what their people do, nodes by the API alone. With `check` the
//! story is played once in a temporary folder, with the private node in a process of its own, so that it can be killed
//! in the middle; each act prints what it saw and how long it took.

mod check;
mod stage;

use std::{
    io::{self, Write as _},
    time::Duration,
};

use stage::{Place, Stage};

/// Longest wait for something to cross.
const PATIENCE: Duration = Duration::from_secs(30);

/// Plays the demo; with `check` once, answering whether all went well, else until interrupted.
pub async fn run(check: bool) -> anyhow::Result<bool> {
    if check {
        return check::play().await;
    }
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    let stage = Stage::set(Place::Here, true).await?;
    say(&welcome(&stage));
    let played = tokio::select! {
        played = live(&stage) => played,
        interrupted = tokio::signal::ctrl_c() => interrupted.map_err(Into::into),
        _ = terminate.recv() => Ok(()),
    };
    say("\nStopping.");
    let struck = stage.strike().await;
    played.and(struck).map(|()| true)
}

/// For people; one who has stopped reading (`| head`) is no reason to stop.
fn say(text: &str) {
    let _ = writeln!(io::stdout().lock(), "{text}");
}

fn welcome(stage: &Stage) -> String {
    let program = std::env::args().next().unwrap_or_else(|| "wicketgate".to_owned());
    let (public, private) = (&stage.public, &stage.private);
    format!(
        "Wicketgate demo: a Salesforce org here, a tracker behind a firewall there, two nodes between them.\n\n\
         \x20 Org (Cases)        {org}/\n\
         \x20 Tracker (issues)   {tracker}/\n\
         \x20 Public node        {0}   beside the org\n\
         \x20 Private node       {2}   beside the tracker; it only dials out\n\n\
         Both nodes' addresses open their consoles: sign in as {account} with the password {password}.\n\
         Create or edit a Case or an issue on the two pages and watch it cross. From a shell, beside the org:\n\n\
         \x20 export WICKETGATE_URL={0} WICKETGATE_TOKEN={1}\n\
         \x20 {program} twin list\n\
         \x20 {program} connection show support_to_helpdesk\n\n\
         and beside the tracker:\n\n\
         \x20 export WICKETGATE_URL={2} WICKETGATE_TOKEN={3}\n\n\
         The same by HTTP: {0}/api/v1, described in {0}/api/v1/openapi.json. Ctrl-C stops; nothing is kept.\n",
        public.url,
        public.token,
        private.url,
        private.token,
        account = stage::ACCOUNT,
        password = stage.password,
        org = stage.org.url,
        tracker = stage.tracker.url,
    )
}

/// A little life: a Case now and then, an answer from the other side, and how long each took. Where somebody plays along
/// and changes what is being watched, the show goes on.
async fn live(stage: &Stage) -> anyhow::Result<()> {
    let subjects = ["Pump stops under load", "Invoice shows the wrong address", "Login fails after reset", "Display stays dark"];
    for subject in subjects {
        if let Err(error) = scene(stage, subject).await {
            say(&format!("  {error:#}"));
        }
    }
    say("\nYour turn.");
    std::future::pending().await
}

async fn scene(stage: &Stage, subject: &str) -> anyhow::Result<()> {
    let case = stage.new_case(subject)?;
    let took = stage.case_arrives(&case, PATIENCE).await?;
    say(&format!("  Case \"{subject}\" is an issue after {} ms", took.as_millis()));
    tokio::time::sleep(Duration::from_secs(2)).await;
    let took = stage.edit_comes_back(subject, &format!("{subject}: in work"), PATIENCE).await?;
    say(&format!("  and the issue's edit is in the Case after {} ms", took.as_millis()));
    tokio::time::sleep(Duration::from_secs(2)).await;
    Ok(())
}
