//! What only SQLite's own handle can show: a disk that refuses, and the plans of the statements that must stay quick.

use super::*;
use crate::{
    clock::{SystemClock, Time},
    domain::{change::Source, ids::CorrelationId},
    store::{Job, Tx},
};
use sqlx::Row;
use uuid::Uuid;

async fn store(dir: &tempfile::TempDir) -> Sqlite {
    let shared = Shared::new(Arc::new(Sealer::new(&[[7; 32]])), Arc::new(SystemClock), Arc::new(Wakes::default()));
    Sqlite::open("test.db", dir.path(), Arc::new(shared)).await.expect("opens")
}

fn change(key: &str, size: usize) -> NewChange {
    NewChange {
        tracker: "support".to_owned(),
        entity_type: "Case".to_owned(),
        key: key.to_owned() + "x".repeat(size).as_str(),
        source: Source::Webhook,
        notice_id: None,
        connection: None,
        content: None,
        received_at: Time(1),
        due_at: Time(1),
        correlation: CorrelationId(Uuid::nil()),
    }
}

/// Swallows the first failure and goes on writing, as careless work might.
struct Careless(oneshot::Sender<Result<(), StoreError>>);

#[async_trait]
impl Job for Careless {
    async fn run(&mut self, tx: &mut dyn Tx) -> Result<(), StoreError> {
        let _ = tx.add_changes(&[change("big", 4_000_000)]).await;
        let _ = tx.add_changes(&[change("small", 0)]).await;
        Ok(())
    }

    fn finish(self: Box<Self>, result: Result<(), StoreError>) {
        self.0.send(result).expect("the test listens");
    }
}

/// Reads how many changes there are.
struct Count(oneshot::Sender<u64>, u64);

#[async_trait]
impl Job for Count {
    async fn run(&mut self, tx: &mut dyn Tx) -> Result<(), StoreError> {
        self.1 = tx.count_changes("support").await?;
        Ok(())
    }

    fn finish(self: Box<Self>, result: Result<(), StoreError>) {
        result.expect("reads");
        self.0.send(self.1).expect("the test listens");
    }
}

async fn count(store: &Sqlite) -> u64 {
    let (answer, receive) = oneshot::channel();
    store.read("count", Box::new(Count(answer, 0))).await;
    receive.await.expect("answered")
}

async fn refuses_then_heals(set: &'static str) {
    let dir = tempfile::tempdir().expect("a folder");
    let store = store(&dir).await;
    store.add_changes(vec![change("before", 0)]).await.expect("stored");
    store.ask(|answer| Command::Set(set, answer)).await.expect("set");
    let (answer, receive) = oneshot::channel();
    store.write("careless", Box::new(Careless(answer))).await;
    let result = receive.await.expect("answered");
    assert!(matches!(result, Err(StoreError::Unavailable(_))), "{result:?}");
    assert_eq!(count(&store).await, 1, "nothing of it is stored, not even what came after the failure");
    // The connection that could not write was given up; the next can.
    store.add_changes(vec![change("after", 0)]).await.expect("well again");
    store.probe().await.expect("well again");
    assert_eq!(count(&store).await, 2);
}

#[tokio::test]
async fn a_disk_that_turns_read_only_fails_the_group_and_the_writer_heals() {
    refuses_then_heals("PRAGMA query_only = ON").await;
}

#[tokio::test]
async fn a_full_disk_fails_the_group_and_the_writer_heals() {
    refuses_then_heals("PRAGMA max_page_count = 1").await;
}

#[tokio::test]
async fn a_lost_connection_is_opened_again() {
    let dir = tempfile::tempdir().expect("a folder");
    let store = store(&dir).await;
    // A transaction that somebody left open: BEGIN fails once.
    store.ask(|answer| Command::Set("BEGIN", answer)).await.expect("set");
    assert!(store.add_changes(vec![change("a", 0)]).await.is_err());
    store.add_changes(vec![change("a", 0)]).await.expect("well again");
}

#[tokio::test]
async fn a_newer_database_is_refused() {
    let dir = tempfile::tempdir().expect("a folder");
    let first = store(&dir).await;
    let sql = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
        VALUES (999, 'later', 1, x'00', 1)";
    first.ask(|answer| Command::Set(sql, answer)).await.expect("set");
    first.close().await;
    let shared = first.shared.clone();
    let again = Sqlite::open("test.db", dir.path(), shared).await.map(drop);
    assert!(matches!(&again, Err(StoreError::Broken(why)) if why.contains("newer version")), "{again:?}");
}

#[tokio::test]
async fn rules_from_before_there_were_versions_become_the_newest() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut old = sqlx::SqliteConnection::connect_with(&options(&dir.path().join("test.db"))).await.expect("opens");
    migrate(&mut old, &MIGRATIONS[..1]).await.expect("as it was");
    let sql = "INSERT INTO rules (connection_id, outgoing, incoming, version) VALUES ('a', 'out', 'in', 3), ('b', 'o', 'i', 0)";
    sqlx::query(sql).execute(&mut old).await.expect("kept");
    old.close().await.expect("closes");
    let store = store(&dir).await;
    let rows = sqlx::query("SELECT connection_id, version, outgoing, incoming, at > 1600000000000 FROM rule_versions ORDER BY 1")
        .fetch_all(&store.readers)
        .await
        .expect("there");
    let kept: Vec<(String, i64, String, String, bool)> =
        rows.iter().map(|row| (row.get(0), row.get(1), row.get(2), row.get(3), row.get(4))).collect();
    let row = |id: &str, version, outgoing: &str, incoming: &str| {
        (id.to_owned(), version, outgoing.to_owned(), incoming.to_owned(), true)
    };
    assert_eq!(kept, [row("a", 3, "out", "in"), row("b", 1, "o", "i")], "0 is the built-in pair's");
}

#[tokio::test]
async fn hot_statements_search_an_index() {
    let dir = tempfile::tempdir().expect("a folder");
    let store = store(&dir).await;
    let plans = [
        "SELECT body FROM changes WHERE tracker = $1
            AND (entity_type, key) IN (SELECT value ->> 0, value ->> 1 FROM json_each($2)) ORDER BY id",
        "SELECT entity_type, key, due_at, id FROM changes WHERE tracker = $1 AND due_at <= $2 ORDER BY due_at, id LIMIT 9",
        "DELETE FROM changes WHERE id IN (SELECT value FROM json_each($1))",
        "SELECT memory FROM twins WHERE tracker = $1 AND local_type = $2
            AND local_key IN (SELECT value FROM json_each($3))",
        "SELECT json FROM outbox WHERE connection_id = $1 AND n IS NULL ORDER BY id LIMIT $2",
        "UPDATE outbox SET n = given.n FROM (SELECT value ->> 0 AS id, value ->> 1 AS n FROM json_each($1)) AS given
            WHERE outbox.id = given.id",
        "SELECT outbox.json FROM json_each($2) AS given CROSS JOIN outbox WHERE connection_id = $1
            AND twin_id = given.value ->> 0 AND kind = 'sync' AND (+n IS NULL OR +n > given.value ->> 1) ORDER BY outbox.id",
        "DELETE FROM outbox WHERE kind IN ('stop', 'deleted') AND n IS NULL
            AND (connection_id, twin_id) IN (SELECT value ->> 0, value ->> 1 FROM json_each($1))",
        "SELECT json FROM inbox WHERE connection_id = $1 AND twin_id IN (SELECT value FROM json_each($2)) ORDER BY id",
        "SELECT memory FROM twins WHERE connection_id = $1 AND remote_type = $2
            AND remote_key IN (SELECT value FROM json_each($3)) ORDER BY created_at, id",
        "SELECT id, connection_id, twin_id FROM inbox WHERE tracker = $1 AND rests_until = 0
            AND connection_id IN (SELECT id FROM connections WHERE tracker = $1) ORDER BY id LIMIT $3",
        "SELECT COUNT(*), SUM(bytes) FROM inbox WHERE connection_id = $1",
        "SELECT local_key FROM twins WHERE connection_id = $1 AND remote_key = $2 AND local_key IS NOT NULL",
        "SELECT answer FROM journal WHERE connection_id = $1 AND twin_id = $2 AND direction = $3 ORDER BY number",
        "DELETE FROM journal WHERE (connection_id, twin_id, direction) IN
            (SELECT value ->> 0, value ->> 1, value ->> 2 FROM json_each($1))",
        "DELETE FROM lookups WHERE (connection_id, remote_key) IN (SELECT value ->> 0, value ->> 1 FROM json_each($1))",
        "DELETE FROM lookups WHERE at < $1",
        "SELECT outgoing FROM rule_versions WHERE connection_id = $1 ORDER BY version DESC LIMIT 1",
        "SELECT body FROM history WHERE twin_id = $1 AND (at, id) < ($2, $3) ORDER BY at DESC, id DESC LIMIT $4",
        "SELECT memory FROM twins WHERE (created_at, id) < ($1, $2) ORDER BY created_at DESC, id DESC LIMIT 9",
        "SELECT twins.id FROM changes CROSS JOIN twins ON twins.tracker = changes.tracker
            AND twins.local_type = changes.entity_type AND twins.local_key = changes.key
            WHERE changes.connection_id = $1 AND changes.due_at = $2 AND twins.connection_id = $1
            ORDER BY changes.id LIMIT 1",
        "SELECT COUNT(*) FROM changes WHERE connection_id = $1 AND due_at = $2",
        "UPDATE inbox SET rests_until = 0 WHERE connection_id = $1 AND twin_id IN (SELECT value FROM json_each($2))",
        "SELECT id, password FROM users WHERE name_key = $1",
        "SELECT made_at, name FROM sessions CROSS JOIN users ON users.id = sessions.user_id WHERE sessions.id = $1",
        "SELECT id FROM sessions WHERE user_id = $1 ORDER BY made_at DESC",
        "DELETE FROM sessions WHERE user_id = $1 AND id IS NOT $2",
        "UPDATE sessions SET seen_at = $2 WHERE id = $1 AND seen_at < $2",
        "SELECT at FROM history WHERE id > (SELECT history_id FROM summed) ORDER BY id LIMIT $1 + 0",
        "SELECT at, body, connection_id FROM figures WHERE step = $2 AND at >= $3
            AND connection_id IN (SELECT value FROM json_each($1))",
        "SELECT body FROM figures WHERE (connection_id, step, at) IN
            (SELECT value ->> 0, value ->> 1, value ->> 2 FROM json_each($1))",
        "DELETE FROM figures WHERE at < $1",
        "SELECT MIN(next_attempt_at) FROM errors WHERE scope = 'twin' AND next_attempt_at IS NOT NULL",
    ];
    for sql in plans {
        let explained = sqlx::AssertSqlSafe(format!("EXPLAIN QUERY PLAN {sql}"));
        let rows = sqlx::query(explained).fetch_all(&store.readers).await.expect("explained");
        let plan: Vec<String> = rows.iter().map(|row| row.get::<String, _>(3)).collect();
        let plan = plan.join("; ");
        let bare = |table: &str| plan.split("; ").any(|step| step == format!("SCAN {table}"));
        let tables = [
            "changes",
            "twins",
            "outbox",
            "inbox",
            "history",
            "errors",
            "rule_versions",
            "journal",
            "lookups",
            "users",
            "sessions",
            "figures",
        ];
        assert!(!tables.into_iter().any(bare), "{sql}\n{plan}");
        assert!(!plan.contains("B-TREE FOR ORDER BY") || sql.contains("json_each"), "{sql}\n{plan}");
        println!("{plan}");
    }
}
