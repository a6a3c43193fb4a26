-- Which contexts happened in a minute: the table contexts is sorted by record id alone.
CREATE TABLE IF NOT EXISTS context_minutes {{on_cluster}}
(
    Tenant LowCardinality(String),
    Profile UUID,
    Minute DateTime('UTC') CODEC(ZSTD(1)),
    RecordId String CODEC(ZSTD(1)),
    ReceivedAt DateTime('UTC') CODEC(Delta(4), ZSTD(1))
)
ENGINE = {{replicated}}ReplacingMergeTree
PARTITION BY toYYYYMM(ReceivedAt)
ORDER BY (Tenant, Profile, Minute, RecordId)
SETTINGS index_granularity = 1024;
CREATE MATERIALIZED VIEW IF NOT EXISTS context_minutes_fill {{on_cluster}} TO context_minutes AS
SELECT Tenant, Profile, toStartOfMinute(toDateTime(EventTime, 'UTC')) AS Minute, RecordId, toDateTime(ReceivedAt, 'UTC') AS ReceivedAt
FROM contexts;
