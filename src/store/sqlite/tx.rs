//! The transaction on SQLite: what all nouns' files share, and the list of who does what.

use std::panic::AssertUnwindSafe;

use async_trait::async_trait;
use futures_util::FutureExt;
use serde::{Serialize, de::DeserializeOwned};
use sqlx::{
    Decode, Row, Sqlite, SqliteConnection, SqlitePool, Type,
    sqlite::{SqliteArguments, SqliteRow},
};

use super::{Shared, admin, changes, connections, errors, history, inbox, joining, outbox, settings, twins};
use crate::{
    clock::Time,
    domain::{
        change::{Change, NewChange},
        connection::Connection,
        error::ErrorRecord,
        history::HistoryLine,
        ids::*,
        invitation::Invitation,
        rule::RulePair,
        token::Token,
        trigger::Trigger,
        twin::Twin,
    },
    secret::{Place, Secret},
    store::{Job, Notice, StoreError, Topic, Tx, rows::*},
};

pub(super) type Got<T> = Result<T, StoreError>;
pub(super) type Query<'q> = sqlx::query::Query<'q, Sqlite, SqliteArguments>;

/// A transaction under way.
pub(super) struct SqliteTx<'c> {
    conn: &'c mut SqliteConnection,
    pub(super) shared: &'c Shared,
    wakes: Vec<Topic>,
    notices: Vec<Notice>,
    /// A statement failed so that SQLite may have ended the transaction: nothing more may run in it.
    gone: Option<StoreError>,
}

impl<'c> SqliteTx<'c> {
    pub(super) fn new(conn: &'c mut SqliteConnection, shared: &'c Shared) -> Self {
        Self { conn, shared, wakes: Vec::new(), notices: Vec::new(), gone: None }
    }

    /// Why the transaction cannot go on, if so.
    pub(super) fn gone(&self) -> Option<StoreError> {
        self.gone.clone()
    }

    /// How far wake-ups and notices go, to go back to with [`Self::unwake`].
    pub(super) fn mark(&self) -> (usize, usize) {
        (self.wakes.len(), self.notices.len())
    }

    /// Takes back wake-ups and notices of a job that failed.
    pub(super) fn unwake(&mut self, mark: (usize, usize)) {
        self.wakes.truncate(mark.0);
        self.notices.truncate(mark.1);
    }

    /// What to fire after the commit.
    pub(super) fn into_wakes(self) -> (Vec<Topic>, Vec<Notice>) {
        (self.wakes, self.notices)
    }

    fn check<T>(&mut self, result: Result<T, sqlx::Error>) -> Got<T> {
        result.map_err(|error| {
            let error = StoreError::from(error);
            if matches!(error, StoreError::Unavailable(_)) {
                self.gone = Some(error.clone());
            }
            error
        })
    }

    fn alive(&self) -> Got<()> {
        self.gone.clone().map_or(Ok(()), Err)
    }

    /// Steers the transaction itself; also when it is gone.
    pub(super) async fn steer(&mut self, sql: &'static str) -> Got<()> {
        let result = sqlx::raw_sql(sql).execute(&mut *self.conn).await;
        self.check(result).map(drop)
    }

    /// Runs a statement; how many rows it touched.
    pub(super) async fn run(&mut self, query: Query<'_>) -> Got<u64> {
        self.alive()?;
        let result = query.execute(&mut *self.conn).await;
        self.check(result).map(|done| done.rows_affected())
    }

    /// All rows.
    pub(super) async fn all(&mut self, query: Query<'_>) -> Got<Vec<SqliteRow>> {
        self.alive()?;
        let result = query.fetch_all(&mut *self.conn).await;
        self.check(result)
    }

    /// All rows, read each.
    pub(super) async fn each<T>(&mut self, query: Query<'_>, read: impl Fn(&SqliteRow) -> Got<T>) -> Got<Vec<T>> {
        self.all(query).await?.iter().map(read).collect()
    }

    /// The one row, if there is one.
    pub(super) async fn one<T>(&mut self, query: Query<'_>, read: impl FnOnce(&SqliteRow) -> Got<T>) -> Got<Option<T>> {
        self.alive()?;
        let result = query.fetch_optional(&mut *self.conn).await;
        self.check(result)?.as_ref().map(read).transpose()
    }

    /// Rows in order as long as `take` says so; what follows is not read.
    pub(super) async fn some<T>(
        &mut self,
        query: Query<'_>,
        read: impl Fn(&SqliteRow) -> Got<T>,
        mut take: impl FnMut(&T) -> bool,
    ) -> Got<Vec<T>> {
        use futures_util::TryStreamExt;
        self.alive()?;
        let mut taken = Vec::new();
        let ended = {
            let mut rows = query.fetch(&mut *self.conn);
            loop {
                match rows.try_next().await {
                    Ok(Some(row)) => {
                        let item = read(&row)?;
                        if !take(&item) {
                            break Ok(());
                        }
                        taken.push(item);
                    }
                    Ok(None) => break Ok(()),
                    Err(error) => break Err(error),
                }
            }
        };
        self.check(ended)?;
        Ok(taken)
    }

    /// The hour now.
    pub(super) fn now(&self) -> Time {
        self.shared.clock.now()
    }

    pub(super) fn seal(&self, place: Place<'_>, secret: &Secret) -> Vec<u8> {
        let mut nonce = [0u8; 12];
        self.shared.clock.random(&mut nonce);
        self.shared.sealer.seal(place, nonce, secret.expose().as_bytes())
    }

    pub(super) fn unseal(&self, place: Place<'_>, sealed: &[u8]) -> Got<Secret> {
        let bytes = self.shared.sealer.open(place, sealed)?;
        let text = std::str::from_utf8(&bytes).map_err(|_| StoreError::Broken("a secret is no text".to_owned()))?;
        Ok(Secret::new(text))
    }
}

/// Runs a job on a consistent view.
pub(super) async fn read(readers: &SqlitePool, shared: &Shared, job: &mut dyn Job) -> Got<()> {
    if readers.is_closed() {
        return Err(StoreError::Closed);
    }
    let mut view = readers.begin().await?;
    let mut tx = SqliteTx::new(&mut view, shared);
    let result = attempt(job, &mut tx).await;
    let (wakes, notices) = tx.into_wakes();
    drop(view);
    if result.is_ok() {
        fire(shared, wakes, notices);
    }
    result
}

/// Runs a job; one that panics has failed.
pub(super) async fn attempt(job: &mut dyn Job, tx: &mut SqliteTx<'_>) -> Got<()> {
    AssertUnwindSafe(job.run(tx))
        .catch_unwind()
        .await
        .unwrap_or_else(|_| Err(StoreError::Broken("the work on the database panicked".to_owned())))
}

/// Tells everybody.
pub(super) fn fire(shared: &Shared, mut wakes: Vec<Topic>, notices: Vec<Notice>) {
    let mut told = std::collections::HashSet::new();
    wakes.retain(|topic| told.insert(topic.clone()));
    for topic in wakes {
        shared.wakes.wake(topic);
    }
    for notice in notices {
        shared.wakes.tell(notice);
    }
}

/// A column's value.
pub(super) fn col<'r, T: Decode<'r, Sqlite> + Type<Sqlite>>(row: &'r SqliteRow, index: usize) -> Got<T> {
    Ok(row.try_get(index)?)
}

/// A column that holds text which parses, such as an id or a status.
pub(super) fn parsed<T: std::str::FromStr>(row: &SqliteRow, index: usize) -> Got<T> {
    let text: &str = col(row, index)?;
    text.parse().map_err(|_| StoreError::Broken(format!("`{text}` is not understood")))
}

/// Such a column that may be NULL or empty.
pub(super) fn parsed_opt<T: std::str::FromStr>(row: &SqliteRow, index: usize) -> Got<Option<T>> {
    match col::<Option<&str>>(row, index)? {
        None | Some("") => Ok(None),
        Some(_) => parsed(row, index).map(Some),
    }
}

/// A column that holds JSON.
pub(super) fn json<T: DeserializeOwned>(row: &SqliteRow, index: usize) -> Got<T> {
    from_json(col(row, index)?)
}

/// A moment.
pub(super) fn time(row: &SqliteRow, index: usize) -> Got<Time> {
    Ok(Time(col(row, index)?))
}

/// A moment or NULL.
pub(super) fn time_opt(row: &SqliteRow, index: usize) -> Got<Option<Time>> {
    Ok(col::<Option<i64>>(row, index)?.map(Time))
}

/// A number that counts up from zero.
pub(super) fn count(row: &SqliteRow, index: usize) -> Got<u64> {
    Ok(u64::try_from(col::<i64>(row, index)?).unwrap_or(0))
}

/// As SQLite counts: what is beyond stays at the end.
pub(super) fn signed(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

/// JSON out of the database.
pub(super) fn from_json<T: DeserializeOwned>(text: &str) -> Got<T> {
    serde_json::from_str(text).map_err(|error| StoreError::Broken(format!("a stored document is not understood: {error}")))
}

/// JSON for the database.
pub(super) fn to_json<T: Serialize + ?Sized>(value: &T) -> Got<String> {
    serde_json::to_string(value).map_err(|error| StoreError::Broken(format!("a document cannot be written: {error}")))
}

/// The word of an enum without content, as in JSON.
pub(super) fn word<T: Serialize>(value: &T) -> Got<String> {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => Ok(word),
        _ => Err(StoreError::Broken("a word was expected".to_owned())),
    }
}

/// Ids as the JSON array that `json_each` opens.
pub(super) fn list<T: ToString>(ids: &[T]) -> Got<String> {
    to_json(&ids.iter().map(ToString::to_string).collect::<Vec<_>>())
}

/// Where a page begins: everything before this moment and tie-breaker, newest first.
pub(super) fn place(page: &Page) -> Got<(i64, Option<&str>)> {
    let Some(after) = &page.after else { return Ok((i64::MAX, None)) };
    after
        .split_once('.')
        .and_then(|(at, tie)| Some((at.parse().ok()?, Some(tie))))
        .ok_or_else(|| StoreError::Broken(format!("`{after}` is no place in this list; begin again without it")))
}

/// How many rows to read for a page: one more shows whether something follows.
pub(super) fn page_rows(page: &Page) -> i64 {
    i64::from(page.limit) + 1
}

/// Makes a page of rows read with their places.
pub(super) fn paged<T>(mut rows: Vec<(String, T)>, page: &Page) -> Paged<T> {
    let limit = page.limit as usize;
    let more = rows.len() > limit;
    rows.truncate(limit);
    let next = rows.last().filter(|_| more).map(|(place, _)| place.clone());
    Paged { items: rows.into_iter().map(|(_, item)| item).collect(), next }
}

#[async_trait]
impl Tx for SqliteTx<'_> {
    fn wake(&mut self, topic: Topic) {
        self.wakes.push(topic);
    }

    fn tell(&mut self, notice: Notice) {
        self.notices.push(notice);
    }

    async fn secret(&mut self, name: &str) -> Got<Option<Secret>> {
        settings::secret(self, name).await
    }
    async fn put_secret(&mut self, name: &str, value: &Secret) -> Got<()> {
        settings::put_secret(self, name, value).await
    }
    async fn delete_secret(&mut self, name: &str) -> Got<()> {
        settings::delete_secret(self, name).await
    }
    async fn tracker_state(&mut self, tracker: &str) -> Got<TrackerState> {
        settings::tracker_state(self, tracker).await
    }
    async fn put_tracker_state(&mut self, tracker: &str, state: &TrackerState) -> Got<()> {
        settings::put_tracker_state(self, tracker, state).await
    }
    async fn connection(&mut self, id: ConnectionId) -> Got<Option<Connection>> {
        connections::connection(self, id).await
    }
    async fn connections(&mut self) -> Got<Vec<Connection>> {
        connections::connections(self).await
    }
    async fn insert_connection(&mut self, connection: &Connection) -> Got<()> {
        connections::insert_connection(self, connection).await
    }
    async fn update_connection(&mut self, connection: &Connection) -> Got<()> {
        connections::update_connection(self, connection).await
    }
    async fn delete_connection(&mut self, id: ConnectionId) -> Got<()> {
        connections::delete_connection(self, id).await
    }
    async fn link_state(&mut self, id: ConnectionId) -> Got<LinkState> {
        connections::link_state(self, id).await
    }
    async fn put_link_state(&mut self, id: ConnectionId, state: &LinkState) -> Got<()> {
        connections::put_link_state(self, id, state).await
    }
    async fn waiting(&mut self, id: ConnectionId) -> Got<Waiting> {
        connections::waiting(self, id).await
    }
    async fn rules(&mut self, id: ConnectionId) -> Got<Option<RulePair>> {
        connections::rules(self, id).await
    }
    async fn invitation(&mut self, id: InvitationId) -> Got<Option<Invitation>> {
        joining::invitation(self, id).await
    }
    async fn newest_invitation(&mut self, connection: ConnectionId) -> Got<Option<Invitation>> {
        joining::newest_invitation(self, connection).await
    }
    async fn put_invitation(&mut self, invitation: &Invitation) -> Got<()> {
        joining::put_invitation(self, invitation).await
    }
    async fn triggers(&mut self, connection: ConnectionId) -> Got<Vec<Trigger>> {
        joining::triggers(self, connection).await
    }
    async fn triggers_of_tracker(&mut self, tracker: &str) -> Got<Vec<Trigger>> {
        joining::triggers_of_tracker(self, tracker).await
    }
    async fn put_trigger(&mut self, trigger: &Trigger) -> Got<()> {
        joining::put_trigger(self, trigger).await
    }
    async fn delete_trigger(&mut self, connection: ConnectionId, id: TriggerId) -> Got<bool> {
        joining::delete_trigger(self, connection, id).await
    }
    async fn add_changes(&mut self, changes: &[NewChange]) -> Got<()> {
        changes::add_changes(self, changes).await
    }
    async fn records_waiting(&mut self, tracker: &str, now: Time, limit: u32) -> Got<Vec<WaitingRecord>> {
        changes::records_waiting(self, tracker, now, limit).await
    }
    async fn changes(&mut self, tracker: &str, entity_type: &str, key: &str) -> Got<Vec<Change>> {
        changes::changes(self, tracker, entity_type, key).await
    }
    async fn changes_of(&mut self, tracker: &str, records: &[WaitingRecord]) -> Got<Vec<Change>> {
        changes::changes_of(self, tracker, records).await
    }
    async fn end_changes(&mut self, ids: &[i64]) -> Got<()> {
        changes::end_changes(self, ids).await
    }
    async fn delay_changes(&mut self, ids: &[i64], due_at: Time) -> Got<()> {
        changes::delay_changes(self, ids, due_at).await
    }
    async fn next_change_due(&mut self, tracker: &str) -> Got<Option<Time>> {
        changes::next_change_due(self, tracker).await
    }
    async fn count_changes(&mut self, tracker: &str) -> Got<u64> {
        changes::count_changes(self, tracker).await
    }
    async fn twin(&mut self, connection: ConnectionId, id: TwinId) -> Got<Option<Twin>> {
        twins::twin(self, connection, id).await
    }
    async fn twin_by_id(&mut self, id: TwinId) -> Got<Option<Twin>> {
        twins::twin_by_id(self, id).await
    }
    async fn twins_by_ids(&mut self, connection: ConnectionId, ids: &[TwinId]) -> Got<Vec<Twin>> {
        twins::twins_by_ids(self, connection, ids).await
    }
    async fn twins_of_record(&mut self, tracker: &str, entity_type: &str, key: &str) -> Got<Vec<Twin>> {
        twins::twins_of_record(self, tracker, entity_type, key).await
    }
    async fn twins_of_records(&mut self, tracker: &str, entity_type: &str, keys: &[String]) -> Got<Vec<Twin>> {
        twins::twins_of_records(self, tracker, entity_type, keys).await
    }
    async fn twins_of_remote(&mut self, connection: ConnectionId, entity_type: &str, key: &str) -> Got<Vec<Twin>> {
        twins::twins_of_remote(self, connection, entity_type, key).await
    }
    async fn put_twin(&mut self, twin: &Twin) -> Got<()> {
        twins::put_twin(self, twin).await
    }
    async fn list_twins(&mut self, filter: &TwinFilter, page: &Page) -> Got<Paged<Twin>> {
        twins::list_twins(self, filter, page).await
    }
    async fn twin_ids(&mut self, connection: ConnectionId) -> Got<Vec<TwinId>> {
        twins::twin_ids(self, connection).await
    }
    async fn creates_under_way(&mut self, tracker: &str, entity_type: &str) -> Got<Vec<TwinId>> {
        twins::creates_under_way(self, tracker, entity_type).await
    }
    async fn synced_types(&mut self, tracker: &str) -> Got<Vec<String>> {
        twins::synced_types(self, tracker).await
    }
    async fn put_draft(&mut self, draft: &Draft) -> Got<()> {
        outbox::put_draft(self, draft).await
    }
    async fn draft(&mut self, connection: ConnectionId, twin: TwinId, kind: &str) -> Got<Option<Draft>> {
        outbox::draft(self, connection, twin, kind).await
    }
    async fn number_drafts(&mut self, connection: ConnectionId, max_events: u32, max_bytes: usize) -> Got<Vec<Numbered>> {
        outbox::number_drafts(self, connection, max_events, max_bytes).await
    }
    async fn numbered_from(&mut self, connection: ConnectionId, n: u64, max_events: u32, max_bytes: usize) -> Got<Vec<Numbered>> {
        outbox::numbered_from(self, connection, n, max_events, max_bytes).await
    }
    async fn numbered_id(&mut self, connection: ConnectionId, n: u64) -> Got<Option<EventId>> {
        outbox::numbered_id(self, connection, n).await
    }
    async fn number_of(&mut self, connection: ConnectionId, id: EventId) -> Got<Option<Option<u64>>> {
        outbox::number_of(self, connection, id).await
    }

    async fn empty_numbered(&mut self, connection: ConnectionId, n: u64, json: &str) -> Got<()> {
        outbox::empty_numbered(self, connection, n, json).await
    }
    async fn acknowledge(&mut self, connection: ConnectionId, n: u64, at: Time) -> Got<()> {
        outbox::acknowledge(self, connection, n, at).await
    }
    async fn unseen(&mut self, connection: ConnectionId, twin: TwinId, seen: u64) -> Got<Vec<Unseen>> {
        outbox::unseen(self, connection, twin, seen).await
    }
    async fn forget_acknowledged(&mut self, before: Time) -> Got<u64> {
        outbox::forget_acknowledged(self, before).await
    }
    async fn clear_outbox(&mut self, connection: ConnectionId) -> Got<()> {
        outbox::clear_outbox(self, connection).await
    }
    async fn add_arrived(&mut self, tracker: &str, events: &[Arrived]) -> Got<()> {
        inbox::add_arrived(self, tracker, events).await
    }
    async fn twins_waiting(&mut self, tracker: &str, limit: u32) -> Got<Vec<WaitingTwin>> {
        inbox::twins_waiting(self, tracker, limit).await
    }
    async fn arrived(&mut self, connection: ConnectionId, twin: Option<TwinId>) -> Got<Vec<Arrived>> {
        inbox::arrived(self, connection, twin).await
    }
    async fn end_arrived(&mut self, rows: &[i64]) -> Got<()> {
        inbox::end_arrived(self, rows).await
    }
    async fn clear_inbox(&mut self, connection: ConnectionId) -> Got<()> {
        inbox::clear_inbox(self, connection).await
    }
    async fn rest_arrived(&mut self, connection: ConnectionId, twin: TwinId, until: Option<Time>) -> Got<()> {
        inbox::rest_arrived(self, connection, twin, until).await
    }
    async fn release_arrived(&mut self, connection: ConnectionId, twin: TwinId) -> Got<()> {
        inbox::release_arrived(self, connection, twin).await
    }
    async fn add_history(&mut self, lines: &[HistoryLine]) -> Got<()> {
        history::add_history(self, lines).await
    }
    async fn history_of_twin(&mut self, twin: TwinId, page: &Page) -> Got<Paged<HistoryLine>> {
        history::history_of_twin(self, twin, page).await
    }
    async fn history_of_record(&mut self, tracker: &str, entity_type: &str, key: &str, page: &Page) -> Got<Paged<HistoryLine>> {
        history::history_of_record(self, tracker, entity_type, key, page).await
    }
    async fn latency(&mut self, connection: ConnectionId, since: Time) -> Got<Option<(i64, i64)>> {
        history::latency(self, connection, since).await
    }
    async fn forget_history(&mut self, before: Time) -> Got<u64> {
        history::forget_history(self, before).await
    }
    async fn forget_notices(&mut self, before: Time) -> Got<u64> {
        changes::forget_notices(self, before).await
    }
    async fn error(&mut self, id: ErrorId) -> Got<Option<ErrorRecord>> {
        errors::error(self, id).await
    }
    async fn error_of_twin(&mut self, twin: TwinId) -> Got<Option<ErrorRecord>> {
        errors::error_of_twin(self, twin).await
    }
    async fn error_of(&mut self, subject: &str, code: &str) -> Got<Option<ErrorRecord>> {
        errors::error_of(self, subject, code).await
    }
    async fn put_error(&mut self, error: &ErrorRecord) -> Got<()> {
        errors::put_error(self, error).await
    }
    async fn close_error(&mut self, id: ErrorId) -> Got<bool> {
        errors::close_error(self, id).await
    }
    async fn list_errors(&mut self, filter: &ErrorFilter, page: &Page) -> Got<Paged<ErrorRecord>> {
        errors::list_errors(self, filter, page).await
    }
    async fn errors_due(&mut self, now: Time, limit: u32) -> Got<Vec<ErrorRecord>> {
        errors::errors_due(self, now, limit).await
    }
    async fn next_error_due(&mut self) -> Got<Option<Time>> {
        errors::next_error_due(self).await
    }
    async fn token_by_hash(&mut self, hash: &[u8; 32]) -> Got<Option<Token>> {
        admin::token_by_hash(self, hash).await
    }
    async fn tokens(&mut self) -> Got<Vec<Token>> {
        admin::tokens(self).await
    }
    async fn insert_token(&mut self, token: &Token) -> Got<()> {
        admin::insert_token(self, token).await
    }
    async fn delete_token(&mut self, id: TokenId) -> Got<bool> {
        admin::delete_token(self, id).await
    }
    async fn saved_answer(&mut self, caller: &str, key: &str) -> Got<Option<SavedAnswer>> {
        admin::saved_answer(self, caller, key).await
    }
    async fn save_answer(&mut self, caller: &str, key: &str, answer: &SavedAnswer) -> Got<()> {
        admin::save_answer(self, caller, key, answer).await
    }
    async fn forget_answer(&mut self, caller: &str, key: &str) -> Got<()> {
        admin::forget_answer(self, caller, key).await
    }
    async fn forget_answers(&mut self, before: Time) -> Got<u64> {
        admin::forget_answers(self, before).await
    }
    async fn add_audit(&mut self, line: &AuditLine) -> Got<()> {
        admin::add_audit(self, line).await
    }
    async fn list_audit(&mut self, page: &Page) -> Got<Paged<AuditLine>> {
        admin::list_audit(self, page).await
    }
}
