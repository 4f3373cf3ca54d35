-- What happened, summed up by quarter of an hour and by hour (`step`, in milliseconds), of a connection and of the whole node
-- (empty `connection_id`): nobody scans the history to draw a curve. `body` holds how changes ended, how long they took and
-- what was parked.
CREATE TABLE figures (
    connection_id TEXT NOT NULL,
    step INTEGER NOT NULL,
    at INTEGER NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (connection_id, step, at)
);
CREATE INDEX figures_at ON figures (at);

-- A tracker's daily allowance as it was last heard in a quarter of an hour.
CREATE TABLE allowances (
    tracker TEXT NOT NULL,
    at INTEGER NOT NULL,
    used INTEGER NOT NULL,
    most INTEGER NOT NULL,
    PRIMARY KEY (tracker, at)
);

-- The history up to this row is in the figures. What an older version wrote is not summed up afterwards.
CREATE TABLE summed (
    history_id INTEGER NOT NULL
);
INSERT INTO summed (history_id) SELECT COALESCE(MAX(id), 0) FROM history;
