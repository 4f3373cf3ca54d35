//! Every commit is a moment at which a node may die: its file is looked at as each of them left it.
//!
//! SQLite appends a commit to its log, and the log of a short story is not carried over into the file yet. So the file as
//! it was at the beginning, with the log cut behind the k-th commit, is what a node finds that was killed right there.
//! No kill has to hit: two steps that ought to be one commit and are two show at the commit between them.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use serde_json::json;
use sqlx::{ConnectOptions as _, Connection as _, SqliteConnection, sqlite::SqliteConnectOptions};

use super::stage::Stage;
use crate::support::{Settings, until};

/// Of the log, and of each page in it (sqlite.org/fileformat2.html, "The WAL File Format").
const LOG_HEADER: usize = 32;
const PAGE_HEADER: usize = 24;
/// From so many pages on the log is carried over, and begins again.
const MOST_PAGES: usize = 4000;
/// A story that commits less often tells nothing.
const FEWEST_COMMITS: usize = 20;

fn number(bytes: &[u8]) -> usize {
    bytes.iter().fold(0, |number, byte| number << 8 | usize::from(*byte))
}

/// Where in the log each commit ends.
fn ends_of_commits(log: &[u8]) -> Vec<usize> {
    let (page, salt) = (number(&log[8..12]), &log[16..24]);
    let whole = log[LOG_HEADER..].chunks_exact(PAGE_HEADER + page).enumerate();
    let pages: Vec<_> = whole.take_while(|(_, one)| one[8..16] == *salt).collect();
    assert!(pages.len() < MOST_PAGES, "{} pages: the log may have begun again", pages.len());
    // The last page of a commit names the size of the file.
    let last = pages.into_iter().filter(|(_, one)| number(&one[4..8]) > 0);
    last.map(|(at, _)| LOG_HEADER + (at + 1) * (PAGE_HEADER + page)).collect()
}

/// An event of ours: its twin and kind, and its number once it has one.
type Handed = (String, String, Option<i64>);

/// What stood in the file at one of these moments.
#[derive(Debug, Default)]
struct Moment {
    /// The cursor.
    cursor: i64,
    /// Events that wait: number, kind and twin.
    inbox: BTreeMap<i64, (String, String)>,
    /// Changes that wait, by row.
    changes: BTreeSet<i64>,
    /// Rows of the history: direction, outcome and twin.
    lines: BTreeMap<i64, (String, String, Option<String>)>,
    /// By row.
    outbox: BTreeMap<i64, Handed>,
}

impl Moment {
    async fn read(line: &mut SqliteConnection) -> sqlx::Result<Self> {
        let (cursor,) = sqlx::query_as("SELECT COALESCE(MAX(in_n), 0) FROM links").fetch_one(&mut *line).await?;
        let inbox: Vec<(i64, String, String)> =
            sqlx::query_as("SELECT n, json ->> 'kind', twin_id FROM inbox").fetch_all(&mut *line).await?;
        let changes: Vec<(i64,)> = sqlx::query_as("SELECT id FROM changes").fetch_all(&mut *line).await?;
        let sql = "SELECT id, body ->> 'direction', outcome, twin_id FROM history";
        let lines: Vec<(i64, String, String, Option<String>)> = sqlx::query_as(sql).fetch_all(&mut *line).await?;
        let outbox: Vec<(i64, String, String, Option<i64>)> =
            sqlx::query_as("SELECT id, twin_id, kind, n FROM outbox").fetch_all(&mut *line).await?;
        Ok(Self {
            cursor,
            inbox: inbox.into_iter().map(|(n, kind, twin)| (n, (kind, twin))).collect(),
            changes: changes.into_iter().map(|(id,)| id).collect(),
            lines: lines.into_iter().map(|(id, direction, outcome, twin)| (id, (direction, outcome, twin))).collect(),
            outbox: outbox.into_iter().map(|(id, twin, kind, n)| (id, (twin, kind, n))).collect(),
        })
    }

    /// An event of this twin and kind that the moment before did not have, or one that still waits for its number and so
    /// carries what came since.
    fn hands_out(&self, before: &Self, twin: &str, kind: &str) -> bool {
        self.outbox.iter().any(|(id, event)| {
            (&*event.0, &*event.1) == (twin, kind) && (event.2.is_none() || before.outbox.get(id) != Some(event))
        })
    }

    /// What this commit may not have parted from what stands in the next.
    fn follows(&self, before: &Self) -> Result<(), String> {
        if let Some(ahead) = self.inbox.keys().find(|n| **n > self.cursor) {
            return Err(format!("event {ahead} is stored and the cursor stands at {}: it would be taken again", self.cursor));
        }
        if let Some(lost) = (before.cursor + 1..=self.cursor).find(|n| !self.inbox.contains_key(n)) {
            return Err(format!("the cursor is moved to {} and event {lost} is not stored: it would be lost", self.cursor));
        }
        let lines: Vec<_> = self.lines.iter().filter(|(id, _)| !before.lines.contains_key(id)).map(|(_, line)| line).collect();
        let told = |way: &str| lines.iter().filter(|(direction, ..)| direction == way).count();
        let ended = before.changes.difference(&self.changes).count();
        if ended > told("out") {
            return Err(format!("{ended} changes are gone, and {} have an end: {lines:?}", told("out")));
        }
        let gone = before.inbox.iter().filter(|(n, (kind, _))| kind == "sync" && !self.inbox.contains_key(n));
        let applied: Vec<&str> = gone.map(|(_, (_, twin))| &**twin).collect();
        if applied.len() > told("in") {
            return Err(format!("{} events are gone, and {} have an end: {lines:?}", applied.len(), told("in")));
        }
        if let Some(twin) = applied.iter().find(|twin| !self.hands_out(before, twin, "result")) {
            return Err(format!("an event of {twin} is gone without a word to the other side"));
        }
        let sent = lines.iter().filter(|(_, outcome, _)| outcome == "sent").filter_map(|(_, _, twin)| twin.as_deref());
        for twin in sent {
            if !self.hands_out(before, twin, "sync") {
                return Err(format!("a change of {twin} ended as sent, and nothing is there to be sent"));
            }
        }
        Ok(())
    }
}

/// A data folder of before the story.
struct Files {
    name: &'static str,
    folder: PathBuf,
    begin: Vec<u8>,
}

impl Files {
    fn of(name: &'static str, folder: &Path) -> Self {
        let begin = std::fs::read(folder.join("wicketgate.db")).expect("a database");
        Self { name, folder: folder.to_owned(), begin }
    }

    /// Holds every commit since to what a kill may not part; returns how many events came in.
    async fn check(&self, desk: &Path) -> i64 {
        let file = std::fs::read(self.folder.join("wicketgate.db")).expect("a database");
        assert!(file == self.begin, "{}: the log was carried over", self.name);
        let log = std::fs::read(self.folder.join("wicketgate.db-wal")).expect("a log");
        let ends = ends_of_commits(&log);
        assert!(ends.len() >= FEWEST_COMMITS, "{}: {} commits", self.name, ends.len());
        let mut before: Option<Moment> = None;
        for (at, end) in ends.iter().enumerate() {
            let moment = look(desk, &self.begin, &log[..*end]).await.expect("a file that a killed node leaves");
            if let Some(before) = &before
                && let Err(why) = moment.follows(before)
            {
                panic!("{}, commit {} of {}: {why}\nbefore: {before:?}\nafter: {moment:?}", self.name, at + 1, ends.len());
            }
            before = Some(moment);
        }
        before.map_or(0, |last| last.cursor)
    }
}

async fn look(desk: &Path, file: &[u8], log: &[u8]) -> sqlx::Result<Moment> {
    let path = desk.join("moment.db");
    std::fs::write(&path, file).expect("written");
    std::fs::write(desk.join("moment.db-wal"), log).expect("written");
    let mut line = SqliteConnectOptions::new().filename(&path).connect().await?;
    let moment = Moment::read(&mut line).await;
    line.close().await?;
    moment
}

/// Records that begin on either side, and edits that cross, many at a time.
async fn story(stage: &Stage) {
    let world = &stage.world;
    let cases: Vec<String> = (0..6).map(|n| world.new_case(json!({"Subject": format!("c{n}"), "Description": "d"}))).collect();
    let fields = |n| json!({"summary": format!("i{n}"), "description": "d", "status": "open"});
    let issues: Vec<String> = (0..6).map(|n| world.tracker.handle.create(&fields(n))).collect();
    until("all records", || (world.org.handle.count("Case"), world.tracker.handle.count()) == (12, 12)).await;
    for round in 0..3 {
        for (case, issue) in cases.iter().zip(&issues) {
            world.edit_case(case, json!({"Subject": format!("s{round} of {case}")}));
            assert!(world.tracker.handle.edit(issue, &json!({"description": format!("d{round}")})));
        }
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    }
    stage.quiet().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_commit_parts_what_belongs_together() {
    let mut stage = Stage::with(Settings::default()).await;
    let nodes = [Files::of("public", &stage.world.public.dir), Files::of("private", &stage.world.private.dir)];
    story(&stage).await;
    stage.end();
    let desk = stage.world.dir.path().join("desk");
    std::fs::create_dir(&desk).expect("made");
    for node in &nodes {
        let came = node.check(&desk).await;
        assert!(came >= 24, "{}: {came} events came in", node.name);
    }
}
