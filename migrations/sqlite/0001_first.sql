-- Times are milliseconds since 1970 (UTC), ids hyphenated text, documents JSON text, so that one SQL serves more than
-- one database. Tables that belong to a connection lead their key with its id, those of intake with the tracker's.

-- Sealed to table, row and column.
CREATE TABLE secrets (
    name TEXT PRIMARY KEY NOT NULL,
    value BLOB NOT NULL
);

CREATE TABLE trackers (
    tracker TEXT PRIMARY KEY NOT NULL,
    state TEXT NOT NULL
);

CREATE TABLE connections (
    id TEXT PRIMARY KEY NOT NULL,
    name TEXT NOT NULL UNIQUE,
    tracker TEXT NOT NULL,
    status TEXT NOT NULL,
    body TEXT NOT NULL
);

CREATE TABLE links (
    connection_id TEXT PRIMARY KEY NOT NULL,
    epoch INTEGER NOT NULL DEFAULT 0,
    out_n INTEGER NOT NULL DEFAULT 0,
    out_id TEXT,
    acked INTEGER NOT NULL DEFAULT 0,
    in_n INTEGER NOT NULL DEFAULT 0,
    in_id TEXT,
    epoch_since INTEGER,
    resyncing INTEGER NOT NULL DEFAULT 0,
    resync_due INTEGER NOT NULL DEFAULT 0,
    clock_offset_ms INTEGER NOT NULL DEFAULT 0,
    set_back_here INTEGER NOT NULL DEFAULT 0,
    last_own_epoch INTEGER,
    epoch_waits INTEGER NOT NULL DEFAULT 0
);

CREATE TABLE rules (
    connection_id TEXT PRIMARY KEY NOT NULL,
    outgoing TEXT NOT NULL,
    incoming TEXT NOT NULL,
    version INTEGER NOT NULL
);

CREATE TABLE invitations (
    connection_id TEXT NOT NULL,
    id TEXT NOT NULL UNIQUE,
    secret BLOB NOT NULL,
    code BLOB NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    rekey INTEGER NOT NULL,
    state TEXT NOT NULL,
    PRIMARY KEY (connection_id, id)
);

CREATE TABLE triggers (
    connection_id TEXT NOT NULL,
    id TEXT NOT NULL,
    entity_type TEXT NOT NULL,
    filter TEXT NOT NULL,
    enabled INTEGER NOT NULL,
    notes TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (connection_id, id)
);

-- Row numbers are the order of arrival and are never given twice: the history may name one.
CREATE TABLE changes (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    tracker TEXT NOT NULL,
    entity_type TEXT NOT NULL,
    key TEXT NOT NULL,
    due_at INTEGER NOT NULL,
    connection_id TEXT,
    body TEXT NOT NULL
);
CREATE INDEX changes_of_record ON changes (tracker, entity_type, key);
CREATE INDEX changes_due ON changes (tracker, due_at, id, entity_type, key);
CREATE INDEX changes_of_connection ON changes (connection_id) WHERE connection_id IS NOT NULL;

-- Outlives the change, so that a notice that comes again days later is still known. Rows are in order of time: the
-- oldest are found by row number.
CREATE TABLE notices (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    tracker TEXT NOT NULL,
    notice_id TEXT NOT NULL,
    seen_at INTEGER NOT NULL,
    UNIQUE (tracker, notice_id)
);

-- Columns are what is looked for; the rest is in `memory`. `creating_type`: type of a create under way.
CREATE TABLE twins (
    connection_id TEXT NOT NULL,
    id TEXT NOT NULL,
    tracker TEXT NOT NULL,
    status TEXT NOT NULL,
    started_by TEXT NOT NULL,
    local_type TEXT,
    local_key TEXT,
    local_url TEXT,
    remote_type TEXT,
    remote_key TEXT,
    remote_url TEXT,
    peer_seen INTEGER NOT NULL,
    remote_outcome TEXT,
    created_at INTEGER NOT NULL,
    last_synced_at INTEGER,
    creating_type TEXT,
    memory TEXT NOT NULL,
    PRIMARY KEY (connection_id, id)
);
CREATE INDEX twins_by_id ON twins (id);
CREATE INDEX twins_local ON twins (tracker, local_type, local_key);
CREATE INDEX twins_remote ON twins (connection_id, remote_type, remote_key);
CREATE INDEX twins_in_order ON twins (created_at, id);
CREATE INDEX twins_creating ON twins (tracker, creating_type) WHERE creating_type IS NOT NULL;
CREATE INDEX twins_parked ON twins (connection_id) WHERE status = 'parked';

-- `n` is NULL while an event waits and merges: `json` is its body then, and the whole event, byte for byte, after.
-- `twin_id` is empty for events of no twin.
CREATE TABLE outbox (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    connection_id TEXT NOT NULL,
    twin_id TEXT NOT NULL,
    kind TEXT NOT NULL,
    epoch INTEGER,
    n INTEGER,
    event_id TEXT NOT NULL,
    seen INTEGER NOT NULL,
    at INTEGER NOT NULL,
    correlation TEXT,
    json TEXT NOT NULL,
    acked_at INTEGER
);
CREATE UNIQUE INDEX outbox_drafts ON outbox (connection_id, twin_id, kind) WHERE n IS NULL;
CREATE INDEX outbox_drafts_in_order ON outbox (connection_id, id) WHERE n IS NULL;
CREATE UNIQUE INDEX outbox_numbered ON outbox (connection_id, epoch, n) WHERE n IS NOT NULL;
CREATE INDEX outbox_of_twin ON outbox (connection_id, twin_id);
CREATE INDEX outbox_acked ON outbox (acked_at) WHERE acked_at IS NOT NULL;

-- `rests_until`: 0 free, else not before this moment. `twin_id` is empty where none could be read.
CREATE TABLE inbox (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    connection_id TEXT NOT NULL,
    twin_id TEXT NOT NULL,
    tracker TEXT NOT NULL,
    epoch INTEGER NOT NULL,
    n INTEGER NOT NULL,
    event_id TEXT NOT NULL,
    bytes INTEGER NOT NULL,
    received_at INTEGER NOT NULL,
    rests_until INTEGER NOT NULL,
    json TEXT NOT NULL
);
CREATE INDEX inbox_of_twin ON inbox (connection_id, twin_id, id, bytes);
CREATE INDEX inbox_free ON inbox (tracker, id, connection_id, twin_id) WHERE rests_until = 0;
CREATE INDEX inbox_resting ON inbox (tracker, rests_until, id, connection_id, twin_id) WHERE rests_until > 0;

-- Twins whose events rest, those still to come too.
CREATE TABLE resting (
    connection_id TEXT NOT NULL,
    twin_id TEXT NOT NULL,
    until INTEGER NOT NULL,
    PRIMARY KEY (connection_id, twin_id)
);

CREATE TABLE history (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    at INTEGER NOT NULL,
    tracker TEXT NOT NULL,
    entity_type TEXT NOT NULL,
    key TEXT NOT NULL,
    connection_id TEXT,
    twin_id TEXT,
    outcome TEXT NOT NULL,
    took_ms INTEGER NOT NULL,
    body TEXT NOT NULL
);
CREATE INDEX history_of_twin ON history (twin_id, at, id) WHERE twin_id IS NOT NULL;
CREATE INDEX history_of_record ON history (tracker, entity_type, key, at, id);
CREATE INDEX history_latency ON history (connection_id, at, took_ms) WHERE outcome IN ('sent', 'applied');

-- Open ones only.
CREATE TABLE errors (
    id TEXT PRIMARY KEY NOT NULL,
    scope TEXT NOT NULL,
    subject TEXT NOT NULL,
    code TEXT NOT NULL,
    connection_id TEXT,
    twin_id TEXT,
    tracker TEXT,
    occurred_at INTEGER NOT NULL,
    next_attempt_at INTEGER,
    body TEXT NOT NULL
);
CREATE INDEX errors_of_twin ON errors (twin_id) WHERE twin_id IS NOT NULL;
CREATE INDEX errors_of_subject ON errors (subject, code);
CREATE INDEX errors_of_connection ON errors (connection_id) WHERE connection_id IS NOT NULL;
CREATE INDEX errors_in_order ON errors (occurred_at, id);
CREATE INDEX errors_due ON errors (next_attempt_at) WHERE scope = 'twin' AND next_attempt_at IS NOT NULL;

CREATE TABLE tokens (
    id TEXT PRIMARY KEY NOT NULL,
    name TEXT NOT NULL,
    scopes TEXT NOT NULL,
    connections TEXT,
    expires_at INTEGER,
    created_at INTEGER NOT NULL,
    hash BLOB NOT NULL UNIQUE
);

CREATE TABLE answers (
    caller TEXT NOT NULL,
    key TEXT NOT NULL,
    request BLOB NOT NULL,
    status INTEGER NOT NULL,
    body TEXT,
    at INTEGER NOT NULL,
    PRIMARY KEY (caller, key)
);
CREATE INDEX answers_in_order ON answers (at);

CREATE TABLE audit (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    at INTEGER NOT NULL,
    token_id TEXT,
    actor TEXT NOT NULL,
    action TEXT NOT NULL,
    subject TEXT NOT NULL,
    detail TEXT NOT NULL
);

CREATE INDEX audit_in_order ON audit (at, id);

-- Written and emptied by the probe.
CREATE TABLE probe (
    id INTEGER PRIMARY KEY AUTOINCREMENT
);
