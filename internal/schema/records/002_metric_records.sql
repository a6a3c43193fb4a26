-- One row per metrics record. A record is one row, not one per value, so that
-- of two different records with one id a whole one wins: the one with the
-- higher hash, whatever the order. The view metrics shows one row per value.
-- The partition is the month the door accepted the record, so an absurd event
-- time makes no partition.
CREATE TABLE IF NOT EXISTS metric_records {{on_cluster}}
(
    Tenant LowCardinality(String),
    Profile UUID,
    RecordId String CODEC(ZSTD(1)),
    EventTime DateTime64(9, 'UTC') CODEC(Delta(8), ZSTD(1)),
    TraceId FixedString(16) CODEC(ZSTD(1)),
    SpanId FixedString(8) CODEC(ZSTD(1)),
    Names Array(LowCardinality(String)) CODEC(ZSTD(1)),
    Values Array(Float64) CODEC(ZSTD(1)),
    ReceivedAt DateTime64(9, 'UTC') CODEC(Delta(8), ZSTD(1)),
    ContentHash UInt64 CODEC(NONE)
)
ENGINE = {{replicated}}ReplacingMergeTree(ContentHash)
PARTITION BY toYYYYMM(ReceivedAt)
ORDER BY (Tenant, Profile, RecordId)
