//! Evaluating a query: first against the schema, then against the records.

use std::{cmp::Ordering, collections::BTreeSet, sync::Arc};

use serde_json::{Map, Value, json};

use super::{
    super::{
        errors::ApiError,
        ids::to_18,
        schema::{Field, Kind, ObjectType},
        state::{Record, State, attributes},
        values::same_text,
    },
    Expr, Literal, Op, Query,
};
use crate::clock::Time;

/// What a query gives.
#[derive(Debug)]
pub(in super::super) enum Answer {
    /// `COUNT()`.
    Count(usize),
    /// Rows as REST shows them.
    Rows(Vec<Value>),
}

/// A path of parents and the field at its end.
struct Column<'a> {
    /// Reference fields to walk, outermost first.
    walk: Vec<&'a Field>,
    field: &'a Field,
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

fn column<'a>(state: &'a State, kind: &'a ObjectType, path: &str) -> Result<Column<'a>, ApiError> {
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

fn value<'a>(state: &'a State, record: &'a Record, column: &Column<'_>) -> &'a Value {
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
            _ => record.get(&column.field.name).clone(),
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
                    let order = compare(left, right);
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

/// A condition bound to the schema, with inner queries already answered.
enum Test<'a> {
    And(Vec<Test<'a>>),
    Or(Vec<Test<'a>>),
    Not(Box<Test<'a>>),
    Compare(Column<'a>, Op, Literal),
    In { column: Column<'a>, negated: bool, ids: BTreeSet<String>, values: Vec<Literal> },
}

impl<'a> Test<'a> {
    fn new(state: &'a State, kind: &'a ObjectType, filter: &Expr) -> Result<Self, ApiError> {
        Ok(match filter {
            Expr::And(terms) => Self::And(terms.iter().map(|term| Self::new(state, kind, term)).collect::<Result<_, _>>()?),
            Expr::Or(terms) => Self::Or(terms.iter().map(|term| Self::new(state, kind, term)).collect::<Result<_, _>>()?),
            Expr::Not(term) => Self::Not(Box::new(Self::new(state, kind, term)?)),
            Expr::Compare(name, op, literal) => {
                let column = filterable(state, kind, name)?;
                fits(column.field, literal)?;
                Self::Compare(column, *op, literal.clone())
            }
            Expr::In { column: name, negated, values } => {
                let column = filterable(state, kind, name)?;
                values.iter().try_for_each(|literal| fits(column.field, literal))?;
                // Ids are by far the commonest list and may be long: they get a set.
                let ids = match column.field.kind {
                    Kind::Id | Kind::Reference(_) => values
                        .iter()
                        .filter_map(|value| if let Literal::Text(text) = value { to_18(text) } else { None })
                        .collect(),
                    _ => BTreeSet::new(),
                };
                Self::In { column, negated: *negated, ids, values: values.clone() }
            }
            Expr::InQuery { column: name, negated, query } => {
                let column = filterable(state, kind, name)?;
                let only = query.columns.first().filter(|_| query.columns.len() == 1 && !query.count).cloned();
                let only = only.ok_or_else(|| ApiError::new(400, "MALFORMED_QUERY", "an inner query selects one field"))?;
                let Answer::Rows(rows) = run(state, query, false)? else { return Err(ApiError::not_found()) };
                let ids = rows.iter().filter_map(|row| {
                    let end = only.split('.').try_fold(row, |row, part| {
                        row.as_object()?.iter().find(|(name, _)| name.eq_ignore_ascii_case(part)).map(|(_, value)| value)
                    });
                    end.and_then(Value::as_str).map(str::to_owned)
                });
                Self::In { column, negated: *negated, ids: ids.collect(), values: Vec::new() }
            }
        })
    }

    fn holds(&self, state: &State, record: &Record) -> bool {
        match self {
            Self::And(terms) => terms.iter().all(|term| term.holds(state, record)),
            Self::Or(terms) => terms.iter().any(|term| term.holds(state, record)),
            Self::Not(term) => !term.holds(state, record),
            Self::Compare(column, op, literal) => meets(state, column.field, value(state, record, column), *op, literal),
            Self::In { column, negated, ids, values } => {
                let found = value(state, record, column);
                let listed = found.as_str().is_some_and(|text| ids.contains(text))
                    || values.iter().any(|literal| meets(state, column.field, found, Op::Equal, literal));
                listed != *negated
            }
        }
    }
}

fn filterable<'a>(state: &'a State, kind: &'a ObjectType, name: &str) -> Result<Column<'a>, ApiError> {
    let column = column(state, kind, name)?;
    if column.field.filterable() {
        return Ok(column);
    }
    Err(ApiError::new(400, "INVALID_FIELD", format!("field '{}' can not be filtered in a query call", column.field.name)))
}

/// Quotes must be there exactly where the field is a text.
fn fits(field: &Field, literal: &Literal) -> Result<(), ApiError> {
    let fitting = match (&field.kind, literal) {
        (_, Literal::Null) => true,
        (Kind::Checkbox, Literal::Bool(_)) | (Kind::Number | Kind::Whole, Literal::Number(_)) => true,
        (Kind::Date, Literal::Date(_) | Literal::Days(..)) | (Kind::DateTime, Literal::DateTime(_) | Literal::Days(..)) => true,
        (Kind::Checkbox | Kind::Number | Kind::Whole | Kind::Date | Kind::DateTime, _) => false,
        (Kind::Id | Kind::Reference(_), Literal::Text(text)) if !text.is_empty() && to_18(text).is_none() => {
            return Err(ApiError::new(400, "INVALID_QUERY_FILTER_OPERATOR", format!("invalid ID field: {text}")));
        }
        (_, literal) => matches!(literal, Literal::Text(_) | Literal::Many(_)),
    };
    if fitting {
        return Ok(());
    }
    let quotes =
        if matches!(literal, Literal::Text(_)) { "should not be enclosed in quotes" } else { "should be enclosed in quotes" };
    let message =
        format!("value of filter criterion for field '{}' must be of type {} and {quotes}", field.name, field.kind.name());
    Err(ApiError::new(400, "INVALID_FIELD", message))
}

fn meets(state: &State, field: &Field, found: &Value, op: Op, literal: &Literal) -> bool {
    let order = match literal {
        Literal::Null => {
            return match op {
                Op::Equal => found.is_null(),
                Op::NotEqual => !found.is_null(),
                _ => false,
            };
        }
        Literal::Many(values) => {
            let Op::Includes { negated } = op else { return false };
            let chosen = found.as_str().unwrap_or_default().split(';').collect::<Vec<_>>();
            return values.iter().any(|value| value.split(';').all(|part| chosen.contains(&part))) != negated;
        }
        Literal::Text(text) if text.is_empty() => return meets(state, field, found, op, &Literal::Null),
        _ if found.is_null() => return op == Op::NotEqual,
        Literal::Text(text) if op == Op::Like => return like(text, found.as_str().unwrap_or_default()),
        Literal::Text(text) => {
            let found = found.as_str().unwrap_or_default();
            match field.kind {
                Kind::Id | Kind::Reference(_) => found.cmp(&to_18(text).unwrap_or_default()),
                // A unique external id is case-sensitive.
                _ if field.unique => found.cmp(text),
                _ if same_text(found, text) => Ordering::Equal,
                _ => found.to_lowercase().cmp(&text.to_lowercase()),
            }
        }
        Literal::Bool(value) => found.as_bool().unwrap_or_default().cmp(value),
        Literal::Number(number) => found.as_f64().partial_cmp(&Some(*number)).unwrap_or(Ordering::Less),
        Literal::DateTime(time) => found.as_str().and_then(|text| text.parse::<Time>().ok()).cmp(&Some(*time)),
        Literal::Date(day) => found.as_str().and_then(|text| text.parse::<jiff::civil::Date>().ok()).cmp(&Some(*day)),
        Literal::Days(from, until) => return in_days(state.now(), found, op, *from, *until),
    };
    match op {
        Op::Equal => order == Ordering::Equal,
        Op::NotEqual => order != Ordering::Equal,
        Op::Less => order == Ordering::Less,
        Op::Greater => order == Ordering::Greater,
        Op::AtMost => order != Ordering::Greater,
        Op::AtLeast => order != Ordering::Less,
        Op::Like | Op::Includes { .. } => false,
    }
}

fn in_days(now: Time, found: &Value, op: Op, from: i64, until: i64) -> bool {
    const DAY: i64 = 86_400;
    let today = now.seconds().div_euclid(DAY);
    let text = found.as_str().unwrap_or_default();
    let moment = text.parse::<Time>().or_else(|_| format!("{text}T00:00:00Z").parse::<Time>());
    let Ok(moment) = moment else { return false };
    let day = moment.seconds().div_euclid(DAY) - today;
    match op {
        Op::Equal => (from..until).contains(&day),
        Op::NotEqual => !(from..until).contains(&day),
        Op::Less => day < from,
        Op::AtLeast => day >= from,
        Op::Greater => day >= until,
        Op::AtMost => day < until,
        Op::Like | Op::Includes { .. } => false,
    }
}

/// `%` any text, `_` one character, a backslash before either makes it plain. Linear in practice, quadratic at worst.
fn like(pattern: &str, text: &str) -> bool {
    #[derive(PartialEq)]
    enum Part {
        Any,
        One,
        Letter(char),
    }
    let (mut parts, mut letters) = (Vec::new(), pattern.chars());
    while let Some(letter) = letters.next() {
        parts.push(match letter {
            '%' => Part::Any,
            '_' => Part::One,
            '\\' => Part::Letter(letters.next().unwrap_or('\\')),
            letter => Part::Letter(letter),
        });
    }
    let fold = |letter: char| letter.to_lowercase().next().unwrap_or(letter);
    let text = text.chars().map(fold).collect::<Vec<_>>();
    let (mut at, mut part, mut star, mut from) = (0, 0, None, 0);
    while at < text.len() {
        match parts.get(part) {
            Some(Part::Any) => {
                star = Some(part);
                from = at;
                part += 1;
            }
            Some(Part::One) => {
                at += 1;
                part += 1;
            }
            Some(Part::Letter(letter)) if fold(*letter) == text[at] => {
                at += 1;
                part += 1;
            }
            _ => {
                let Some(back) = star else { return false };
                from += 1;
                at = from;
                part = back + 1;
            }
        }
    }
    parts[part..].iter().all(|part| *part == Part::Any)
}

#[cfg(test)]
mod tests {
    use super::like;

    #[test]
    fn like_knows_its_signs() {
        for (pattern, text, expected) in [
            ("%pump%", "The Pump stops", true),
            ("p_mp", "pump", true),
            ("p_mp", "pmp", false),
            (r"100\%", "100%", true),
            (r"100\%", "1000", false),
            ("%", "", true),
            ("a%b%c", "axxbyyc", true),
            ("a%b%c", "axxbyy", false),
        ] {
            assert_eq!(like(pattern, text), expected, "{pattern} {text}");
        }
    }
}
