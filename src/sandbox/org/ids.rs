//! Record ids: 15 characters where case matters, or 18 with a checksum of the case.
//!
//! Each block of five characters gives one of 32 letters: bit `i` is set where character `i` is a capital.

use std::collections::BTreeMap;

const CHECK: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ012345";
const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// Completes an id of 15 or 18 characters to 18; `None` where it cannot be an id.
pub fn to_18(id: &str) -> Option<String> {
    if !(id.len() == 15 || id.len() == 18) || !id.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return None;
    }
    let short = &id[..15];
    let mut whole = short.to_owned();
    for block in short.as_bytes().chunks(5) {
        let bits =
            block.iter().enumerate().filter(|(_, byte)| byte.is_ascii_uppercase()).map(|(i, _)| 1usize << i).sum::<usize>();
        whole.push(char::from(CHECK[bits]));
    }
    Some(whole)
}

/// Counts ids up, per key prefix.
#[derive(Debug, Default, Clone)]
pub(super) struct IdMaker {
    next: BTreeMap<String, u64>,
}

impl IdMaker {
    /// A new id of 18 characters with this prefix of three.
    pub(super) fn make(&mut self, prefix: &str) -> String {
        let counter = self.next.entry(prefix.to_owned()).or_insert(62 * 62 + 10);
        *counter += 1;
        let mut rest = *counter;
        let mut tail = [b'0'; 5];
        for digit in tail.iter_mut().rev() {
            *digit = DIGITS[usize::try_from(rest % 62).unwrap_or(0)];
            rest /= 62;
        }
        let short = format!("{prefix}5i00000{}", String::from_utf8_lossy(&tail));
        to_18(&short).unwrap_or(short)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_checksum_is_that_of_public_ids() {
        assert_eq!(to_18("0012800000gfa4c").as_deref(), Some("0012800000gfa4cAAA"));
        assert_eq!(to_18("005D0000001KyEI").as_deref(), Some("005D0000001KyEIIA0"));
        assert_eq!(to_18("012000000000000").as_deref(), Some("012000000000000AAA"));
        assert_eq!(to_18("not an id"), None);
        assert_eq!(to_18("005D0000001KyEIIA0").as_deref(), Some("005D0000001KyEIIA0"));
    }

    #[test]
    fn made_ids_differ_and_carry_their_prefix() {
        let mut maker = IdMaker::default();
        let (a, b) = (maker.make("500"), maker.make("500"));
        assert_ne!(a, b);
        assert!(a.starts_with("500") && a.len() == 18);
        assert_eq!(to_18(&a[..15]), Some(a));
    }

    proptest! {
        #[test]
        fn completing_never_panics(text in "\\PC{0,20}") {
            if let Some(id) = to_18(&text) {
                prop_assert_eq!(id.len(), 18);
                prop_assert_eq!(to_18(&id), Some(id.clone()));
            }
        }
    }
}
