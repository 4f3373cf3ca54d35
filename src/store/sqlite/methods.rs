//! The list of who does what: each method of the trait, and the file that holds its SQL. It is as long as the trait.

use std::collections::BTreeMap;

use async_trait::async_trait;

use super::{
    admin, changes, connections, errors, figures, history, inbox, jobs, joining, journal, outbox, pauses, people, rules,
    settings, twins,
    tx::{Got, SqliteTx},
};
use crate::{
    clock::Time,
    domain::{
        change::{Change, NewChange},
        connection::Connection,
        error::ErrorRecord,
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
    store::{LeaseKey, Notice, Topic, Tx, rows::*},
};

#[async_trait]
impl Tx for SqliteTx<'_> {
    fn wake(&mut self, topic: Topic) {
        self.add_wake(topic);
    }

    fn tell(&mut self, notice: Notice) {
        self.add_notice(notice);
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
    async fn forget_sealed(&mut self) -> Got<()> {
        settings::forget_sealed(self).await
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
    async fn connections_of(&mut self, tracker: &str) -> Got<Vec<(Connection, LinkState)>> {
        connections::connections_of(self, tracker).await
    }
    async fn standing(&mut self, id: ConnectionId) -> Got<Option<Standing>> {
        connections::standing(self, id).await
    }
    async fn rules(&mut self, id: ConnectionId) -> Got<Option<RulePair>> {
        rules::rules(self, id).await
    }
    async fn newest_rule_version(&mut self, id: ConnectionId) -> Got<Option<RuleVersion>> {
        rules::newest_rule_version(self, id).await
    }
    async fn rule_version(&mut self, id: ConnectionId, version: u32) -> Got<Option<RuleVersion>> {
        rules::rule_version(self, id, version).await
    }
    async fn rule_versions(&mut self, id: ConnectionId) -> Got<Vec<Imprint>> {
        rules::rule_versions(self, id).await
    }
    async fn insert_rule_version(&mut self, id: ConnectionId, version: &RuleVersion) -> Got<()> {
        rules::insert_rule_version(self, id, version).await
    }
    async fn rule_draft(&mut self, id: ConnectionId) -> Got<Option<RuleDraft>> {
        rules::rule_draft(self, id).await
    }
    async fn put_rule_draft(&mut self, id: ConnectionId, draft: &RuleDraft) -> Got<()> {
        rules::put_rule_draft(self, id, draft).await
    }
    async fn delete_rule_draft(&mut self, id: ConnectionId) -> Got<()> {
        rules::delete_rule_draft(self, id).await
    }
    async fn rules_for(&mut self, work: RuleWork) -> Got<Option<(RulePair, Option<u32>)>> {
        journal::rules_for(self, work).await
    }
    async fn journal(&mut self, work: RuleWork) -> Got<Vec<JournalRow>> {
        journal::journal(self, work).await
    }
    async fn put_journal(&mut self, row: &JournalRow) -> Got<()> {
        journal::put_journal(self, row).await
    }
    async fn forget_journal(&mut self, work: RuleWork, number: u32) -> Got<()> {
        journal::forget_journal(self, work, number).await
    }
    async fn renew_journal(&mut self, connection: ConnectionId, twin: TwinId, again: bool) -> Got<()> {
        journal::renew_journal(self, connection, twin, again).await
    }
    async fn end_journal(&mut self, works: &[RuleWork]) -> Got<()> {
        journal::end_journal(self, works).await
    }
    async fn put_lookup(&mut self, lookup: &Lookup, now: Time) -> Got<()> {
        journal::put_lookup(self, lookup, now).await
    }
    async fn forget_lookups(&mut self, before: Time) -> Got<u64> {
        journal::forget_lookups(self, before).await
    }
    async fn take_lookups(&mut self, found: &[(ConnectionId, String)]) -> Got<Vec<Lookup>> {
        journal::take_lookups(self, found).await
    }
    async fn local_keys(&mut self, connection: ConnectionId, remote_key: &str) -> Got<Vec<(String, String)>> {
        journal::local_keys(self, connection, remote_key).await
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
    async fn next_change_due(&mut self, tracker: &str, after: Option<Time>) -> Got<Option<Time>> {
        changes::next_change_due(self, tracker, after).await
    }
    async fn count_changes(&mut self, tracker: &str) -> Got<u64> {
        changes::count_changes(self, tracker).await
    }
    async fn changes_left(
        &mut self,
        tracker: &str,
        entity_type: &str,
        keys: &[String],
        connection: ConnectionId,
        due_before: Time,
    ) -> Got<u64> {
        changes::changes_left(self, (tracker, entity_type, keys), connection, due_before).await
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
    async fn unanswered(
        &mut self,
        tracker: &str,
        entity_type: &str,
        keys: &[String],
        connection: ConnectionId,
    ) -> Got<Vec<String>> {
        twins::unanswered(self, (tracker, entity_type, keys), connection).await
    }
    async fn twins_of_remotes(&mut self, connection: ConnectionId, entity_type: &str, keys: &[String]) -> Got<Vec<Twin>> {
        twins::twins_of_remotes(self, connection, entity_type, keys).await
    }
    async fn twins_anywhere(&mut self, ids: &[TwinId]) -> Got<Vec<TwinId>> {
        twins::twins_anywhere(self, ids).await
    }
    async fn record_leases(&mut self, connection: ConnectionId, ids: &[TwinId]) -> Got<Vec<(TwinId, LeaseKey)>> {
        twins::record_leases(self, connection, ids).await
    }
    async fn put_twins(&mut self, twins: &[Twin]) -> Got<()> {
        twins::put_twins(self, twins).await
    }
    async fn list_twins(&mut self, filter: &TwinFilter, page: &Page) -> Got<Paged<Twin>> {
        twins::list_twins(self, filter, page).await
    }
    async fn twin_ids(&mut self, connection: ConnectionId) -> Got<Vec<TwinId>> {
        twins::twin_ids(self, connection).await
    }
    async fn twins_behind(&mut self, connection: ConnectionId, after: Option<TwinId>, limit: u32) -> Got<Vec<Twin>> {
        twins::twins_behind(self, connection, after, limit).await
    }
    async fn count_twins(&mut self, connection: ConnectionId) -> Got<u64> {
        twins::count_twins(self, connection).await
    }
    async fn creates_under_way(&mut self, tracker: &str, entity_type: &str) -> Got<Vec<(TwinId, Time)>> {
        twins::creates_under_way(self, tracker, entity_type).await
    }
    async fn synced_types(&mut self, tracker: &str) -> Got<Vec<String>> {
        twins::synced_types(self, tracker).await
    }

    async fn types_of_connection(&mut self, tracker: &str, id: ConnectionId) -> Got<Vec<String>> {
        twins::types_of_connection(self, tracker, id).await
    }
    async fn put_drafts(&mut self, drafts: &[Draft]) -> Got<()> {
        outbox::put_drafts(self, drafts).await
    }
    async fn draft(&mut self, connection: ConnectionId, twin: TwinId, kind: &str) -> Got<Option<Draft>> {
        outbox::draft(self, connection, twin, kind).await
    }
    async fn number_drafts(
        &mut self,
        connection: ConnectionId,
        max_events: u32,
        max_bytes: usize,
        clock_offset_ms: i64,
    ) -> Got<Vec<Numbered>> {
        outbox::number_drafts(self, connection, max_events, max_bytes, clock_offset_ms).await
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
    async fn unseen_of(&mut self, connection: ConnectionId, seen: &[(TwinId, u64)]) -> Got<Vec<(TwinId, Unseen)>> {
        outbox::unseen_of(self, connection, seen).await
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
    async fn arrived_of(&mut self, connection: ConnectionId, twins: &[Option<TwinId>]) -> Got<Vec<Arrived>> {
        inbox::arrived_of(self, connection, twins).await
    }
    async fn replace_arrived(&mut self, row: i64, json: &str) -> Got<()> {
        inbox::replace_arrived(self, row, json).await
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
    async fn ended_since(&mut self, most: u32) -> Got<EndedPart> {
        figures::ended_since(self, most).await
    }
    async fn parked(&mut self) -> Got<Vec<(ConnectionId, u64)>> {
        figures::parked(self).await
    }
    async fn add_figures(&mut self, rows: &[FiguresRow], upto: Option<i64>) -> Got<()> {
        figures::add_figures(self, rows, upto).await
    }
    async fn figures(&mut self, connections: Option<&[ConnectionId]>, step: Step, since: Time) -> Got<BTreeMap<Time, Figures>> {
        figures::figures(self, connections, step, since).await
    }
    async fn put_allowances(&mut self, at: Time, calls: &[(String, ApiCalls)]) -> Got<()> {
        figures::put_allowances(self, at, calls).await
    }
    async fn allowances(&mut self, step: Step, since: Time) -> Got<Vec<(String, Time, ApiCalls)>> {
        figures::allowances(self, step, since).await
    }
    async fn forget_figures(&mut self, before: Time) -> Got<u64> {
        figures::forget_figures(self, before).await
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
    async fn error_groups(&mut self, filter: &ErrorFilter, most: u32) -> Got<Vec<ErrorGroup>> {
        errors::error_groups(self, filter, most).await
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
    async fn job(&mut self, id: JobId) -> Got<Option<Job>> {
        jobs::job(self, id).await
    }
    async fn put_job(&mut self, job: &Job) -> Got<()> {
        jobs::put_job(self, job).await
    }
    async fn open_jobs(&mut self) -> Got<Vec<Job>> {
        jobs::open_jobs(self).await
    }
    async fn list_jobs(&mut self, filter: &JobFilter, page: &Page) -> Got<Paged<Job>> {
        jobs::list_jobs(self, filter, page).await
    }
    async fn add_findings(&mut self, job: JobId, findings: &[Finding]) -> Got<()> {
        jobs::add_findings(self, job, findings).await
    }
    async fn count_findings(&mut self, job: JobId) -> Got<u64> {
        jobs::count_findings(self, job).await
    }
    async fn list_findings(&mut self, job: JobId, page: &Page) -> Got<Paged<Finding>> {
        jobs::list_findings(self, job, page).await
    }
    async fn forget_jobs(&mut self, before: Time) -> Got<u64> {
        jobs::forget_jobs(self, before).await
    }
    async fn all_failing(&mut self) -> Got<Vec<(ConnectionId, Direction, Failing)>> {
        pauses::all_failing(self).await
    }
    async fn failing(&mut self, connection: ConnectionId, way: Direction) -> Got<Option<Failing>> {
        pauses::failing(self, connection, way).await
    }
    async fn put_failing(&mut self, connection: ConnectionId, way: Direction, failing: &Failing) -> Got<()> {
        pauses::put_failing(self, connection, way, failing).await
    }
    async fn paused(&mut self, connection: ConnectionId) -> Got<Vec<(Direction, Failing, u64)>> {
        pauses::paused(self, connection).await
    }
    async fn hold_arrived(&mut self, connection: ConnectionId, twins: &[TwinId]) -> Got<()> {
        pauses::hold_arrived(self, connection, twins).await
    }
    async fn next_held(&mut self, connection: ConnectionId, way: Direction, after: Option<TwinId>) -> Got<Option<TwinId>> {
        pauses::next_held(self, connection, way, after).await
    }
    async fn release_held(&mut self, connection: ConnectionId, way: Direction, most: u32, now: Time) -> Got<u64> {
        pauses::release_held(self, connection, way, most, now).await
    }
    async fn any_user(&mut self) -> Got<bool> {
        people::any_user(self).await
    }
    async fn users(&mut self) -> Got<Vec<User>> {
        people::users(self).await
    }
    async fn user(&mut self, id: UserId) -> Got<Option<(User, Secret)>> {
        people::user(self, id).await
    }
    async fn user_by_name(&mut self, name: &str) -> Got<Option<(User, Secret)>> {
        people::user_by_name(self, name).await
    }
    async fn insert_user(&mut self, user: &User, password: &Secret) -> Got<()> {
        people::insert_user(self, user, password).await
    }
    async fn update_user(&mut self, user: &User) -> Got<()> {
        people::update_user(self, user).await
    }
    async fn put_password(&mut self, id: UserId, password: &Secret) -> Got<()> {
        people::put_password(self, id, password).await
    }
    async fn delete_user(&mut self, id: UserId) -> Got<bool> {
        people::delete_user(self, id).await
    }
    async fn insert_session(&mut self, session: &Session, most: u32) -> Got<()> {
        people::insert_session(self, session, most).await
    }
    async fn session(&mut self, id: SessionId) -> Got<Option<(Session, User)>> {
        people::session(self, id).await
    }
    async fn sessions(&mut self, user: UserId) -> Got<Vec<Session>> {
        people::sessions(self, user).await
    }
    async fn see_session(&mut self, id: SessionId, at: Time) -> Got<()> {
        people::see_session(self, id, at).await
    }
    async fn end_session(&mut self, user: UserId, id: SessionId) -> Got<bool> {
        people::end_session(self, user, id).await
    }
    async fn end_sessions(&mut self, user: UserId, but: Option<SessionId>) -> Got<u64> {
        people::end_sessions(self, user, but).await
    }
    async fn forget_sessions(&mut self, seen_before: Time, made_before: Time) -> Got<u64> {
        people::forget_sessions(self, seen_before, made_before).await
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
