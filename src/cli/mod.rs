//! The commands, one file each.
//!
//! Flow: [`main`] answers `rule-worker` before anything else is made (a node keeps several of these children, so they must
//! start in milliseconds and stay small), parses the arguments, and runs the rest on a multi-threaded runtime. Commands that talk to a node use its API over HTTP
//! and nothing else (`api`), so that whatever the shell can do a partner's program can do too. What they print goes
//! through `output`: tables for people, the API's own bodies with `--json`.
//!
//! Exit codes: 0 done, 1 failed, 2 wrong usage.
//!
//! To add a command: a file with its arguments and a `run`, a line in [`Command`] and in [`run`]; the snapshot of all
//! help texts shows it to the reviewer. Trap: standard output may close at any moment (`| head`), so nothing here uses
//! `println!`, which panics then.

mod api;
mod config;
mod connection;
mod demo;
mod error;
mod invitation;
mod job;
mod many;
mod node;
mod output;
mod prompt;
mod rule;
mod salesforce;
mod sandbox;
mod status;
mod token;
mod tracker;
mod trigger;
mod twin;
mod twin_files;
mod user;
mod wiring;

use std::{ffi::OsString, fmt, io, process::ExitCode};

use clap::{Parser, Subcommand};

use self::output::Output;

/// The argument with which a node starts a child that runs rules. It is not for people, and no command.
const RULE_WORKER: &str = "rule-worker";

/// Keeps records in step between a Salesforce org and a tracker that may sit behind a firewall.
#[derive(Debug, Parser)]
#[command(name = "wicketgate", version, propagate_version = true, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Shows the main job with nothing to install: two nodes and two simulated systems on this machine
    Demo(demo::Args),
    /// Runs a public node, which others reach
    Serve(node::Args),
    /// Runs a private node, which only dials out
    Relay(node::Args),
    /// Connections: two trackers on two nodes that agreed to sync
    Connection(connection::Args),
    /// Invitations: the one-time codes by which the other side joins
    Invitation(invitation::Args),
    /// Rules: what becomes of a record on its way
    Rule(rule::Args),
    /// Triggers: what starts a sync
    Trigger(trigger::Args),
    /// Twins: pairs of records under sync
    Twin(twin::Args),
    /// Errors: what is held up, and why
    Error(error::Args),
    /// Jobs: work over many records
    Job(job::Args),
    /// Trackers: the systems beside the node
    Tracker(tracker::Args),
    /// The metadata package for an org, and whether the org has what it brings
    Salesforce(salesforce::Args),
    /// Tokens for the API
    Token(token::Args),
    /// Users: people's accounts for the console
    User(user::Args),
    /// How the node is
    Status(status::Args),
    /// What waits, by connection and tracker
    Queue(status::Args),
    /// Who did what on this node, newest first
    Audit(status::AuditArgs),
    /// Simulated systems alone, for trying things
    Sandbox(sandbox::Args),
    /// The configuration
    Config(config::Args),
    /// Prints the API's OpenAPI document
    Openapi,
}

/// The command was called in a way that cannot be meant: exit code 2.
#[derive(Debug)]
struct Usage(String);

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Usage {}

/// Runs the program with these arguments, the first of which is its name.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    // The command line's own code would stay in the child's memory: measured, 4 MB of its pages.
    if matches!(arguments.get(1..), Some([only]) if only == RULE_WORKER) {
        return wiring::rule_worker();
    }
    // The first one stays where a test installed one before.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => {
            // Nobody is left to tell where standard output and error are closed.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return exit(Err(error.into())),
    };
    exit(runtime.block_on(run(cli.command, &mut Output::stdout())))
}

/// Runs one command. `Ok(false)`: it told by itself that something is not well.
async fn run(command: Command, out: &mut Output) -> anyhow::Result<bool> {
    match command {
        Command::Demo(args) => return wiring::demo(args.check).await,
        Command::Serve(args) => args.serve().await?,
        Command::Relay(args) => args.relay().await?,
        Command::Connection(args) => return args.run(out).await,
        Command::Invitation(args) => args.run(out).await?,
        Command::Trigger(args) => return args.run(out).await,
        Command::Twin(args) => return args.run(out).await,
        Command::Error(args) => return args.run(out).await,
        Command::Job(args) => return args.run(out).await,
        Command::Tracker(args) => return args.run(out).await,
        Command::Salesforce(args) => return args.run(out).await,
        Command::Token(args) => args.run(out).await?,
        Command::User(args) => args.run(out).await?,
        Command::Rule(args) => return args.run(out).await,
        Command::Status(args) => args.status(out).await?,
        Command::Queue(args) => args.queue(out).await?,
        Command::Audit(args) => args.run(out).await?,
        Command::Sandbox(args) => args.run().await?,
        Command::Config(args) => args.run(out)?,
        Command::Openapi => out.line(&wiring::openapi_json()?)?,
    }
    Ok(true)
}

fn exit(outcome: anyhow::Result<bool>) -> ExitCode {
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) if is_closed_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            output::complain(&format!("error: {error:#}"));
            if error.is::<Usage>() { ExitCode::from(2) } else { ExitCode::FAILURE }
        }
    }
}

/// Whoever read our output has seen enough.
fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

#[cfg(test)]
mod tests;
