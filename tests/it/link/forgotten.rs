//! The third finding of a set-back: the peer needs events that are forgotten. Acknowledged ones are kept for an hour and
//! handed over again; after that who finds it starts an epoch, and both sides send every twin.

use std::{path::Path, sync::Arc, time::Duration};

use serde_json::{Value, json};
use wicketgate::config::Role;

use super::{
    Ours,
    set_back::{resynced, with_twin},
};
use crate::support::{
    PATIENCE,
    clock::MovableClock,
    stranger::{Ledger, Mate, id, sync},
    stranger_node::{Mischief, StrangerNode},
    until_said,
};

const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(24 * 3600);

/// A node of ours and a stranger that dials it, by one clock, with one twin.
async fn by(clock: &MovableClock) -> (Ours, Mate, String) {
    let ours = Ours::with(Role::Public, Arc::new(clock.clone()), "").await;
    let (mut mate, twin) = with_twin(&ours).await;
    mate.partner.clock = Arc::new(clock.clone());
    mate.turn(0).await;
    (ours, mate, twin)
}

/// Asks with nothing stored until the node has forgotten what it handed over; what it says then.
async fn asks_from_the_start(mate: &Mate) -> Value {
    let begun = std::time::Instant::now();
    loop {
        let said = mate.partner.exchange(json!({"ack": 0, "ack_id": null})).await.good();
        if said["epoch"] == 2 {
            return said;
        }
        assert_eq!(said["events"][0], mate.book.got[0], "neither kept nor found");
        assert!(begun.elapsed() < PATIENCE, "nothing is forgotten: {said}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_partner_that_needs_what_is_forgotten_was_set_back() {
    let clock = MovableClock::default();
    let (ours, mut mate, twin) = by(&clock).await;
    // A second partner of the same age, that has stored all it was given.
    let mut other = ours.joined_by(json!({"name": "other"})).await;
    other.partner.clock = Arc::new(clock.clone());
    let known = id();
    other.put(sync(&known, "O-1", json!({"summary": "other's"})));
    other.until_result(&known, "applied").await;
    other.turn(0).await;
    let (writes, issues) = (ours.tracker.handle.log().len(), ours.issues().len());

    // Within the hour a lower acknowledgement is answered from what is kept, however often.
    clock.advance(55 * MINUTE);
    let said = mate.partner.exchange(json!({"ack": 0, "ack_id": null})).await.good();
    assert_eq!((&said["epoch"], &said["events"][0]), (&json!(1), &mate.book.got[0]));
    mate.turn(0).await;
    assert_eq!(mate.book.epoch, 1);

    // After it: who finds it starts the next epoch, and says who was set back.
    clock.advance(11 * MINUTE);
    let said = asks_from_the_start(&mate).await;
    assert_eq!((&said["ack"], &said["ack_id"], &said["you_were_set_back"]), (&json!(0), &Value::Null, &json!(true)));
    other.turn(0).await;
    assert_eq!(other.book.epoch, 1, "who needs nothing that is forgotten goes on");
    assert_eq!(ours.issues().len(), issues);

    mate.book.take(&said);
    ours.start_nothing(&mate.partner.connection).await;
    ours.start_nothing(&other.partner.connection).await;
    mate.until("every twin", |event| event["kind"] == "resynced").await;
    assert!(mate.book.got.iter().any(|event| event["twin"] == json!(twin) && event["replica"]["summary"] == "s"));
    assert_eq!(ours.tracker.handle.log().len(), writes, "nothing differs, nothing is written");
    ours.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_goes_as_every_set_back_and_the_next_of_a_day_waits() {
    let clock = MovableClock::default();
    let (ours, mut mate, twin) = by(&clock).await;
    let writes = ours.tracker.handle.log().len();
    clock.advance(66 * MINUTE);
    let said = asks_from_the_start(&mate).await;
    mate.book.take(&said);
    resynced(&ours, &mut mate, &twin, 2).await;
    assert_eq!(ours.tracker.handle.log().len(), writes + 1, "only the new one was written");
    // Forgotten once more on the same day: a person is asked, and nothing is taken for what it is not.
    mate.turn(0).await;
    clock.advance(66 * MINUTE);
    // Our word on a record is kept until they have said what became of it, an hour or not.
    let first = mate.book.got[0].clone();
    let again = async || mate.partner.exchange(json!({"epoch": 2, "ack": 1, "ack_id": first["id"]})).await;
    until_said("that it waits", async || again().await.code() == "try_later").await;
    again().await.refused(503, "try_later");
    let kept = mate.partner.exchange(json!({"epoch": 2, "ack": 0, "ack_id": null})).await.good();
    assert_eq!((&kept["epoch"], &kept["events"]), (&json!(2), &json!([first])));
    assert!(ours.errors().await.iter().any(|title| title.contains("disagree again")), "{:?}", ours.errors().await);
    assert_eq!(mate.partner.exchange(mate.book.words()).await.good()["epoch"], 2, "who needs nothing goes on");
    // A day later the next begins by itself, and nobody has to be asked any more.
    clock.advance(DAY);
    assert_eq!(again().await.good()["epoch"], 3);
    assert!(!ours.errors().await.iter().any(|title| title.contains("disagree again")), "{:?}", ours.errors().await);
    ours.stop().await;
}

/// Lets time pass on both sides.
fn pass(clock: &MovableClock, theirs: &StrangerNode, span: Duration) {
    theirs.state().ahead += i64::try_from(span.as_secs()).expect("a short span");
    clock.advance(span);
}

async fn dialling(clock: &MovableClock) -> (Ours, Arc<StrangerNode>) {
    let theirs = StrangerNode::start("").await;
    let ours = Ours::with(Role::Private, Arc::new(clock.clone()), "wait = \"2s\"").await;
    ours.joins(&theirs).await;
    (ours, theirs)
}

/// A twin that the stranger started; waits for the result.
async fn starts(theirs: &StrangerNode, key: &str, replica: Value) -> String {
    let twin = id();
    theirs.put(sync(&twin, key, replica));
    until_said("a result", async || {
        theirs.state().book.got.iter().any(|event| event["twin"] == json!(twin) && event["outcome"] == "applied")
    })
    .await;
    twin
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn our_relay_hands_over_again_what_is_kept_and_starts_an_epoch_for_what_is_not() {
    let clock = MovableClock::default();
    let (ours, theirs) = dialling(&clock).await;
    let twin = starts(&theirs, "T-1", json!({"summary": "s"})).await;
    // Their disk lied: what they acknowledged is not there. Within the hour they are given it again.
    let first = theirs.state().book.got[0].clone();
    theirs.state().book.got.clear();
    starts(&theirs, "T-2", json!({"summary": "second"})).await;
    assert_eq!(theirs.state().book.got[0], first, "the same bytes under the same number");
    assert_eq!(theirs.state().book.epoch, 1);

    // After it they cannot be: we start the epoch.
    let issues = ours.issues().len();
    until_said("what was said last is acknowledged", async || {
        ours.connection(&theirs.connection).await["health"]["waiting"] == 0
    })
    .await;
    pass(&clock, &theirs, 66 * MINUTE);
    until_said("a new epoch", async || {
        if theirs.state().book.epoch == 1 {
            theirs.state().book.got.clear();
            if theirs.state().mischief.is_empty() {
                theirs.do_next(Mischief::Slow(Duration::ZERO));
            }
        }
        theirs.state().book.epoch == 2
    })
    .await;
    until_said("every twin", async || theirs.state().book.got.iter().any(|event| event["kind"] == "resynced")).await;
    let begun = theirs.state().asked.iter().find(|asked| asked["epoch"] == 2).cloned().expect("asked");
    assert_eq!((&begun["you_were_set_back"], &begun["ack"]), (&json!(true), &json!(0)));
    let got = theirs.state().book.got.clone();
    let word = got.iter().find(|event| event["twin"] == json!(twin)).expect("the first twin").clone();
    assert_eq!((&word["remote"]["key"], &word["applied"]["summary"]), (&json!("T-1"), &json!("s")));
    // No create before they have sent theirs.
    let early = id();
    theirs.put(sync(&early, "T-3", json!({"summary": "early"})));
    until_said("stored", async || theirs.all_acked()).await;
    tokio::time::sleep(Duration::from_millis(700)).await;
    assert_eq!(ours.issues().len(), issues);
    theirs.put(json!({"kind": "resynced", "twin": null}));
    until_said("the early one", async || ours.issues().len() == issues + 1).await;
    assert_eq!(theirs.state().faults, Vec::<String>::new());
    ours.stop().await;
    theirs.stop();
}

/// Keeps a stopped node's database, or puts it back.
fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a folder");
    for old in std::fs::read_dir(to).expect("a folder").flatten() {
        std::fs::remove_file(old.path()).expect("removed");
    }
    for file in std::fs::read_dir(from).expect("a folder").flatten().filter(|file| file.path().is_file()) {
        std::fs::copy(file.path(), to.join(file.file_name())).expect("copied");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn set_back_ourselves_we_take_what_they_applied_for_what_we_sent() {
    let clock = MovableClock::default();
    let (mut ours, theirs) = dialling(&clock).await;
    let twin = starts(&theirs, "T-1", json!({"summary": "s", "description": "d"})).await;
    let key = ours.tracker.handle.all()[0].key.clone();
    let place = ours.node.dir.clone();
    let kept = place.with_extension("kept");
    ours.node.stop().await;
    copy(&place, &kept);
    ours.node.start().await;
    // An edit that crosses, and is forgotten on both sides by the restored backup and by time.
    ours.tracker.handle.edit(&key, &json!({"summary": "crossed"}));
    until_said("the edit", async || theirs.state().book.got.iter().any(|event| event["replica"]["summary"] == "crossed")).await;
    ours.node.stop().await;
    copy(&kept, &place);
    let writes = ours.tracker.handle.log().len();
    pass(&clock, &theirs, 66 * MINUTE);
    // They find that we need what they have forgotten. Meanwhile their own description changed, and our summary again.
    ours.tracker.handle.edit(&key, &json!({"summary": "newer"}));
    theirs.state().book = Ledger { epoch: 2, blames: true, ..Ledger::default() };
    let mut word = sync(&twin, "T-1", json!({"summary": "crossed", "description": "theirs"}));
    word["applied"] = json!({"summary": "crossed", "description": "d"});
    word["remote"] = json!({"entity_type": "issue", "key": key});
    theirs.put(word);
    let last = theirs.put(json!({"kind": "resynced", "twin": null}));
    theirs.state().begins = true;
    ours.node.start().await;
    let field = |name: &str| ours.tracker.handle.get(&key).expect("there").fields[name].clone();
    until_said("their description", async || field("description") == "theirs").await;
    until_said("every twin", async || theirs.state().book.got.iter().any(|event| event["kind"] == "resynced")).await;
    assert_eq!((field("summary"), ours.issues().len()), (json!("newer"), 1), "what crossed is no change of theirs");
    assert_eq!(ours.tracker.handle.log().len(), writes + 1, "only the difference was written");
    let said = |name: &str, value: &str| {
        let state = theirs.state();
        state.book.got.iter().rev().find(|event| event["replica"][name] == value).cloned()
    };
    assert_eq!(said("summary", "newer").expect("said")["changed"].as_object().map(serde_json::Map::len), Some(1));
    // Nothing is open between the two: the next word says that theirs was heard, and is about what changes next.
    ours.tracker.handle.edit(&key, &json!({"description": "ours"}));
    until_said("the next edit", async || said("description", "ours").is_some()).await;
    let next = said("description", "ours").expect("said");
    assert_eq!(next["changed"].as_object().expect("members").keys().collect::<Vec<_>>(), ["description"], "{next}");
    assert!(next["seen"].as_u64() >= Some(last["n"].as_u64().expect("a number") - 1), "{next}");
    assert_eq!(theirs.state().faults, Vec::<String>::new());
    ours.stop().await;
    theirs.stop();
}
