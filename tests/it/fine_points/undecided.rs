//! What the side that does not decide says to have seen while a conflict is open: nothing after the event that opened it,
//! or the decider would take its next edit for an answer. The decider is played by a partner's own node.

use serde_json::{Value, json};
use wicketgate::{
    clock::{Clock, SystemClock},
    config::Role,
};

use crate::{
    link::Ours,
    support::{
        stranger::{id, sync},
        stranger_node::StrangerNode,
        until_said,
    },
};

/// Our newest event of which this is true.
async fn said(theirs: &StrangerNode, what: &str, fits: impl Fn(&Value) -> bool) -> Value {
    let find = || theirs.state().book.got.iter().rev().find(|event| fits(event)).cloned();
    until_said(what, async || find().is_some()).await;
    find().expect("it was there")
}

fn edit(twin: &str, replica: Value, field: &str, seen: u64) -> Value {
    let mut event = sync(twin, "T-1", replica);
    event["changed"] = json!({field: SystemClock.now().to_string()});
    event["seen"] = json!(seen);
    event
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_after_an_undecided_conflict_is_said_to_be_seen() {
    let theirs = StrangerNode::start("").await;
    let ours = Ours::start(Role::Private).await;
    ours.joins(&theirs).await;
    let twin = id();
    let settled = |up_to: u64| move |event: &Value| event["kind"] == "result" && event["up_to"] == json!(up_to);
    theirs.put(sync(&twin, "T-1", json!({"summary": "v", "description": "d", "priority": "Low"})));
    let first = said(&theirs, "our word on the first", settled(1)).await;
    let issue = first["key"].as_str().expect("a key").to_owned();
    let known = first["n"].as_u64().expect("a number");

    // Both change the summary; they have not seen ours.
    ours.tracker.handle.edit(&issue, &json!({"summary": "ours"}));
    let open = said(&theirs, "our edit", |event| event["replica"]["summary"] == "ours").await;
    assert_eq!(open["seen"], 1);
    let both = json!({"summary": "theirs", "description": "d", "priority": "Low"});
    theirs.put(edit(&twin, both, "summary", known));
    said(&theirs, "our word on the conflict", settled(2)).await;
    // Another edit of theirs, which concerns nothing of that.
    let more = json!({"summary": "theirs", "description": "d", "priority": "High"});
    theirs.put(edit(&twin, more, "priority", known));
    said(&theirs, "our word on the other field", settled(3)).await;
    let field = |name: &str| ours.tracker.handle.get(&issue).and_then(|it| it.fields.get(name).cloned()).unwrap_or_default();
    assert_eq!((field("summary"), field("priority")), (json!("ours"), json!("High")), "they decide, and have not yet");
    ours.tracker.handle.edit(&issue, &json!({"description": "of another field"}));
    let other = said(&theirs, "an edit of another field", |event| event["replica"]["description"] == "of another field").await;
    assert_eq!(other["seen"], 1, "the summary in it is no answer to theirs: {other}");

    // They decide, and from then on all is seen.
    let decided = json!({"summary": "theirs", "description": "of another field", "priority": "High"});
    let word = theirs.put(edit(&twin, decided, "summary", other["n"].as_u64().expect("a number")));
    until_said("what they decided", async || field("summary") == "theirs").await;
    ours.tracker.handle.edit(&issue, &json!({"description": "after it"}));
    let last = said(&theirs, "the next edit", |event| event["replica"]["description"] == "after it").await;
    assert_eq!(last["seen"], word["n"]);
    assert_eq!(theirs.state().faults, Vec::<String>::new());
    ours.stop().await;
    theirs.stop();
}
