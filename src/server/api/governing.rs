//! Who can make accounts and tokens: the token of the configuration, a token with the scope `admin` for the whole node, an
//! account with the role `admin`. The last of them is not taken away, or nobody could let anybody in.

use crate::{
    clock::Time,
    domain::{
        ids::{TokenId, UserId},
        token::{Scope, Token},
    },
    store::{StoreError, Tx},
};

/// What is about to be gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Without {
    Token(TokenId),
    User(UserId),
}

/// Whether somebody is left who governs. `configured`: the configuration has a token.
pub(super) async fn goes_on(tx: &mut dyn Tx, configured: bool, now: Time, without: Without) -> Result<bool, StoreError> {
    if configured {
        return Ok(true);
    }
    let users = tx.users().await?;
    if users.iter().any(|user| user.role == Scope::Admin && without != Without::User(user.id)) {
        return Ok(true);
    }
    let tokens = tx.tokens().await?;
    Ok(tokens.iter().any(|token| governs(token, now) && without != Without::Token(token.id)))
}

/// Whether the token can make others, now and as long as nobody deletes it.
pub(super) fn governs(token: &Token, now: Time) -> bool {
    token.scopes.contains(&Scope::Admin) && token.connections.is_none() && token.expires_at.is_none_or(|at| at > now)
}
