//! Who a node is: one Ed25519 key, made at first start, known to people by its fingerprint.
//!
//! The fingerprint is the JWK thumbprint (RFC 7638) of the public key. Everything that is signed on the link is a JWS
//! in compact form with `alg: EdDSA`; reading one always names the exact algorithm and, where the token has a
//! receiver, the audience. Times are judged by the caller, who has the node's clock.

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    secret::{Secret, base64url, from_base64url, sha256},
    store::{Store, StoreError},
};

const NAME: &str = "node.key";

/// A public key of 32 bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey {
    bytes: Vec<u8>,
    fingerprint: String,
}

impl PublicKey {
    /// Reads base64url of 32 bytes.
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = from_base64url(text)?;
        (bytes.len() == 32).then(|| Self::of(&bytes))
    }

    fn of(bytes: &[u8]) -> Self {
        // RFC 7638: the required members in lexical order, without white space.
        let jwk = format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{}"}}"#, base64url(bytes));
        Self { bytes: bytes.to_vec(), fingerprint: base64url(&sha256(jwk.as_bytes())) }
    }

    /// base64url of the bytes: `x` of the JWK.
    pub fn text(&self) -> String {
        base64url(&self.bytes)
    }

    /// RFC 7638 thumbprint.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// Reads a token that this key signed; `audience` is asked for where the token has one. Its header may name the key
    /// or leave that out (codes and answers: it is known whose they should be), but names no other.
    pub fn verify<T: DeserializeOwned>(&self, token: &str, audience: Option<&str>) -> Option<T> {
        self.read(token, audience).filter(|(named, _)| *named != Some(false)).map(|(_, claims)| claims)
    }

    /// The same, where the header has to name the key (requests).
    pub fn verify_named<T: DeserializeOwned>(&self, token: &str, audience: Option<&str>) -> Option<T> {
        self.read(token, audience).filter(|(named, _)| *named == Some(true)).map(|(_, claims)| claims)
    }

    /// Whether the header names this key (`None`: it names none), and the claims.
    fn read<T: DeserializeOwned>(&self, token: &str, audience: Option<&str>) -> Option<(Option<bool>, T)> {
        let mut rules = Validation::new(Algorithm::EdDSA);
        rules.required_spec_claims.clear();
        rules.validate_exp = false;
        match audience {
            Some(audience) => rules.set_audience(&[audience]),
            None => rules.validate_aud = false,
        }
        let read = jsonwebtoken::decode::<T>(token, &DecodingKey::from_ed_der(&self.bytes), &rules).ok()?;
        Some((read.header.kid.map(|kid| kid == self.fingerprint), read.claims))
    }
}

/// What a token says before anybody vouches for it: only to find the key that should have signed it.
pub fn peek<T: DeserializeOwned>(token: &str) -> Option<T> {
    serde_json::from_slice(&from_base64url(token.split('.').nth(1)?)?).ok()
}

/// This node's key.
pub struct NodeKey {
    signing: EncodingKey,
    public: PublicKey,
}

impl std::fmt::Debug for NodeKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "NodeKey({})", self.public.fingerprint)
    }
}

impl NodeKey {
    /// The key that grows from 32 secret bytes; `None` where they are not 32.
    pub fn from_seed(seed: &[u8]) -> Option<Self> {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed).ok()?;
        let pkcs8 = pair.to_pkcs8v1().ok()?;
        Some(Self { signing: EncodingKey::from_ed_der(pkcs8.as_ref()), public: PublicKey::of(pair.public_key().as_ref()) })
    }

    /// Loads the key, or makes it at first start; the second value says that it was just made.
    pub async fn open(store: &Store, fresh: [u8; 32]) -> Result<(Self, bool), StoreError> {
        let kept = store.read("link.key", |tx| Box::pin(async move { tx.secret(NAME).await })).await?;
        let (seed, made) = match kept {
            Some(seed) => (seed, false),
            None => {
                let seed = Secret::new(base64url(&fresh));
                let keep = seed.clone();
                store.write("link.key", |tx| Box::pin(async move { tx.put_secret(NAME, &keep).await })).await?;
                (seed, true)
            }
        };
        let key = from_base64url(seed.expose()).and_then(|seed| Self::from_seed(&seed));
        key.map(|key| (key, made)).ok_or_else(|| StoreError::Broken("the kept node key is not one".to_owned()))
    }

    /// Its public half.
    pub fn public(&self) -> &PublicKey {
        &self.public
    }

    /// Signs claims.
    pub fn sign<T: Serialize>(&self, claims: &T) -> String {
        let mut header = Header::new(Algorithm::EdDSA);
        header.kid = Some(self.public.fingerprint.clone());
        jsonwebtoken::encode(&header, claims, &self.signing).expect("a checked Ed25519 key signs plain claims")
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn the_thumbprint_is_that_of_rfc_8037() {
        // RFC 8037, appendices A.2 and A.3.
        let key = PublicKey::parse("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo").expect("32 bytes");
        assert_eq!(key.fingerprint(), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
    }

    #[test]
    fn a_token_holds_only_for_its_key_and_receiver() {
        let key = NodeKey::from_seed(&[7; 32]).expect("a seed");
        let other = NodeKey::from_seed(&[8; 32]).expect("a seed");
        let token = key.sign(&json!({"aud": "them", "n": 1}));
        assert!(key.public().verify::<Value>(&token, Some("them")).is_some());
        assert!(key.public().verify::<Value>(&token, Some("others")).is_none());
        assert!(other.public().verify::<Value>(&token, Some("them")).is_none());
        let none = format!("{}.{}.", base64url(br#"{"alg":"none"}"#), token.split('.').nth(1).expect("claims"));
        assert!(key.public().verify::<Value>(&none, Some("them")).is_none());
    }

    #[test]
    fn a_header_may_leave_the_key_out_but_names_no_other() {
        let key = NodeKey::from_seed(&[7; 32]).expect("a seed");
        let token = |kid: Option<&str>| {
            let mut header = Header::new(Algorithm::EdDSA);
            (header.kid, header.typ) = (kid.map(str::to_owned), None);
            jsonwebtoken::encode(&header, &json!({"n": 1}), &key.signing).expect("signs")
        };
        let reads = |token: &str| {
            let known = key.public();
            (known.verify::<Value>(token, None).is_some(), known.verify_named::<Value>(token, None).is_some())
        };
        assert_eq!(reads(&token(Some(key.public().fingerprint()))), (true, true));
        assert_eq!(reads(&token(None)), (true, false));
        assert_eq!(reads(&token(Some("other"))), (false, false));
    }
}
