//! Curves over time, drawn here as SVG: no script, no style of its own, no zone of time to know.
//!
//! The module does not know what it draws: lines of values, each at the same distance, where a value that is missing
//! leaves a gap. Moments are told as "6 h ago", for nothing in a picture can be turned to the reader's zone. Whoever
//! cannot see it has the label, with the main figures, and a table beside.
//!
//! To draw something new: a [`Chart`] with its lines; a third kind of line needs a class in the stylesheet.

use std::fmt::{self, Write as _};

use askama::filters::HtmlSafe;

/// Size of the picture; the page makes it as wide as there is room.
const WIDTH: f64 = 480.0;
const HEIGHT: f64 = 150.0;
/// Room for the numbers at its left and the moments below.
const LEFT: f64 = 76.0;
const RIGHT: f64 = 472.0;
const TOP: f64 = 14.0;
const BOTTOM: f64 = 126.0;

/// How a line looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Filled below: what matters.
    First,
    /// Dashed: what it is compared with.
    Second,
}

/// Values at equal distances.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    pub kind: Kind,
    pub values: Vec<Option<f64>>,
}

/// A picture.
#[derive(Clone, Debug)]
pub(crate) struct Chart {
    /// What is seen, in a sentence, for those who do not see it.
    pub label: String,
    pub lines: Vec<Line>,
    /// The scale ends here; `None`: a little above the largest value.
    pub most: Option<f64>,
    /// A value as people say it.
    pub say: fn(f64) -> String,
    /// Where on the way from the beginning (0) to now (1) stands which word.
    pub moments: &'static [(f64, &'static str)],
}

/// The next of 1, 2, 5, 10, 20, 50… that is not below.
fn round_up(value: f64) -> f64 {
    if !value.is_finite() || value <= 1.0 {
        return 1.0;
    }
    let power = 10f64.powf(value.log10().floor());
    [1.0, 2.0, 5.0, 10.0].into_iter().map(|step| step * power).find(|step| *step >= value).unwrap_or(power * 10.0)
}

impl Chart {
    fn most(&self) -> f64 {
        let largest = self.lines.iter().flat_map(|line| &line.values).flatten().copied().fold(0.0, f64::max);
        self.most.filter(|most| most.is_finite() && *most > 0.0 && *most >= largest).unwrap_or_else(|| round_up(largest))
    }
}

fn across(index: usize, count: usize) -> f64 {
    let last = count.saturating_sub(1).max(1);
    LEFT + (RIGHT - LEFT) * index as f64 / last as f64
}

fn up(value: f64, most: f64) -> f64 {
    let share = if value.is_finite() { (value / most).clamp(0.0, 1.0) } else { 0.0 };
    BOTTOM - (BOTTOM - TOP) * share
}

/// Stretches without a gap, as points.
fn stretches(values: &[Option<f64>], most: f64) -> Vec<Vec<(f64, f64)>> {
    let mut found: Vec<Vec<(f64, f64)>> = vec![Vec::new()];
    for (index, value) in values.iter().enumerate() {
        match value {
            Some(value) => {
                let point = (across(index, values.len()), up(*value, most));
                found.last_mut().into_iter().for_each(|stretch| stretch.push(point));
            }
            None if found.last().is_some_and(|stretch| !stretch.is_empty()) => found.push(Vec::new()),
            None => {}
        }
    }
    found.retain(|stretch| !stretch.is_empty());
    found
}

/// The way along a stretch; one value alone is a short bar, or nobody would see it.
fn way(stretch: &[(f64, f64)]) -> String {
    let mut way = String::new();
    for (number, (x, y)) in stretch.iter().enumerate() {
        let _ = write!(way, "{}{x:.1} {y:.1}", if number == 0 { "M" } else { "L" });
    }
    if let [(x, y)] = stretch {
        let _ = write!(way, "M{:.1} {y:.1}h3", (x - 1.5).max(LEFT));
    }
    way
}

fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => safe.push_str("&#38;"),
            '<' => safe.push_str("&#60;"),
            '>' => safe.push_str("&#62;"),
            '"' => safe.push_str("&#34;"),
            '\'' => safe.push_str("&#39;"),
            other => safe.push(other),
        }
    }
    safe
}

impl fmt::Display for Chart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let label = escaped(&self.label);
        write!(f, r#"<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{label}">"#)?;
        let most = self.most();
        for share in [0.0, 0.5, 1.0] {
            let (y, said) = (up(most * share, most), (self.say)(most * share));
            write!(f, r#"<path class="axis" d="M{LEFT} {y:.1}H{RIGHT}"/>"#)?;
            write!(f, r#"<text x="{}" y="{:.1}" text-anchor="end">{}</text>"#, LEFT - 6.0, y + 4.0, escaped(&said))?;
        }
        for (share, word) in self.moments {
            let anchor = match *share {
                share if share <= 0.0 => "start",
                share if share >= 1.0 => "end",
                _ => "middle",
            };
            let x = LEFT + (RIGHT - LEFT) * share;
            write!(f, r#"<text x="{x:.1}" y="{}" text-anchor="{anchor}">{}</text>"#, HEIGHT - 6.0, escaped(word))?;
        }
        for line in &self.lines {
            for stretch in stretches(&line.values, most) {
                if line.kind == Kind::First
                    && let [(first, _), .., (last, _)] = stretch[..]
                {
                    write!(f, r#"<path class="area" d="{}L{last:.1} {BOTTOM}L{first:.1} {BOTTOM}Z"/>"#, way(&stretch))?;
                }
                let class = if line.kind == Kind::First { "stroke" } else { "second" };
                write!(f, r#"<path class="{class}" d="{}"/>"#, way(&stretch))?;
            }
        }
        f.write_str("</svg>")
    }
}

impl HtmlSafe for Chart {}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn chart(label: &str, values: Vec<Option<f64>>, most: Option<f64>) -> Chart {
        let lines = vec![Line { kind: Kind::First, values: values.clone() }, Line { kind: Kind::Second, values }];
        Chart {
            label: label.to_owned(),
            lines,
            most,
            say: |value| format!("{value}"),
            moments: &[(0.0, "24 h ago"), (1.0, "now")],
        }
    }

    #[test]
    fn a_gap_stays_a_gap_and_a_lonely_value_is_seen() {
        let svg = chart("l", vec![Some(0.0), Some(1.0), None, Some(1.0)], None).to_string();
        assert_eq!(svg.matches("class=\"stroke\"").count(), 2, "{svg}");
        assert_eq!(svg.matches("class=\"area\"").count(), 1, "{svg}");
        assert!(svg.contains("M76.0 126.0L208.0 14.0\""), "{svg}");
        assert!(svg.contains("M470.5 14.0h3\""), "{svg}");
        assert!(!chart("l", vec![None; 4], None).to_string().contains("stroke"));
    }

    #[test]
    fn the_scale_ends_at_a_round_number_unless_told() {
        assert_eq!([0.0, 1.0, 1.5, 3.0, 7.0, 50.0, 51.0].map(round_up), [1.0, 1.0, 2.0, 5.0, 10.0, 50.0, 100.0]);
        assert!(chart("l", vec![Some(40.0)], Some(15_000.0)).to_string().contains(">15000<"));
        assert!(chart("l", vec![Some(40.0)], Some(10.0)).to_string().contains(">50<"), "it never cuts a value off");
    }

    proptest! {
        #[test]
        fn any_picture_stays_in_its_frame_and_writes_no_markup_of_others(
            label in any::<String>(),
            values in prop::collection::vec(prop::option::of(prop::num::f64::ANY), 0..200),
            most in prop::option::of(prop::num::f64::ANY),
        ) {
            let svg = chart(&label, values, most).to_string();
            let (open, rest) = svg.split_once('>').expect("a tag");
            prop_assert_eq!(open.matches('"').count(), 8, "the label ends where it should: {}", open);
            prop_assert!(!open[1..].contains('<') && rest.ends_with("</svg>"));
            for way in rest.split(" d=\"").skip(1) {
                let way = way.split('"').next().expect("a part");
                let numbers = way.split(|c: char| !c.is_ascii_digit() && c != '.' && c != '-').filter(|part| !part.is_empty());
                for number in numbers {
                    let number: f64 = number.parse().expect("a number");
                    prop_assert!((0.0..=WIDTH).contains(&number), "{}", way);
                }
                prop_assert!(!way.contains("NaN") && !way.contains("inf"), "{}", way);
            }
        }
    }
}
