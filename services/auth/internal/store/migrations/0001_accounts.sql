-- Tenants, users, API keys and the keys that sign tokens. Times are
-- microseconds since 1970, 0 for none.

CREATE TABLE tenants (
    name       TEXT   PRIMARY KEY,
    created_at BIGINT NOT NULL
);

CREATE TABLE users (
    tenant        TEXT    NOT NULL REFERENCES tenants (name),
    name          TEXT    NOT NULL,
    password_hash TEXT    NOT NULL,
    admin         BOOLEAN NOT NULL,
    created_at    BIGINT  NOT NULL,
    created_by    TEXT    NOT NULL,
    PRIMARY KEY (tenant, name)
);

CREATE TABLE api_keys (
    id          TEXT    PRIMARY KEY,
    tenant      TEXT    NOT NULL REFERENCES tenants (name),
    name        TEXT    NOT NULL,
    secret_hash BYTEA   NOT NULL,
    admin       BOOLEAN NOT NULL,
    created_at  BIGINT  NOT NULL,
    created_by  TEXT    NOT NULL,
    expires_at  BIGINT  NOT NULL,
    revoked_at  BIGINT  NOT NULL
);

CREATE INDEX api_keys_of_tenant ON api_keys (tenant, created_at);

CREATE TABLE signing_keys (
    id         TEXT   PRIMARY KEY,
    box        BYTEA  NOT NULL,
    created_at BIGINT NOT NULL
);
