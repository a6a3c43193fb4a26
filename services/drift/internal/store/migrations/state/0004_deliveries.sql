-- told counts the events of an alert, which are numbered by it. muted says that a
-- silence kept one from being told: when no silence is left, the alert is.
ALTER TABLE alerts ADD COLUMN told BIGINT NOT NULL DEFAULT 0;
ALTER TABLE alerts ADD COLUMN muted BOOLEAN NOT NULL DEFAULT FALSE;
CREATE INDEX alerts_muted ON alerts (tenant) WHERE muted AND resolved = 0;

-- Events that came by the topic alerts, for as long as something is to be told or
-- looked up of them. body is JSON. An event of an alert is sent when all with a
-- lower number are here.
CREATE TABLE news (
    event TEXT NOT NULL PRIMARY KEY,
    alert TEXT NOT NULL,
    sequence BIGINT NOT NULL,
    arrived BIGINT NOT NULL,
    body TEXT NOT NULL
);
CREATE INDEX news_alert ON news (alert, sequence);
CREATE INDEX news_arrived ON news (arrived);

-- One event on its way to one route: state is 'waiting', or for good 'sent',
-- 'failed', 'silenced' or 'overtaken'. due is when it is tried next, owner and
-- leased_until who is at it. id is a UUIDv7.
CREATE TABLE deliveries (
    id TEXT NOT NULL PRIMARY KEY,
    tenant TEXT NOT NULL,
    event TEXT NOT NULL,
    alert TEXT NOT NULL,
    sequence BIGINT NOT NULL,
    change TEXT NOT NULL,
    route TEXT NOT NULL,
    state TEXT NOT NULL,
    created BIGINT NOT NULL,
    due BIGINT NOT NULL,
    settled BIGINT NOT NULL,
    attempts BIGINT NOT NULL,
    error TEXT NOT NULL,
    owner TEXT NOT NULL,
    leased_until BIGINT NOT NULL,
    UNIQUE (event, route)
);
CREATE INDEX deliveries_due ON deliveries (route, due) WHERE state = 'waiting';
CREATE INDEX deliveries_alert ON deliveries (alert, route, sequence);
CREATE INDEX deliveries_listed ON deliveries (tenant, id);
CREATE INDEX deliveries_settled ON deliveries (settled);

-- What was delivered before: an event of then that comes again is not told again.
INSERT INTO deliveries (id, tenant, event, alert, sequence, change, route, state, created, due, settled, attempts, error, owner, leased_until)
SELECT event || '/' || route, '', event, '', 0, '', route, 'sent', at, at, at, 1, '', '', 0 FROM delivered;
DROP TABLE delivered;

-- Silences: globs choose alerts, '' is any. expired is when somebody ended it
-- before its time.
CREATE TABLE silences (
    id TEXT NOT NULL PRIMARY KEY,
    tenant TEXT NOT NULL,
    match TEXT NOT NULL,
    starts BIGINT NOT NULL,
    ends BIGINT NOT NULL,
    reason TEXT NOT NULL,
    made_by TEXT NOT NULL,
    created BIGINT NOT NULL,
    expired BIGINT NOT NULL,
    expired_by TEXT NOT NULL
);
CREATE INDEX silences_listed ON silences (tenant, id);
CREATE INDEX silences_active ON silences (tenant, ends) WHERE expired = 0;
