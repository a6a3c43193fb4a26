-- The account of who did what: a chain (package internal/audit). Rows are added and
-- never changed.
CREATE TABLE audit (
    seq     BIGINT PRIMARY KEY,
    id      TEXT   NOT NULL UNIQUE,
    at      BIGINT NOT NULL,
    tenant  TEXT   NOT NULL,
    actor   TEXT   NOT NULL,
    kind    TEXT   NOT NULL,
    home    TEXT   NOT NULL,
    source  TEXT   NOT NULL,
    action  TEXT   NOT NULL,
    object  TEXT   NOT NULL,
    outcome TEXT   NOT NULL,
    reason  TEXT   NOT NULL,
    count   BIGINT NOT NULL,
    trace   TEXT   NOT NULL,
    hash    BYTEA  NOT NULL
);

CREATE INDEX audit_of_tenant ON audit (tenant, seq);

CREATE TABLE audit_checkpoints (
    seq        BIGINT PRIMARY KEY,
    at         BIGINT NOT NULL,
    hash       BYTEA  NOT NULL,
    public_key BYTEA  NOT NULL,
    signature  BYTEA  NOT NULL
);
