//! The one shape of a refusal (RFC 9457) and the closed list of its codes.
//!
//! A code is a promise to programs: its name, status and title never change. To add one: a line in [`codes!`], a section
//! in `docs/problems.md` (a test walks both), and the snapshot. What happened in this very case goes into `detail`.

use std::{fmt, time::Duration};

use actix_web::{
    HttpResponse, ResponseError,
    http::{StatusCode, header},
};
use serde::{Deserialize, Serialize};

use crate::{domain::tracker, link, rules::checks::Severity, store::StoreError, sync};

macro_rules! codes {
    ($($name:ident = $word:literal, $status:literal, $title:literal;)*) => {
        /// Every code that a problem document may carry.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, utoipa::ToSchema)]
        pub enum Code {
            $(#[doc = $title] #[serde(rename = $word)] $name,)*
        }

        impl Code {
            /// All of them, in the order of `docs/problems.md`.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// As it stands in JSON.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $word),* }
            }

            /// HTTP status.
            pub const fn status(self) -> u16 {
                match self { $(Self::$name => $status),* }
            }

            /// The same for every problem of this code.
            pub const fn title(self) -> &'static str {
                match self { $(Self::$name => $title),* }
            }
        }
    };
}

codes! {
    MalformedJson = "malformed_json", 400, "The body is not JSON";
    MalformedRequest = "malformed_request", 400, "The request cannot be read";
    Unauthenticated = "unauthenticated", 401, "A valid token is needed";
    SignInRefused = "sign_in_refused", 401, "The sign-in was refused";
    WrongSignature = "wrong_signature", 401, "The message is not signed by its sender's secret";
    StaleMessage = "stale_message", 401, "The message's time is too far from ours";
    Forbidden = "forbidden", 403, "The token does not allow this";
    WrongDoorToken = "wrong_door_token", 403, "The token in the address is wrong";
    NotFound = "not_found", 404, "There is no such thing";
    MethodNotAllowed = "method_not_allowed", 405, "This address does not take that method";
    State = "invalid_state", 409, "The present state does not allow this";
    NameTaken = "name_taken", 409, "The name is taken";
    RuleChanged = "rule_changed", 409, "Somebody published other rules meanwhile";
    BasicMode = "basic_mode", 409, "The rules of a connection in basic mode are read-only";
    IdempotencyInProgress = "idempotency_in_progress", 409, "The first request with this key is still at work";
    IdempotencySecret = "idempotency_secret", 409, "The answer held a secret and is not repeated";
    AlreadyAccepted = "already_accepted", 409, "The invitation was used by another node";
    InvitationExpired = "invitation_expired", 410, "The invitation has expired";
    InvitationRevoked = "invitation_revoked", 410, "The invitation was revoked";
    TooLarge = "too_large", 413, "The body is too large";
    UnsupportedMediaType = "unsupported_media_type", 415, "The body is not sent as JSON";
    WrongHost = "wrong_host", 421, "This address is not served here";
    Invalid = "validation_failed", 422, "The request has members that cannot be meant";
    IdempotencyMismatch = "idempotency_mismatch", 422, "The key was used for another request";
    NotANode = "not_a_node", 422, "The address is not a Wicketgate node";
    AddressNotAllowed = "address_not_allowed", 422, "The address may not be called";
    CannotInvite = "cannot_invite", 422, "A node without an address cannot invite";
    InvitationInvalid = "invitation_invalid", 422, "The code is not an invitation";
    InvitationUnknown = "invitation_unknown", 422, "The inviting node does not know this invitation";
    CannotJoin = "cannot_join", 422, "This invitation cannot be accepted here";
    TrackerRefused = "tracker_refused", 422, "The tracker refused";
    RuleInvalid = "rule_invalid", 422, "A rule does not parse";
    RuleUnfit = "rule_unfit", 422, "A rule does not fit the tracker";
    RateLimited = "rate_limited", 429, "Too many failed attempts";
    Internal = "internal", 500, "Something broke in this node";
    PeerUnreachable = "peer_unreachable", 502, "The other node does not answer";
    TrackerUnavailable = "tracker_unavailable", 502, "The tracker cannot be used now";
    StoreUnavailable = "store_unavailable", 503, "The database cannot be written now";
    Stopping = "stopping", 503, "The node is stopping";
}

impl Code {
    /// The code of this name.
    pub fn named(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|code| code.as_str() == word)
    }
}

/// How [`Problem::not_found`] ends; pages say it to people in other words.
pub const UNSEEN: &str = ", or this token may not see it.";

/// One member of the request that cannot be meant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct FieldError {
    /// Its name, with dots for nesting.
    pub field: String,
    /// Why, and what would do.
    pub message: String,
    /// In a script: the line, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<u32>,
    /// In a script: the column in that line, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub column: Option<u32>,
    /// In a script: that line's own text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// In a script: how much it matters.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub severity: Option<Severity>,
    /// In a script: what to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advice: Option<String>,
}

impl FieldError {
    /// A member that cannot be meant.
    pub fn new(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self { field: field.into(), message: message.into(), line: None, column: None, text: None, severity: None, advice: None }
    }
}

/// What a refused caller is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// From the closed list.
    pub code: Code,
    /// What happened here, and what to do.
    pub detail: String,
    /// Members that are meant.
    pub errors: Vec<FieldError>,
    /// Not before this long from now.
    pub retry_after: Option<Duration>,
}

/// A refusal as it travels, `application/problem+json`.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = Problem)]
pub struct ProblemBody {
    /// `urn:wicketgate:problem:` and the code.
    #[serde(rename = "type")]
    pub kind: String,
    /// The same for every problem of this code.
    pub title: &'static str,
    /// HTTP status.
    pub status: u16,
    /// What happened here, and what to do.
    pub detail: String,
    /// From the closed list in docs/problems.md.
    pub code: Code,
    /// Members that are meant; empty for most codes.
    pub errors: Vec<FieldError>,
}

impl Problem {
    /// A problem of this code.
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Self { code, detail: detail.into(), errors: Vec::new(), retry_after: None }
    }

    /// There is no such `what`, or the caller may not know of it.
    pub fn not_found(what: &str) -> Self {
        Self::new(Code::NotFound, format!("There is no such {what}{UNSEEN}"))
    }

    /// One member cannot be meant.
    pub fn field(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self::fields(vec![FieldError::new(field, message)])
    }

    /// Some members cannot be meant.
    pub fn fields(errors: Vec<FieldError>) -> Self {
        let detail = errors.iter().map(|error| format!("{}: {}", error.field, error.message)).collect::<Vec<_>>().join("; ");
        Self { code: Code::Invalid, detail, errors, retry_after: None }
    }

    /// Names the member that is meant.
    pub fn at(mut self, field: impl Into<String>) -> Self {
        self.errors.push(FieldError::new(field, self.detail.clone()));
        self
    }

    /// Says when to come again.
    pub fn after(mut self, pause: Duration) -> Self {
        self.retry_after = Some(pause);
        self
    }

    /// As it travels.
    pub fn body(&self) -> ProblemBody {
        ProblemBody {
            kind: format!("urn:wicketgate:problem:{}", self.code.as_str()),
            title: self.code.title(),
            status: self.code.status(),
            detail: self.detail.clone(),
            code: self.code,
            errors: self.errors.clone(),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code.as_str(), self.detail)
    }
}

impl std::error::Error for Problem {}

impl ResponseError for Problem {
    fn status_code(&self) -> StatusCode {
        StatusCode::from_u16(self.code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    fn error_response(&self) -> HttpResponse {
        let mut answer = HttpResponse::build(self.status_code());
        answer.content_type("application/problem+json");
        if self.code == Code::Unauthenticated {
            answer.insert_header((header::WWW_AUTHENTICATE, "Bearer realm=\"wicketgate\""));
        }
        if let Some(pause) = self.retry_after {
            // Rounded up: a caller that comes at the told second must not be early.
            let seconds = pause.as_secs() + u64::from(pause.subsec_nanos() > 0);
            answer.insert_header((header::RETRY_AFTER, seconds.max(1).to_string()));
        }
        answer.body(serde_json::to_vec(&self.body()).expect("a problem holds only text and numbers"))
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unavailable(_) => Self::new(
                Code::StoreUnavailable,
                format!("{error}. Nothing was changed; free disk space or mend the database, then try again."),
            )
            .after(Duration::from_secs(5)),
            StoreError::Closed => {
                Self::new(Code::Stopping, "The node is stopping; try again in a moment.").after(Duration::from_secs(5))
            }
            StoreError::NoPlace => Self::field("cursor", error.to_string()),
            StoreError::Taken(what) => Self::new(Code::NameTaken, format!("`{what}` is taken on this node; choose another.")),
            StoreError::Seal(_) => Self::new(Code::Internal, error.to_string()),
            StoreError::Broken(_) | StoreError::InUse(_) => {
                tracing::error!(%error, "the store answered unexpectedly");
                Self::new(Code::Internal, "The database answered unexpectedly; the node's log says more.")
            }
        }
    }
}

impl From<tracker::TrackerError> for Problem {
    fn from(error: tracker::TrackerError) -> Self {
        let text = [error.title.as_str(), error.detail.as_str(), error.advice.as_str()]
            .into_iter()
            .filter(|part| !part.is_empty())
            .collect::<Vec<_>>()
            .join(" — ");
        if error.concerns_all() {
            let problem = Self::new(Code::TrackerUnavailable, text);
            match error.retry {
                tracker::Retry::Soon(Some(pause)) => problem.after(pause),
                _ => problem,
            }
        } else {
            Self::new(Code::TrackerRefused, text)
        }
    }
}

impl From<sync::Refused> for Problem {
    fn from(refused: sync::Refused) -> Self {
        match refused {
            sync::Refused::NotFound(what) => Self::not_found(what),
            sync::Refused::State(detail) => Self::new(Code::State, detail),
            sync::Refused::Invalid { field, message } => Self::field(field, message),
            sync::Refused::Tracker(error) => error.into(),
            sync::Refused::Store(error) => error.into(),
        }
    }
}

impl From<link::Refused> for Problem {
    fn from(refused: link::Refused) -> Self {
        let code = Code::named(refused.code).unwrap_or(Code::CannotJoin);
        let problem = Self::new(code, refused.detail);
        match refused.field {
            Some(field) => problem.at(field),
            None => problem,
        }
    }
}

impl From<crate::domain::connection::Refused> for Problem {
    fn from(refused: crate::domain::connection::Refused) -> Self {
        Self::new(Code::State, refused.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_and_their_page_agree() {
        let page = include_str!("../../../docs/problems.md");
        let told: Vec<&str> = page.lines().filter_map(|line| line.strip_prefix("### `")?.split('`').next()).collect();
        let known: Vec<&str> = Code::ALL.iter().map(|code| code.as_str()).collect();
        assert_eq!(told, known, "docs/problems.md lists every code once, in the order of the enum");
        for code in Code::ALL {
            let heading = format!("### `{}` ({})", code.as_str(), code.status());
            assert!(page.contains(&heading), "{heading}");
        }
    }

    #[test]
    fn bodies_are_frozen() {
        let all: Vec<_> = Code::ALL.iter().map(|code| Problem::new(*code, "what happened").body()).collect();
        insta::assert_json_snapshot!(all);
        insta::assert_json_snapshot!(Problem::field("name", "is empty").body());
    }

    #[test]
    fn a_pause_is_told_in_whole_seconds_rounded_up() {
        let answer = Problem::new(Code::RateLimited, "slow down").after(Duration::from_millis(1200)).error_response();
        assert_eq!(answer.headers().get("retry-after").expect("told"), "2");
    }
}
