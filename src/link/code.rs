//! The invitation code: a JWS that the inviting node signed with the key that stands in it. Reading it calls nobody.
//!
//! Who holds a code can join, once. So it is checked that nobody changed it on the way, but whose key it names is for
//! people to compare: the fingerprint is shown before anything is joined.

use super::{
    Inspected, Refused,
    keys::{NodeKey, PublicKey, peek},
    protocol::{CodeClaims, VERSION},
};
use crate::clock::Time;

/// Longest code that is read.
const MOST: usize = 8 * 1024;

/// A code that is whole and valid by its own words.
#[derive(Debug)]
pub struct Read {
    /// What it says.
    pub claims: CodeClaims,
    /// The inviting node's key.
    pub key: PublicKey,
}

/// Writes a code.
pub fn write(key: &NodeKey, claims: &CodeClaims) -> String {
    key.sign(claims)
}

fn invalid(detail: &str) -> Refused {
    Refused { code: "invitation_invalid", detail: detail.to_owned(), field: Some("code") }
}

/// Reads a code as a person pasted it: line breaks and spaces inside are forgiven.
pub fn read(text: &str, now: Time) -> Result<Read, Refused> {
    let code = text.chars().filter(|c| !c.is_whitespace()).take(MOST + 1).collect::<String>();
    if code.len() > MOST {
        return Err(invalid("this is too long for an invitation code"));
    }
    if code.split('.').count() != 3 {
        return Err(invalid("this is not an invitation code: it has three parts with dots between; copy the whole of it"));
    }
    let version: Versioned =
        peek(&code).ok_or_else(|| invalid("this is not an invitation code, or a part of it is missing; copy the whole of it"))?;
    if version.v != VERSION {
        return Err(invalid(&format!(
            "this code is of version {}; this node reads version {VERSION}: bring both nodes to the same release",
            version.v
        )));
    }
    let claims: CodeClaims =
        peek(&code).ok_or_else(|| invalid("this is not an invitation code: members are missing; copy the whole of it"))?;
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.~".contains(c);
    if claims.jti.is_empty() || claims.jti.len() > 200 || !claims.jti.chars().all(plain) {
        return Err(invalid("this code names no readable invitation; copy the whole of it again"));
    }
    let key =
        PublicKey::parse(&claims.key).ok_or_else(|| invalid("this code names no readable key; copy the whole of it again"))?;
    let claims: CodeClaims = key
        .verify(&code, None)
        .ok_or_else(|| invalid("this code was altered on its way: its signature does not fit; copy the whole of it again"))?;
    if now >= Time::from_seconds(claims.exp) {
        let detail = format!("this invitation expired at {}; ask for a new one", Time::from_seconds(claims.exp));
        return Err(Refused { code: "invitation_expired", detail, field: Some("code") });
    }
    Ok(Read { claims, key })
}

#[derive(serde::Deserialize)]
struct Versioned {
    #[serde(default = "one")]
    v: u32,
}

const fn one() -> u32 {
    VERSION
}

impl Read {
    /// What it says, from the reader's side.
    pub fn inspected(&self) -> Inspected {
        let connection = &self.claims.connection;
        Inspected {
            connection_name: connection.name.clone(),
            mode: connection.mode,
            kind: connection.kind,
            node: self.claims.node.clone(),
            url: self.claims.iss.clone(),
            tracker_kind: connection.tracker_kind.clone(),
            local_short_name: connection.remote_short_name.clone(),
            remote_short_name: connection.local_short_name.clone(),
            description: connection.description.clone(),
            expires_at: Time::from_seconds(self.claims.exp),
            key_fingerprint: self.key.fingerprint().to_owned(),
            rekeys: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;
    use crate::{
        domain::{
            connection::{Kind, Mode, Prefer},
            ids::{ConnectionId, Side},
        },
        link::protocol::CodeConnection,
    };

    fn sample(v: u32) -> (NodeKey, CodeClaims) {
        let key = NodeKey::from_seed(&[3; 32]).expect("seed");
        let claims = CodeClaims {
            v,
            iss: "https://sync.acme.example".to_owned(),
            jti: Uuid::nil().to_string(),
            secret: "c2VjcmV0".to_owned(),
            exp: 1_000,
            node: "acme".to_owned(),
            key: key.public().text(),
            connection: CodeConnection {
                id: ConnectionId(Uuid::nil()),
                name: "support_to_partner".to_owned(),
                mode: Mode::Script,
                kind: Kind::Private,
                prefer: Prefer::Local,
                description: String::new(),
                local_short_name: "support".to_owned(),
                remote_short_name: "partner".to_owned(),
                tracker_kind: "salesforce".to_owned(),
                side: Side::Inviting,
                rekey: false,
            },
        };
        (key, claims)
    }

    #[test]
    fn a_code_is_read_from_the_readers_side() {
        let (key, claims) = sample(1);
        let code = write(&key, &claims);
        let pasted = format!(" {}\n{} ", &code[..40], &code[40..]);
        let seen = read(&pasted, Time::from_seconds(999)).expect("reads").inspected();
        assert_eq!((seen.local_short_name.as_str(), seen.remote_short_name.as_str()), ("partner", "support"));
        assert_eq!(seen.key_fingerprint, key.public().fingerprint());
        assert_eq!(read(&code, Time::from_seconds(1000)).expect_err("late").code, "invitation_expired");
    }

    #[test]
    fn each_fault_has_its_own_words() {
        let (key, claims) = sample(2);
        let text = |code: &str| read(code, Time::from_seconds(1)).expect_err("refused").detail;
        assert!(text(&write(&key, &claims)).contains("version 2"));
        assert!(text("hello").contains("three parts"));
        assert!(text("a.b.c").contains("copy the whole"));
        let other = NodeKey::from_seed(&[4; 32]).expect("seed");
        assert!(text(&write(&other, &sample(1).1)).contains("altered"));
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in ".{0,300}") {
            prop_assert!(read(&text, Time(0)).is_err());
        }
    }
}
