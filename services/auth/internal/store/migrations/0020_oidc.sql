-- Users that OpenID providers vouch for. One person is one user of a tenant, whatever
-- it is called.

ALTER TABLE users ADD COLUMN issuer  TEXT NOT NULL DEFAULT '';
ALTER TABLE users ADD COLUMN subject TEXT NOT NULL DEFAULT '';

CREATE UNIQUE INDEX users_of_providers ON users (issuer, subject, tenant) WHERE issuer <> '';

-- Logins that were finished, until it would be too late for them anyway: none is
-- finished twice.
CREATE TABLE finished_logins (
    id      TEXT   PRIMARY KEY,
    ends_at BIGINT NOT NULL
);
