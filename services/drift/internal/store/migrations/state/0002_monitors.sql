-- Alerts by monitor: one lists all features that moved. scores is a JSON list,
-- the worst first, moved how many there are, ever a JSON list of the features
-- that people were told of. reason says why an alert was closed, where that is
-- not that nothing moves any more. Alerts of single features that are open are
-- closed; what still moves is raised again, together.
DROP INDEX alerts_open;
ALTER TABLE alerts ADD COLUMN monitor TEXT NOT NULL DEFAULT 'psi';
ALTER TABLE alerts ADD COLUMN reason TEXT NOT NULL DEFAULT '';
ALTER TABLE alerts ADD COLUMN moved BIGINT NOT NULL DEFAULT 1;
ALTER TABLE alerts ADD COLUMN ever TEXT NOT NULL DEFAULT '[]';
ALTER TABLE alerts RENAME COLUMN score TO scores;
ALTER TABLE alerts DROP COLUMN feature;
UPDATE alerts SET scores = '[' || scores || ']';
UPDATE alerts SET reason = 'alerts list all features of a monitor now',
    resolved = CASE WHEN repeated > raised THEN repeated ELSE raised END
WHERE resolved = 0;
CREATE UNIQUE INDEX alerts_open ON alerts (profile, monitor, kind) WHERE resolved = 0;

-- What evaluations came to, by monitor: slot is that of the latest one, prior and
-- latest are JSON, what is known of each feature before and with it. An
-- evaluation of an earlier slot, or the same again, changes no alert. kind is what
-- the slots are of, 'schedule' or 'close' of windows: their ranges differ, so each
-- has standings and alerts of its own.
DROP TABLE verdicts;
CREATE TABLE standings (
    profile TEXT NOT NULL,
    monitor TEXT NOT NULL,
    kind TEXT NOT NULL,
    slot BIGINT NOT NULL,
    prior TEXT NOT NULL,
    latest TEXT NOT NULL,
    PRIMARY KEY (profile, monitor, kind)
);
