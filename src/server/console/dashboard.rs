//! The first page: what needs a person, and how the node does over a day or a week.

use actix_web::{HttpResponse, web};
use askama::Template;
use serde::Deserialize;

use super::{
    chart::{Chart, Kind, Line},
    connections::{Connection, List, Remote},
    gate::{Person, Refusal},
    page::{self, Frame, Room, may_configure},
    text::{State, Tone, When, number, span},
    trackers::{self, Tracker},
};
use crate::{
    clock::Time,
    domain::{
        connection::{Awaiting, Status},
        figures::Ended,
        tracker::ApiCalls,
    },
};

/// Mounts the page.
pub(super) fn routes(config: &mut web::ServiceConfig) {
    config.service(web::resource("/").route(web::get().to(page)));
}

/// What was asked for.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Asked {
    span: String,
}

/// Median and 95th percentile.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
pub(crate) struct Latency {
    pub p50: Option<i64>,
    pub p95: Option<i64>,
}

/// One step.
#[derive(Debug, Deserialize)]
pub(crate) struct Point {
    pub at: Time,
    pub ended: Ended,
    pub latency_ms: Latency,
    pub parked: Option<u64>,
}

/// An allowance in one step.
#[derive(Debug, Deserialize)]
pub(crate) struct CallsPoint {
    pub at: Time,
    #[serde(flatten)]
    pub calls: ApiCalls,
}

/// A tracker's allowance.
#[derive(Debug, Deserialize)]
pub(crate) struct OfTracker {
    pub tracker: String,
    pub points: Vec<CallsPoint>,
}

/// A day or a week.
#[derive(Debug, Deserialize)]
pub(crate) struct Figures {
    pub span: String,
    pub step: i64,
    pub since: Time,
    pub ended: Ended,
    pub latency_ms: Latency,
    pub points: Vec<Point>,
    pub trackers: Vec<OfTracker>,
}

const DAY: &[(f64, &str)] = &[(0.0, "24 h ago"), (0.25, "18 h"), (0.5, "12 h"), (0.75, "6 h"), (1.0, "now")];
const WEEK: &[(f64, &str)] = &[(0.0, "7 days ago"), (3.0 / 7.0, "4 days"), (5.0 / 7.0, "2 days"), (1.0, "now")];

/// What found its way.
fn synced(ended: &Ended) -> u64 {
    ended.sent + ended.applied
}

/// What had nothing to do.
fn without_effect(ended: &Ended) -> u64 {
    ended.unchanged + ended.skipped + ended.superseded
}

impl Figures {
    fn is_week(&self) -> bool {
        self.span == "week"
    }

    fn chart(&self, label: String, lines: Vec<(Kind, Vec<Option<f64>>)>, most: Option<f64>, say: fn(f64) -> String) -> Chart {
        let lines = lines.into_iter().map(|(kind, values)| Line { kind, values }).collect();
        Chart { label, lines, most, say, moments: if self.is_week() { WEEK } else { DAY } }
    }

    fn values(&self, value: impl Fn(&Point) -> Option<f64>) -> Vec<Option<f64>> {
        self.points.iter().map(value).collect()
    }

    fn throughput(&self) -> Drawn {
        // Where nobody counted, the node did not run: no curve says that nothing happened.
        let of = |count: fn(&Ended) -> u64| {
            self.values(|point| {
                let told = point.parked.is_some() || point.ended != Ended::default();
                told.then(|| count(&point.ended) as f64)
            })
        };
        let (synced, without, parked) = (synced(&self.ended), without_effect(&self.ended), self.ended.parked);
        let told = format!("{} synced, {} without effect, {} parked", number(synced), number(without), number(parked));
        Drawn {
            title: "Changes that ended".to_owned(),
            keys: ["synced", "without effect"],
            chart: self.chart(
                told.clone(),
                vec![(Kind::First, of(self::synced)), (Kind::Second, of(without_effect))],
                None,
                whole,
            ),
            told,
        }
    }

    fn latency(&self) -> Drawn {
        let of = |value: fn(&Latency) -> Option<i64>| self.values(|point| value(&point.latency_ms).map(|ms| ms as f64));
        let told = match (self.latency_ms.p50, self.latency_ms.p95) {
            (Some(p50), Some(p95)) => format!("Median {}, 95 of 100 under {}", span(p50), span(p95)),
            _ => "Nothing was synced in this time".to_owned(),
        };
        let lines = vec![(Kind::First, of(|one| one.p50)), (Kind::Second, of(|one| one.p95))];
        Drawn {
            title: "Delay from arrival to outcome".to_owned(),
            keys: ["median", "95 of 100 under"],
            chart: self.chart(told.clone(), lines, None, |ms| span(ms as i64)),
            told,
        }
    }

    fn parked(&self) -> Drawn {
        let counted = || self.points.iter().filter_map(|point| point.parked);
        let told = match (counted().next_back(), counted().max()) {
            (Some(last), Some(most)) => format!("{} now, {} at most", number(last), number(most)),
            _ => "Not counted yet".to_owned(),
        };
        let values = self.values(|point| point.parked.map(|count| count as f64));
        Drawn {
            title: "Parked records".to_owned(),
            keys: ["parked", ""],
            chart: self.chart(told.clone(), vec![(Kind::First, values)], None, whole),
            told,
        }
    }
}

fn whole(value: f64) -> String {
    // Half of an odd scale is no number of records.
    if value.fract() == 0.0 { number(value as u64) } else { String::new() }
}

/// A tracker's allowance over the span; `None` where nothing was heard of it.
pub(super) fn allowance(figures: &Figures, tracker: &str) -> Option<Chart> {
    let of = figures.trackers.iter().find(|one| one.tracker == tracker)?;
    let last = of.points.last()?;
    let mut values = vec![None; figures.points.len()];
    for point in &of.points {
        let index = (point.at.0 - figures.since.0) / (figures.step.max(1) * 1_000);
        let place = usize::try_from(index).ok().and_then(|index| values.get_mut(index));
        place.into_iter().for_each(|place| *place = Some(point.calls.used as f64));
    }
    let label = format!("{} API calls in 24 hours, as last heard", trackers::told(last.calls));
    Some(figures.chart(label, vec![(Kind::First, values)], Some(last.calls.limit as f64), whole))
}

/// A picture with what stands around it.
#[derive(Debug)]
pub(crate) struct Drawn {
    pub title: String,
    /// The main figures.
    pub told: String,
    /// What the lines are; empty: there is no second.
    pub keys: [&'static str; 2],
    pub chart: Chart,
}

/// Something that a person should look at: a state, where to go, and the rest of the sentence.
#[derive(Debug)]
pub(crate) struct Need {
    pub state: State,
    pub path: String,
    pub name: String,
    pub rest: String,
    pub again_at: Option<Time>,
}

#[derive(Template)]
#[template(path = "dashboard.html", config = "src/server/console/askama.toml")]
pub(crate) struct DashboardPage {
    pub frame: Frame,
    pub needs: Vec<Need>,
    pub drawn: Vec<Drawn>,
    pub figures: Figures,
    pub has_connections: bool,
    pub is_private_node: bool,
    pub may_configure: bool,
}

impl DashboardPage {
    pub(crate) fn when(&self, at: &Time) -> When {
        When(*at)
    }

    pub(crate) fn is_quiet(&self) -> bool {
        self.figures.ended == Ended::default()
    }

    /// Steps in which something ended or was parked, the newest first.
    pub(crate) fn rows(&self) -> impl Iterator<Item = &Point> {
        let told = |point: &&Point| point.ended != Ended::default() || point.parked.is_some_and(|count| count > 0);
        self.figures.points.iter().rev().filter(told)
    }

    pub(crate) fn synced(&self, point: &Point) -> String {
        number(synced(&point.ended))
    }

    pub(crate) fn without_effect(&self, point: &Point) -> String {
        number(without_effect(&point.ended))
    }

    pub(crate) fn said(&self, ms: &Option<i64>) -> String {
        ms.map_or_else(|| "–".to_owned(), span)
    }

    pub(crate) fn count(&self, count: &Option<u64>) -> String {
        count.map_or_else(|| "–".to_owned(), number)
    }
}

/// A reason within a sentence of ours.
fn clause(reason: &str) -> &str {
    reason.trim_end().trim_end_matches('.')
}

/// What a tracker needs.
fn of_tracker(tracker: &Tracker) -> Option<Need> {
    let need = |rest, again_at| {
        let (path, name) = (format!("/trackers/{}", tracker.name), tracker.name.clone());
        Some(Need { state: tracker.state(), path, name, rest, again_at })
    };
    match &tracker.paused {
        Some(paused) => need(format!("rests, and with it all that needs it: {}.", clause(&paused.reason)), paused.retry_at),
        None if tracker.nearly_used_up() => need(format!("has used {} API calls of its day.", tracker.calls()), None),
        None => None,
    }
}

/// What a connection needs; where its tracker rests, that says it.
fn of_connection(one: &Connection, resting: &[&Tracker]) -> Vec<Need> {
    let page = format!("/connections/{}", one.id);
    let need =
        |state, path: &str, rest: String, again_at| Need { state, path: path.to_owned(), name: one.name.clone(), rest, again_at };
    let gone = one.status == Status::Active && one.remote.as_ref().is_some_and(Remote::is_gone);
    let mut needs = Vec::new();
    if one.status == Status::Pending && one.awaiting == Some(Awaiting::Confirmation) {
        let rest = "was accepted by your partner: compare the fingerprints, then confirm. Until then nothing syncs.";
        needs.push(need(State::new(Tone::Wait, "To confirm"), &page, rest.to_owned(), None));
    }
    if one.status == Status::Active
        && let Some(paused) = &one.health.paused
        // What ended there says so below, and that is why it is paused.
        && !gone
        && !resting.iter().any(|tracker| tracker.name == one.tracker)
    {
        needs.push(need(
            State::new(Tone::Bad, "Paused"),
            &page,
            format!("does not go on: {}.", clause(&paused.reason)),
            paused.retry_at,
        ));
    }
    if one.health.parked > 0 {
        let rest = match one.health.parked {
            1 => "holds 1 record that waits for a person or a newer change; all others go on.".to_owned(),
            many => format!("holds {} records that wait for a person or a newer change; all others go on.", number(many)),
        };
        needs.push(need(State::new(Tone::Bad, "Parked"), &format!("/errors?connection={}", one.id), rest, None));
    }
    if gone {
        let rest = "was deleted by your partner: nothing reaches them any more.".to_owned();
        needs.push(need(State::new(Tone::Off, "Ended there"), &page, rest, None));
    }
    needs
}

fn needs(trackers: &[Tracker], connections: &[Connection]) -> Vec<Need> {
    let resting: Vec<&Tracker> = trackers.iter().filter(|one| one.paused.is_some()).collect();
    let mut needs: Vec<Need> = trackers.iter().filter_map(of_tracker).collect();
    needs.extend(connections.iter().flat_map(|one| of_connection(one, &resting)));
    // What fails first; within that, trackers before what depends on them.
    needs.sort_by_key(|need| need.state.tone != Tone::Bad);
    needs
}

/// `GET /`
async fn page(person: Person, asked: web::Query<Asked>) -> Result<HttpResponse, Refusal> {
    // Somebody's old link with another word gets the day.
    let span = if asked.span == "week" { "week" } else { "day" };
    let frame = Frame::of(&person, Room::Dashboard, "Dashboard").await?;
    let trackers: List<Tracker> = person.api.get("/trackers").await?;
    let connections: List<Connection> = person.api.get("/connections?limit=500").await?;
    let figures: Figures = person.api.get(format!("/figures?span={span}")).await?;
    let mut drawn = vec![figures.throughput(), figures.latency(), figures.parked()];
    for of in &figures.trackers {
        if let Some(chart) = allowance(&figures, &of.tracker) {
            let told = chart.label.clone();
            drawn.push(Drawn { title: format!("API calls of {}", of.tracker), told, keys: ["in 24 hours", ""], chart });
        }
    }
    page::ok(&DashboardPage {
        needs: needs(&trackers.items, &connections.items),
        drawn,
        figures,
        has_connections: !connections.items.is_empty(),
        is_private_node: frame.kind == "private",
        may_configure: may_configure(&person),
        frame,
    })
}
