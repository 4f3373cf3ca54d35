//! Joining by a code: the accepting side. It reads the code, asks the node that the code names, believes only an answer
//! that is signed with the code's key, and then keeps the connection. Cut off in between, the same person tries again
//! with the same code: the inviting node knows our key.

use std::time::Duration;

use super::{
    Inspected, Link, Refused, Rekeys,
    call::{Failure, Outgoing},
    code,
    exchange::begin_epoch,
    joining::{FEATURES, crate_version, proofs, refused},
    protocol::{AcceptAnswered, AcceptAsked, CALL, accept_path, on_wire},
};
use crate::{
    domain::connection::{Awaiting, Connection, Kind, Links, Remote, Status, Switch},
    store::{Notice, StoreError, Topic, rows::AuditLine},
};

/// Longest name of anything that the other side may have, in characters.
const SHORT: usize = 200;
/// Features that are remembered.
const MOST_FEATURES: usize = 100;
/// Tries of an acceptance while the clocks find each other or the other node starts.
const TRIES: u32 = 4;

impl Link {
    /// What would I join? Calls nobody.
    pub async fn inspect(&self, code: &str) -> Result<Inspected, Refused> {
        let read = code::read(code, self.parts.clock.now())?;
        let id = read.claims.connection.id;
        let here = self.parts.store.read("link.inspect", move |tx| Box::pin(async move { tx.connection(id).await })).await?;
        let rekeys = here.filter(|_| read.claims.connection.rekey).and_then(|here| {
            let Remote { key_fingerprint, .. } = here.remote?;
            Some(Rekeys { name: here.name, key_fingerprint })
        });
        Ok(Inspected { rekeys, ..read.inspected() })
    }

    /// Joins: calls the inviting node, then keeps the connection.
    pub async fn accept(
        &self,
        code: &str,
        tracker: &str,
        name: Option<String>,
        description: Option<String>,
    ) -> Result<Connection, Refused> {
        let read = code::read(code, self.parts.clock.now())?;
        let Some(tracker_kind) = self.parts.tracker_kinds.get(tracker) else {
            return Err(refused("validation_failed", format!("this node has no tracker `{tracker}`"), Some("tracker")));
        };
        if read.key.fingerprint() == self.key.public().fingerprint() {
            return Err(refused(
                "cannot_join",
                "this node made the invitation itself; accept it on the other node",
                Some("code"),
            ));
        }
        let wanted = self.wanted(&read, tracker, name, description.clone()).await?;
        let private = wanted.kind == Kind::Private;
        let asked = AcceptAsked {
            node: self.parts.node_name.clone(),
            key: self.key.public().text(),
            url: self.parts.public_url.as_ref().filter(|_| !private).map(|url| url.as_str().trim_end_matches('/').to_owned()),
            tracker_kind: tracker_kind.clone(),
            version: crate_version(),
            features: FEATURES.iter().map(|&feature| feature.to_owned()).collect(),
            description: description.unwrap_or_default(),
        };
        let answered = self.ask_to_join(&read, &asked).await?;
        self.keep_joined(wanted, &read, answered).await
    }

    /// The connection as it will stand here, before anybody was asked.
    async fn wanted(
        &self,
        read: &code::Read,
        tracker: &str,
        name: Option<String>,
        description: Option<String>,
    ) -> Result<Connection, Refused> {
        let said = &read.claims.connection;
        let known = self.parts.store.read("link.names", |tx| Box::pin(async move { tx.connections().await })).await?;
        if let Some(here) = known.iter().find(|known| known.id == said.id) {
            return again(here, read, tracker, name);
        }
        let name = name.unwrap_or_else(|| said.name.clone());
        if known.iter().any(|known| known.name == name) {
            return Err(refused("name_taken", format!("this node has a connection `{name}`; choose another name"), Some("name")));
        }
        let kind = if self.parts.public_url.is_some() { said.kind } else { Kind::Private };
        let now = self.parts.clock.now();
        Ok(Connection {
            id: said.id,
            name,
            status: Status::Pending,
            kind,
            mode: said.mode,
            tracker: tracker.to_owned(),
            side: said.side.other(),
            local_short_name: said.remote_short_name.clone(),
            remote_short_name: said.local_short_name.clone(),
            description: description.unwrap_or_else(|| said.description.clone()),
            created_at: now,
            activated_at: None,
            prefer: said.prefer.seen_from_there(),
            links: Links::Matching,
            share_internal_comments: false,
            awaiting: Some(Awaiting::Acceptance),
            confirm: false,
            destination_url: Some(read.claims.iss.clone()),
            remote: None,
            paused: None,
        })
    }

    async fn ask_to_join(&self, read: &code::Read, asked: &AcceptAsked) -> Result<AcceptAnswered, Refused> {
        let body = serde_json::to_vec(asked).expect("plain data becomes JSON");
        let mut proofs = proofs(&read.claims.secret, &body).into_iter();
        let mut proof = proofs.next();
        let mut ahead = 0;
        for attempt in 1..=TRIES {
            let reply = self
                .call(Outgoing {
                    partner: &read.key,
                    base: &read.claims.iss,
                    path: accept_path(&read.claims.jti),
                    subject: read.claims.connection.id.to_string(),
                    body: body.clone(),
                    proof: proof.clone(),
                    timeout: CALL,
                    ahead,
                })
                .await
                .map_err(|failure| not_reached(&read.claims.iss, failure))?;
            if reply.status == 200 || reply.status == 201 {
                return serde_json::from_slice(&reply.body)
                    .map_err(|_| refused("peer_unreachable", "the inviting node's answer cannot be read", None));
            }
            let refusal = reply.refusal();
            ahead = reply.ahead.correct(0).div_euclid(1000);
            match refusal.code.as_str() {
                "clock_skew" if attempt < TRIES => {}
                // It may take the secret's text for the key.
                "bad_signature" if attempt < TRIES && proofs.len() > 0 => proof = proofs.next(),
                "try_later" if attempt < TRIES => {
                    let pause = reply.retry_after.unwrap_or(Duration::from_secs(1)).min(Duration::from_secs(5));
                    self.parts.clock.sleep(pause).await;
                }
                _ => return Err(join_refused(&refusal)),
            }
        }
        Err(refused("peer_unreachable", "the inviting node asks to come again later", None))
    }

    async fn keep_joined(
        &self,
        mut wanted: Connection,
        read: &code::Read,
        answered: AcceptAnswered,
    ) -> Result<Connection, Refused> {
        let now = self.parts.clock.now();
        let waits = answered.awaiting.is_some();
        let before = wanted.remote.take();
        let before_key = before.as_ref().map(|before| before.key_fingerprint.clone());
        wanted.remote = Some(Remote {
            node: short(&answered.node),
            url: Some(read.claims.iss.clone()),
            tracker_kind: read.claims.connection.tracker_kind.clone(),
            state: match before {
                // It is pending there.
                _ if waits => Switch::Deactivated,
                Some(before) => before.state,
                None => Switch::Active,
            },
            last_seen_at: Some(now),
            key: read.key.text(),
            key_fingerprint: read.key.fingerprint().to_owned(),
            version: short(&answered.version),
            features: answered.features.iter().take(MOST_FEATURES).map(|feature| short(feature)).collect(),
        });
        wanted.paused = None;
        let wanted = if waits { wanted.awaiting_confirmation(false) } else { wanted.joined(now) };
        let epoch = answered.epoch;
        let replaced = before_key.filter(|key| key != read.key.fingerprint()).map(|key| AuditLine {
            at: now,
            token_id: None,
            user_id: None,
            by: read.claims.node.clone(),
            action: "connection.rekeyed".to_owned(),
            subject: wanted.id.to_string(),
            detail: format!("key {} in the place of {key}", read.key.fingerprint()),
        });
        self.parts
            .store
            .write("link.joined", move |tx| {
                Box::pin(async move {
                    let fresh = tx.connection(wanted.id).await?.is_none();
                    if fresh {
                        tx.insert_connection(&wanted).await?;
                    } else {
                        tx.update_connection(&wanted).await?;
                    }
                    if let Some(line) = replaced {
                        tx.add_audit(&line).await?;
                    }
                    if let Some(epoch) = epoch {
                        let state = tx.link_state(wanted.id).await?;
                        if epoch > on_wire(state.epoch) {
                            begin_epoch(tx, wanted.id, epoch, fresh, now).await?;
                        }
                    }
                    tx.tell(Notice::Connection(wanted.id));
                    tx.wake(Topic::Connections);
                    Ok(wanted)
                })
            })
            .await
            .map_err(|error| match error {
                StoreError::Taken(_) => refused("name_taken", "this node has a connection of that name", Some("name")),
                error => error.into(),
            })
    }
}

/// What a stranger calls itself, cut to what is shown anywhere.
fn short(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(SHORT).collect()
}

/// A connection that is here already: its first answer was lost, or the code re-keys it.
fn again(here: &Connection, read: &code::Read, tracker: &str, name: Option<String>) -> Result<Connection, Refused> {
    if here.tracker != tracker {
        let detail = format!("this connection exists here already, with the tracker `{}`", here.tracker);
        return Err(refused("cannot_join", detail, Some("tracker")));
    }
    let same = here.remote.as_ref().is_some_and(|remote| remote.key_fingerprint == read.key.fingerprint());
    if !same && !read.claims.connection.rekey {
        let detail = "this connection exists here already, with a partner of another key; a partner that lost its key makes a \
                      new code on its existing connection";
        return Err(refused("cannot_join", detail, Some("code")));
    }
    let mut again = here.clone();
    again.name = name.unwrap_or(again.name);
    Ok(again)
}

/// No word of the inviting node came. What a stranger's host answered is told only as "not the node".
fn not_reached(url: &str, failure: Failure) -> Refused {
    match failure {
        Failure { blocked: true, reason, .. } => {
            refused("address_not_allowed", format!("this invitation leads to {url}: {reason}"), Some("code"))
        }
        Failure { status: Some(_), .. } => {
            let detail = format!(
                "what answers at {url} is not the node that made this invitation: it is down behind a proxy, has moved, or \
                 something in between answers for it. Nothing was joined; try the same code again, or ask for a new one"
            );
            refused("not_a_node", detail, Some("code"))
        }
        Failure { reason, advice, .. } => {
            let detail = format!(
                "the inviting node at {url} was not reached: {reason}. {advice} Nothing was joined here; try the same code again \
                 once it can be reached from this machine"
            );
            refused("peer_unreachable", detail, None)
        }
    }
}

/// Longest text of another node that is shown.
const SHOWN: usize = 300;

fn join_refused(refusal: &super::protocol::RefusalHeard) -> Refused {
    let (code, detail) = match refusal.code.as_str() {
        "already_accepted" => ("already_accepted", "another node accepted this invitation before; ask for a new one".to_owned()),
        "invitation_expired" => ("invitation_expired", "this invitation has expired; ask for a new one".to_owned()),
        "invitation_revoked" => {
            ("invitation_revoked", "this invitation was revoked, or a newer one took its place; ask for a new one".to_owned())
        }
        "invitation_unknown" => (
            "invitation_unknown",
            "the inviting node does not know this invitation: its connection was deleted, or the node was set back; ask for a \
             new one"
                .to_owned(),
        ),
        code => {
            let said = if refusal.detail.is_empty() { &refusal.title } else { &refusal.detail };
            let said: String = format!("{code}: {said}").chars().filter(|c| !c.is_control()).take(SHOWN).collect();
            ("cannot_join", format!("the inviting node refused: {said}"))
        }
    };
    refused(code, detail, Some("code"))
}
