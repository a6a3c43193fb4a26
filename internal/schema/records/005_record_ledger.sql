-- What became of every message of the topic records; one row per message id,
-- the last one written. Written counts records that went into a table, repeats
-- included.
CREATE TABLE IF NOT EXISTS record_ledger {{on_cluster}}
(
    Tenant LowCardinality(String),
    MessageId String CODEC(ZSTD(1)),
    Instance LowCardinality(String) CODEC(ZSTD(1)),
    Seq UInt64 CODEC(Delta(8), ZSTD(1)),
    Void Array(UInt64) CODEC(ZSTD(1)),
    Accepted UInt32 CODEC(ZSTD(1)),
    Written UInt32 CODEC(ZSTD(1)),
    Rejected Map(LowCardinality(String), UInt32) CODEC(ZSTD(1)),
    DeadLettered Map(LowCardinality(String), UInt32) CODEC(ZSTD(1)),
    ReceivedAt DateTime64(9, 'UTC') CODEC(Delta(8), ZSTD(1)),
    SettledAt DateTime64(9, 'UTC') DEFAULT now64(9) CODEC(Delta(8), ZSTD(1))
)
ENGINE = {{replicated}}ReplacingMergeTree(SettledAt)
PARTITION BY toYYYYMM(ReceivedAt)
ORDER BY (Tenant, MessageId)
