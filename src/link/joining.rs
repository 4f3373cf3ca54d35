//! Inviting, and answering who accepts: the inviting side of joining. The other side is `accepting`.
//!
//! The joiner's proof is an HMAC of its acceptance under the code's secret, so the secret never travels; the answer is
//! signed with the key that the code names, so nobody in between can join in its place. The same key may repeat its
//! acceptance, since an answer can be lost. A code that is made on an accepted connection *re-keys* it: the other
//! side's key and address are replaced, rules and twins stay, a new epoch begins, and it always waits for the inviting
//! admin's confirmation, since whoever got hold of the code would otherwise take the partner's place.

use std::time::Duration;

use aws_lc_rs::hmac;

use super::{
    Code, Link, Refused,
    answer::{Answer, Asker, Call, busy},
    auth::{Expected, check_clock, check_request},
    code,
    exchange::begin_epoch,
    keys::PublicKey,
    protocol::{AcceptAnswered, AcceptAsked, CodeClaims, CodeConnection, MAX_SMALL, Refusal, VERSION, on_wire},
};
use crate::{
    clock::Time,
    domain::{
        connection::{Awaiting, Connection, Kind, Mode, Remote, Switch},
        ids::{ConnectionId, InvitationId},
        invitation::{Invitation, Refused as NotUsable, State},
    },
    secret::{Secret, base64url, from_base64url, same_bytes},
    store::{Notice, StoreError, Topic, Tx, rows::AuditLine},
};

/// What this node can do beyond the link's first version.
pub const FEATURES: &[&str] = &[];

/// base64url HMAC-SHA-256 of a body under a code's secret: under the bytes that it stands for, and under its text, since
/// link.md does not say which a stranger takes.
pub fn proofs(secret: &str, body: &[u8]) -> Vec<String> {
    let under = |key: &[u8]| base64url(hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), body).as_ref());
    let decoded = from_base64url(secret).map(|bytes| under(&bytes));
    decoded.into_iter().chain([under(secret.as_bytes())]).collect()
}

pub(super) fn refused(code: &'static str, detail: impl Into<String>, field: Option<&'static str>) -> Refused {
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
                jti: id.to_string(),
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
        let revoke = self.parts.store.write("link.revoke", move |tx| {
            Box::pin(async move {
                withdraw(tx, connection, now).await?;
                Ok(tx.newest_invitation(connection).await?.map(|newest| newest.state))
            })
        });
        match revoke.await? {
            Some(State::Accepted { at, .. }) => Err(refused(
                "invalid_state",
                format!(
                    "the invitation was accepted at {at} and opens nothing any more; to part from the other side, deactivate or delete the connection"
                ),
                None,
            )),
            Some(State::Open | State::Revoked { .. }) | None => Ok(()),
        }
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
        let token = call.token.as_deref().ok_or(Refusal::BadSignature("there is no bearer token"))?;
        *asker = Asker::claimed(Some(token));
        let body = call.body.as_ref().ok_or(Refusal::TooLarge(MAX_SMALL))?;
        let asked: AcceptAsked =
            serde_json::from_slice(body).map_err(|error| Refusal::Malformed(format!("the body is no acceptance: {error}")))?;
        let key = PublicKey::parse(&asked.key).ok_or_else(|| Refusal::Malformed("key is no Ed25519 key".to_owned()))?;
        check_words(&asked)?;
        let subject = asker.as_ref().map(|asker| asker.subject.clone()).unwrap_or_default();
        let expected = Expected {
            audience: self.key.public().fingerprint(),
            subject: &subject,
            method: &call.method,
            path: &call.path,
            body,
        };
        let claims = check_request(&key, token, expected)?;
        let now = self.parts.clock.now();
        check_clock(&claims, now)?;
        let found = self.parts.store.read("link.invited", move |tx| Box::pin(async move { tx.invitation(id).await }));
        let invitation = found.await.map_err(busy)?.ok_or(Refusal::InvitationUnknown)?;
        let given = call.proof.as_deref().unwrap_or_default().trim_end_matches('=');
        let proved = proofs(invitation.secret.expose(), body).iter().any(|right| same_bytes(right.as_bytes(), given.as_bytes()));
        if claims.sub != invitation.connection_id.to_string() || !proved {
            return Err(Refusal::BadSignature("the proof does not fit the invitation"));
        }
        // Only now, so that nobody without a code fills the memory. Repeating a join is harmless: no mark is kept.
        self.used.take(&claims, now)?;
        let node = self.parts.node_name.clone();
        let settled = self
            .parts
            .store
            .write("link.accept", move |tx| Box::pin(async move { settle(tx, id, asked, &key, node, now).await }))
            .await
            .map_err(busy)?;
        if invitation.rekey && settled.is_ok() {
            self.mailbox.forget(invitation.connection_id);
            self.joins.forgive(invitation.connection_id);
        }
        settled
    }
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
        connection = connection.awaiting_confirmation(true);
        let epoch = on_wire(tx.link_state(connection.id).await?.epoch) + 1;
        begin_epoch(tx, connection.id, epoch, false, now).await?;
    } else {
        connection = connection.accepted(remote, now);
    }
    tx.update_connection(&connection).await?;
    tx.add_audit(&AuditLine {
        at: now,
        token_id: None,
        user_id: None,
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

/// Modes that this node offers.
pub(super) fn modes() -> Vec<Mode> {
    vec![Mode::Basic, Mode::Script]
}

pub(super) fn crate_version() -> String {
    env!("CARGO_PKG_VERSION").to_owned()
}
