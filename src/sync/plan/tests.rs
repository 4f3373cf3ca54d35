//! The promises of the merge, one by one, and by property.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::json;

use super::{
    incoming::{self, Choice, Ours, Theirs, Weighed},
    outgoing::{self, Decision, Seen},
    settle,
};
use crate::{
    clock::Time,
    domain::{
        connection::Prefer,
        replica::{Fields, same},
        tracker::{Description, Entity, Field},
        twin::Memory,
    },
};

fn fields(value: serde_json::Value) -> Fields {
    value.as_object().expect("an object").clone()
}

/// A record whose rules map each replica field to the record field of the same name.
struct End {
    memory: Memory,
    record: Fields,
    decides: bool,
    description: Description,
}

impl End {
    fn new(record: Fields, decides: bool) -> Self {
        Self { memory: Memory::default(), record, decides, description: Description::default() }
    }

    fn send(&mut self, at: i64) -> Option<(Fields, BTreeMap<String, Time>)> {
        let record = self.record.clone();
        let (shown, _) = settle::without_cut_edits(&self.memory, &record);
        let seen = Seen { fields: &shown, replica: &shown, modified_at: Time(at), now: Time(at) };
        match outgoing::plan(&mut self.memory, seen) {
            Decision::Send { changed, .. } => Some((shown, changed)),
            Decision::Unchanged => None,
            Decision::PingPong { .. } => panic!("nothing goes back and forth here"),
        }
    }

    fn receive(&mut self, replica: &Fields, changed: &BTreeMap<String, Time>, ours: &BTreeMap<String, Time>) -> Weighed {
        let weighed = self.weigh(replica, changed, ours);
        let created = self.memory.received.is_none() && self.memory.sent.is_none();
        let before = Entity { fields: self.record.clone(), ..Entity::default() };
        let choice = Choice {
            assigned: &weighed.replica,
            assigned_before: weighed.before.as_ref().filter(|_| !created),
            record: (!created).then_some(&self.record),
            description: &self.description,
        };
        let chosen = incoming::choose(&self.memory, choice).expect("listed");
        for (name, value) in &chosen.write {
            self.record.insert(name.clone(), value.clone());
        }
        let after = Entity { fields: self.record.clone(), edited_by_us: Some(true), ..Entity::default() };
        settle::settle(&mut self.memory, &weighed, &chosen, (!created).then_some(&before), Some(&after));
        self.memory.sent = Some(self.memory.base.clone());
        weighed
    }

    fn weigh(&self, replica: &Fields, changed: &BTreeMap<String, Time>, ours: &BTreeMap<String, Time>) -> Weighed {
        let theirs = Theirs { replica, changed, modified_at: Time(0), resync: None };
        let ours = Ours { changed: ours, replica: &self.record, decides: self.decides, prefer: Prefer::Local };
        incoming::weigh(&self.memory, theirs, ours)
    }
}

fn pair() -> (End, End) {
    let mut a = End::new(fields(json!({"subject": "one", "status": "New"})), true);
    let mut b = End::new(Fields::new(), false);
    let (replica, changed) = a.send(1000).expect("the first is sent");
    b.receive(&replica, &changed, &BTreeMap::new());
    assert_eq!(a.record, b.record);
    (a, b)
}

#[test]
fn an_echo_is_unchanged() {
    let (_, mut b) = pair();
    assert_eq!(b.send(2000), None);
}

#[test]
fn a_change_of_one_field_leaves_a_local_edit_of_another() {
    let (mut a, mut b) = pair();
    b.record.insert("status".into(), json!("Working"));
    a.record.insert("subject".into(), json!("two"));
    let (replica, changed) = a.send(2000).expect("differs");
    assert_eq!(changed.keys().collect::<Vec<_>>(), ["subject"]);
    b.receive(&replica, &changed, &BTreeMap::new());
    assert_eq!(b.record["status"], "Working");
    assert_eq!(b.record["subject"], "two");
    let (replica, changed) = b.send(3000).expect("the local edit still flows");
    assert_eq!(changed.keys().collect::<Vec<_>>(), ["status"]);
    a.receive(&replica, &changed, &BTreeMap::new());
    assert_eq!(a.record["status"], "Working");
}

#[test]
fn going_back_to_an_old_value_is_a_change() {
    let (mut a, mut b) = pair();
    b.record.insert("subject".into(), json!("two"));
    let (replica, changed) = b.send(2000).expect("differs");
    a.receive(&replica, &changed, &BTreeMap::new());
    assert_eq!(a.record["subject"], "two");
    a.record.insert("subject".into(), json!("one"));
    let (replica, changed) = a.send(3000).expect("differs");
    b.receive(&replica, &changed, &BTreeMap::new());
    assert_eq!(b.record["subject"], "one");
}

#[test]
fn a_value_that_left_before_anything_was_heard_is_known_when_it_comes_back() {
    let (mut a, mut b) = pair();
    a.record.insert("subject".into(), json!("two"));
    let (two, two_changed) = a.send(2000).expect("differs");
    // Theirs of before they heard of it crosses: the rule assigns the old subject, which is left alone.
    b.record.insert("status".into(), json!("Working"));
    let (crossing, crossing_changed) = b.send(2100).expect("differs");
    a.receive(&crossing, &crossing_changed, &BTreeMap::from([("subject".to_owned(), Time(2000))]));
    b.receive(&two, &two_changed, &BTreeMap::new());
    assert_eq!((&a.record, a.record["subject"].as_str()), (&b.record, Some("two")));
    b.record.insert("status".into(), json!("Closed"));
    let (replica, changed) = b.send(3000).expect("differs");
    a.record.insert("subject".into(), json!("three"));
    a.receive(&replica, &changed, &BTreeMap::new());
    assert_eq!((&a.record["subject"], &a.record["status"]), (&json!("three"), &json!("Closed")));
}

#[test]
fn our_own_value_coming_back_overwrites_no_newer_edit() {
    let (mut a, mut b) = pair();
    b.record.insert("subject".into(), json!("two"));
    let (replica, changed) = b.send(2000).expect("differs");
    a.receive(&replica, &changed, &BTreeMap::new());
    b.record.insert("subject".into(), json!("three"));
    a.record.insert("status".into(), json!("Working"));
    let (replica, changed) = a.send(3000).expect("differs");
    b.receive(&replica, &changed, &BTreeMap::new());
    assert_eq!(b.record["subject"], "three");
    assert_eq!(b.record["status"], "Working");
}

#[test]
fn both_changed_and_both_end_with_the_same_winner() {
    for (a_at, b_at, winner) in [(5000, 9000, "b"), (9000, 5000, "a"), (5000, 6000, "a")] {
        let (mut a, mut b) = pair();
        a.record.insert("subject".into(), json!("a"));
        b.record.insert("subject".into(), json!("b"));
        let from_a = a.send(a_at).expect("differs");
        let from_b = b.send(b_at).expect("differs");
        let at_b = b.receive(&from_a.0, &from_a.1, &from_b.1);
        assert_eq!(at_b.undecided, ["subject"]);
        assert_eq!(b.record["subject"], "b", "left alone until the decider spoke");
        let at_a = a.receive(&from_b.0, &from_b.1, &from_a.1);
        assert!(at_a.conflicts.iter().all(|change| change.conflict) && at_a.conflicts.len() == 1);
        let word = a.send(10_000).expect("the decider owes its word even if nothing differs");
        assert!(word.1.contains_key("subject"));
        b.receive(&word.0, &word.1, &BTreeMap::new());
        assert_eq!((&a.record["subject"], &b.record["subject"]), (&json!(winner), &json!(winner)));
        assert_eq!(b.send(11_000), None);
    }
}

#[test]
fn a_value_that_the_tracker_trims_is_no_difference_for_ever() {
    let (mut a, mut b) = pair();
    a.record.insert("subject".into(), json!("two   "));
    let (replica, changed) = a.send(2000).expect("differs");
    let weighed = b.weigh(&replica, &changed, &BTreeMap::new());
    let choice =
        Choice { assigned: &weighed.replica, assigned_before: None, record: Some(&b.record), description: &b.description };
    let chosen = incoming::choose(&b.memory, choice).expect("listed");
    let before = Entity { fields: b.record.clone(), ..Entity::default() };
    b.record.insert("subject".into(), json!("two"));
    let after = Entity { fields: b.record.clone(), edited_by_us: None, ..Entity::default() };
    settle::settle(&mut b.memory, &weighed, &chosen, Some(&before), Some(&after));
    b.memory.sent = Some(b.memory.base.clone());
    assert_eq!(b.send(3000), None, "the trimmed value does not travel back");
}

#[test]
fn a_person_who_saved_in_between_is_not_mistaken_for_the_tracker() {
    let (mut a, mut b) = pair();
    a.record.insert("subject".into(), json!("two"));
    let (replica, changed) = a.send(2000).expect("differs");
    let weighed = b.weigh(&replica, &changed, &BTreeMap::new());
    let choice =
        Choice { assigned: &weighed.replica, assigned_before: None, record: Some(&b.record), description: &b.description };
    let chosen = incoming::choose(&b.memory, choice).expect("listed");
    let before = Entity { fields: b.record.clone(), ..Entity::default() };
    b.record.insert("subject".into(), json!("three, by a person"));
    let after = Entity { fields: b.record.clone(), edited_by_us: Some(false), ..Entity::default() };
    settle::settle(&mut b.memory, &weighed, &chosen, Some(&before), Some(&after));
    b.memory.sent = Some(b.memory.base.clone());
    let (_, changed) = b.send(3000).expect("the person's edit flows");
    assert!(changed.contains_key("subject"));
}

fn described(field_type: &str, length: Option<u32>, values: Option<&[&str]>) -> Description {
    Description {
        entity_type: "Case".into(),
        fields: vec![Field {
            name: "subject".into(),
            label: "Subject".into(),
            field_type: field_type.into(),
            length,
            writable: true,
            required: false,
            values: values.map(|values| values.iter().map(|value| (*value).to_owned()).collect()),
            ..Field::default()
        }],
        ..Description::default()
    }
}

#[test]
fn text_is_cut_visibly_and_an_edit_of_it_stays_here() {
    let (mut a, mut b) = pair();
    b.description = described("string", Some(20), None);
    let long = "x".repeat(50);
    a.record.insert("subject".into(), json!(long));
    let (replica, changed) = a.send(2000).expect("differs");
    b.receive(&replica, &changed, &BTreeMap::new());
    let cut = b.record["subject"].as_str().expect("text").to_owned();
    assert!(cut.ends_with(crate::domain::replica::CUT_MARK) && cut.chars().count() == 20);
    assert_eq!(b.send(3000), None);
    b.record.insert("subject".into(), json!("edited"));
    assert_eq!(b.send(4000), None, "the longer original is not overwritten");
    assert_eq!(b.send(5000), None, "nor at the next look");
}

#[test]
fn a_value_that_is_not_listed_is_refused_with_the_values_there_are() {
    let description = described("picklist", None, Some(&["New", "Closed"]));
    let assigned = fields(json!({"subject": "Working"}));
    let choice = Choice { assigned: &assigned, assigned_before: None, record: None, description: &description };
    let missing = incoming::choose(&Memory::default(), choice).expect_err("not listed");
    assert_eq!((missing.value.as_str(), missing.listed.len()), ("Working", 2));
}

#[test]
fn a_field_that_goes_back_and_forth_is_stopped() {
    let (_, mut b) = pair();
    let mut stopped = false;
    for round in 0..20 {
        let at = 2000 + round * 1000;
        let theirs = fields(json!({"subject": "theirs", "status": "New"}));
        let changed = BTreeMap::from([("subject".to_owned(), Time(at))]);
        let weighed = b.weigh(&theirs, &changed, &BTreeMap::new());
        incoming::note_flips(&mut b.memory, &weighed, Time(at));
        b.receive(&theirs, &changed, &BTreeMap::new());
        b.record.insert("subject".into(), json!("ours"));
        let record = b.record.clone();
        let seen = Seen { fields: &record, replica: &record, modified_at: Time(at), now: Time(at) };
        if let Decision::PingPong { field, .. } = outgoing::plan(&mut b.memory, seen) {
            assert_eq!(field, "subject");
            stopped = true;
            break;
        }
    }
    assert!(stopped);
}

#[derive(Debug, Clone)]
enum Step {
    EditA(usize, u8),
    EditB(usize, u8),
    Deliver,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0..3usize, any::<u8>()).prop_map(|(field, value)| Step::EditA(field, value)),
        (0..3usize, any::<u8>()).prop_map(|(field, value)| Step::EditB(field, value)),
        Just(Step::Deliver),
    ]
}

proptest! {
    /// Whatever people do in whatever order, once both sides have heard each other out they hold the same.
    #[test]
    fn both_sides_come_to_the_same(steps in proptest::collection::vec(step(), 1..30)) {
        let names = ["x", "y", "z"];
        let mut a = End::new(fields(json!({"x": 0, "y": 0, "z": 0})), true);
        let mut b = End::new(Fields::new(), false);
        let (replica, changed) = a.send(1).expect("first");
        b.receive(&replica, &changed, &BTreeMap::new());
        for (index, step) in steps.iter().chain(&[Step::Deliver, Step::Deliver, Step::Deliver]).enumerate() {
            let at = 10_000 * (i64::try_from(index).expect("small") + 1);
            match step {
                Step::EditA(field, value) => { a.record.insert(names[*field].into(), json!(value)); }
                Step::EditB(field, value) => { b.record.insert(names[*field].into(), json!(value)); }
                Step::Deliver => {
                    let (from_a, from_b) = (a.send(at), b.send(at + 5000));
                    let (changed_a, changed_b) = (
                        from_a.clone().map(|(_, changed)| changed).unwrap_or_default(),
                        from_b.clone().map(|(_, changed)| changed).unwrap_or_default(),
                    );
                    if let Some((replica, changed)) = from_a { b.receive(&replica, &changed, &changed_b); }
                    if let Some((replica, changed)) = from_b { a.receive(&replica, &changed, &changed_a); }
                }
            }
        }
        for name in names {
            prop_assert!(same(&a.record[name], &b.record[name]), "{name}: {} and {}", a.record[name], b.record[name]);
        }
    }
}
