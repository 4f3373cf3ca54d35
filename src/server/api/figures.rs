//! Figures of a day or a week: what curves are drawn of.

use std::{collections::BTreeMap, time::Duration};

use actix_web::{HttpResponse, web};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::bodies::Latency;
use crate::{
    clock::Time,
    domain::{
        figures::{Ended, Figures, Step, Took},
        token::Scope,
        tracker::ApiCalls,
    },
    server::kit::{Caller, Node, Problem, query},
};

/// How far back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Span {
    /// 24 hours, by quarter of an hour.
    #[default]
    Day,
    /// Seven days, by hour.
    Week,
}

impl Span {
    fn step(self) -> Step {
        match self {
            Self::Day => Step::Quarter,
            Self::Week => Step::Hour,
        }
    }

    fn steps(self) -> u32 {
        match self {
            Self::Day => 96,
            Self::Week => 168,
        }
    }
}

/// Which figures.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct FiguresQuery {
    /// `day` unless told; or `week`.
    span: Option<String>,
}

/// What happened in one step of the span.
#[derive(Debug, Serialize, ToSchema)]
pub struct Point {
    /// Where it begins.
    pub at: Time,
    /// How changes and events ended in it.
    pub ended: Ended,
    /// From arrival to outcome, of what was sent and applied; wrong by a sixteenth at most.
    pub latency_ms: Latency,
    /// Twins that were parked at its end; null where the node did not run.
    pub parked: Option<u64>,
}

/// An allowance as it was last heard in one step.
#[derive(Debug, Serialize, ToSchema)]
pub struct CallsPoint {
    /// Where it begins.
    pub at: Time,
    /// Calls then.
    #[serde(flatten)]
    pub calls: ApiCalls,
}

/// What a tracker's allowance was.
#[derive(Debug, Serialize, ToSchema)]
pub struct TrackerFigures {
    /// Its name.
    pub tracker: String,
    /// In order; steps in which nothing was heard are left out.
    pub points: Vec<CallsPoint>,
}

/// What happened in a day or a week. It is summed up once a minute, so the last minute is not in it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Figures)]
pub struct FiguresBody {
    /// How far back.
    pub span: Span,
    /// Length of a step, in seconds.
    pub step: i64,
    /// Beginning of the first step.
    pub since: Time,
    /// The hour here.
    pub until: Time,
    /// How changes and events ended in the whole of it.
    pub ended: Ended,
    /// The same for how long it took.
    pub latency_ms: Latency,
    /// Every step, in order.
    pub points: Vec<Point>,
    /// Trackers that have an allowance; none for tokens that are bound to connections.
    pub trackers: Vec<TrackerFigures>,
}

fn latency(took: &Took) -> Latency {
    Latency { p50: took.percentile(50), p95: took.percentile(95) }
}

fn body(span: Span, now: Time, mut known: BTreeMap<Time, Figures>, calls: Vec<(String, Time, ApiCalls)>) -> FiguresBody {
    let step = span.step().millis();
    let since = first(span, now);
    let (mut whole, mut points) = (Figures::default(), Vec::new());
    for at in (0..i64::from(span.steps())).map(|n| Time(since.0 + n * step)) {
        let figures = known.remove(&at).unwrap_or_default();
        whole.then(&figures);
        points.push(Point { at, ended: figures.ended, latency_ms: latency(&figures.took), parked: figures.parked });
    }
    let mut trackers: Vec<TrackerFigures> = Vec::new();
    for (tracker, at, calls) in calls {
        if trackers.last().is_none_or(|last| last.tracker != tracker) {
            trackers.push(TrackerFigures { tracker, points: Vec::new() });
        }
        trackers.last_mut().into_iter().for_each(|last| last.points.push(CallsPoint { at, calls }));
    }
    let (ended, latency_ms) = (whole.ended, latency(&whole.took));
    FiguresBody { span, step: step / 1_000, since, until: now, ended, latency_ms, points, trackers }
}

/// Beginning of the first step; the present one is the last.
fn first(span: Span, now: Time) -> Time {
    let before = u64::from(span.steps() - 1) * span.step().millis().unsigned_abs();
    span.step().start(now).minus(Duration::from_millis(before))
}

/// How changes ended, how long they took, what was parked and used of allowances: over a day or a week.
#[utoipa::path(get, path = "/figures", tag = "node", params(FiguresQuery), responses((status = 200, body = FiguresBody)))]
pub async fn figures(node: web::Data<Node>, caller: Caller, asked: web::Query<FiguresQuery>) -> Result<HttpResponse, Problem> {
    caller.require(Scope::Read)?;
    let span: Span = query::word("span", asked.span.as_deref())?.unwrap_or_default();
    let (now, only) = (node.now(), caller.only());
    let (since, step) = (first(span, now), span.step());
    let (known, mut calls) = node
        .store
        .read("api.figures", move |tx| {
            Box::pin(async move {
                let known = tx.figures(only.as_deref(), step, since).await?;
                let calls = if only.is_none() { tx.allowances(step, since).await? } else { Vec::new() };
                Ok((known, calls))
            })
        })
        .await?;
    // One that left the configuration is nobody's any more.
    calls.retain(|(tracker, ..)| node.trackers.contains_key(tracker));
    Ok(HttpResponse::Ok().json(body(span, now, known, calls)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_step_is_told_and_the_present_one_is_the_last() {
        let now: Time = "2026-11-24T03:41:00Z".parse().expect("a time");
        let figures = Figures { parked: Some(2), ..Figures::default() };
        let at = Step::Quarter.start(now);
        let old = Time(at.0 - 96 * 900_000);
        let calls = |used| ApiCalls { used, limit: 10 };
        let heard = vec![("a".to_owned(), at, calls(1)), ("b".to_owned(), at, calls(2))];
        let body = body(Span::Day, now, BTreeMap::from([(at, figures.clone()), (old, figures)]), heard);
        assert_eq!((body.points.len(), body.step, body.since.to_string().as_str()), (96, 900, "2026-11-23T03:45:00.000Z"));
        let last = body.points.last().expect("one");
        assert_eq!((last.at, last.parked), (at, Some(2)));
        assert!(body.points[..95].iter().all(|point| point.parked.is_none()), "what is older is left out");
        assert_eq!(body.trackers.iter().map(|one| one.points[0].calls.used).collect::<Vec<_>>(), [1, 2]);
        assert_eq!(first(Span::Week, now).to_string(), "2026-11-17T04:00:00.000Z");
    }
}
