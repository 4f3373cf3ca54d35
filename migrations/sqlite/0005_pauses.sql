-- Equal script errors in a row, by connection and direction, and the pause that they led to. `paused` says so without a
-- look into the document.
CREATE TABLE pauses (
    connection_id TEXT NOT NULL,
    direction TEXT NOT NULL,
    paused INTEGER NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (connection_id, direction)
);
