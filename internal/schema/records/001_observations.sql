-- Observations: one row per features record, values in arrays (ADR 006 has the
-- numbers behind every choice here). ingest-worker writes; drift reads.
--
-- A record is named by (Tenant, Profile, RecordId). Several rows may carry the
-- same name: a redelivery, a client's repeat, or two different records by
-- mistake. The row with the greatest ContentHash is the record, whatever came
-- first; the others do not exist for any reader. ContentHash is a hash of
-- everything the producer said, event time included and ReceivedAt not, so that
-- equal rows have equal hashes and collapse.
--
-- The sorting key has the minute before the record id, so that a window is one
-- contiguous read. Rows with one name in one minute are collapsed by the engine
-- (read FINAL). Rows with one name in different minutes are not: readers leave
-- out those whose name has a greater (ContentHash, Minute) in observation_ids,
-- which the view below keeps sorted by name.
--
-- Numbers has one element for each numeric feature of the profile, in its order,
-- and Categories one for each category feature. A state is 0 for a value,
-- 1 missing, 2 NaN, 3 +Inf, 4 -Inf; Categories know 0 and 1. The element of a
-- missing value is 0 or ''. A bool is 'true' or 'false'; an int feature that is
-- binned as a category is its decimal text.
--
-- ReceivedAt is when the door accepted the record. It is the same on every
-- redelivery, so a repeat falls into the same partition, and an absurd event
-- time makes none.
CREATE TABLE IF NOT EXISTS observations {{on_cluster}}
(
    Tenant LowCardinality(String),
    Profile UUID,
    Minute DateTime('UTC') MATERIALIZED toStartOfMinute(toDateTime(EventTime, 'UTC')) CODEC(Delta(4), ZSTD(1)),
    RecordId String CODEC(ZSTD(1)),
    EventTime DateTime64(9, 'UTC') CODEC(Delta(8), ZSTD(1)),
    TraceId FixedString(16) CODEC(ZSTD(1)),
    SpanId FixedString(8) CODEC(ZSTD(1)),
    Numbers Array(Float64) CODEC(ZSTD(1)),
    NumberStates Array(UInt8) CODEC(ZSTD(1)),
    Categories Array(LowCardinality(String)) CODEC(ZSTD(1)),
    CategoryStates Array(UInt8) CODEC(ZSTD(1)),
    ReceivedAt DateTime64(9, 'UTC') CODEC(Delta(8), ZSTD(1)),
    ContentHash UInt64 CODEC(NONE)
)
ENGINE = {{replicated}}ReplacingMergeTree(ContentHash)
PARTITION BY toYYYYMM(ReceivedAt)
ORDER BY (Tenant, Profile, Minute, RecordId);

-- The names of all records, to find one name in several minutes. It is read by
-- single names, hence the small granules.
CREATE TABLE IF NOT EXISTS observation_ids {{on_cluster}}
(
    Tenant LowCardinality(String),
    Profile UUID,
    RecordId String CODEC(ZSTD(1)),
    Minute DateTime('UTC') CODEC(ZSTD(1)),
    ContentHash UInt64 CODEC(NONE),
    ReceivedAt DateTime('UTC') CODEC(Delta(4), ZSTD(1))
)
ENGINE = {{replicated}}ReplacingMergeTree(ContentHash)
PARTITION BY toYYYYMM(ReceivedAt)
ORDER BY (Tenant, Profile, RecordId, Minute)
SETTINGS index_granularity = 1024;

-- Fills it in the same insert. An insert that fails half way is repeated whole,
-- because its message is not acknowledged, and both tables are idempotent.
CREATE MATERIALIZED VIEW IF NOT EXISTS observation_ids_fill {{on_cluster}} TO observation_ids AS
SELECT Tenant, Profile, RecordId, toStartOfMinute(toDateTime(EventTime, 'UTC')) AS Minute, ContentHash, toDateTime(ReceivedAt, 'UTC') AS ReceivedAt
FROM observations;
