//! The transactions that change rules. What was read before may have changed meanwhile: base and mode are looked at here,
//! where nobody else writes.

use super::{
    bodies::{NewDraft, Published},
    built_in,
    checking::{self, Texts},
    no_pair, require_script, running,
};
use crate::{
    clock::Time,
    domain::{
        connection::Connection,
        ids::ConnectionId,
        rule::RulePair,
        version::{Imprint, RuleDraft, RuleVersion},
    },
    server::kit::{Caller, Code, FieldError, Node, Problem},
    store::{Notice, StoreError, Topic, Tx},
};

/// A version to be.
pub(super) struct New {
    pub(super) outgoing: String,
    pub(super) incoming: String,
    pub(super) note: String,
    /// Whether it must fit the tracker; a version that ran before need not.
    pub(super) fits: Fits,
    /// Each of these must be the version that runs; a roll back has none.
    pub(super) bases: Vec<u32>,
    /// Its word in the audit log.
    pub(super) action: &'static str,
}

/// What the tracker's say counts for.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Fits {
    /// An error keeps it back.
    Required,
    /// It is only told.
    Told,
}

/// What runs after a publication.
pub(super) enum Outcome {
    /// A new version.
    Made(Published),
    /// The same texts ran already: nothing was added.
    Ran(Published),
}

/// A publication that was not refused.
pub(super) struct Done {
    pub(super) outcome: Outcome,
    /// What is told about its texts.
    pub(super) problems: Vec<FieldError>,
}

/// The connection and what runs on it, where its rules may be written.
async fn present(
    tx: &mut dyn Tx,
    id: ConnectionId,
    built_in: Option<RulePair>,
) -> Result<Result<(Connection, Published), Problem>, StoreError> {
    let Some(connection) = tx.connection(id).await? else { return Ok(Err(Problem::not_found("connection"))) };
    if let Err(problem) = require_script(&connection) {
        return Ok(Err(problem));
    }
    let running = running(tx, &connection, built_in).await?;
    Ok(running.map(|running| (connection, running)).ok_or_else(no_pair))
}

/// Refuses what was not written from the version that runs.
fn require_base(base: u32, running: &Published) -> Result<(), Problem> {
    let now = running.version;
    let detail = match (&running.by, running.at) {
        _ if base == now => return Ok(()),
        (Some(by), Some(at)) if base < now => format!(
            "Version {now} was published by {by} at {at}; this began from version {base}. Compare the two, take over what you need, and send it again with base {now}."
        ),
        _ => format!("Version {now} runs; this says that it began from version {base}. Begin again from version {now}."),
    };
    Err(Problem::new(Code::RuleChanged, detail).at("base"))
}

/// Saves a draft. What equals the texts that run is no draft: then there is none.
pub(super) async fn save(
    node: &Node,
    caller: &Caller,
    connection: &Connection,
    given: NewDraft,
) -> Result<(Published, Option<RuleDraft>), Problem> {
    let (id, pair, now, caller) = (connection.id, built_in(node, connection), node.now(), caller.clone());
    let saved = node.store.write("api.rules.save", move |tx| {
        Box::pin(async move {
            let (connection, running) = match present(tx, id, pair).await? {
                Ok(present) => present,
                Err(problem) => return Ok(Err(problem)),
            };
            if let Err(problem) = require_base(given.base, &running) {
                return Ok(Err(problem));
            }
            let NewDraft { outgoing, incoming, base, over } = given;
            if let Some(over) = over
                && let Some(other) = tx.rule_draft(id).await?.filter(|draft| Some(draft.at) != over)
            {
                return Ok(Err(overtaken(&other)));
            }
            let draft = (!running.says(&outgoing, &incoming)).then(|| RuleDraft {
                outgoing,
                incoming,
                base,
                at: now,
                by: caller.name.clone(),
            });
            match &draft {
                Some(draft) => tx.put_rule_draft(id, draft).await?,
                None => tx.delete_rule_draft(id).await?,
            }
            let detail = format!("{}: from version {base}", connection.name);
            tx.add_audit(&caller.audit(now, "rules.draft", id.to_string(), detail)).await?;
            Ok(Ok((running, draft)))
        })
    });
    saved.await?
}

pub(super) fn overtaken(other: &RuleDraft) -> Problem {
    let detail = format!("{} saved another draft at {}. Nothing was overwritten: look at it and merge.", other.by, other.at);
    Problem::new(Code::RuleChanged, detail)
}

/// Publishes a pair that parses.
pub(super) async fn publish(node: &Node, caller: &Caller, connection: &Connection, new: New) -> Result<Done, Problem> {
    let texts = Texts { outgoing: &new.outgoing, incoming: &new.incoming };
    checking::require_parses(&*node.rules, texts).await?;
    let problems = checking::require_fits(node, connection, texts, new.fits == Fits::Told).await?;
    let (id, pair, now, caller) = (connection.id, built_in(node, connection), node.now(), caller.clone());
    let published = node.store.write("api.rules.publish", move |tx| {
        Box::pin(async move {
            let (connection, running) = match present(tx, id, pair).await? {
                Ok(present) => present,
                Err(problem) => return Ok(Err(problem)),
            };
            if let Some(problem) = new.bases.iter().find_map(|base| require_base(*base, &running).err()) {
                return Ok(Err(problem));
            }
            if running.says(&new.outgoing, &new.incoming) {
                return Ok(Ok(Outcome::Ran(running)));
            }
            let action = new.action;
            let version = add(tx, &connection, new, running.version + 1, now, &caller.name).await?;
            let detail = format!("{}: version {}", connection.name, version.imprint.version);
            tx.add_audit(&caller.audit(now, action, id.to_string(), detail)).await?;
            tx.tell(Notice::Connection(id));
            // What paused for the version before goes on.
            tx.wake(Topic::Connections);
            Ok(Ok(Outcome::Made(version.into())))
        })
    });
    Ok(Done { outcome: published.await??, problems })
}

/// Adds the version, and ends the draft that became it; another draft is somebody's work and stays.
async fn add(
    tx: &mut dyn Tx,
    connection: &Connection,
    new: New,
    version: u32,
    at: Time,
    by: &str,
) -> Result<RuleVersion, StoreError> {
    let imprint = Imprint { version, at, by: by.to_owned(), note: new.note };
    let added = RuleVersion { imprint, outgoing: new.outgoing, incoming: new.incoming };
    tx.insert_rule_version(connection.id, &added).await?;
    let draft = tx.rule_draft(connection.id).await?;
    if draft.is_some_and(|draft| draft.outgoing == added.outgoing && draft.incoming == added.incoming) {
        tx.delete_rule_draft(connection.id).await?;
    }
    Ok(added)
}
