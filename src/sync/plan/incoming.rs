//! The other side spoke: what of it becomes true here?
//!
//! In three steps, between which the caller runs rules:
//!
//! 1. [`weigh`] finds which replica fields they changed, which of those we changed too without having heard of each
//!    other, and who wins; it makes the replica that the incoming rule gets, in which a field that is left alone has
//!    the value it had the last time.
//! 2. The rule runs on it (and once more on [`Weighed::before`] where we never applied anything of theirs, or where a
//!    field returned to an old value).
//! 3. [`choose`] compares what the rule assigns with what it assigned last, and names the fields to write.
//!
//! The trap is a value of ours that comes back: it looks like their change and is none ([`Memory::sent_local`]), except
//! when they really went back to an older value, which only their `changed` list can tell.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    time::Duration,
};

use serde_json::Value;

use super::value;
use crate::{
    clock::Time,
    domain::{
        connection::Prefer,
        event::Sync,
        history::FieldChange,
        replica::{self, Fields},
        tracker::Description,
        twin::{Flip, Memory},
    },
};

/// Within this span of each other two edits count as simultaneous and `prefer` decides (link.md, "Conflicts").
const SIMULTANEOUS: Duration = Duration::from_secs(2);

/// Their word on the record.
#[derive(Debug, Clone, Copy)]
pub struct Theirs<'a> {
    /// The replica as it came.
    pub replica: &'a Fields,
    /// When each difference was first seen there, on our clock.
    pub changed: &'a BTreeMap<String, Time>,
    /// When the record changed there, on our clock.
    pub modified_at: Time,
    /// This word came after a set-back.
    pub resync: Option<Resync<'a>>,
}

/// What a word after a set-back tells beside.
#[derive(Debug, Clone, Copy)]
pub struct Resync<'a> {
    /// What we had of the changed fields when they last heard from us.
    pub confirmed: &'a Fields,
    /// What they last applied of ours.
    pub applied: Option<&'a Fields>,
    /// It is we who were set back: our memory is older than theirs.
    pub set_back_here: bool,
}

impl<'a> Resync<'a> {
    /// What this word tells, where it is one of those.
    pub fn of(sync: &'a Sync, set_back_here: bool) -> Option<Self> {
        let applied = sync.applied.as_ref();
        sync.confirmed.as_ref().map(|confirmed| Self { confirmed, applied, set_back_here })
    }

    /// Brings `changed` to those fields of ours that they have not heard of. A value of ours that they name has crossed
    /// already, whatever we remember of it, and what they decided after they heard of ours (`decided`) is open no more.
    pub fn keep_unheard(
        this: Option<Self>,
        changed: &mut BTreeMap<String, Time>,
        (memory, decided): (&Memory, &BTreeSet<String>),
        ours: &Fields,
    ) {
        let Some(this) = this else { return };
        let open = memory.unconfirmed.iter().filter(|(name, _)| !decided.contains(*name));
        changed.extend(open.map(|(name, ours)| (name.clone(), ours.at)));
        let named =
            |name: &String, theirs: &Fields| theirs.get(name).is_some_and(|known| replica::same(known, value(ours, name)));
        changed.retain(|name, _| {
            let applied = this.set_back_here && this.applied.is_some_and(|applied| named(name, applied));
            !applied && !named(name, this.confirmed)
        });
    }
}

/// Our side of it.
#[derive(Debug, Clone, Copy)]
pub struct Ours<'a> {
    /// Replica fields that we changed and they had not heard of, with the time of the change.
    pub changed: &'a BTreeMap<String, Time>,
    /// The replica that our record makes now.
    pub replica: &'a Fields,
    /// We decide conflicts.
    pub decides: bool,
    /// Ties.
    pub prefer: Prefer,
}

/// Step 1's result.
#[derive(Debug, Clone, PartialEq)]
pub struct Weighed {
    /// What the incoming rule gets.
    pub replica: Fields,
    /// What it would have got before: `None` where the memory of what it assigned then is enough.
    pub before: Option<Fields>,
    /// Conflicts, with the value that lost as `from`.
    pub conflicts: Vec<FieldChange>,
    /// We decide and owe our word on these fields.
    pub word: Vec<String>,
    /// They decide; we leave these alone until they spoke.
    pub undecided: Vec<String>,
    /// Fields that really are their change and go through.
    pub taken: Vec<String>,
}

/// See the module, step 1.
pub fn weigh(memory: &Memory, theirs: Theirs<'_>, ours: Ours<'_>) -> Weighed {
    let empty = Fields::new();
    let received = memory.received.as_ref().unwrap_or(&empty);
    let sent = memory.sent.as_ref().unwrap_or(&empty);
    let names = their_changes(memory, theirs);
    let mut weighed = Weighed {
        replica: theirs.replica.clone(),
        before: None,
        conflicts: Vec::new(),
        word: Vec::new(),
        undecided: Vec::new(),
        taken: Vec::new(),
    };
    for name in &names {
        let (Some(our_time), false) =
            (ours.changed.get(name), replica::same(value(theirs.replica, name), value(ours.replica, name)))
        else {
            weighed.taken.push(name.clone());
            let (our_value, their_value) = (value(ours.replica, name), value(theirs.replica, name));
            if memory.undecided.contains(name) && !replica::same(our_value, their_value) {
                // The decider has spoken: ours lost.
                weighed.conflicts.push(conflict(name, our_value, their_value));
            }
            continue;
        };
        let their_time = theirs.changed.get(name).copied().unwrap_or(theirs.modified_at);
        settle_conflict(&mut weighed, name, (*our_time, their_time), theirs, ours);
    }
    // Sets, for a replica may have a hundred thousand fields.
    let taken: HashSet<String> = weighed.taken.iter().cloned().collect();
    let changed: HashSet<&String> = names.iter().collect();
    if let Some(resync) = theirs.resync {
        as_they_were(&mut weighed, &names, resync.confirmed);
        if ours.decides {
            // They hold for their own change what we know to be none: they wait for our word on it.
            let differs = |name: &&String| !replica::same(value(theirs.replica, name), value(ours.replica, name));
            let unheard = theirs.changed.keys().filter(|name| !taken.contains(*name) && !weighed.word.contains(name));
            let unheard: Vec<String> = unheard.filter(differs).cloned().collect();
            weighed.word.extend(unheard);
        }
        return weighed;
    }
    for (name, slot) in &mut weighed.replica {
        if !taken.contains(name)
            && let Some(old) = received.get(name)
            && !(memory.sent.is_some() && replica::same(slot, value(sent, name)) && !changed.contains(name))
        {
            *slot = old.clone();
        }
    }
    for name in names.iter().filter(|name| !taken.contains(*name) && !received.contains_key(*name)) {
        weighed.replica.insert(name.clone(), value(sent, name).clone());
    }
    weighed.before = before(memory, &weighed, sent, received);
    weighed
}

/// After a set-back what they had told before is known from themselves: a field that they did not change, or that is
/// left alone, has its old value in both replicas.
fn as_they_were(weighed: &mut Weighed, names: &[String], confirmed: &Fields) {
    let old = |name: &String| value(confirmed, name).clone();
    for name in names.iter().filter(|name| !weighed.taken.contains(name)) {
        weighed.replica.insert(name.clone(), old(name));
    }
    let mut before = weighed.replica.clone();
    before.extend(weighed.taken.iter().map(|name| (name.clone(), old(name))));
    weighed.before = Some(before);
}

fn settle_conflict(weighed: &mut Weighed, name: &str, times: (Time, Time), theirs: Theirs<'_>, ours: Ours<'_>) {
    let (our_value, their_value) = (value(ours.replica, name), value(theirs.replica, name));
    if !ours.decides {
        weighed.undecided.push(name.to_owned());
        return;
    }
    weighed.word.push(name.to_owned());
    if they_win(times, ours.prefer) {
        weighed.taken.push(name.to_owned());
        weighed.conflicts.push(conflict(name, our_value, their_value));
    } else {
        weighed.conflicts.push(conflict(name, their_value, our_value));
    }
}

/// A line for the history: the value that lost, and the one that won.
fn conflict(name: &str, lost: &Value, won: &Value) -> FieldChange {
    FieldChange { field: name.to_owned(), from: lost.clone(), to: won.clone(), conflict: true }
}

/// Newer wins; within two seconds the connection's preference does.
pub fn they_win((ours, theirs): (Time, Time), prefer: Prefer) -> bool {
    let apart = ours.since(theirs).max(theirs.since(ours));
    if apart <= SIMULTANEOUS { prefer == Prefer::Remote } else { theirs > ours }
}

/// Which replica fields they changed. Their list counts; where they send none, what is new to both memories does. After
/// they were set back their list holds what has crossed already too, and our memory knows that.
fn their_changes(memory: &Memory, theirs: Theirs<'_>) -> Vec<String> {
    if let Some(resync) = theirs.resync {
        let crossed = |name: &String| crossed(memory, name, value(theirs.replica, name));
        let names = theirs.changed.keys().filter(|name| resync.set_back_here || !crossed(name));
        return names.cloned().collect();
    }
    if !theirs.changed.is_empty() {
        let mut names: Vec<String> = theirs.changed.keys().cloned().collect();
        names.extend(memory.undecided.iter().filter(|name| !theirs.changed.contains_key(*name)).cloned());
        return names;
    }
    let mut names: Vec<String> = theirs.replica.keys().cloned().collect();
    for known in memory.received.iter().flat_map(Fields::keys) {
        if !theirs.replica.contains_key(known) {
            names.push(known.clone());
        }
    }
    let undecided: HashSet<&String> = memory.undecided.iter().collect();
    names.retain(|name| {
        let new = value(theirs.replica, name);
        let told = memory.received.as_ref().is_some_and(|received| replica::same(new, value(received, name)));
        let ours = memory.sent.as_ref().is_some_and(|sent| replica::same(new, value(sent, name)));
        let first = memory.received.is_none() && memory.sent.is_none();
        first || undecided.contains(name) || !told && !ours
    });
    names
}

/// Fields of a replica that hold what neither side told the other yet: for a word whose list is not all that changed.
pub fn new_to_us(memory: &Memory, replica: &Fields) -> Vec<String> {
    replica.iter().filter(|(name, new)| !crossed(memory, name, new)).map(|(name, _)| name.clone()).collect()
}

/// Whether a value of theirs is known from themselves, or from us.
fn crossed(memory: &Memory, name: &String, theirs: &Value) -> bool {
    let known =
        |fields: Option<&Fields>| fields.and_then(|fields| fields.get(name)).is_some_and(|known| replica::same(known, theirs));
    let had = || memory.unconfirmed.get(name).is_some_and(|ours| replica::same(&ours.from, theirs));
    known(memory.received.as_ref()) || known(memory.sent.as_ref()) || had()
}

/// What the rule would have got before this word, where that cannot be had from memory.
fn before(memory: &Memory, weighed: &Weighed, sent: &Fields, received: &Fields) -> Option<Fields> {
    let returned = |name: &String| {
        memory.received.is_some()
            && received.contains_key(name)
            && replica::same(value(&weighed.replica, name), value(received, name))
    };
    let never_heard = memory.received.is_none() && memory.sent.is_some();
    // A restored memory does not know which values of ours they may send back.
    if !never_heard && !memory.set_back && !weighed.taken.iter().any(returned) {
        return None;
    }
    let mut fields = weighed.replica.clone();
    for name in &weighed.taken {
        if never_heard || returned(name) {
            fields.insert(name.clone(), value(sent, name).clone());
        } else {
            fields.insert(name.clone(), value(received, name).clone());
        }
    }
    Some(fields)
}

/// A field that cannot be written as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotListed {
    /// Our record's field.
    pub field: String,
    /// The value that came.
    pub value: String,
    /// The values there are.
    pub listed: Vec<String>,
}

/// Step 3's result.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Chosen {
    /// What to write, by our record's fields.
    pub write: Fields,
    /// What the rule assigned (and what the memory keeps).
    pub assigned: Fields,
    /// Fields that agree already.
    pub agree: Vec<String>,
    /// Fields whose text was cut.
    pub cut: Vec<String>,
    /// For the history.
    pub changes: Vec<FieldChange>,
}

/// What step 3 looks at.
#[derive(Debug, Clone, Copy)]
pub struct Choice<'a> {
    /// What the rule assigns now.
    pub assigned: &'a Fields,
    /// What it assigned on [`Weighed::before`], where that was run.
    pub assigned_before: Option<&'a Fields>,
    /// Our record right before the write; `None` for a create.
    pub record: Option<&'a Fields>,
    /// What the tracker tells of the type.
    pub description: &'a Description,
}

/// See the module, step 3.
pub fn choose(memory: &Memory, choice: Choice<'_>) -> Result<Chosen, NotListed> {
    let mut chosen = Chosen { assigned: choice.assigned.clone(), ..Chosen::default() };
    for (name, new) in choice.assigned {
        if choice.record.is_some() && !theirs_changed(memory, choice, name, new) {
            continue;
        }
        let current = choice.record.map(|record| value(record, name));
        let fitted = fit(name, new, choice.description)?;
        let value_to_write = fitted.as_ref().unwrap_or(new);
        if current.is_some_and(|current| replica::same_loosely(current, value_to_write)) {
            chosen.agree.push(name.clone());
        } else {
            chosen.write.insert(name.clone(), value_to_write.clone());
            chosen.changes.push(FieldChange {
                field: name.clone(),
                from: current.cloned().unwrap_or(Value::Null),
                to: value_to_write.clone(),
                conflict: current.is_some_and(|current| !replica::same_loosely(current, value(&memory.base, name))),
            });
        }
        if fitted.is_some() {
            chosen.cut.push(name.clone());
        }
    }
    Ok(chosen)
}

fn theirs_changed(memory: &Memory, choice: Choice<'_>, name: &str, new: &Value) -> bool {
    if let Some(before) = choice.assigned_before {
        return !before.get(name).is_some_and(|old| replica::same(old, new));
    }
    let as_last_time = memory.assigned.get(name).is_some_and(|last| replica::same(last, new));
    let ours_returned = memory.sent_local.get(name).is_some_and(|ours| replica::same(ours, new));
    !as_last_time && !ours_returned
}

/// Cuts a text that is too long, refuses a picklist value that is not listed. `None`: fits as it is.
fn fit(name: &str, new: &Value, description: &Description) -> Result<Option<Value>, NotListed> {
    let (Some(field), Value::String(text)) = (description.field(name), new) else { return Ok(None) };
    if let Some(listed) = &field.values
        && !text.is_empty()
    {
        let parts: Vec<&str> = if field.field_type == "multipicklist" { text.split(';').collect() } else { vec![text] };
        if let Some(missing) = parts.into_iter().find(|part| !listed.iter().any(|known| known == part)) {
            return Err(NotListed { field: name.to_owned(), value: missing.to_owned(), listed: listed.clone() });
        }
        return Ok(None);
    }
    let Some(length) = field.length.map(|length| length as usize).filter(|length| *length > 0) else { return Ok(None) };
    if text.chars().count() <= length {
        return Ok(None);
    }
    let mark: String = replica::CUT_MARK.chars().take(length).collect();
    let kept: String = text.chars().take(length - mark.chars().count()).collect();
    Ok(Some(Value::String(kept + mark.as_str())))
}

/// Remembers, for the ping-pong stop, that their value replaced ours.
pub fn note_flips(memory: &mut Memory, weighed: &Weighed, now: Time) {
    let Some(sent) = memory.sent.clone() else { return };
    for name in &weighed.taken {
        let theirs = value(&weighed.replica, name);
        let ours = value(&sent, name);
        if replica::same(theirs, ours) {
            continue;
        }
        let known = memory.flips.get(name).filter(|flip| replica::same(&flip.theirs, theirs) && replica::same(&flip.ours, ours));
        let (count, since) = known.map_or((0, now), |flip| (flip.count, flip.since));
        memory.flips.insert(name.clone(), Flip { ours: ours.clone(), theirs: theirs.clone(), count, since });
    }
}
