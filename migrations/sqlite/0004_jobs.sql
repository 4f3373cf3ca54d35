-- Work over many records. `body` holds the cursor: each step moves it in the transaction that does the step's part.
CREATE TABLE jobs (
    id TEXT PRIMARY KEY NOT NULL,
    connection_id TEXT NOT NULL,
    status TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    body TEXT NOT NULL
);
CREATE INDEX jobs_of_connection ON jobs (connection_id, created_at);
CREATE INDEX jobs_newest ON jobs (created_at, id);
CREATE INDEX jobs_open ON jobs (created_at) WHERE status IN ('queued', 'running');

-- Lines of a job's report, in order.
CREATE TABLE findings (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    job_id TEXT NOT NULL,
    body TEXT NOT NULL
);
CREATE INDEX findings_of_job ON findings (job_id, id);
