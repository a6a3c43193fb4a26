-- What becomes of accounts: they are disabled and deleted, their passwords are
-- reset, their sessions end, and everybody who verifies learns of it.

ALTER TABLE tenants ADD COLUMN disabled_at BIGINT NOT NULL DEFAULT 0;
-- A deleted tenant's name is never given again: its telemetry is stored under it
-- until its time is up.
ALTER TABLE tenants ADD COLUMN deleted_at BIGINT NOT NULL DEFAULT 0;

-- A service account has no password: its hash is empty, which none matches.
ALTER TABLE users ADD COLUMN service BOOLEAN NOT NULL DEFAULT FALSE;
ALTER TABLE users ADD COLUMN disabled_at BIGINT NOT NULL DEFAULT 0;
ALTER TABLE users ADD COLUMN last_login_at BIGINT NOT NULL DEFAULT 0;
-- A password that somebody else chose is good for one thing: choosing another,
-- until it ends.
ALTER TABLE users ADD COLUMN one_time BOOLEAN NOT NULL DEFAULT FALSE;
ALTER TABLE users ADD COLUMN password_ends_at BIGINT NOT NULL DEFAULT 0;

-- The service account that a key is for, empty for none.
ALTER TABLE api_keys ADD COLUMN account TEXT NOT NULL DEFAULT '';
ALTER TABLE api_keys ADD COLUMN last_used_at BIGINT NOT NULL DEFAULT 0;
-- The key that took its place.
ALTER TABLE api_keys ADD COLUMN replaced_by TEXT NOT NULL DEFAULT '';

-- A session is what begins with a login: a family of refresh tokens, of which
-- one is good at a time.
CREATE TABLE sessions (
    id         TEXT   PRIMARY KEY,
    tenant     TEXT   NOT NULL REFERENCES tenants (name),
    user_name  TEXT   NOT NULL,
    created_at BIGINT NOT NULL,
    ends_at    BIGINT NOT NULL
);

CREATE INDEX sessions_of_user ON sessions (tenant, user_name, created_at);
CREATE INDEX sessions_by_end ON sessions (ends_at);

CREATE TABLE refresh_tokens (
    hash       BYTEA  PRIMARY KEY,
    session    TEXT   NOT NULL REFERENCES sessions (id),
    created_at BIGINT NOT NULL,
    used_at    BIGINT NOT NULL
);

CREATE INDEX refresh_tokens_of_session ON refresh_tokens (session, created_at);

-- Who is not to be believed any more. A number is higher than all that were
-- committed before it: whoever has seen it has missed none.
CREATE TABLE revocations (
    number  BIGINT PRIMARY KEY,
    kind    TEXT   NOT NULL,
    tenant  TEXT   NOT NULL,
    subject TEXT   NOT NULL
);

CREATE TABLE revocation_head (
    id     BIGINT PRIMARY KEY,
    number BIGINT NOT NULL
);

INSERT INTO revocation_head (id, number) VALUES (1, 0);

-- When a key begins to sign. It is published before, so that everybody knows it
-- by then.
ALTER TABLE signing_keys ADD COLUMN signs_at BIGINT NOT NULL DEFAULT 0;
