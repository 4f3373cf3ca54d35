//! Text to [`Query`]: recursive descent, at most 40 levels deep.

use super::{
    super::errors::ApiError,
    Expr, Literal, Op, Order, Query,
    lex::{Token, Word, lex, malformed},
};
use crate::clock::Time;

const DEEPEST: usize = 40;

/// Parses a query, or says where it is wrong.
pub(in super::super) fn parse(text: &str) -> Result<Query, ApiError> {
    let mut parser = Parser { text, tokens: lex(text)?, next: 0, depth: 0 };
    let query = parser.query()?;
    match parser.peek() {
        None => Ok(query),
        Some(_) => Err(parser.unexpected()),
    }
}

struct Parser<'a> {
    text: &'a str,
    tokens: Vec<Token>,
    next: usize,
    depth: usize,
}

impl Parser<'_> {
    fn peek(&self) -> Option<&Word> {
        self.tokens.get(self.next).map(|token| &token.word)
    }

    fn unexpected(&self) -> ApiError {
        match self.tokens.get(self.next) {
            None => malformed(self.text, self.text.len(), "unexpected token: '<EOF>'"),
            Some(token) => {
                let shown = match &token.word {
                    Word::Bare(word) | Word::Quoted(word) => word.clone(),
                    Word::Sign(sign) => (*sign).to_owned(),
                };
                malformed(self.text, token.at, &format!("unexpected token: '{shown}'"))
            }
        }
    }

    fn keyword(&mut self, word: &str) -> bool {
        let hit = matches!(self.peek(), Some(Word::Bare(bare)) if bare.eq_ignore_ascii_case(word));
        self.next += usize::from(hit);
        hit
    }

    fn sign(&mut self, sign: &str) -> bool {
        let hit = matches!(self.peek(), Some(Word::Sign(found)) if *found == sign);
        self.next += usize::from(hit);
        hit
    }

    fn need(&mut self, hit: bool) -> Result<(), ApiError> {
        if hit { Ok(()) } else { Err(self.unexpected()) }
    }

    fn need_keyword(&mut self, word: &str) -> Result<(), ApiError> {
        let hit = self.keyword(word);
        self.need(hit)
    }

    fn need_sign(&mut self, sign: &str) -> Result<(), ApiError> {
        let hit = self.sign(sign);
        self.need(hit)
    }

    fn name(&mut self) -> Result<String, ApiError> {
        const RESERVED: [&str; 12] =
            ["select", "from", "where", "order", "limit", "offset", "and", "or", "not", "in", "like", "group"];
        match self.peek() {
            Some(Word::Bare(word))
                if word.starts_with(|letter: char| letter.is_ascii_alphabetic())
                    && !word.contains([':', '-', '+'])
                    && !RESERVED.contains(&word.to_ascii_lowercase().as_str()) =>
            {
                let word = word.clone();
                self.next += 1;
                Ok(word)
            }
            _ => Err(self.unexpected()),
        }
    }

    fn whole(&mut self) -> Result<usize, ApiError> {
        let found = match self.peek() {
            Some(Word::Bare(word)) => word.parse().ok(),
            _ => None,
        };
        let found = found.ok_or_else(|| self.unexpected())?;
        self.next += 1;
        Ok(found)
    }

    fn query(&mut self) -> Result<Query, ApiError> {
        self.need_keyword("select")?;
        let (mut columns, mut count) = (Vec::new(), false);
        loop {
            let column = self.name()?;
            if self.sign("(") {
                if column.eq_ignore_ascii_case("count") && columns.is_empty() {
                    count = true;
                } else if column.eq_ignore_ascii_case("fields") {
                    columns.push(format!("FIELDS({})", self.name()?.to_uppercase()));
                } else {
                    return Err(self.unexpected());
                }
                self.need_sign(")")?;
            } else {
                columns.push(column);
            }
            if !self.sign(",") {
                break;
            }
        }
        self.need_keyword("from")?;
        let from = self.name()?;
        let filter = if self.keyword("where") { Some(self.any()?) } else { None };
        let order = self.order()?;
        let limit = if self.keyword("limit") { Some(self.whole()?) } else { None };
        let offset = if self.keyword("offset") { self.whole()? } else { 0 };
        Ok(Query { columns, count, from, filter, order, limit, offset })
    }

    fn order(&mut self) -> Result<Vec<Order>, ApiError> {
        let mut terms = Vec::new();
        if !self.keyword("order") {
            return Ok(terms);
        }
        self.need_keyword("by")?;
        loop {
            let column = self.name()?;
            let descending = !self.keyword("asc") && self.keyword("desc");
            let mut nulls_last = false;
            if self.keyword("nulls") {
                nulls_last = self.keyword("last");
                if !nulls_last {
                    self.need_keyword("first")?;
                }
            }
            terms.push(Order { column, descending, nulls_last });
            if !self.sign(",") {
                return Ok(terms);
            }
        }
    }

    /// Terms joined by OR or by AND; mixing both needs parentheses, as in SOQL.
    fn any(&mut self) -> Result<Expr, ApiError> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err(malformed(self.text, 0, "the condition is nested too deeply"));
        }
        let first = self.term()?;
        let mut terms = vec![first];
        let expression = if self.keyword("or") {
            terms.push(self.term()?);
            while self.keyword("or") {
                terms.push(self.term()?);
            }
            Expr::Or(terms)
        } else if self.keyword("and") {
            terms.push(self.term()?);
            while self.keyword("and") {
                terms.push(self.term()?);
            }
            Expr::And(terms)
        } else {
            terms.remove(0)
        };
        self.depth -= 1;
        if matches!(self.peek(), Some(Word::Bare(word)) if word.eq_ignore_ascii_case("or") || word.eq_ignore_ascii_case("and")) {
            return Err(self.unexpected());
        }
        Ok(expression)
    }

    fn term(&mut self) -> Result<Expr, ApiError> {
        if self.keyword("not") {
            self.depth += 1;
            if self.depth > DEEPEST {
                return Err(malformed(self.text, 0, "the condition is nested too deeply"));
            }
            let inner = self.term()?;
            self.depth -= 1;
            return Ok(Expr::Not(Box::new(inner)));
        }
        if self.sign("(") {
            let inner = self.any()?;
            self.need_sign(")")?;
            return Ok(inner);
        }
        let column = self.name()?;
        if self.keyword("not") {
            self.need_keyword("in")?;
            return self.list(column, true);
        }
        if self.keyword("in") {
            return self.list(column, false);
        }
        let includes = self.keyword("includes");
        if includes || self.keyword("excludes") {
            let values =
                self.values()?.into_iter().filter_map(|value| if let Literal::Text(text) = value { Some(text) } else { None });
            return Ok(Expr::Compare(column, Op::Includes { negated: !includes }, Literal::Many(values.collect())));
        }
        let op = self.operator()?;
        Ok(Expr::Compare(column, op, self.literal()?))
    }

    fn operator(&mut self) -> Result<Op, ApiError> {
        if self.keyword("like") {
            return Ok(Op::Like);
        }
        let op = match self.peek() {
            Some(Word::Sign("=")) => Op::Equal,
            Some(Word::Sign("!=")) => Op::NotEqual,
            Some(Word::Sign("<")) => Op::Less,
            Some(Word::Sign(">")) => Op::Greater,
            Some(Word::Sign("<=")) => Op::AtMost,
            Some(Word::Sign(">=")) => Op::AtLeast,
            _ => return Err(self.unexpected()),
        };
        self.next += 1;
        Ok(op)
    }

    fn list(&mut self, column: String, negated: bool) -> Result<Expr, ApiError> {
        let inner = matches!(self.tokens.get(self.next + 1).map(|token| &token.word),
            Some(Word::Bare(word)) if word.eq_ignore_ascii_case("select"));
        if !inner {
            return Ok(Expr::In { column, negated, values: self.values()? });
        }
        self.need_sign("(")?;
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err(malformed(self.text, 0, "the condition is nested too deeply"));
        }
        let query = Box::new(self.query()?);
        self.depth -= 1;
        self.need_sign(")")?;
        Ok(Expr::InQuery { column, negated, query })
    }

    fn values(&mut self) -> Result<Vec<Literal>, ApiError> {
        self.need_sign("(")?;
        let mut values = vec![self.literal()?];
        while self.sign(",") {
            values.push(self.literal()?);
        }
        self.need_sign(")")?;
        Ok(values)
    }

    fn literal(&mut self) -> Result<Literal, ApiError> {
        let literal = match self.peek() {
            Some(Word::Quoted(text)) => Some(Literal::Text(text.clone())),
            Some(Word::Bare(word)) => bare(word),
            _ => None,
        };
        let literal = literal.ok_or_else(|| self.unexpected())?;
        self.next += 1;
        Ok(literal)
    }
}

fn bare(word: &str) -> Option<Literal> {
    let upper = word.to_ascii_uppercase();
    match upper.as_str() {
        "NULL" => return Some(Literal::Null),
        "TRUE" => return Some(Literal::Bool(true)),
        "FALSE" => return Some(Literal::Bool(false)),
        "TODAY" => return Some(Literal::Days(0, 1)),
        "YESTERDAY" => return Some(Literal::Days(-1, 0)),
        "TOMORROW" => return Some(Literal::Days(1, 2)),
        _ => {}
    }
    if let Some(days) = upper.strip_prefix("LAST_N_DAYS:") {
        return days.parse::<u32>().ok().map(|days| Literal::Days(-i64::from(days), 1));
    }
    if let Ok(number) = word.parse::<f64>() {
        // Names such as `infinity` are numbers to the standard library only.
        return word.contains(|letter: char| letter.is_ascii_digit()).then_some(Literal::Number(number));
    }
    if word.len() == 10 {
        return word.parse().ok().map(Literal::Date);
    }
    word.parse::<Time>().ok().map(Literal::DateTime)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_what_a_sync_asks() {
        let query = parse(
            "SELECT Id, Owner.Name FROM Case WHERE Id IN ('a','b') AND (NOT (Status = 'Closed' OR Subject LIKE '%x\\_')) \
             AND SystemModstamp >= 2026-11-23T02:41:07Z ORDER BY SystemModstamp, Id DESC NULLS LAST LIMIT 5",
        )
        .expect("parses");
        assert_eq!(query.columns, ["Id", "Owner.Name"]);
        assert_eq!(query.limit, Some(5));
        assert!(query.order[1].descending && query.order[1].nulls_last);
        let Some(Expr::And(terms)) = query.filter else { panic!("AND") };
        assert_eq!(terms.len(), 3);
    }

    #[test]
    fn refuses_what_soql_refuses() {
        for text in [
            "",
            "SELECT",
            "SELECT FROM Case",
            "SELECT Id FROM Case WHERE",
            "SELECT Id FROM Case WHERE a = 1 OR b = 2 AND c = 3",
            "SELECT Id FROM Case WHERE Subject = 'open",
            "SELECT Id FROM Case LIMIT x",
            "SELECT Id FROM Case; DROP",
            "SELECT SUM(x) FROM Case",
        ] {
            let error = parse(text).expect_err(text);
            assert_eq!(error.code, "MALFORMED_QUERY", "{text}");
        }
    }

    #[test]
    fn quotes_are_unescaped() {
        let query = parse(r"SELECT COUNT() FROM Case WHERE Subject = 'it\'s \\ here'").expect("parses");
        assert!(query.count);
        assert_eq!(query.filter, Some(Expr::Compare("Subject".to_owned(), Op::Equal, Literal::Text(r"it's \ here".to_owned()))));
    }

    proptest! {
        #[test]
        fn no_text_brings_it_down(text in "(SELECT |FROM |WHERE |NOT |\\(|\\)|'|\\\\|[a-z.=,<>! 0-9é]){0,60}") {
            let _ = parse(&text);
        }
    }
}
