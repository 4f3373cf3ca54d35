-- When a record was last looked for in vain: one that never comes is not waited for without end. Those that wait already
-- count from now on.
ALTER TABLE lookups ADD COLUMN at INTEGER NOT NULL DEFAULT 0;
UPDATE lookups SET at = unixepoch() * 1000;
CREATE INDEX lookups_at ON lookups (at);
