//! How rules travel.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::super::connections::TEXT;
use crate::{
    clock::Time,
    domain::{
        rule::RulePair,
        version::{Imprint, RuleDraft, RuleVersion},
    },
    server::kit::{FieldError, Problem, query},
};

/// Longest text of one rule, in bytes: two of them and a record fit into one message to a worker.
pub const MOST: usize = 256_000;
/// Longest name of an entity type.
pub const NAME: usize = 200;

/// A pair of rules that is being written.
#[derive(Debug, Serialize, ToSchema)]
pub struct Draft {
    /// Entity → replica.
    pub outgoing: String,
    /// Replica → entity.
    pub incoming: String,
    /// Version that the draft began from.
    pub base: u32,
    /// When it was saved.
    pub at: Time,
    /// By whom.
    pub by: String,
}

/// A pair of rules that runs, or ran.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Published {
    /// Entity → replica.
    pub outgoing: String,
    /// Replica → entity.
    pub incoming: String,
    /// 0 is the built-in pair.
    pub version: u32,
    /// When it was published; null for the built-in pair.
    pub at: Option<Time>,
    /// By whom; null for the built-in pair.
    pub by: Option<String>,
    /// Why; null for the built-in pair.
    pub note: Option<String>,
}

/// What runs after a publication.
#[derive(Debug, Serialize, ToSchema)]
pub struct PublishedNow {
    /// The version.
    #[serde(flatten)]
    pub version: Published,
    /// What was found in it and did not keep it back; absent where nothing was.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub problems: Option<Vec<FieldError>>,
}

/// A version without its texts.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = RuleVersion)]
pub struct VersionLine {
    /// 0 is the built-in pair.
    pub version: u32,
    /// When it was published; null for the built-in pair.
    pub at: Option<Time>,
    /// By whom; null for the built-in pair.
    pub by: Option<String>,
    /// Why; null for the built-in pair.
    pub note: Option<String>,
}

/// The rules of a connection.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Rules)]
pub struct RulesBody {
    /// What is being written; null where nothing differs from what runs.
    pub draft: Option<Draft>,
    /// What runs.
    pub published: Published,
    /// What is wrong with the draft, as far as can be told before it runs; absent where nothing is. One of severity `error`
    /// keeps it from being published.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub problems: Option<Vec<FieldError>>,
}

/// What differs between two pairs, as unified diffs; empty where nothing does.
#[derive(Debug, Serialize, ToSchema)]
pub struct Comparison {
    /// The number of a version, or `draft`.
    pub from: String,
    /// The number of a version, or `draft`.
    pub to: String,
    /// Of the outgoing rules.
    pub outgoing: String,
    /// Of the incoming rules.
    pub incoming: String,
}

/// A draft as it is saved.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewDraft {
    /// Entity → replica: the body of a JavaScript function.
    pub outgoing: String,
    /// Replica → entity: the body of a JavaScript function.
    pub incoming: String,
    /// Version that it began from: it must be the one that runs.
    pub base: u32,
    /// `at` of the draft that it began from, null where there was none: 409 where another was saved since. Not looked at
    /// unless given.
    #[serde(default, deserialize_with = "even_null")]
    #[schema(value_type = Option<String>)]
    pub over: Option<Option<Time>>,
}

/// A member that is null is told from one that is left out.
fn even_null<'de, D: serde::Deserializer<'de>>(reader: D) -> Result<Option<Option<Time>>, D::Error> {
    Option::<Time>::deserialize(reader).map(Some)
}

/// A pair of texts that is looked through.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CheckQuestion {
    /// Entity → replica.
    pub outgoing: String,
    /// Replica → entity.
    pub incoming: String,
}

/// What is wrong with a pair, as far as can be told before it runs.
#[derive(Debug, Serialize, ToSchema)]
pub struct Checked {
    /// Empty where nothing is; one of severity `error` would keep it from being published.
    pub problems: Vec<FieldError>,
}

/// What to publish; `{}` publishes the draft.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Publication {
    /// Why, for those who read the list of versions.
    #[serde(default)]
    pub note: String,
    /// Version that it began from: it must be the one that runs. Needed where texts are given.
    pub base: Option<u32>,
    /// `at` of the draft that is meant: 409 where another was saved since. Not looked at unless given.
    #[schema(value_type = Option<String>)]
    pub over: Option<Time>,
    /// In place of the draft; left out beside `incoming` it stays as it runs.
    pub outgoing: Option<String>,
    /// In place of the draft; left out beside `outgoing` it stays as it runs.
    pub incoming: Option<String>,
    /// Publish it although it does not fit the tracker; one that does not parse is refused all the same.
    #[serde(default)]
    pub force: bool,
}

/// Which version to go back to.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RollBack {
    /// Its texts are published again, as a new version; 0 is the built-in pair.
    pub version: u32,
    /// Why; unless told, that it goes back and to where.
    #[serde(default)]
    pub note: String,
}

/// What to compare.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct CompareQuery {
    /// The number of a version, `published` or `draft`; `published` unless told.
    pub from: Option<String>,
    /// The number of a version, `published` or `draft`; `draft` unless told.
    pub to: Option<String>,
}

/// Which entity types.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct DeclarationsQuery {
    /// One more than those of the connection's triggers and twins and the tracker's default.
    pub entity_type: Option<String>,
}

/// Which part of the list.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct VersionsQuery {
    /// 1 to 500; 50 unless told.
    pub limit: Option<String>,
    /// `next` of the part before.
    pub cursor: Option<String>,
}

impl Published {
    /// The pair that comes with the program.
    pub fn built_in(pair: RulePair) -> Self {
        let RulePair { outgoing, incoming, version } = pair;
        Self { outgoing, incoming, version, at: None, by: None, note: None }
    }

    /// Whether these are its texts.
    pub fn says(&self, outgoing: &str, incoming: &str) -> bool {
        self.outgoing == outgoing && self.incoming == incoming
    }
}

impl From<RuleVersion> for Published {
    fn from(version: RuleVersion) -> Self {
        let RuleVersion { imprint: Imprint { version, at, by, note }, outgoing, incoming } = version;
        Self { outgoing, incoming, version, at: Some(at), by: Some(by), note: Some(note) }
    }
}

impl From<Imprint> for VersionLine {
    fn from(imprint: Imprint) -> Self {
        let Imprint { version, at, by, note } = imprint;
        Self { version, at: Some(at), by: Some(by), note: Some(note) }
    }
}

impl From<RuleDraft> for Draft {
    fn from(draft: RuleDraft) -> Self {
        let RuleDraft { outgoing, incoming, base, at, by } = draft;
        Self { outgoing, incoming, base, at, by }
    }
}

impl NewDraft {
    pub(super) fn check(&self) -> Result<(), Problem> {
        query::all([size("outgoing", &self.outgoing), size("incoming", &self.incoming)])
    }
}

impl CheckQuestion {
    pub(super) fn check(&self) -> Result<(), Problem> {
        query::all([size("outgoing", &self.outgoing), size("incoming", &self.incoming)])
    }
}

impl Publication {
    pub(super) fn check(&self) -> Result<(), Problem> {
        let texts = self.outgoing.is_some() || self.incoming.is_some();
        query::all([
            query::text("note", &self.note, 0, TEXT),
            self.outgoing.as_deref().map_or(Ok(()), |text| size("outgoing", text)),
            self.incoming.as_deref().map_or(Ok(()), |text| size("incoming", text)),
            match self.base {
                None if texts => Err(Problem::field("base", "is needed beside texts: the version that they began from")),
                _ => Ok(()),
            },
        ])
    }
}

impl RollBack {
    pub(super) fn check(&self) -> Result<(), Problem> {
        query::text("note", &self.note, 0, TEXT)
    }
}

pub(super) fn size(field: &'static str, text: &str) -> Result<(), Problem> {
    match text.len() {
        length if length > MOST => Err(Problem::field(field, format!("has {length} bytes; a rule has at most {MOST}"))),
        _ => Ok(()),
    }
}
