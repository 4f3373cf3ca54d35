//! What the tracker tells of the entity types that a connection's rules may meet: those of its triggers and twins, the
//! tracker's default, and those that a request or a rule names.
//!
//! Trap: a tracker may be down, or slow. Whatever asks here goes on without it and says so; so the wait has an end.

use std::{collections::BTreeSet, time::Duration};

use crate::{
    domain::{
        connection::Connection,
        tracker::{Caller, Description, Fault, Retry, Tracker, TrackerError},
    },
    server::kit::{Node, Problem},
};

/// Longest wait for all descriptions together.
const PATIENCE: Duration = Duration::from_secs(10);

/// The types as far as the tracker tells them.
pub(super) struct Known {
    /// In order of name.
    pub(super) descriptions: Vec<Description>,
    /// Types that it refuses to tell about, with its words.
    pub(super) refused: Vec<(String, TrackerError)>,
    /// Why it could not be asked for all.
    pub(super) silent: Option<TrackerError>,
}

/// Describes the types of a connection and these beside.
pub(super) async fn known(
    node: &Node,
    connection: &Connection,
    tracker: &dyn Tracker,
    more: impl IntoIterator<Item = String>,
) -> Result<Known, Problem> {
    let (name, id) = (connection.tracker.clone(), connection.id);
    let types = node.store.read("api.rules.types", move |tx| Box::pin(async move { tx.types_of_connection(&name, id).await }));
    let mut types: BTreeSet<String> = types.await?.into_iter().chain(more).collect();
    types.insert(tracker.default_entity_type().to_owned());
    let mut known = Known { descriptions: Vec::new(), refused: Vec::new(), silent: None };
    let asked = tokio::time::timeout(PATIENCE, ask(tracker, types, &mut known)).await;
    if asked.is_err() {
        known.silent = Some(slow());
    }
    Ok(known)
}

async fn ask(tracker: &dyn Tracker, types: BTreeSet<String>, known: &mut Known) {
    for entity_type in types {
        match tracker.describe(Caller::Person, &entity_type).await {
            Ok(description) => known.descriptions.push(description),
            Err(error) if error.concerns_all() || error.fault == Fault::Tracker => {
                known.silent = Some(error);
                return;
            }
            Err(error) => known.refused.push((entity_type, error)),
        }
    }
}

fn slow() -> TrackerError {
    TrackerError {
        fault: Fault::Network,
        retry: Retry::Soon(None),
        code: "slow".to_owned(),
        title: "The tracker did not describe its entity types in time".to_owned(),
        detail: format!("No answer within {} s.", PATIENCE.as_secs()),
        advice: "`POST /trackers/{name}/check` says where it stands; then try again.".to_owned(),
        in_doubt: false,
    }
}
