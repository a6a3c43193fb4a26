-- Profiles never change, but for being switched on and off. body is the JSON
-- form of sdk/profile. request is '' or the id that makes CreateProfile
-- idempotent.
CREATE TABLE profiles (
    uid TEXT NOT NULL PRIMARY KEY,
    tenant TEXT NOT NULL,
    space TEXT NOT NULL,
    name TEXT NOT NULL,
    major BIGINT NOT NULL,
    minor BIGINT NOT NULL,
    patch BIGINT NOT NULL,
    active BOOLEAN NOT NULL,
    created BIGINT NOT NULL,
    request TEXT NOT NULL,
    body TEXT NOT NULL,
    UNIQUE (tenant, space, name, major, minor, patch)
);
CREATE UNIQUE INDEX profiles_request ON profiles (tenant, request) WHERE request <> '';

-- One row per profile: the next slot of its schedule. A worker claims it by a
-- lease; only the holder moves it on. previous is where the next evaluation's
-- range begins. attempts counts failures of this slot.
CREATE TABLE schedules (
    profile TEXT NOT NULL PRIMARY KEY,
    tenant TEXT NOT NULL,
    active BOOLEAN NOT NULL,
    previous BIGINT NOT NULL,
    next BIGINT NOT NULL,
    attempts BIGINT NOT NULL,
    not_before BIGINT NOT NULL,
    owner TEXT NOT NULL,
    leased_until BIGINT NOT NULL
);
CREATE INDEX schedules_due ON schedules (active, next);

-- Windows that have new rows and were not recomputed since. touched counts the
-- touches, so that one that comes during the work is not forgotten.
CREATE TABLE windows (
    tenant TEXT NOT NULL,
    profile TEXT NOT NULL,
    minute BIGINT NOT NULL,
    touched BIGINT NOT NULL,
    due BIGINT NOT NULL,
    leased_until BIGINT NOT NULL,
    PRIMARY KEY (tenant, profile, minute)
);
CREATE INDEX windows_due ON windows (due);

-- The last verdict on each feature, in order of slots: an evaluation of an
-- earlier slot, or the same verdict on the same slot, changes no alert. kind is
-- what the slots are of, 'schedule' or 'close' of windows: their ranges differ,
-- so each has verdicts and alerts of its own.
CREATE TABLE verdicts (
    profile TEXT NOT NULL,
    feature TEXT NOT NULL,
    detector TEXT NOT NULL,
    kind TEXT NOT NULL,
    slot BIGINT NOT NULL,
    verdict TEXT NOT NULL,
    PRIMARY KEY (profile, feature, detector, kind)
);

-- Alerts. At most one of a feature, detector and kind
-- is open. score is JSON.
CREATE TABLE alerts (
    id TEXT NOT NULL PRIMARY KEY,
    tenant TEXT NOT NULL,
    profile TEXT NOT NULL,
    feature TEXT NOT NULL,
    detector TEXT NOT NULL,
    kind TEXT NOT NULL,
    raised BIGINT NOT NULL,
    repeated BIGINT NOT NULL,
    resolved BIGINT NOT NULL,
    acknowledged BIGINT NOT NULL,
    acknowledged_by TEXT NOT NULL,
    notified BIGINT NOT NULL,
    occurrences BIGINT NOT NULL,
    range_start BIGINT NOT NULL,
    range_end BIGINT NOT NULL,
    score TEXT NOT NULL
);
CREATE UNIQUE INDEX alerts_open ON alerts (profile, feature, detector, kind) WHERE resolved = 0;
CREATE INDEX alerts_listed ON alerts (tenant, raised, id);

-- Alert events that must be published; written with the change they tell of.
CREATE TABLE outbox (
    id TEXT NOT NULL PRIMARY KEY,
    tenant TEXT NOT NULL,
    created BIGINT NOT NULL,
    event TEXT NOT NULL
);
CREATE INDEX outbox_created ON outbox (created, id);

-- Events that went to a route, so that a redelivered one does not go again.
CREATE TABLE delivered (
    event TEXT NOT NULL,
    route TEXT NOT NULL,
    at BIGINT NOT NULL,
    PRIMARY KEY (event, route)
);
CREATE INDEX delivered_at ON delivered (at);
