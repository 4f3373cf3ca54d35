//! Record ids: 15 characters whose case matters, or 18 with three of checksum.

const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ012345";

/// What ids of the standard objects begin with, the same in every org. Others begin differently from org to org.
const PREFIXES: [(&str, &str); 17] = [
    ("500", "Case"),
    ("00a", "CaseComment"),
    ("0D5", "FeedItem"),
    ("0D7", "FeedComment"),
    ("02s", "EmailMessage"),
    ("068", "ContentVersion"),
    ("069", "ContentDocument"),
    ("00P", "Attachment"),
    ("00T", "Task"),
    ("001", "Account"),
    ("003", "Contact"),
    ("006", "Opportunity"),
    ("005", "User"),
    ("00G", "Group"),
    ("012", "RecordType"),
    ("00D", "Organization"),
    ("00e", "Profile"),
];

/// The standard object that an id belongs to, if it is one of those.
pub(super) fn standard_type(id: &str) -> Option<&'static str> {
    PREFIXES.iter().find(|(prefix, _)| id.starts_with(prefix)).map(|(_, name)| *name)
}

/// Completes an id to 18 characters; `None` where it cannot be one. A written checksum also mends the case of letters
/// that a system in between changed, so the result always carries the right one.
pub(super) fn complete(text: &str) -> Option<String> {
    if !text.is_ascii() || !text.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return None;
    }
    match text.len() {
        15 => Some(format!("{text}{}", checksum(text))),
        18 => {
            let (short, sum) = text.split_at(15);
            if checksum(short).eq_ignore_ascii_case(sum) {
                Some(format!("{short}{}", checksum(short)))
            } else {
                mended(short, sum)
            }
        }
        _ => None,
    }
}

fn checksum(short: &str) -> String {
    short
        .as_bytes()
        .chunks(5)
        .map(|block| {
            let index = block.iter().enumerate().fold(0, |bits, (i, byte)| bits | usize::from(byte.is_ascii_uppercase()) << i);
            char::from(ALPHABET[index])
        })
        .collect()
}

/// The id whose letters have the case that the checksum tells, if its digits agree with it.
fn mended(short: &str, sum: &str) -> Option<String> {
    let mut out = String::with_capacity(18);
    for (block, sum) in short.as_bytes().chunks(5).zip(sum.bytes()) {
        let bits = ALPHABET.iter().position(|byte| *byte == sum.to_ascii_uppercase())?;
        for (i, byte) in block.iter().enumerate() {
            let upper = bits >> i & 1 == 1;
            if upper && !byte.is_ascii_alphabetic() {
                return None;
            }
            out.push(char::from(if upper { byte.to_ascii_uppercase() } else { byte.to_ascii_lowercase() }));
        }
    }
    out.push_str(&checksum(&out));
    Some(out)
}

/// Whether two ids of either length mean the same record.
pub(super) fn same(a: &str, b: &str) -> bool {
    a.len() >= 15 && b.len() >= 15 && a.as_bytes()[..15] == b.as_bytes()[..15]
}

/// Whether this can be the API name of an object or a field.
pub(super) fn is_name(text: &str) -> bool {
    text.len() <= 100
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        && text.starts_with(|first: char| first.is_ascii_alphabetic())
}

/// A text as it may stand between quotes in SOQL.
pub(super) fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('\'');
    for letter in text.chars() {
        match letter {
            '\'' | '\\' => {
                out.push('\\');
                out.push(letter);
            }
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            other => out.push(other),
        }
    }
    out.push('\'');
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn published_ids_get_their_checksum() {
        assert_eq!(complete("00D5i000000XyZa").as_deref(), Some("00D5i000000XyZaEAK"));
        assert_eq!(complete("5005i00000KfR1a").as_deref(), Some("5005i00000KfR1aAAF"));
        assert_eq!(complete("5005i00000KfR1aAAF").as_deref(), Some("5005i00000KfR1aAAF"));
        assert_eq!(complete("5005I00000KFR1AAAF").as_deref(), Some("5005i00000KfR1aAAF"));
        assert_eq!(complete("50050"), None);
        assert_eq!(complete("5005i00000KfR1'"), None);
    }

    proptest! {
        #[test]
        fn completing_is_stable(short in "[0-9a-zA-Z]{15}") {
            let long = complete(&short).expect("fifteen alphanumerics");
            prop_assert!(same(&long, &short));
            prop_assert_eq!(complete(&long.to_lowercase()), Some(long.clone()));
            prop_assert_eq!(complete(&long), Some(long));
        }

        #[test]
        fn quoting_leaves_no_way_out(text in any::<String>()) {
            let quoted = quoted(&text);
            let inner = &quoted[1..quoted.len() - 1];
            let mut escaped = false;
            for letter in inner.chars() {
                prop_assert!(escaped || letter != '\'');
                escaped = !escaped && letter == '\\';
            }
            prop_assert!(!escaped);
        }
    }
}
