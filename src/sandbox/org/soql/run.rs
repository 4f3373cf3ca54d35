//! Evaluating a query: first against the schema, then against the records.

use std::{cmp::Ordering, sync::Arc};

use serde_json::{Map, Value, json};

use super::{
    super::{
        errors::ApiError,
        schema::{Field, Kind, ObjectType},
        state::{Record, State, attributes, seen},
    },
    Expr, Op, Query,
    filter::Test,
};

/// What a query gives.
#[derive(Debug)]
pub(in super::super) enum Answer {
    /// `COUNT()`.
    Count(usize),
    /// Rows as REST shows them.
    Rows(Vec<Value>),
}

/// A path of parents and the field at its end.
pub(super) struct Column<'a> {
    /// Reference fields to walk, outermost first.
    walk: Vec<&'a Field>,
    pub(super) field: &'a Field,
}

/// Runs a query. With `deleted`, rows in the recycle bin are part of it.
pub(in super::super) fn run(state: &State, query: &Query, deleted: bool) -> Result<Answer, ApiError> {
    let kind = state.object_type(&query.from).map_err(|_| unknown_type(&query.from))?;
    let columns = columns(state, kind, query)?;
    if kind.name == "ContentDocumentLink" && !query.filter.as_ref().is_some_and(names_a_link_end) {
        return Err(ApiError::new(
            400,
            "MALFORMED_QUERY",
            "Implementation restriction: ContentDocumentLink requires a filter by a single Id on ContentDocumentId or LinkedEntityId \
             using the equals operator or multiple Id's using the IN operator.",
        ));
    }
    let mut rows = Vec::<&Arc<Record>>::new();
    let test = query.filter.as_ref().map(|filter| Test::new(state, kind, filter)).transpose()?;
    for record in state.of(&kind.name).filter(|record| deleted || record.deleted.is_none()) {
        if test.as_ref().is_none_or(|test| test.holds(state, record)) {
            rows.push(record);
        }
    }
    sort(state, kind, query, &mut rows)?;
    let rows = rows.into_iter().skip(query.offset).take(query.limit.unwrap_or(usize::MAX));
    if query.count {
        return Ok(Answer::Count(rows.count()));
    }
    Ok(Answer::Rows(rows.map(|record| row(state, record, &columns)).collect()))
}

fn unknown_type(name: &str) -> ApiError {
    let message = format!(
        "sObject type '{name}' is not supported. If you are attempting to use a custom object, be sure to append the '__c' after \
         the entity name. Please reference your WSDL or the describe call for the appropriate names."
    );
    ApiError::new(400, "INVALID_TYPE", message)
}

/// ContentDocumentLink can only be asked by one of its two ends.
fn names_a_link_end(filter: &Expr) -> bool {
    let end = |column: &str| column.eq_ignore_ascii_case("ContentDocumentId") || column.eq_ignore_ascii_case("LinkedEntityId");
    match filter {
        Expr::And(terms) => terms.iter().any(names_a_link_end),
        Expr::Compare(column, Op::Equal, _) => end(column),
        Expr::In { column, negated: false, .. } | Expr::InQuery { column, negated: false, .. } => end(column),
        _ => false,
    }
}

fn columns<'a>(state: &'a State, kind: &'a ObjectType, query: &Query) -> Result<Vec<Column<'a>>, ApiError> {
    let mut out = Vec::new();
    for name in &query.columns {
        let wanted: fn(&Field) -> bool = match name.as_str() {
            "FIELDS(ALL)" => |_| true,
            "FIELDS(STANDARD)" => |field| !field.name.ends_with("__c"),
            "FIELDS(CUSTOM)" => |field| field.name.ends_with("__c"),
            _ => {
                out.push(column(state, kind, name)?);
                continue;
            }
        };
        let all = kind.fields.iter().filter(|field| wanted(field));
        out.extend(all.map(|field| Column { walk: Vec::new(), field }));
    }
    Ok(out)
}

pub(super) fn column<'a>(state: &'a State, kind: &'a ObjectType, path: &str) -> Result<Column<'a>, ApiError> {
    let mut here = kind;
    let mut walk = Vec::new();
    let mut parts = path.split('.').peekable();
    if path.split('.').count() > 1 && path.split('.').next().is_some_and(|first| first.eq_ignore_ascii_case(&kind.name)) {
        parts.next();
    }
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            let field = here.field(part).ok_or_else(|| ApiError::no_column(&here.name, part))?;
            return Ok(Column { walk, field });
        }
        let step = here.fields.iter().find(|field| field.relationship().is_some_and(|name| name.eq_ignore_ascii_case(part)));
        let field = step.ok_or_else(|| {
            let message = format!(
                "Didn't understand relationship '{part}' in field path. If you are attempting to use a custom relationship, \
                                   be sure to append the '__r' after the custom relationship name."
            );
            ApiError::new(400, "INVALID_FIELD", message)
        })?;
        walk.push(field);
        let Kind::Reference(targets) = &field.kind else { return Err(ApiError::no_column(&here.name, part)) };
        // A reference to several types shows what their records have in common; the first type stands for it.
        let target = targets.first().map_or("User", String::as_str);
        here = state.object_type(target).map_err(|_| unknown_type(target))?;
    }
    Err(ApiError::no_column(&kind.name, path))
}

/// The record at the end of the walk.
fn walk<'a>(state: &'a State, record: &'a Record, steps: &[&Field]) -> Option<&'a Record> {
    let mut here = record;
    for step in steps {
        here = state.records.get(here.text(&step.name))?;
    }
    Some(here)
}

pub(super) fn value<'a>(state: &'a State, record: &'a Record, column: &Column<'_>) -> &'a Value {
    walk(state, record, &column.walk).map_or(&Value::Null, |end| end.get(&column.field.name))
}

fn row(state: &State, record: &Record, columns: &[Column<'_>]) -> Value {
    let mut out = Map::new();
    out.insert("attributes".to_owned(), attributes(&record.object, record.text("Id")));
    for column in columns {
        place(state, &mut out, record, &column.walk, column);
    }
    Value::Object(out)
}

/// Puts one column into its place: a parent is an object of its own, null where there is none.
fn place(state: &State, out: &mut Map<String, Value>, record: &Record, steps: &[&Field], column: &Column<'_>) {
    let Some((step, rest)) = steps.split_first() else {
        let shown = match column.field.kind {
            Kind::Base64 => {
                json!(format!("/services/data/v68.0/sobjects/{}/{}/{}", record.object, record.text("Id"), column.field.name))
            }
            _ => seen(column.field, record.get(&column.field.name)),
        };
        out.insert(column.field.name.clone(), shown);
        return;
    };
    let name = step.relationship().unwrap_or_default();
    let Some(parent) = state.records.get(record.text(&step.name)) else {
        out.insert(name, Value::Null);
        return;
    };
    let entry = out.entry(name).or_insert_with(|| json!({"attributes": attributes(&parent.object, parent.text("Id"))}));
    if let Value::Object(inner) = entry {
        place(state, inner, parent, rest, column);
    }
}

fn sort(state: &State, kind: &ObjectType, query: &Query, rows: &mut [&Arc<Record>]) -> Result<(), ApiError> {
    let mut terms = Vec::new();
    for term in &query.order {
        terms.push((column(state, kind, &term.column)?, term));
    }
    rows.sort_by(|a, b| {
        for (column, term) in &terms {
            let (left, right) = (value(state, a, column), value(state, b, column));
            let order = match (left.is_null(), right.is_null()) {
                (true, true) => Ordering::Equal,
                (true, false) => {
                    if term.nulls_last {
                        Ordering::Greater
                    } else {
                        Ordering::Less
                    }
                }
                (false, true) => {
                    if term.nulls_last {
                        Ordering::Less
                    } else {
                        Ordering::Greater
                    }
                }
                (false, false) => {
                    let order = match column.field.kind {
                        // Ids compare as they are written, in an order as in a condition.
                        Kind::Id | Kind::Reference(_) => left.as_str().cmp(&right.as_str()),
                        _ => compare(left, right),
                    };
                    if term.descending { order.reverse() } else { order }
                }
            };
            if order != Ordering::Equal {
                return order;
            }
        }
        Ordering::Equal
    });
    Ok(())
}

fn compare(a: &Value, b: &Value) -> Ordering {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a.as_f64().partial_cmp(&b.as_f64()).unwrap_or(Ordering::Equal),
        (Value::Bool(a), Value::Bool(b)) => a.cmp(b),
        _ => a.as_str().unwrap_or_default().to_lowercase().cmp(&b.as_str().unwrap_or_default().to_lowercase()),
    }
}
