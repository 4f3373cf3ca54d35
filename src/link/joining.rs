//! Inviting and joining, both sides.
//!
//! The joiner's proof is an HMAC of its acceptance under the code's secret, so the secret never travels; the answer is
//! signed with the key that the code names, so nobody in between can join in its place. The same key may repeat its
//! acceptance, since an answer can be lost. A code that is made on an accepted connection *re-keys* it: the other
//! side's key and address are replaced, rules and twins stay, a new epoch begins, and it always waits for the inviting
//! admin's confirmation, since whoever got hold of the code would otherwise take the partner's place.

use std::time::Duration;

use aws_lc_rs::hmac;

use super::{
    Code, Inspected, Link, Refused,
    answer::{Answer, Asker, Call, busy},
    auth::{Expected, RequestClaims, check_clock, check_request},
    call::Outgoing,
    code,
    exchange::begin_epoch,
    keys::PublicKey,
    protocol::{
        AcceptAnswered, AcceptAsked, CALL, CodeClaims, CodeConnection, MAX_SMALL, Refusal, VERSION, accept_path, on_wire,
    },
};
use crate::{
    clock::Time,
    domain::{
        connection::{Awaiting, Connection, Kind, Links, Mode, Remote, Status, Switch},
        ids::{ConnectionId, InvitationId},
        invitation::{Invitation, Refused as NotUsable, State},
    },
    secret::{Secret, base64url, from_base64url, same_bytes},
    store::{Notice, StoreError, Topic, Tx, rows::AuditLine},
};

/// What this node can do beyond the link's first version.
pub const FEATURES: &[&str] = &[];
/// Tries of an acceptance while the clocks find each other or the other node starts.
const TRIES: u32 = 4;

/// base64url HMAC-SHA-256 of a body under a code's secret.
pub fn proof(secret: &str, body: &[u8]) -> Option<String> {
    let key = hmac::Key::new(hmac::HMAC_SHA256, &from_base64url(secret)?);
    Some(base64url(hmac::sign(&key, body).as_ref()))
}

fn refused(code: &'static str, detail: impl Into<String>, field: Option<&'static str>) -> Refused {
    Refused { code, detail: detail.into(), field }
}

impl Link {
    /// Makes a code for a connection; the one before dies. On an accepted connection: a re-key code.
    pub async fn invite(&self, connection: &Connection, lifetime: Duration) -> Result<Code, Refused> {
        let Some(url) = &self.parts.public_url else {
            return Err(refused(
                "cannot_invite",
                "this node has no address that others reach (public_url), so it cannot invite; make the connection and its \
                 invitation on the other node and accept it here. Two nodes without an address cannot be joined: give one of \
                 them a public_url",
                None,
            ));
        };
        let now = self.parts.clock.now();
        let mut secret = [0u8; 32];
        self.parts.clock.random(&mut secret);
        let secret = Secret::new(base64url(&secret));
        // Whole seconds: the code's `exp` has no finer unit.
        let expires_at = Time::from_seconds(now.plus(lifetime).seconds());
        let id = InvitationId(self.parts.clock.id());
        let rekey = connection.awaiting != Some(Awaiting::Acceptance);
        let tracker_kind = self.parts.tracker_kinds.get(&connection.tracker).cloned().unwrap_or_default();
        let code = Secret::new(code::write(
            &self.key,
            &CodeClaims {
                v: VERSION,
                iss: url.as_str().trim_end_matches('/').to_owned(),
                jti: id,
                secret: secret.expose().to_owned(),
                exp: expires_at.seconds(),
                node: self.parts.node_name.clone(),
                key: self.key.public().text(),
                connection: CodeConnection {
                    id: connection.id,
                    name: connection.name.clone(),
                    mode: connection.mode,
                    kind: connection.kind,
                    prefer: connection.prefer,
                    description: connection.description.clone(),
                    local_short_name: connection.local_short_name.clone(),
                    remote_short_name: connection.remote_short_name.clone(),
                    tracker_kind,
                    side: connection.side,
                    rekey,
                },
            },
        ));
        let invitation = Invitation {
            id,
            connection_id: connection.id,
            secret,
            code: code.clone(),
            created_at: now,
            expires_at,
            rekey,
            state: State::Open,
        };
        self.parts
            .store
            .write("link.invite", move |tx| {
                Box::pin(async move {
                    withdraw(tx, invitation.connection_id, now).await?;
                    tx.put_invitation(&invitation).await
                })
            })
            .await?;
        Ok(Code { code, expires_at })
    }

    /// Withdraws the open code of a connection.
    pub async fn revoke(&self, connection: ConnectionId) -> Result<(), Refused> {
        let now = self.parts.clock.now();
        self.parts.store.write("link.revoke", move |tx| Box::pin(async move { withdraw(tx, connection, now).await })).await?;
        Ok(())
    }

    /// What would I join? Calls nobody.
    pub fn inspect(&self, code: &str) -> Result<Inspected, Refused> {
        Ok(code::read(code, self.parts.clock.now())?.inspected())
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
        let proof = proof(&read.claims.secret, &body)
            .ok_or_else(|| refused("invitation_invalid", "this code holds no readable secret", Some("code")))?;
        let mut ahead = 0;
        for attempt in 1..=TRIES {
            let reply = self
                .call(Outgoing {
                    partner: &read.key,
                    base: &read.claims.iss,
                    path: accept_path(read.claims.jti),
                    subject: read.claims.connection.id.to_string(),
                    body: body.clone(),
                    proof: Some(proof.clone()),
                    timeout: CALL,
                    ahead,
                })
                .await
                .map_err(|failure| {
                    refused("peer_unreachable", format!("the inviting node was not reached: {}", failure.reason), None)
                })?;
            if reply.status == 200 || reply.status == 201 {
                return serde_json::from_slice(&reply.body)
                    .map_err(|_| refused("peer_unreachable", "the inviting node's answer cannot be read", None));
            }
            let refusal = reply.refusal();
            ahead = reply.ahead;
            match refusal.code.as_str() {
                "clock_skew" if attempt < TRIES => {}
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
        wanted.remote = Some(Remote {
            node: answered.node,
            url: Some(read.claims.iss.clone()),
            tracker_kind: read.claims.connection.tracker_kind.clone(),
            state: before.map_or(if waits { Switch::Deactivated } else { Switch::Active }, |before| before.state),
            last_seen_at: Some(now),
            key: read.key.text(),
            key_fingerprint: read.key.fingerprint().to_owned(),
            version: answered.version,
            features: answered.features,
        });
        wanted.awaiting = waits.then_some(Awaiting::Confirmation);
        wanted.paused = None;
        wanted.status = if waits { Status::Pending } else { Status::Active };
        if !waits {
            wanted.activated_at.get_or_insert(now);
        }
        let epoch = answered.epoch;
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

    /// Answers an acceptance.
    pub async fn answer_accept(&self, id: InvitationId, call: Call) -> Answer {
        let mut asker = None;
        match self.accepted(id, &call, &mut asker).await {
            Ok(answered) => {
                let body = serde_json::to_vec(&answered).expect("plain data becomes JSON");
                self.signed(200, body, asker.as_ref(), None)
            }
            Err(refusal) => self.refused(&refusal, asker.as_ref()),
        }
    }

    async fn accepted(&self, id: InvitationId, call: &Call, asker: &mut Option<Asker>) -> Result<AcceptAnswered, Refusal> {
        let body = call.body.as_ref().ok_or(Refusal::TooLarge(MAX_SMALL))?;
        let asked: AcceptAsked =
            serde_json::from_slice(body).map_err(|error| Refusal::Malformed(format!("the body is no acceptance: {error}")))?;
        let key = PublicKey::parse(&asked.key).ok_or_else(|| Refusal::Malformed("key is no Ed25519 key".to_owned()))?;
        check_words(&asked)?;
        let token = call.token.as_deref().ok_or(Refusal::BadSignature("there is no bearer token"))?;
        let claimed: RequestClaims = super::keys::peek(token).ok_or(Refusal::BadSignature("the token cannot be read"))?;
        let expected = Expected {
            audience: self.key.public().fingerprint(),
            subject: &claimed.sub,
            method: &call.method,
            path: &call.path,
            body,
        };
        let claims = check_request(&key, token, expected)?;
        *asker = Some(Asker::from(&claims));
        let now = self.parts.clock.now();
        check_clock(&claims, now)?;
        let found = self.parts.store.read("link.invited", move |tx| Box::pin(async move { tx.invitation(id).await }));
        let invitation = found.await.map_err(busy)?.ok_or(Refusal::InvitationUnknown)?;
        let right = proof(invitation.secret.expose(), body).unwrap_or_default();
        let given = call.proof.as_deref().unwrap_or_default();
        if claims.sub != invitation.connection_id.to_string() || !same_bytes(right.as_bytes(), given.as_bytes()) {
            return Err(Refusal::BadSignature("the proof does not fit the invitation"));
        }
        let node = self.parts.node_name.clone();
        self.parts
            .store
            .write("link.accept", move |tx| Box::pin(async move { settle(tx, id, asked, &key, node, now).await }))
            .await
            .map_err(busy)?
    }
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

/// Sizes of what a stranger says about itself.
fn check_words(asked: &AcceptAsked) -> Result<(), Refusal> {
    let short = |text: &str| text.len() <= 200;
    let url = asked.url.as_deref().is_none_or(|url| url.len() <= 2_000 && super::call::join(url, "/").is_some());
    if !short(&asked.node) || !short(&asked.tracker_kind) || !short(&asked.version) || asked.description.len() > 2_000 {
        return Err(Refusal::Malformed("node, tracker_kind, version or description is too long".to_owned()));
    }
    if asked.features.len() > 100 || !asked.features.iter().all(|feature| short(feature)) {
        return Err(Refusal::Malformed("features is too long".to_owned()));
    }
    if url { Ok(()) } else { Err(Refusal::Malformed("url is no http or https address".to_owned())) }
}

/// The inviting side's part of joining, in one transaction.
async fn settle(
    tx: &mut dyn Tx,
    id: InvitationId,
    asked: AcceptAsked,
    key: &PublicKey,
    node: String,
    now: Time,
) -> Result<Result<AcceptAnswered, Refusal>, StoreError> {
    let Some(mut invitation) = tx.invitation(id).await? else { return Ok(Err(Refusal::InvitationUnknown)) };
    let Some(connection) = tx.connection(invitation.connection_id).await? else { return Ok(Err(Refusal::InvitationUnknown)) };
    let again = match invitation.may_accept(key.fingerprint(), now) {
        Ok(again) => again,
        Err(NotUsable::AlreadyAccepted) => return Ok(Err(Refusal::AlreadyAccepted)),
        Err(NotUsable::Expired) => return Ok(Err(Refusal::InvitationExpired)),
        Err(NotUsable::Revoked) => return Ok(Err(Refusal::InvitationRevoked)),
    };
    let connection = if again {
        connection
    } else {
        invitation.state = State::Accepted { by: key.fingerprint().to_owned(), at: now };
        tx.put_invitation(&invitation).await?;
        join(tx, connection, &invitation, &asked, key, now).await?
    };
    let epoch = if invitation.rekey { Some(on_wire(tx.link_state(connection.id).await?.epoch)) } else { None };
    Ok(Ok(AcceptAnswered {
        connection_id: connection.id,
        node,
        version: crate_version(),
        features: FEATURES.iter().map(|&feature| feature.to_owned()).collect(),
        awaiting: connection.awaiting.filter(|awaiting| *awaiting == Awaiting::Confirmation),
        epoch,
    }))
}

async fn join(
    tx: &mut dyn Tx,
    mut connection: Connection,
    invitation: &Invitation,
    asked: &AcceptAsked,
    key: &PublicKey,
    now: Time,
) -> Result<Connection, StoreError> {
    if asked.url.is_none() {
        connection.kind = Kind::Private;
    }
    let remote = Remote {
        node: asked.node.clone(),
        url: asked.url.clone().filter(|_| connection.kind == Kind::Public),
        tracker_kind: asked.tracker_kind.clone(),
        state: Switch::Active,
        last_seen_at: Some(now),
        key: key.text(),
        key_fingerprint: key.fingerprint().to_owned(),
        version: asked.version.clone(),
        features: asked.features.clone(),
    };
    if invitation.rekey {
        connection.remote = Some(remote);
        connection.status = Status::Pending;
        connection.awaiting = Some(Awaiting::Confirmation);
        let epoch = on_wire(tx.link_state(connection.id).await?.epoch) + 1;
        begin_epoch(tx, connection.id, epoch, false, now).await?;
    } else {
        connection = connection.accepted(remote, now);
    }
    tx.update_connection(&connection).await?;
    tx.add_audit(&AuditLine {
        at: now,
        token_id: None,
        by: asked.node.clone(),
        action: if invitation.rekey { "connection.rekeyed" } else { "connection.accepted" }.to_owned(),
        subject: connection.id.to_string(),
        detail: format!("key {}", key.fingerprint()),
    })
    .await?;
    tx.tell(Notice::Connection(connection.id));
    tx.wake(Topic::Connections);
    tx.wake(Topic::Outbox(connection.id));
    Ok(connection)
}

async fn withdraw(tx: &mut dyn Tx, connection: ConnectionId, now: Time) -> Result<(), StoreError> {
    if let Some(mut before) = tx.newest_invitation(connection).await?
        && before.state == State::Open
    {
        before.state = State::Revoked { at: now };
        tx.put_invitation(&before).await?;
    }
    Ok(())
}

fn join_refused(refusal: &super::protocol::RefusalHeard) -> Refused {
    let said = if refusal.detail.is_empty() { &refusal.title } else { &refusal.detail };
    let code = match refusal.code.as_str() {
        "already_accepted" => "already_accepted",
        "invitation_expired" => "invitation_expired",
        "invitation_revoked" => "invitation_revoked",
        "invitation_unknown" => "invitation_unknown",
        _ => "cannot_join",
    };
    refused(code, format!("the inviting node refused: {said}"), Some("code"))
}

/// Modes that this node offers.
pub(super) fn modes() -> Vec<Mode> {
    vec![Mode::Basic, Mode::Script]
}

pub(super) fn crate_version() -> String {
    env!("CARGO_PKG_VERSION").to_owned()
}
