-- What evaluations came to, slot by slot, for as long as late data may change it:
-- body is JSON, for each monitor the verdicts and what was known of its features
-- before. kind is as in standings, which has the outcome of the latest.
CREATE TABLE verdicts (
    profile TEXT NOT NULL,
    kind TEXT NOT NULL,
    slot BIGINT NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (profile, kind, slot)
);
CREATE INDEX verdicts_slot ON verdicts (slot);

-- Minutes whose cells changed when a slot had judged them. touched counts how
-- often, so that what comes during the work is not forgotten.
CREATE TABLE late (
    tenant TEXT NOT NULL,
    profile TEXT NOT NULL,
    minute BIGINT NOT NULL,
    touched BIGINT NOT NULL,
    due BIGINT NOT NULL,
    owner TEXT NOT NULL,
    leased_until BIGINT NOT NULL,
    PRIMARY KEY (profile, minute)
);
CREATE INDEX late_due ON late (due);
ALTER TABLE alerts ADD COLUMN late BOOLEAN NOT NULL DEFAULT FALSE;

-- A window is remembered for a while after it was recomputed: done is what touched
-- was then, so it waits while touched is more. again is when it may be recomputed
-- next at the latest, 0 before the first time, and wait is how long that was from
-- the time before, which doubles.
ALTER TABLE windows ADD COLUMN done BIGINT NOT NULL DEFAULT 0;
ALTER TABLE windows ADD COLUMN wait BIGINT NOT NULL DEFAULT 0;
ALTER TABLE windows ADD COLUMN again BIGINT NOT NULL DEFAULT 0;

-- Whose turn it is: who is a tenant or a profile, and the one with the least turn
-- comes next. work is what is shared out.
CREATE TABLE turns (
    work TEXT NOT NULL,
    who TEXT NOT NULL,
    turn BIGINT NOT NULL,
    PRIMARY KEY (work, who)
);
