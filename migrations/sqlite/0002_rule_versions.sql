-- Rules that people write are kept as versions. The table `rules` is dropped in the same step: no released version could
-- write it, so there is nothing that going back would miss.

CREATE TABLE rule_versions (
    connection_id TEXT NOT NULL,
    version INTEGER NOT NULL,
    outgoing TEXT NOT NULL,
    incoming TEXT NOT NULL,
    at INTEGER NOT NULL,
    actor TEXT NOT NULL,
    note TEXT NOT NULL,
    PRIMARY KEY (connection_id, version)
);

-- `base`: the version that the draft began from.
CREATE TABLE rule_drafts (
    connection_id TEXT PRIMARY KEY NOT NULL,
    outgoing TEXT NOT NULL,
    incoming TEXT NOT NULL,
    base INTEGER NOT NULL,
    at INTEGER NOT NULL,
    actor TEXT NOT NULL
);

-- Version 0 is the built-in pair and is never stored.
INSERT INTO rule_versions (connection_id, version, outgoing, incoming, at, actor, note)
    SELECT connection_id, MAX(version, 1), outgoing, incoming, CAST(strftime('%s', 'now') AS INTEGER) * 1000,
        'migration', 'Kept from before there were versions'
    FROM rules;
DROP TABLE rules;
