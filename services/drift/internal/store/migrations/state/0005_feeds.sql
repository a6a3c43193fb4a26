-- When rows of a profile were last stored, to tell when they stop. gaps is JSON: for
-- each of the last days the longest time between rows, in seconds. watched is from
-- when their absence counts.
CREATE TABLE feeds (
    profile TEXT NOT NULL PRIMARY KEY,
    tenant TEXT NOT NULL,
    first BIGINT NOT NULL,
    last BIGINT NOT NULL,
    watched BIGINT NOT NULL,
    gaps TEXT NOT NULL
);
CREATE INDEX feeds_last ON feeds (last);

-- One row: since when there has been somebody to notice, and when that was last so.
CREATE TABLE watch (
    id BIGINT NOT NULL PRIMARY KEY,
    since BIGINT NOT NULL,
    seen BIGINT NOT NULL
);

-- What an alert has found, where that is not that features moved.
ALTER TABLE alerts ADD COLUMN finding TEXT NOT NULL DEFAULT '';
