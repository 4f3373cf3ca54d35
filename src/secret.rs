//! Values that do not print themselves, and the sealer for columns.
//!
//! A sealed value is bound to its table, row and column (AES-256-GCM with that as associated data), so a value copied
//! to another place does not open. The first byte names the format, the next four the key, so that a key can be
//! replaced: seal with the first key, open with any listed.

use std::fmt;

use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    digest,
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Deserializer};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// A text that must not reach a log or an answer.
#[derive(Clone, Default)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes a text in.
    pub fn new(text: impl Into<String>) -> Self {
        Self(Zeroizing::new(text.into()))
    }

    /// The text, for the one call that needs it.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Compares without telling by time where the difference is.
    pub fn equals(&self, other: &str) -> bool {
        same_bytes(self.0.as_bytes(), other.as_bytes())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.equals(other.expose())
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::new)
    }
}

/// Compares in constant time for equal lengths.
pub fn same_bytes(a: &[u8], b: &[u8]) -> bool {
    a.ct_eq(b).into()
}

/// SHA-256.
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut out = [0u8; 32];
    out.copy_from_slice(digest::digest(&digest::SHA256, bytes).as_ref());
    out
}

/// base64url without padding (RFC 7515).
pub fn base64url(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Reads base64url without padding.
pub fn from_base64url(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}

/// A value could not be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// Sealed with a key that is not listed: the key file was lost or replaced.
    #[error(
        "a stored secret was sealed with another key; restore the key file, or enter the trackers' secrets again and re-key the connections"
    )]
    OtherKey,
    /// The bytes are not what was sealed for this place.
    #[error("a stored secret does not open: its bytes were altered or moved")]
    Altered,
}

const FORMAT: u8 = 1;
const HEAD: usize = 1 + 4 + NONCE_LEN;

/// Seals values to their table, row and column.
pub struct Sealer {
    keys: Vec<([u8; 4], LessSafeKey)>,
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sealer")
    }
}

impl Sealer {
    /// A sealer that seals with the first key and opens with any. At least one key.
    pub fn new(keys: &[[u8; 32]]) -> Self {
        let keys = keys
            .iter()
            .map(|key| {
                let mut id = [0u8; 4];
                id.copy_from_slice(&sha256(key)[..4]);
                let unbound = UnboundKey::new(&AES_256_GCM, key).expect("a 32-byte key fits AES-256");
                (id, LessSafeKey::new(unbound))
            })
            .collect::<Vec<_>>();
        assert!(!keys.is_empty(), "a sealer needs a key");
        Self { keys }
    }

    /// Seals `value` to its place. `nonce` must be random.
    pub fn seal(&self, place: Place<'_>, nonce: [u8; NONCE_LEN], value: &[u8]) -> Vec<u8> {
        let (id, key) = &self.keys[0];
        let mut sealed = value.to_vec();
        key.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(place.bytes()), &mut sealed)
            .expect("values are far smaller than the cipher's limit");
        let mut out = Vec::with_capacity(HEAD + sealed.len());
        out.push(FORMAT);
        out.extend_from_slice(id);
        out.extend_from_slice(&nonce);
        out.extend_from_slice(&sealed);
        out
    }

    /// Opens what [`Self::seal`] made for the same place.
    pub fn open(&self, place: Place<'_>, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, SealError> {
        if sealed.len() < HEAD || sealed[0] != FORMAT {
            return Err(SealError::Altered);
        }
        let (_, key) = self.keys.iter().find(|(id, _)| id == &sealed[1..5]).ok_or(SealError::OtherKey)?;
        let mut nonce = [0u8; NONCE_LEN];
        nonce.copy_from_slice(&sealed[5..HEAD]);
        let mut bytes = Zeroizing::new(sealed[HEAD..].to_vec());
        let length = key
            .open_in_place(Nonce::assume_unique_for_key(nonce), Aad::from(place.bytes()), &mut bytes)
            .map_err(|_| SealError::Altered)?
            .len();
        bytes.truncate(length);
        Ok(bytes)
    }
}

/// Where a sealed value stands.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// Table.
    pub table: &'a str,
    /// Row.
    pub row: &'a str,
    /// Column.
    pub column: &'a str,
}

impl Place<'_> {
    fn bytes(self) -> Vec<u8> {
        [self.table, self.row, self.column].join("\u{1f}").into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sealed_value_opens_only_in_its_place_and_with_its_key() {
        let place = Place { table: "invitations", row: "1", column: "secret" };
        let sealer = Sealer::new(&[[1; 32]]);
        let sealed = sealer.seal(place, [9; NONCE_LEN], b"hush");
        assert_eq!(&*sealer.open(place, &sealed).expect("opens"), b"hush");
        assert_eq!(sealer.open(Place { row: "2", ..place }, &sealed), Err(SealError::Altered));
        assert_eq!(Sealer::new(&[[2; 32]]).open(place, &sealed), Err(SealError::OtherKey));
        assert!(Sealer::new(&[[2; 32], [1; 32]]).open(place, &sealed).is_ok());
    }

    #[test]
    fn a_secret_does_not_print() {
        assert_eq!(format!("{:?}", Secret::new("hush")), "[secret]");
    }
}
