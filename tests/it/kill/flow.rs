//! `kill -9` at random moments on either side, while Cases are made and edited and edits come back.
//!
//! Each pair of records carries its number in every value (`#7 …`). Summaries are written by the org's people and
//! descriptions by the tracker's, so the last value of each is known. Kills come at random or right after something was
//! acknowledged, written or told, and in the middle of a call whose work is done and whose answer never comes.
//!
//! `WICKETGATE_KILL_ROUNDS` makes it run longer, `WICKETGATE_KILL_SEED` runs the same story again (as far as the
//! machine's own timing allows).

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use wicketgate::sandbox::{
    org::{Fault, FaultKind, OrgSettings, OutboundSettings},
    tracker::{TrackerFault, TrackerFaultKind},
};

use super::{
    audit::Folder,
    chance::Chance,
    stage::{Side, Stage},
};
use crate::support::Settings;

/// Kills of a run without `WICKETGATE_KILL_ROUNDS`.
const ROUNDS: u64 = 30;

/// One pair of records and what its values must be in the end.
struct Pair {
    number: usize,
    summary: u64,
    description: u64,
    from_org: bool,
}

impl Pair {
    fn text(&self, part: &str, version: u64) -> String {
        format!("#{} {part}{version}", self.number)
    }

    fn mark(&self) -> String {
        format!("#{} ", self.number)
    }
}

struct Flow {
    stage: Stage,
    chance: Chance,
    pairs: Vec<Pair>,
}

fn texts(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

impl Flow {
    async fn start() -> Self {
        let outbound = OutboundSettings { haste: 300.0, duplicates: 0.1, ..OutboundSettings::default() };
        let settings = Settings { org: OrgSettings { outbound, ..OrgSettings::default() }, ..Settings::default() };
        Self { stage: Stage::with(settings).await, chance: Chance::new(), pairs: Vec::new() }
    }

    /// The Cases of a pair: more than one is a failure found later.
    fn cases(&self, pair: &Pair) -> Vec<Value> {
        let all = self.stage.world.org.handle.all("Case");
        all.into_iter().filter(|case| texts(&case["Subject"]).starts_with(&pair.mark())).collect()
    }

    fn issues(&self, pair: &Pair) -> Vec<(String, Value)> {
        let all = self.stage.world.tracker.handle.all();
        let of = all.into_iter().map(|issue| (issue.key, Value::Object(issue.fields)));
        of.filter(|(_, fields)| texts(&fields["summary"]).starts_with(&pair.mark())).collect()
    }

    /// Somebody does something.
    fn act(&mut self) {
        let number = self.pairs.len();
        match self.chance.below(8) {
            0 | 1 => {
                let pair = Pair { number, summary: 0, description: 0, from_org: true };
                self.stage.world.new_case(json!({"Subject": pair.text("s", 0), "Description": pair.text("d", 0)}));
                self.pairs.push(pair);
            }
            2 => {
                let pair = Pair { number, summary: 0, description: 0, from_org: false };
                let fields = json!({"summary": pair.text("s", 0), "description": pair.text("d", 0), "status": "open"});
                self.stage.world.tracker.handle.create(&fields);
                self.pairs.push(pair);
            }
            _ if number == 0 => {}
            choice => {
                // Mostly one of the newest: their creates are still under way.
                let reach = if self.chance.below(3) == 0 { number } else { number.min(4) } as u64;
                let index = number - 1 - usize::try_from(self.chance.below(reach)).unwrap_or(0);
                if choice % 2 == 0 { self.edit_summary(index) } else { self.edit_description(index) }
            }
        }
    }

    fn edit_summary(&mut self, index: usize) {
        let pair = &self.pairs[index];
        let Some(case) = self.cases(pair).pop() else { return };
        self.stage.world.edit_case(texts(&case["Id"]), json!({"Subject": pair.text("s", pair.summary + 1)}));
        self.pairs[index].summary += 1;
    }

    fn edit_description(&mut self, index: usize) {
        let pair = &self.pairs[index];
        let Some((key, _)) = self.issues(pair).pop() else { return };
        assert!(self.stage.world.tracker.handle.edit(&key, &json!({"description": pair.text("d", pair.description + 1)})));
        self.pairs[index].description += 1;
    }

    /// An answer that will be lost after the work was done, or a call that does not get through.
    fn break_something(&mut self) {
        let hang = self.chance.of(&[60, 200, 600]);
        let (org, tracker) = (&self.stage.world.org.handle, &self.stage.world.tracker.handle);
        match self.chance.below(8) {
            0 => tracker.fail(TrackerFault::on_writes(1, TrackerFaultKind::LoseAnswer)),
            1 | 2 => tracker.fail(TrackerFault::on_writes(2, TrackerFaultKind::HangAfterWork(hang))),
            3 => tracker.fail(TrackerFault::on_reads(1, TrackerFaultKind::ResetBefore)),
            4 => org.fail(Fault::on_writes(1, FaultKind::ResetAfterCommit)),
            5 | 6 => org.fail(Fault::on_writes(2, FaultKind::HangAfterCommit(hang))),
            _ => org.fail(Fault::at("/composite", 1, FaultKind::ResetBefore)),
        }
    }

    /// A number that grows with what the far systems saw happen.
    fn seen(&self, what: u64) -> usize {
        let (org, tracker) = (&self.stage.world.org.handle, &self.stage.world.tracker.handle);
        match what {
            0 => org.acknowledged().len(),
            1 => tracker.log().len(),
            2 => tracker.hooks_taken().len(),
            _ => org.log().iter().filter(|call| call.kind.ends_with("write") || call.kind == "composite").count(),
        }
    }

    /// Waits for the next thing to happen, at most a moment, then a little longer by chance.
    async fn moment(&mut self) {
        let what = self.chance.below(6);
        if what < 4 {
            let (before, begun) = (self.seen(what), Instant::now());
            while self.seen(what) == before && begun.elapsed() < Duration::from_millis(400) {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
        let most = self.chance.of(&[1, 4, 15, 60, 200]);
        tokio::time::sleep(Duration::from_micros(self.chance.below(most * 1000))).await;
    }

    async fn round(&mut self) {
        for _ in 0..3 + self.chance.below(5) {
            self.act();
        }
        if self.chance.below(3) > 0 {
            self.break_something();
        }
        self.moment().await;
        let sides: &[Side] = match self.chance.below(7) {
            0..3 => &[Side::Public],
            3..6 => &[Side::Private],
            _ => &[Side::Public, Side::Private],
        };
        for side in sides {
            self.stage.node(*side).kill();
        }
        for _ in 0..self.chance.below(4) {
            self.act();
        }
        for side in sides {
            self.stage.node(*side).start().await;
        }
    }

    /// All is told and settled; every value is where it belongs.
    async fn check(&mut self) {
        self.stage.world.tracker.handle.clear_faults();
        self.stage.world.org.handle.clear_faults();
        self.stage.world.org.handle.retry_deliveries();
        self.stage.quiet().await;
        for pair in &self.pairs {
            let (cases, issues) = (self.cases(pair), self.issues(pair));
            assert_eq!((cases.len(), issues.len()), (1, 1), "pair {}: {cases:?} {issues:?}", pair.number);
            let (summary, description) = (pair.text("s", pair.summary), pair.text("d", pair.description));
            let (case, (key, issue)) = (&cases[0], &issues[0]);
            let there = [&case["Subject"], &issue["summary"], &case["Description"], &issue["description"]].map(texts);
            let what = format!("pair {}, {} and {key}, from the org: {}", pair.number, case["Id"], pair.from_org);
            assert_eq!(there, [&*summary, &summary, &description, &description], "{what}");
        }
        let (cases, issues) = (self.stage.world.org.handle.count("Case"), self.stage.world.tracker.handle.count());
        assert_eq!((cases, issues), (self.pairs.len(), self.pairs.len()));
        self.check_writes();
    }

    /// A write that left once is repeated under its id with the same body before anything new is written there.
    fn check_writes(&self) {
        let mut bodies: BTreeMap<String, Value> = BTreeMap::new();
        let mut open: BTreeMap<String, String> = BTreeMap::new();
        for write in self.stage.world.tracker.handle.log() {
            let known = bodies.entry(write.webhook_id.clone()).or_insert_with(|| write.body.clone());
            assert_eq!(*known, write.body, "the same id with another body");
            let Some(key) = write.key else { continue };
            if let Some(lost) = open.remove(&key) {
                assert_eq!(
                    write.webhook_id, lost,
                    "{key}: the answer was lost, and what follows is not its repeat: {}",
                    write.body
                );
            }
            if write.status == 0 {
                open.insert(key, write.webhook_id);
            }
        }
        let applied = self.stage.world.tracker.handle.applied();
        assert!(applied.values().all(|times| *times == 1), "{applied:?}");
    }

    /// Every notice and every event ended once, and both sides know the same pairs.
    async fn audit(&mut self) {
        self.stage.end();
        let dir = self.stage.world.dir.path();
        let public = Folder::read(&dir.join("public"), "support", "Case").await;
        let private = Folder::read(&dir.join("private"), "helpdesk", "issue").await;
        let ends = |folder: &Folder| {
            let mut ends: Vec<_> = folder.twins.iter().map(|twin| (twin.id, twin.status.as_str())).collect();
            ends.sort();
            ends
        };
        assert_eq!(ends(&public), ends(&private));
        assert!(public.twins.iter().all(|twin| twin.status.as_str() == "in_sync"), "{:?}", ends(&public));
        assert_eq!(public.twins.len(), self.pairs.len());
        assert_eq!(public.applied(), private.sent, "what the private node sent ended once on the public one");
        assert_eq!(private.applied(), public.sent, "what the public node sent ended once on the private one");
        let mut of_record: BTreeMap<String, usize> = BTreeMap::new();
        for record in self.stage.world.org.handle.acknowledged().into_values() {
            *of_record.entry(record).or_default() += 1;
        }
        compare(&public, &of_record);
        let mut of_record: BTreeMap<String, usize> = BTreeMap::new();
        for (_, key) in self.stage.world.tracker.handle.hooks_taken() {
            *of_record.entry(key).or_default() += 1;
        }
        compare(&private, &of_record);
    }
}

fn compare(folder: &Folder, notices: &BTreeMap<String, usize>) {
    let told = folder.told();
    for (key, count) in notices {
        let ended = told.get(key).copied().unwrap_or(0);
        assert_eq!(ended, *count, "{key}: notices that were acknowledged, and ends of them:\n{}", folder.story(key));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_any_moment_nothing_is_lost_or_doubled() {
    let rounds = std::env::var("WICKETGATE_KILL_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(ROUNDS);
    let mut flow = Flow::start().await;
    let begun = Instant::now();
    for _ in 0..rounds {
        flow.round().await;
    }
    let killed = begun.elapsed();
    flow.check().await;
    flow.audit().await;
    eprintln!("{} kills in {killed:?}, {} pairs, checked after {:?}", rounds, flow.pairs.len(), begun.elapsed());
}
