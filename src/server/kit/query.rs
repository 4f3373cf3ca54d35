//! Paths and queries: ids, pages, and words from a closed list.

use std::str::FromStr;

use actix_web::{error::QueryPayloadError, web};
use serde::de::DeserializeOwned;

use super::problem::{Code, Problem};
use crate::store::rows::{Page, Paged};

/// Path parts that cannot be meant are unknown things, not mistakes in a body.
pub fn path_config() -> web::PathConfig {
    web::PathConfig::default().error_handler(|_, _| wrong_path().into())
}

/// Query parts that are unknown are told.
pub fn query_config() -> web::QueryConfig {
    web::QueryConfig::default().error_handler(|error, _| wrong_query(&error).into())
}

/// A path part cannot be meant.
pub fn wrong_path() -> Problem {
    Problem::not_found("thing under this address")
}

/// A query part cannot be meant.
pub fn wrong_query(error: &QueryPayloadError) -> Problem {
    let told = error.to_string();
    let message = told.strip_prefix("Query deserialize error: ").unwrap_or(&told);
    // The part that is meant is the first name in backticks.
    Problem::field(message.split('`').nth(1).unwrap_or("query"), message)
}

/// A page of a list: `limit` 1 to 500, 50 unless told; `cursor` as the last answer's `next` said.
pub fn page(limit: Option<&str>, cursor: Option<&str>) -> Result<Page, Problem> {
    let limit = match limit {
        None => 50,
        Some(text) => text
            .parse::<u32>()
            .ok()
            .filter(|limit| (1..=500).contains(limit))
            .ok_or_else(|| Problem::field("limit", "must be a number from 1 to 500"))?,
    };
    if cursor.is_some_and(|cursor| cursor.len() > 1_000) {
        return Err(Problem::field("cursor", "is not one that this node gave"));
    }
    Ok(Page { after: cursor.map(str::to_owned), limit })
}

/// A query part as `T`; `what` says what would do.
pub fn part<T: FromStr>(name: &'static str, text: Option<&str>, what: &str) -> Result<Option<T>, Problem> {
    text.map(|text| text.parse().map_err(|_| Problem::field(name, format!("`{text}` is not {what}")))).transpose()
}

/// A query part that is one of an enum's words.
pub fn word<T: DeserializeOwned>(name: &'static str, text: Option<&str>) -> Result<Option<T>, Problem> {
    text.map(|text| {
        serde_json::from_value(serde_json::Value::String(text.to_owned()))
            .map_err(|error| Problem::field(name, error.to_string()))
    })
    .transpose()
}

/// A part of a list that is held in memory, in order of `key`; the cursor is the key, hidden.
pub fn cut<T>(items: Vec<T>, page: &Page, key: impl Fn(&T) -> String) -> Result<Paged<T>, Problem> {
    let after = match &page.after {
        None => None,
        Some(cursor) => Some(
            crate::secret::from_base64url(cursor)
                .and_then(|bytes| String::from_utf8(bytes).ok())
                .ok_or_else(|| Problem::field("cursor", "is not one that this node gave"))?,
        ),
    };
    let limit = usize::try_from(page.limit).unwrap_or(usize::MAX);
    let mut rest: Vec<T> = items.into_iter().filter(|item| after.as_ref().is_none_or(|after| key(item) > *after)).collect();
    let more = rest.len() > limit;
    rest.truncate(limit);
    let next = rest.last().filter(|_| more).map(|last| crate::secret::base64url(key(last).as_bytes()));
    Ok(Paged { items: rest, next })
}

/// Checks a text's length in characters and that it holds no control characters beside line breaks.
pub fn text(field: &str, value: &str, least: usize, most: usize) -> Result<(), Problem> {
    let length = value.chars().count();
    if value.trim().chars().count() < least {
        return Err(Problem::field(field, "must not be empty"));
    }
    if length > most {
        return Err(Problem::field(field, format!("has {length} characters; at most {most} are taken")));
    }
    if value.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\r' | '\t')) {
        return Err(Problem::field(field, "holds control characters"));
    }
    Ok(())
}

/// One problem of many checks, so that a person mends all at once.
pub fn all(checks: impl IntoIterator<Item = Result<(), Problem>>) -> Result<(), Problem> {
    let mut errors = Vec::new();
    for problem in checks.into_iter().filter_map(Result::err) {
        if problem.code != Code::Invalid {
            return Err(problem);
        }
        errors.extend(problem.errors);
    }
    if errors.is_empty() { Ok(()) } else { Err(Problem::fields(errors)) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn pages_have_bounds() {
        assert_eq!(page(None, None).expect("default").limit, 50);
        assert_eq!(page(Some("500"), None).expect("most").limit, 500);
        for wrong in ["0", "501", "-1", "ten", ""] {
            assert_eq!(page(Some(wrong), None).expect_err(wrong).errors[0].field, "limit");
        }
    }

    proptest! {
        #[test]
        fn walking_pages_shows_each_item_once(count in 0usize..60, limit in 1u32..20) {
            let items: Vec<String> = (0..count).map(|n| format!("{n:03}")).collect();
            let (mut seen, mut after) = (Vec::new(), None);
            loop {
                let part = cut(items.clone(), &Page { after, limit }, Clone::clone).expect("our own cursor");
                prop_assert!(part.items.len() <= limit as usize);
                seen.extend(part.items);
                match part.next { Some(next) => after = Some(next), None => break }
            }
            prop_assert_eq!(seen, items);
        }
    }
}
