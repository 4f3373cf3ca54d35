//! A small SOQL: `SELECT … FROM … WHERE … ORDER BY … LIMIT … OFFSET …`, `COUNT()`, parents by dots, `IN` with a list or
//! one inner query, `FIELDS(ALL|STANDARD|CUSTOM)` with a limit.
//!
//! `parse` turns text into a [`Query`]; `run` checks it against the schema and evaluates it with the conditions of `filter`. What a real org refuses is
//! refused here too, with its codes, because the words that it refuses with are what a client must survive: text of the
//! wrong kind, unknown columns, filters on long text, links without a filter.
//!
//! Not there: aggregates other than `COUNT()`, child sub-queries, geography, `TYPEOF`. They give `MALFORMED_QUERY`.

mod filter;
mod lex;
mod parse;
mod run;

pub(super) use parse::parse;
pub(super) use run::{Answer, run};

/// One parsed query.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Query {
    pub(super) columns: Vec<String>,
    pub(super) count: bool,
    pub(super) from: String,
    pub(super) filter: Option<Expr>,
    pub(super) order: Vec<Order>,
    pub(super) limit: Option<usize>,
    pub(super) offset: usize,
}

/// One term of `ORDER BY`.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Order {
    pub(super) column: String,
    pub(super) descending: bool,
    pub(super) nulls_last: bool,
}

/// A condition.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Expr {
    And(Vec<Expr>),
    Or(Vec<Expr>),
    Not(Box<Expr>),
    Compare(String, Op, Literal),
    In { column: String, negated: bool, values: Vec<Literal> },
    InQuery { column: String, negated: bool, query: Box<Query> },
}

/// How two values are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Op {
    Equal,
    NotEqual,
    Less,
    Greater,
    AtMost,
    AtLeast,
    Like,
    Includes { negated: bool },
}

/// A value written in a query.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Literal {
    Text(String),
    Number(f64),
    Bool(bool),
    Null,
    /// A moment.
    DateTime(crate::clock::Time),
    /// A day.
    Date(jiff::civil::Date),
    /// `TODAY`, `YESTERDAY`, `LAST_N_DAYS:n`: begin and end (excluded) in days from today.
    Days(i64, i64),
    /// The values of `INCLUDES (…)`.
    Many(Vec<String>),
}
