-- What a rule did to the outside before its work ended. `answer` is NULL until it is known; `now` and `seed` are the time and
-- the chance that the run saw. The rows of a work are deleted by the transaction that ends it.
CREATE TABLE journal (
    connection_id TEXT NOT NULL,
    twin_id TEXT NOT NULL,
    direction TEXT NOT NULL,
    number INTEGER NOT NULL,
    version INTEGER NOT NULL,
    now INTEGER NOT NULL,
    seed INTEGER NOT NULL,
    method TEXT NOT NULL,
    path TEXT NOT NULL,
    body BLOB NOT NULL,
    at INTEGER NOT NULL,
    answer TEXT,
    PRIMARY KEY (connection_id, twin_id, direction, number)
);

-- Twins whose rule looked for the twin of a record that had none yet. `event` is what an incoming rule was run on.
CREATE TABLE lookups (
    connection_id TEXT NOT NULL,
    remote_key TEXT NOT NULL,
    twin_id TEXT NOT NULL,
    direction TEXT NOT NULL,
    epoch INTEGER NOT NULL,
    n INTEGER NOT NULL,
    event TEXT,
    PRIMARY KEY (connection_id, remote_key, twin_id, direction)
);

-- The same columns in another order: a rule knows the key and not always the type.
DROP INDEX twins_remote;
CREATE INDEX twins_remote ON twins (connection_id, remote_key, remote_type);
