//! The transaction: a method for each thing that somebody needs of a noun. It is as long as the list of these.

use std::collections::BTreeMap;

use async_trait::async_trait;

use super::{
    StoreError,
    leases::LeaseKey,
    rows::*,
    wakes::{Notice, Topic},
};
use crate::{
    clock::Time,
    domain::{
        change::{Change, NewChange},
        connection::Connection,
        error::ErrorRecord,
        event::{Body, Event},
        failing::Failing,
        figures::{Figures, Step},
        history::{Direction, HistoryLine},
        ids::*,
        invitation::Invitation,
        job::{Finding, Job},
        rule::RulePair,
        token::Token,
        tracker::ApiCalls,
        trigger::Trigger,
        twin::Twin,
        user::{Session, SessionId, User},
        version::{Imprint, RuleDraft, RuleVersion},
    },
    secret::Secret,
};

type Got<T> = Result<T, StoreError>;

/// A transaction. Everything in it is seen by others together, after the commit, or not at all.
#[async_trait]
pub trait Tx: Send {
    // Wake-ups, fired after the commit.

    /// Wakes who waits on a topic.
    fn wake(&mut self, topic: Topic);
    /// Tells the stream.
    fn tell(&mut self, notice: Notice);

    // Secrets of the node and its trackers, by name (`node.key`, `tracker.support.refresh_token`…); sealed.

    /// The secret of this name.
    async fn secret(&mut self, name: &str) -> Got<Option<Secret>>;
    /// Keeps or replaces it.
    async fn put_secret(&mut self, name: &str, value: &Secret) -> Got<()>;
    /// Forgets it.
    async fn delete_secret(&mut self, name: &str) -> Got<()>;
    /// Forgets all that is sealed: secrets, and the codes of invitations.
    async fn forget_sealed(&mut self) -> Got<()>;

    // Trackers.

    /// What is known of a tracker; the default where nothing is.
    async fn tracker_state(&mut self, tracker: &str) -> Got<TrackerState>;
    /// Keeps it.
    async fn put_tracker_state(&mut self, tracker: &str, state: &TrackerState) -> Got<()>;

    // Connections.

    /// By id.
    async fn connection(&mut self, id: ConnectionId) -> Got<Option<Connection>>;
    /// All, by name.
    async fn connections(&mut self) -> Got<Vec<Connection>>;
    /// A new one; [`StoreError::Taken`] where the name is used.
    async fn insert_connection(&mut self, connection: &Connection) -> Got<()>;
    /// Replaces the row; [`StoreError::Taken`] where the name is used.
    async fn update_connection(&mut self, connection: &Connection) -> Got<()>;
    /// Removes it with all that belongs to it (history stays until its time).
    async fn delete_connection(&mut self, id: ConnectionId) -> Got<()>;
    /// Where its link stands.
    async fn link_state(&mut self, id: ConnectionId) -> Got<LinkState>;
    /// Keeps it.
    async fn put_link_state(&mut self, id: ConnectionId, state: &LinkState) -> Got<()>;
    /// What waits on it.
    async fn waiting(&mut self, id: ConnectionId) -> Got<Waiting>;
    /// Those of a tracker, by name, with where their links stand.
    async fn connections_of(&mut self, tracker: &str) -> Got<Vec<(Connection, LinkState)>>;
    /// All three in one statement.
    async fn standing(&mut self, id: ConnectionId) -> Got<Option<Standing>>;

    // Rules that people wrote.

    /// The newest version, as it runs; `None`: the built-in pair.
    async fn rules(&mut self, id: ConnectionId) -> Got<Option<RulePair>>;
    /// The same, with when, by whom and why.
    async fn newest_rule_version(&mut self, id: ConnectionId) -> Got<Option<RuleVersion>>;
    /// By number.
    async fn rule_version(&mut self, id: ConnectionId, version: u32) -> Got<Option<RuleVersion>>;
    /// All, newest first, without their texts.
    async fn rule_versions(&mut self, id: ConnectionId) -> Got<Vec<Imprint>>;
    /// A new one; [`StoreError::Taken`] where the number is used.
    async fn insert_rule_version(&mut self, id: ConnectionId, version: &RuleVersion) -> Got<()>;
    /// What is being written.
    async fn rule_draft(&mut self, id: ConnectionId) -> Got<Option<RuleDraft>>;
    /// Inserts or replaces.
    async fn put_rule_draft(&mut self, id: ConnectionId, draft: &RuleDraft) -> Got<()>;
    /// Forgets it.
    async fn delete_rule_draft(&mut self, id: ConnectionId) -> Got<()>;

    // What rules did to the outside, and what they looked for in vain.

    /// The newest version, and the one that a work which has rows in the journal began with.
    async fn rules_for(&mut self, work: RuleWork) -> Got<Option<(RulePair, Option<u32>)>>;
    /// The rows of a work, in order.
    async fn journal(&mut self, work: RuleWork) -> Got<Vec<JournalRow>>;
    /// Inserts, or keeps the answer.
    async fn put_journal(&mut self, row: &JournalRow) -> Got<()>;
    /// Removes a call that was not made.
    async fn forget_journal(&mut self, work: RuleWork, number: u32) -> Got<()>;
    /// Moves what a twin's rules began to the newest version. `again`: calls that nobody knows of are made once more.
    async fn renew_journal(&mut self, connection: ConnectionId, twin: TwinId, again: bool) -> Got<()>;
    /// These works have ended.
    async fn end_journal(&mut self, works: &[RuleWork]) -> Got<()>;
    /// Inserts or replaces: it was looked for now.
    async fn put_lookup(&mut self, lookup: &Lookup, now: Time) -> Got<()>;
    /// Forgets those that looked before this, and for nothing since.
    async fn forget_lookups(&mut self, before: Time) -> Got<u64>;
    /// Removes and gives those that looked for these records of the other sides.
    async fn take_lookups(&mut self, found: &[(ConnectionId, String)]) -> Got<Vec<Lookup>>;
    /// Types and keys of our records whose twin is the other side's record of this key.
    async fn local_keys(&mut self, connection: ConnectionId, remote_key: &str) -> Got<Vec<(String, String)>>;

    // Invitations.

    /// By id.
    async fn invitation(&mut self, id: InvitationId) -> Got<Option<Invitation>>;
    /// The newest of a connection.
    async fn newest_invitation(&mut self, connection: ConnectionId) -> Got<Option<Invitation>>;
    /// Inserts or replaces.
    async fn put_invitation(&mut self, invitation: &Invitation) -> Got<()>;

    // Triggers.

    /// Of a connection, in order of making.
    async fn triggers(&mut self, connection: ConnectionId) -> Got<Vec<Trigger>>;
    /// Enabled ones of all connections of a tracker.
    async fn triggers_of_tracker(&mut self, tracker: &str) -> Got<Vec<Trigger>>;
    /// Inserts or replaces.
    async fn put_trigger(&mut self, trigger: &Trigger) -> Got<()>;
    /// Removes; false where there was none.
    async fn delete_trigger(&mut self, connection: ConnectionId, id: TriggerId) -> Got<bool>;

    // Changes.

    /// Stores changes; those whose notice id is known for their tracker are passed over. Wakes the tracker's workers.
    async fn add_changes(&mut self, changes: &[NewChange]) -> Got<()>;
    /// Records of a tracker with changes that are due, oldest first.
    async fn records_waiting(&mut self, tracker: &str, now: Time, limit: u32) -> Got<Vec<WaitingRecord>>;
    /// All changes of a record that wait (due or not), oldest first.
    async fn changes(&mut self, tracker: &str, entity_type: &str, key: &str) -> Got<Vec<Change>>;
    /// All changes of many records, oldest first: one statement for a batch.
    async fn changes_of(&mut self, tracker: &str, records: &[WaitingRecord]) -> Got<Vec<Change>>;
    /// Ends changes (their outcome goes to the history beside).
    async fn end_changes(&mut self, ids: &[i64]) -> Got<()>;
    /// Moves changes to later.
    async fn delay_changes(&mut self, ids: &[i64], due_at: Time) -> Got<()>;
    /// When the next change of a tracker falls due: of all, or of those that fall due after a moment.
    async fn next_change_due(&mut self, tracker: &str, after: Option<Time>) -> Got<Option<Time>>;
    /// How many changes of a tracker wait.
    async fn count_changes(&mut self, tracker: &str) -> Got<u64>;
    /// How many of these records have a change for this connection alone that is due before this.
    async fn changes_left(
        &mut self,
        tracker: &str,
        entity_type: &str,
        keys: &[String],
        connection: ConnectionId,
        due_before: Time,
    ) -> Got<u64>;

    // Twins.

    /// By id.
    async fn twin(&mut self, connection: ConnectionId, id: TwinId) -> Got<Option<Twin>>;
    /// By id alone (the API).
    async fn twin_by_id(&mut self, id: TwinId) -> Got<Option<Twin>>;
    /// Many, in no order.
    async fn twins_by_ids(&mut self, connection: ConnectionId, ids: &[TwinId]) -> Got<Vec<Twin>>;
    /// All twins of a record here, on every connection.
    async fn twins_of_record(&mut self, tracker: &str, entity_type: &str, key: &str) -> Got<Vec<Twin>>;
    /// All twins of many records, of one type.
    async fn twins_of_records(&mut self, tracker: &str, entity_type: &str, keys: &[String]) -> Got<Vec<Twin>>;
    /// Of these records of ours, those whose twin on this connection has no word of the other side yet.
    async fn unanswered(
        &mut self,
        tracker: &str,
        entity_type: &str,
        keys: &[String],
        connection: ConnectionId,
    ) -> Got<Vec<String>>;
    /// The twins whose remote record is one of these, of one type.
    async fn twins_of_remotes(&mut self, connection: ConnectionId, entity_type: &str, keys: &[String]) -> Got<Vec<Twin>>;
    /// The same for one record.
    async fn twins_of_remote(&mut self, connection: ConnectionId, entity_type: &str, key: &str) -> Got<Vec<Twin>> {
        self.twins_of_remotes(connection, entity_type, &[key.to_owned()]).await
    }
    /// Those of these ids that some connection has.
    async fn twins_anywhere(&mut self, ids: &[TwinId]) -> Got<Vec<TwinId>>;
    /// What is to be held for the records here of these twins; those without one are left out.
    async fn record_leases(&mut self, connection: ConnectionId, ids: &[TwinId]) -> Got<Vec<(TwinId, LeaseKey)>>;
    /// Inserts or replaces; tells the stream.
    async fn put_twins(&mut self, twins: &[Twin]) -> Got<()>;
    /// The same for one.
    async fn put_twin(&mut self, twin: &Twin) -> Got<()> {
        self.put_twins(std::slice::from_ref(twin)).await
    }
    /// A page, newest change first.
    async fn list_twins(&mut self, filter: &TwinFilter, page: &Page) -> Got<Paged<Twin>>;
    /// Ids of all twins of a connection, stopped ones too.
    async fn twin_ids(&mut self, connection: ConnectionId) -> Got<Vec<TwinId>>;
    /// Twins of a connection in order of their ids, behind one of them.
    async fn twins_behind(&mut self, connection: ConnectionId, after: Option<TwinId>, limit: u32) -> Got<Vec<Twin>>;
    /// How many there are that are not stopped.
    async fn count_twins(&mut self, connection: ConnectionId) -> Got<u64>;
    /// Twins with a create under way (kept as `memory.pending_write` without a key) into this tracker and type, and since
    /// when.
    async fn creates_under_way(&mut self, tracker: &str, entity_type: &str) -> Got<Vec<(TwinId, Time)>>;
    /// Entity types of records here that have twins or triggers on connections of this tracker.
    async fn synced_types(&mut self, tracker: &str) -> Got<Vec<String>>;
    /// Entity types of a tracker that this connection's triggers and twins name.
    async fn types_of_connection(&mut self, tracker: &str, id: ConnectionId) -> Got<Vec<String>>;

    // Outbox.

    /// Hands something over. A draft of the same twin and kind that has no number yet is replaced, except that a sync
    /// keeps the union of `changed` with the earlier times, and the id of the one that waited. A sync takes back an end
    /// (`stop`, `deleted`) of its twin that has no number yet. Where the partner is expected ([`Wakes::expect`](super::Wakes))
    /// the drafts of the connection get their numbers here. Wakes the connection.
    async fn put_drafts(&mut self, drafts: &[Draft]) -> Got<()>;
    /// The same for one.
    async fn put_draft(&mut self, draft: &Draft) -> Got<()> {
        self.put_drafts(std::slice::from_ref(draft)).await
    }
    /// The draft of this twin and kind that has no number yet.
    async fn draft(&mut self, connection: ConnectionId, twin: TwinId, kind: &str) -> Got<Option<Draft>>;
    /// Gives the next numbers to at most this many waiting drafts, oldest first, of at most this many bytes together
    /// (always one), and keeps their bytes. Updates the link state's `out_n` and `out_id`.
    /// `clock_offset_ms` is taken from the times in them.
    async fn number_drafts(
        &mut self,
        connection: ConnectionId,
        max_events: u32,
        max_bytes: usize,
        clock_offset_ms: i64,
    ) -> Got<Vec<Numbered>>;
    /// Numbered events of the present epoch from this number on.
    async fn numbered_from(&mut self, connection: ConnectionId, n: u64, max_events: u32, max_bytes: usize) -> Got<Vec<Numbered>>;
    /// Id of a numbered event of the present epoch, while it is kept.
    async fn numbered_id(&mut self, connection: ConnectionId, n: u64) -> Got<Option<EventId>>;
    /// Number of one of our events of the present epoch; `Some(None)` while it waits, `None` once it is forgotten.
    async fn number_of(&mut self, connection: ConnectionId, id: EventId) -> Got<Option<Option<u64>>>;
    /// Replaces a numbered event's bytes by an empty one (it cannot pass alone).
    async fn empty_numbered(&mut self, connection: ConnectionId, n: u64, json: &str) -> Got<()>;
    /// The peer has stored everything up to this number. Updates the link state's `acked`.
    async fn acknowledge(&mut self, connection: ConnectionId, n: u64, at: Time) -> Got<()>;
    /// Sync events of twins that the peer had not applied, in order: without number or above what it had `seen`.
    async fn unseen_of(&mut self, connection: ConnectionId, seen: &[(TwinId, u64)]) -> Got<Vec<(TwinId, Unseen)>>;
    /// Forgets acknowledged events from before this moment that the peer has applied or that are no sync events; after
    /// 30 days all.
    async fn forget_acknowledged(&mut self, before: Time) -> Got<u64>;
    /// Drops all outgoing events, numbered or not (a new epoch begins).
    async fn clear_outbox(&mut self, connection: ConnectionId) -> Got<()>;

    // Inbox.

    /// Stores events of the other side, which follow the cursor without a gap. Wakes the tracker's workers.
    async fn add_arrived(&mut self, tracker: &str, events: &[Arrived]) -> Got<()>;
    /// Twins with events that wait on active connections of a tracker, parked and resting ones left out, oldest first.
    async fn twins_waiting(&mut self, tracker: &str, limit: u32) -> Got<Vec<WaitingTwin>>;
    /// All waiting events of these twins, in order.
    async fn arrived_of(&mut self, connection: ConnectionId, twins: &[Option<TwinId>]) -> Got<Vec<Arrived>>;
    /// The same for one.
    async fn arrived(&mut self, connection: ConnectionId, twin: Option<TwinId>) -> Got<Vec<Arrived>> {
        self.arrived_of(connection, &[twin]).await
    }
    /// Puts another text in the place of an event's, which waits still.
    async fn replace_arrived(&mut self, row: i64, json: &str) -> Got<()>;
    /// Ends events (their outcome goes to the history beside).
    async fn end_arrived(&mut self, rows: &[i64]) -> Got<()>;
    /// Drops what was stored and not applied (a new epoch begins).
    async fn clear_inbox(&mut self, connection: ConnectionId) -> Got<()>;
    /// Holds back a twin's events until this moment, or until another arrives; `None`: until released by a person.
    async fn rest_arrived(&mut self, connection: ConnectionId, twin: TwinId, until: Option<Time>) -> Got<()>;
    /// Lets a twin's events go on.
    async fn release_arrived(&mut self, connection: ConnectionId, twin: TwinId) -> Got<()>;

    // History.

    /// Adds lines.
    async fn add_history(&mut self, lines: &[HistoryLine]) -> Got<()>;
    /// A twin's, newest first.
    async fn history_of_twin(&mut self, twin: TwinId, page: &Page) -> Got<Paged<HistoryLine>>;
    /// A record's, with or without twins, newest first.
    async fn history_of_record(&mut self, tracker: &str, entity_type: &str, key: &str, page: &Page) -> Got<Paged<HistoryLine>>;
    /// Median and 95th percentile of `took_ms` of what was sent and applied on a connection since a moment.
    async fn latency(&mut self, connection: ConnectionId, since: Time) -> Got<Option<(i64, i64)>>;
    /// Forgets lines from before this moment.
    async fn forget_history(&mut self, before: Time) -> Got<u64>;
    /// Forgets notice ids from before this moment.
    async fn forget_notices(&mut self, before: Time) -> Got<u64>;

    // Figures.

    /// How the next changes and events ended that are in no figures yet: at most so many lines of the history.
    async fn ended_since(&mut self, most: u32) -> Got<EndedPart>;
    /// How many twins are parked, of the connections that have some.
    async fn parked(&mut self) -> Got<Vec<(ConnectionId, u64)>>;
    /// Adds to figures; the history is summed up to this row then.
    async fn add_figures(&mut self, rows: &[FiguresRow], upto: Option<i64>) -> Got<()>;
    /// Those of these connections together, or of the whole node, by the beginning of their span.
    async fn figures(&mut self, connections: Option<&[ConnectionId]>, step: Step, since: Time) -> Got<BTreeMap<Time, Figures>>;
    /// Keeps trackers' allowances as they are at this moment.
    async fn put_allowances(&mut self, at: Time, calls: &[(String, ApiCalls)]) -> Got<()>;
    /// Allowances by tracker and the beginning of the span, the last of each.
    async fn allowances(&mut self, step: Step, since: Time) -> Got<Vec<(String, Time, ApiCalls)>>;
    /// Forgets figures and allowances from before this moment.
    async fn forget_figures(&mut self, before: Time) -> Got<u64>;

    // Errors.

    /// By id.
    async fn error(&mut self, id: ErrorId) -> Got<Option<ErrorRecord>>;
    /// The open one of a twin.
    async fn error_of_twin(&mut self, twin: TwinId) -> Got<Option<ErrorRecord>>;
    /// The open one of a connection, tracker (by `subject`) or node with this code.
    async fn error_of(&mut self, subject: &str, code: &str) -> Got<Option<ErrorRecord>>;
    /// Opens or replaces (same id); tells the stream.
    async fn put_error(&mut self, error: &ErrorRecord) -> Got<()>;
    /// Closes; tells the stream. False where it was not open.
    async fn close_error(&mut self, id: ErrorId) -> Got<bool>;
    /// Open errors that pass, equal ones together, those with the newest first; at most so many groups.
    async fn error_groups(&mut self, filter: &ErrorFilter, most: u32) -> Got<Vec<ErrorGroup>>;
    /// A page, newest first.
    async fn list_errors(&mut self, filter: &ErrorFilter, page: &Page) -> Got<Paged<ErrorRecord>>;
    /// Twin errors whose next attempt is due.
    async fn errors_due(&mut self, now: Time, limit: u32) -> Got<Vec<ErrorRecord>>;
    /// When the next falls due.
    async fn next_error_due(&mut self) -> Got<Option<Time>>;

    // Jobs.

    /// By id.
    async fn job(&mut self, id: JobId) -> Got<Option<Job>>;
    /// Makes or replaces it; who does jobs is woken.
    async fn put_job(&mut self, job: &Job) -> Got<()>;
    /// Those that have not ended, oldest first.
    async fn open_jobs(&mut self) -> Got<Vec<Job>>;
    /// A page, newest first.
    async fn list_jobs(&mut self, filter: &JobFilter, page: &Page) -> Got<Paged<Job>>;
    /// Adds lines to a job's report.
    async fn add_findings(&mut self, job: JobId, findings: &[Finding]) -> Got<()>;
    /// How many lines there are.
    async fn count_findings(&mut self, job: JobId) -> Got<u64>;
    /// A page of them, in order.
    async fn list_findings(&mut self, job: JobId, page: &Page) -> Got<Paged<Finding>>;
    /// Forgets jobs that ended and were made before this.
    async fn forget_jobs(&mut self, before: Time) -> Got<u64>;

    // Directions whose rule fails.

    /// All of them.
    async fn all_failing(&mut self) -> Got<Vec<(ConnectionId, Direction, Failing)>>;
    /// One.
    async fn failing(&mut self, connection: ConnectionId, way: Direction) -> Got<Option<Failing>>;
    /// Keeps it; one that is over is forgotten.
    async fn put_failing(&mut self, connection: ConnectionId, way: Direction, failing: &Failing) -> Got<()>;
    /// Those of a connection that are paused, and how many twins or changes wait there.
    async fn paused(&mut self, connection: ConnectionId) -> Got<Vec<(Direction, Failing, u64)>>;
    /// Holds back these twins' events ([`HELD`]) until the pause ends, or until another arrives.
    async fn hold_arrived(&mut self, connection: ConnectionId, twins: &[TwinId]) -> Got<()>;
    /// A twin whose work is held: another than the last, where there are others.
    async fn next_held(&mut self, connection: ConnectionId, way: Direction, after: Option<TwinId>) -> Got<Option<TwinId>>;
    /// Lets at most this many go on; how many there were. Wakes the tracker's workers.
    async fn release_held(&mut self, connection: ConnectionId, way: Direction, most: u32, now: Time) -> Got<u64>;

    // People and their sessions.

    /// Whether there is an account at all.
    async fn any_user(&mut self) -> Got<bool>;
    /// All accounts, by name.
    async fn users(&mut self) -> Got<Vec<User>>;
    /// By id, with the hash of its password.
    async fn user(&mut self, id: UserId) -> Got<Option<(User, Secret)>>;
    /// By name without regard to case, with the hash of its password.
    async fn user_by_name(&mut self, name: &str) -> Got<Option<(User, Secret)>>;
    /// A new one; [`StoreError::Taken`] where the name is used.
    async fn insert_user(&mut self, user: &User, password: &Secret) -> Got<()>;
    /// Replaces all but the password; [`StoreError::Taken`] where the name is used.
    async fn update_user(&mut self, user: &User) -> Got<()>;
    /// Replaces the hash of its password.
    async fn put_password(&mut self, id: UserId, password: &Secret) -> Got<()>;
    /// Removes it with its sessions; false where there was none.
    async fn delete_user(&mut self, id: UserId) -> Got<bool>;
    /// A new session; the account's oldest end where it has more than `most`.
    async fn insert_session(&mut self, session: &Session, most: u32) -> Got<()>;
    /// A session and whose it is, over or not.
    async fn session(&mut self, id: SessionId) -> Got<Option<(Session, User)>>;
    /// Of an account, newest first.
    async fn sessions(&mut self, user: UserId) -> Got<Vec<Session>>;
    /// It was in use at this moment.
    async fn see_session(&mut self, id: SessionId, at: Time) -> Got<()>;
    /// Ends one of an account; false where there was none.
    async fn end_session(&mut self, user: UserId, id: SessionId) -> Got<bool>;
    /// Ends all of an account, but this one; how many there were.
    async fn end_sessions(&mut self, user: UserId, but: Option<SessionId>) -> Got<u64>;
    /// Forgets those that were last seen, or made, at this moment or before.
    async fn forget_sessions(&mut self, seen_before: Time, made_before: Time) -> Got<u64>;

    // Tokens, idempotency, audit.

    /// By the hash of its secret.
    async fn token_by_hash(&mut self, hash: &[u8; 32]) -> Got<Option<Token>>;
    /// All, by making.
    async fn tokens(&mut self) -> Got<Vec<Token>>;
    /// A new one.
    async fn insert_token(&mut self, token: &Token) -> Got<()>;
    /// Removes; false where there was none.
    async fn delete_token(&mut self, id: TokenId) -> Got<bool>;
    /// The saved answer under a caller's key.
    async fn saved_answer(&mut self, caller: &str, key: &str) -> Got<Option<SavedAnswer>>;
    /// Saves or replaces.
    async fn save_answer(&mut self, caller: &str, key: &str, answer: &SavedAnswer) -> Got<()>;
    /// Forgets one (the first request failed: the next may try).
    async fn forget_answer(&mut self, caller: &str, key: &str) -> Got<()>;
    /// Forgets those from before this moment.
    async fn forget_answers(&mut self, before: Time) -> Got<u64>;
    /// Adds a line.
    async fn add_audit(&mut self, line: &AuditLine) -> Got<()>;
    /// A page, newest first.
    async fn list_audit(&mut self, page: &Page) -> Got<Paged<AuditLine>>;
}

/// An event with its number as it will travel; `clock_offset_ms` is taken from the record's times.
pub fn numbered(draft: &Draft, n: u64, clock_offset_ms: i64) -> Event {
    let mut body = draft.body.clone();
    if let Body::Sync(sync) = &mut body {
        let times = sync.changed.values_mut().chain(&mut sync.modified_at);
        times.for_each(|at| *at = Time(at.0.saturating_sub(clock_offset_ms)));
    }
    Event { n, id: draft.id, twin: draft.twin, seen: draft.seen, at: draft.at, correlation: draft.correlation, body }
}
