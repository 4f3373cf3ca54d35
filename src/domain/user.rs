//! People who sign in to a node: their accounts, their sessions, and the rules for names and passwords.
//!
//! ```text
//!   (none) ──sign-in──▶ session ──twelve hours idle, a week, sign-out──▶ (none)
//!                          └── a new password, the account deleted, ended by hand ──▶ (none)
//! ```
//!
//! A role is a token's scope: what a person may do is what a token of that scope may.
//!
//! Traps. Two names are the same without regard to case ([`name_key`]), in all scripts, so no database may compare them by
//! itself. A session's id is the hash of what the browser holds, never that value.

use std::{fmt, str::FromStr, time::Duration};

use serde::{Serialize, Serializer};

use super::{ids::UserId, token::Scope};
use crate::{
    clock::Time,
    secret::{base64url, from_base64url},
};

/// Longest name, in characters.
pub const NAME: usize = 100;
/// Shortest password, in characters. Length is what makes guessing hopeless; classes of characters are not asked for, for
/// they lead to `Password1234!`.
pub const SHORTEST: usize = 12;
/// Longest password, in characters: a sentence fits, and a stranger cannot make the node work through a book. Counted as
/// people count, so that the same sentence fits in every script.
pub const LONGEST: usize = 200;
/// A password has at least so many different characters.
const DIFFERENT: usize = 5;
/// A session that nobody used for so long is over.
pub const IDLE: Duration = Duration::from_secs(12 * 3600);
/// After this a session is over, used or not.
pub const LONGEST_SESSION: Duration = Duration::from_secs(7 * 24 * 3600);
/// A session is known to be in use no finer than this: more would be a write for each page.
pub const SEEN_EVERY: Duration = Duration::from_secs(60);

/// A person's account. The hash of the password stays in the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// Its id.
    pub id: UserId,
    /// What is typed at sign-in; see [`check_name`].
    pub name: String,
    /// What the person may do.
    pub role: Scope,
    /// When the account was made.
    pub created_at: Time,
    /// When somebody last signed in with it.
    pub last_sign_in_at: Option<Time>,
}

/// A person who is signed in, in one browser.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// Its id.
    pub id: SessionId,
    /// Who.
    pub user: UserId,
    /// When the person signed in.
    pub made_at: Time,
    /// When it was last used, no finer than [`SEEN_EVERY`].
    pub seen_at: Time,
    /// From where the person signed in.
    pub address: String,
    /// What the browser called itself then.
    pub browser: String,
}

impl Session {
    /// Nobody may use it any more.
    pub fn is_over(&self, now: Time) -> bool {
        now.since(self.seen_at) >= IDLE || now.since(self.made_at) >= LONGEST_SESSION
    }

    /// It is time to note that it is in use.
    pub fn is_to_be_seen(&self, now: Time) -> bool {
        now.since(self.seen_at) >= SEEN_EVERY
    }
}

/// A session's id: SHA-256 of the value in the browser's cookie. As text it is base64url.
#[derive(Clone, Copy, PartialEq, Eq, Hash, utoipa::ToSchema)]
#[schema(value_type = String)]
pub struct SessionId(pub [u8; 32]);

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&base64url(&self.0))
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The text is no session's id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this is no id of a session")]
pub struct NoSession;

impl FromStr for SessionId {
    type Err = NoSession;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bytes = from_base64url(text).ok_or(NoSession)?;
        bytes.try_into().map(Self).map_err(|_| NoSession)
    }
}

impl Serialize for SessionId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// The name as it is kept: trimmed, 1 to [`NAME`] characters, all of which can be seen. `Err`: why it will not do.
pub fn check_name(typed: &str) -> Result<String, String> {
    let name = typed.trim();
    let length = name.chars().count();
    match length {
        0 => Err("must not be empty".to_owned()),
        _ if length > NAME => Err(format!("has {length} characters; at most {NAME} are taken")),
        _ if name.chars().any(unseen) => Err("holds characters that cannot be seen; type it anew".to_owned()),
        _ => Ok(name.to_owned()),
    }
}

/// Characters that would let two names look alike: controls, marks of direction, and those without width.
fn unseen(one: char) -> bool {
    one.is_control()
        || matches!(one, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// What two names have in common that are the same without regard to case. Up and down again, letter by letter: so `ß` is
/// `SS`, and a sigma is one wherever in the word it stands.
pub fn name_key(name: &str) -> String {
    name.trim().chars().flat_map(char::to_uppercase).flat_map(char::to_lowercase).collect()
}

/// Whether the password will do for the account of this name. `Err`: why not.
pub fn check_password(password: &str, name: &str) -> Result<(), String> {
    let length = password.chars().count();
    if length < SHORTEST {
        return Err(format!("has {length} characters; at least {SHORTEST} are needed: a few words are easy to keep in mind"));
    }
    if length > LONGEST {
        return Err(format!("has {length} characters; at most {LONGEST} are taken"));
    }
    let mut different: Vec<char> = password.chars().collect();
    different.sort_unstable();
    different.dedup();
    if different.len() < DIFFERENT {
        return Err(format!("has {} different characters; at least {DIFFERENT} are needed", different.len()));
    }
    if name_key(password) == name_key(name) {
        return Err("is the name of the account; take another".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;

    #[test]
    fn names_are_trimmed_and_bounded() {
        assert_eq!(check_name("  Ada Lovelace \n").as_deref(), Ok("Ada Lovelace"));
        assert_eq!(check_name(&"é".repeat(NAME)).map(|name| name.chars().count()), Ok(NAME));
        for wrong in ["", " \t", &"a".repeat(NAME + 1), "a\nb", "ada\u{200b}", "\u{202e}ada", "a\0"] {
            assert!(check_name(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn one_name_in_two_cases_is_one() {
        for (one, other) in
            [("Ada", "aDA "), ("ÉLODIE", "élodie"), ("Straße", "STRASSE"), ("ΟΔΥΣΣΕΥΣ", "οδυσσευς"), ("ﬁn", "FIN")]
        {
            assert_eq!(name_key(one), name_key(other), "{one} {other}");
        }
        assert_ne!(name_key("ada"), name_key("a da"));
    }

    #[test]
    fn passwords_are_long_enough_and_not_too_long() {
        assert_eq!(check_password("correct horse battery", "ada"), Ok(()));
        assert_eq!(check_password("пароль длинный", "ada"), Ok(()), "characters are counted, not bytes");
        assert_eq!(check_password(&"abcdé".repeat(LONGEST / 5), "ada"), Ok(()));
        for (wrong, name) in [
            ("", "ada"),
            ("elevenchars", "ada"),
            ("aaaabbbbccccdddd", "ada"),
            (&*"abcdé!".repeat(LONGEST / 5), "ada"),
            ("Ada Lovelace Byron", "ada lovelace byron"),
        ] {
            assert!(check_password(wrong, name).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_session_ends_idle_or_old() {
        let session = Session {
            id: SessionId([7; 32]),
            user: UserId(Uuid::nil()),
            made_at: Time(0),
            seen_at: Time(0),
            address: String::new(),
            browser: String::new(),
        };
        assert!(!session.is_over(Time(0).plus(IDLE - Duration::from_millis(1))));
        assert!(session.is_over(Time(0).plus(IDLE)));
        let used = Session { seen_at: Time(0).plus(LONGEST_SESSION), ..session };
        assert!(used.is_over(Time(0).plus(LONGEST_SESSION)));
        assert!(!used.is_over(Time(0).plus(LONGEST_SESSION - Duration::from_millis(1))));
        let id: SessionId = used.id.to_string().parse().expect("its own text");
        assert_eq!(id, used.id);
        assert!("short".parse::<SessionId>().is_err());
    }

    proptest! {
        #[test]
        fn a_key_is_its_own_key(name in "\\PC{0,40}") {
            let key = name_key(&name);
            prop_assert_eq!(name_key(&key), key.clone());
            prop_assert_eq!(name_key(&name.to_uppercase()), key.clone());
            prop_assert_eq!(name_key(&format!(" {name}\t")), key);
        }

        #[test]
        fn a_name_that_is_taken_is_kept_as_it_is(typed in any::<String>()) {
            if let Ok(name) = check_name(&typed) {
                prop_assert_eq!(name.trim(), name.as_str());
                prop_assert!((1..=NAME).contains(&name.chars().count()));
                prop_assert!(!name.chars().any(char::is_control));
                prop_assert_eq!(check_name(&name), Ok(name.clone()));
            }
        }
    }
}
