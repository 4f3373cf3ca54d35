//! Unified diffs between two pairs of rules.
//!
//! Trap: the time of a diff grows with the product of lengths and differences. Texts have a limit, and the search for the
//! shortest diff another: after that a longer one is told, which is as true.

use std::time::Duration;

use similar::TextDiff;

use super::bodies::{Comparison, Published};

/// How long the shortest diff of one rule is looked for.
const PATIENCE: Duration = Duration::from_millis(300);

/// A pair and what it is called.
pub(super) struct Side {
    /// `draft`, or the number of a version.
    pub(super) name: String,
    pub(super) outgoing: String,
    pub(super) incoming: String,
}

impl From<Published> for Side {
    fn from(published: Published) -> Self {
        let Published { outgoing, incoming, version, .. } = published;
        Self { name: version.to_string(), outgoing, incoming }
    }
}

impl Side {
    fn title(&self, rule: &str) -> String {
        match self.name.as_str() {
            "draft" => format!("{rule}.js, draft"),
            version => format!("{rule}.js, version {version}"),
        }
    }
}

/// What differs.
pub(super) fn compare(from: Side, to: Side) -> Comparison {
    let diff = |rule: &str, a: &str, b: &str| {
        let lines = TextDiff::configure().timeout(PATIENCE).diff_lines(a, b);
        lines.unified_diff().context_radius(3).header(&from.title(rule), &to.title(rule)).to_string()
    };
    let outgoing = diff("outgoing", &from.outgoing, &to.outgoing);
    let incoming = diff("incoming", &from.incoming, &to.incoming);
    Comparison { from: from.name, to: to.name, outgoing, incoming }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn side(name: &str, outgoing: &str) -> Side {
        Side { name: name.to_owned(), outgoing: outgoing.to_owned(), incoming: "same\n".to_owned() }
    }

    #[test]
    fn what_differs_is_told_and_nothing_else() {
        let told = compare(side("3", "a\nb\nc\n"), side("draft", "a\nB\nc\n"));
        assert_eq!((told.from.as_str(), told.to.as_str(), told.incoming.as_str()), ("3", "draft", ""));
        assert_eq!(told.outgoing, "--- outgoing.js, version 3\n+++ outgoing.js, draft\n@@ -1,3 +1,3 @@\n a\n-b\n+B\n c\n");
    }

    /// As many lines as a rule may have, in an order that differs everywhere and nowhere for long.
    fn noise(mut seed: u32) -> String {
        let mut text = String::new();
        for _ in 0..super::super::bodies::MOST / 2 {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            text.push(char::from(b'a' + u8::try_from(seed >> 29).expect("three bits")));
            text.push('\n');
        }
        text
    }

    #[test]
    fn the_worst_texts_end_in_time() {
        let begun = std::time::Instant::now();
        let told = compare(side("1", &noise(1)), side("2", &noise(2)));
        assert!(told.outgoing.lines().count() > 1_000);
        assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
    }
}
