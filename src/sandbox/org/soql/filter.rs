//! Conditions: bound to the schema once, then asked of each record.

use std::{cmp::Ordering, collections::BTreeSet};

use serde_json::Value;

use super::{
    super::{
        errors::ApiError,
        ids::to_18,
        schema::{Field, Kind, ObjectType},
        state::{Record, State},
        values::same_text,
    },
    Answer, Expr, Literal, Op,
    run::{Column, column, run, value},
};
use crate::clock::Time;

/// A condition bound to the schema, with inner queries already answered.
pub(super) enum Test<'a> {
    And(Vec<Test<'a>>),
    Or(Vec<Test<'a>>),
    Not(Box<Test<'a>>),
    Compare(Column<'a>, Op, Literal),
    In { column: Column<'a>, negated: bool, ids: BTreeSet<String>, values: Vec<Literal> },
}

impl<'a> Test<'a> {
    pub(super) fn new(state: &'a State, kind: &'a ObjectType, filter: &Expr) -> Result<Self, ApiError> {
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

    pub(super) fn holds(&self, state: &State, record: &Record) -> bool {
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
