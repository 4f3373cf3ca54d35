-- People who sign in. `name_key` is the name without regard to case, made by the program: SQLite knows cases of ASCII only.
-- `password` is an Argon2id hash with its salt and cost, as text (PHC).
CREATE TABLE users (
    id TEXT PRIMARY KEY NOT NULL,
    name TEXT NOT NULL,
    name_key TEXT NOT NULL UNIQUE,
    role TEXT NOT NULL,
    password TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    last_sign_in_at INTEGER
);

-- Who is signed in, by browser. `id` is SHA-256 of the cookie's value, which nobody keeps.
CREATE TABLE sessions (
    id BLOB PRIMARY KEY NOT NULL,
    user_id TEXT NOT NULL,
    made_at INTEGER NOT NULL,
    seen_at INTEGER NOT NULL,
    address TEXT NOT NULL,
    browser TEXT NOT NULL
);
CREATE INDEX sessions_of_user ON sessions (user_id, made_at);

-- The person who did it, beside the token.
ALTER TABLE audit ADD COLUMN user_id TEXT;
