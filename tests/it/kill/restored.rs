//! An older copy of a data folder is put back: noticed, mended by a new epoch, nothing doubled, only differences written.

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use super::{
    audit::Folder,
    stage::{Side, Stage},
};
use crate::support::{PATIENCE, Settings};

fn copy(from: &Path, to: &Path) {
    if to.exists() {
        std::fs::remove_dir_all(to).expect("removed");
    }
    std::fs::create_dir(to).expect("made");
    for entry in std::fs::read_dir(from).expect("read") {
        let entry = entry.expect("an entry");
        std::fs::copy(entry.path(), to.join(entry.file_name())).expect("copied");
    }
}

struct Story {
    stage: Stage,
    side: Side,
}

impl Story {
    fn data(&self) -> PathBuf {
        match self.side {
            Side::Public => self.stage.world.public.dir.clone(),
            Side::Private => self.stage.world.private.dir.clone(),
        }
    }

    fn backup(&self) -> PathBuf {
        self.stage.world.dir.path().join("backup")
    }

    async fn back_up(&mut self) {
        self.stage.quiet().await;
        let (data, backup) = (self.data(), self.backup());
        self.stage.node(self.side).kill();
        copy(&data, &backup);
        self.stage.node(self.side).start().await;
    }

    /// Puts the copy back; what `meanwhile` does is done while the node is away.
    async fn restore(&mut self, meanwhile: impl FnOnce(&Stage)) {
        self.stage.quiet().await;
        let (data, backup) = (self.data(), self.backup());
        self.stage.node(self.side).kill();
        copy(&backup, &data);
        meanwhile(&self.stage);
        self.stage.node(self.side).start().await;
    }

    async fn case_and_issue(&self, summary: &str) -> (String, String) {
        let case = self.stage.world.new_case(json!({"Subject": summary, "Description": "d"}));
        (case, self.stage.world.issue_with(summary).await)
    }

    async fn issue_and_case(&self, summary: &str) -> (String, String) {
        let issue = self.stage.world.tracker.handle.create(&json!({
            "summary": summary, "description": "d", "status": "New", "priority": "Medium",
        }));
        (self.stage.world.case_with(summary).await, issue)
    }

    /// Both records hold this.
    async fn agree(&self, (case, issue): &(String, String), summary: &str, description: &str) {
        let wanted = [summary, summary, description, description].map(Value::from);
        let world = &self.stage.world;
        let begun = Instant::now();
        loop {
            let summaries = [world.case_field(case, "Subject"), world.issue_field(issue, "summary")];
            let descriptions = [world.case_field(case, "Description"), world.issue_field(issue, "description")];
            if summaries == wanted[..2] && descriptions == wanted[2..] {
                return;
            }
            if begun.elapsed() > PATIENCE {
                let mut told = self.stage.errors_and_logs().await;
                for (node, key) in [(&world.public, case), (&world.private, issue)] {
                    let twin = node.twin_of(key).await.unwrap_or_default();
                    let history = node.get(&format!("/twins/{}/history", twin["id"].as_str().unwrap_or_default())).await;
                    told.push_str(&format!("\n{twin}\n{history}"));
                }
                panic!("{wanted:?}, and there is {summaries:?} {descriptions:?}:\n{told}");
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

async fn an_older_copy_is_put_back(side: Side) {
    let mut settings = Settings::default();
    // What was told while the node is away is told again soon.
    settings.org.outbound.haste = 300.0;
    let mut story = Story { stage: Stage::with(settings).await, side };
    let old = story.case_and_issue("Old Case").await;
    let other = story.issue_and_case("Old issue").await;
    story.back_up().await;
    // What the copy does not know: edits each way, and a pair begun on either side.
    story.stage.world.edit_case(&old.0, json!({"Subject": "Old Case, edited"}));
    story.stage.world.tracker.handle.edit(&other.1, &json!({"description": "edited there"}));
    let new = story.case_and_issue("New Case").await;
    let newer = story.issue_and_case("New issue").await;
    story.agree(&old, "Old Case, edited", "d").await;
    story.agree(&other, "Old issue", "edited there").await;
    story.stage.quiet().await;
    let written = |stage: &Stage| {
        let writes = stage.world.tracker.handle.log().iter().filter(|write| write.applied).count();
        (writes, stage.world.org.handle.all("Case").iter().map(|case| case["SystemModstamp"].to_string()).collect::<Vec<_>>())
    };
    let before = written(&story.stage);
    // People work on while the node is away, and at once when it is back.
    story
        .restore(|stage| {
            stage.world.edit_case(&other.0, json!({"Subject": "Old issue, meanwhile"}));
            assert!(stage.world.tracker.handle.edit(&other.1, &json!({"description": "meanwhile"})));
        })
        .await;
    story.stage.world.edit_case(&old.0, json!({"Subject": "Old Case, later"}));
    story.agree(&old, "Old Case, later", "d").await;
    story.agree(&other, "Old issue, meanwhile", "meanwhile").await;
    story.stage.quiet().await;
    let after = written(&story.stage);
    assert_eq!(after.0, before.0 + 2, "only differences are written there: {:?}", story.stage.world.tracker.handle.log());
    let others = |stamps: &[String]| stamps.iter().filter(|stamp| before.1.contains(stamp)).count();
    assert!(others(&after.1) >= 2, "no Case was touched but the edited ones: {:?} {:?}", before.1, after.1);
    // All four flow both ways again, those that the copy did not know too.
    for (index, pair) in [&old, &other, &new, &newer].into_iter().enumerate() {
        story.stage.world.edit_case(&pair.0, json!({"Subject": format!("s{index}")}));
        story.stage.world.tracker.handle.edit(&pair.1, &json!({"description": format!("d{index}")}));
        story.agree(pair, &format!("s{index}"), &format!("d{index}")).await;
    }
    story.stage.quiet().await;
    assert_eq!((story.stage.world.org.handle.count("Case"), story.stage.world.tracker.handle.count()), (4, 4));
    story.stage.end();
    let public = Folder::read(&story.stage.world.public.dir, "support", "Case").await;
    let private = Folder::read(&story.stage.world.private.dir, "helpdesk", "issue").await;
    assert_eq!((public.epoch, private.epoch), (2, 2), "one new epoch");
    for folder in [&public, &private] {
        let ends: Vec<&str> = folder.twins.iter().map(|twin| twin.status.as_str()).collect();
        assert_eq!(ends, ["in_sync"; 4]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_older_copy_of_the_public_node_is_mended() {
    an_older_copy_is_put_back(Side::Public).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_older_copy_of_the_private_node_is_mended() {
    an_older_copy_is_put_back(Side::Private).await;
}
