//! The light look against the org: silent users, deletes, long absences.

use std::{sync::Arc, time::Duration};

use serde_json::{Value, json};
use wicketgate::{
    clock::{ManualClock, Time},
    domain::tracker::{LookCursor, Looked, Tracker as _},
    sandbox::org::OrgSettings,
};

use super::Desk;

const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(86_400);

async fn desk() -> (Desk, ManualClock) {
    let clock = ManualClock::new("2026-11-24T04:00:30Z".parse::<Time>().expect("a time"));
    let extra = "flow = \"client-credentials\"\nclient_secret = \"sandbox-secret\"\n";
    (Desk::at(OrgSettings::default(), extra, (Arc::new(clock.clone()), Arc::new(clock.clone()))).await, clock)
}

fn types() -> Vec<String> {
    vec!["Case".to_owned()]
}

async fn look(desk: &Desk, cursor: &LookCursor) -> Looked {
    desk.sf.look(cursor, &types()).await.expect("looks")
}

fn keys(looked: &Looked) -> Vec<(String, bool)> {
    let deleted = |content: &Option<wicketgate::domain::change::Content>| content.as_ref().is_some_and(|content| content.deleted);
    looked.changes.iter().map(|change| (change.key.clone(), deleted(&change.content))).collect()
}

#[tokio::test]
async fn a_look_finds_what_no_message_told_and_nothing_twice() {
    let (desk, clock) = desk().await;
    let silent = desk.org.handle.add_user("silent@example.com", "Si", "Lent", false);
    let old = desk.case(json!({"Subject": "before"}));
    clock.advance(10 * MINUTE);
    let first = look(&desk, &LookCursor::new()).await;
    assert!(first.changes.is_empty(), "no history");
    clock.advance(MINUTE);
    desk.org.handle.update(&old, &json!({"Subject": "after"}), &silent).expect("saved");
    clock.advance(5 * MINUTE);
    let second = look(&desk, &first.cursor).await;
    assert_eq!(keys(&second), [(old.clone(), false)]);
    let content = second.changes[0].content.as_ref().expect("whole");
    assert!(content.whole && content.fields["Subject"] == "after" && content.editor.as_deref() == Some(&silent));
    clock.advance(MINUTE);
    let third = look(&desk, &second.cursor).await;
    assert!(third.changes.is_empty(), "the overlap brings nothing twice");
    // A look whose findings were not stored is repeated from the old place.
    assert_eq!(keys(&look(&desk, &first.cursor).await), keys(&second));
    assert_eq!((desk.calls("query_all"), desk.calls("deleted")), (3, 3), "two calls a look");
}

#[tokio::test]
async fn deletes_are_found_in_the_bin_and_after_it() {
    let (desk, clock) = desk().await;
    let (a, b) = (desk.case(json!({"Subject": "a"})), desk.case(json!({"Subject": "b"})));
    clock.advance(10 * MINUTE);
    let first = look(&desk, &LookCursor::new()).await;
    clock.advance(MINUTE);
    desk.org.handle.delete(&a, &desk.agent()).expect("deleted");
    clock.advance(5 * MINUTE);
    let second = look(&desk, &first.cursor).await;
    assert_eq!((keys(&second), second.recheck.len()), (vec![(a, true)], 0));
    desk.org.handle.delete(&b, &desk.agent()).expect("deleted");
    clock.advance(MINUTE);
    desk.org.handle.empty_bin();
    clock.advance(5 * MINUTE);
    let third = look(&desk, &second.cursor).await;
    assert_eq!((third.changes.len(), third.recheck.clone()), (0, types()), "nobody lists it: the known ones are asked for");
    clock.advance(5 * MINUTE);
    assert!(look(&desk, &third.cursor).await.recheck.is_empty());
}

#[tokio::test]
async fn after_a_long_absence_the_known_records_are_asked_for() {
    let (desk, clock) = desk().await;
    desk.case(json!({"Subject": "a"}));
    let first = look(&desk, &LookCursor::new()).await;
    clock.advance(20 * DAY);
    let second = look(&desk, &first.cursor).await;
    assert_eq!(second.recheck, types());
    clock.advance(5 * MINUTE);
    assert!(look(&desk, &second.cursor).await.recheck.is_empty());
}

#[tokio::test]
async fn a_mass_change_is_told_to_its_end_without_a_gap() {
    let (desk, clock) = desk().await;
    let first = look(&desk, &LookCursor::new()).await;
    clock.advance(MINUTE);
    let rows: Vec<Value> = (0..4_500).map(|n| json!({"Subject": n.to_string()})).collect();
    let made = desk.org.handle.create_many("Case", &rows, &desk.agent()).expect("made");
    clock.advance(5 * MINUTE);
    let (mut cursor, mut told, mut more) = (first.cursor, std::collections::BTreeSet::new(), true);
    let mut looks = 0;
    while more {
        let looked = look(&desk, &cursor).await;
        told.extend(looked.changes.iter().map(|change| change.key.clone()));
        (cursor, more, looks) = (looked.cursor, looked.more, looks + 1);
    }
    assert_eq!((told.len(), looks), (made.len(), 3));
}

#[tokio::test]
async fn a_type_that_is_gone_does_not_blind_the_others() {
    let (desk, clock) = desk().await;
    let both = ["Case".to_owned(), "Gone__c".to_owned()];
    let first = desk.sf.look(&LookCursor::new(), &both).await.expect("looks");
    clock.advance(MINUTE);
    let case = desk.case(json!({"Subject": "a"}));
    clock.advance(5 * MINUTE);
    let second = desk.sf.look(&first.cursor, &both).await.expect("looks");
    assert_eq!(keys(&second), [(case, false)]);
    assert_eq!(second.failed.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["Gone__c"]);
    assert_eq!(second.cursor["Gone__c"], first.cursor["Gone__c"], "its place stays");
}
