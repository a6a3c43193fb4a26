-- What became of every message of the topic spans; one row per message id.
CREATE TABLE IF NOT EXISTS span_ledger {{on_cluster}}
(
    Tenant LowCardinality(String),
    ReceivedAt DateTime64(9) CODEC(Delta(8), ZSTD(1)),
    MessageId String CODEC(ZSTD(1)),
    Instance LowCardinality(String) CODEC(ZSTD(1)),
    Seq UInt64 CODEC(Delta(8), ZSTD(1)),
    Void Array(UInt64) CODEC(ZSTD(1)),
    Accepted UInt32 CODEC(ZSTD(1)),
    Stored UInt32 CODEC(ZSTD(1)),
    Rejected Map(LowCardinality(String), UInt32) CODEC(ZSTD(1)),
    DeadLettered Map(LowCardinality(String), UInt32) CODEC(ZSTD(1)),
    -- The last word on a message is what counts: one that was parked may be
    -- stored later.
    SettledAt DateTime64(9) CODEC(Delta(8), ZSTD(1))
)
ENGINE = {{replicated}}ReplacingMergeTree(SettledAt)
PARTITION BY toDate(ReceivedAt)
ORDER BY (Tenant, MessageId)
SETTINGS index_granularity = 8192, ttl_only_drop_parts = 1
