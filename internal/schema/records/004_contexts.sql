-- One row per context record: JSON text, kept for a later evaluation. Of two
-- different contexts with one id the one with the higher hash wins.
CREATE TABLE IF NOT EXISTS contexts {{on_cluster}}
(
    Tenant LowCardinality(String),
    Profile UUID,
    RecordId String CODEC(ZSTD(1)),
    EventTime DateTime64(9, 'UTC') CODEC(Delta(8), ZSTD(1)),
    TraceId FixedString(16) CODEC(ZSTD(1)),
    SpanId FixedString(8) CODEC(ZSTD(1)),
    Json String CODEC(ZSTD(3)),
    ReceivedAt DateTime64(9, 'UTC') CODEC(Delta(8), ZSTD(1)),
    ContentHash UInt64 CODEC(NONE)
)
ENGINE = {{replicated}}ReplacingMergeTree(ContentHash)
PARTITION BY toYYYYMM(ReceivedAt)
ORDER BY (Tenant, Profile, RecordId)
