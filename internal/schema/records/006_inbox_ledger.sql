-- What came in by the topic inbox: one row per message that its sender could be
-- told of, the last one written. A message that comes again, because it was not
-- acknowledged or was published again from the dead letters, has the same id.
-- Forwarded counts the messages that carry the good part on.
CREATE TABLE IF NOT EXISTS inbox_ledger {{on_cluster}}
(
    Tenant LowCardinality(String),
    MessageId String CODEC(ZSTD(1)),
    Signal LowCardinality(String) CODEC(ZSTD(1)),
    Accepted UInt32 CODEC(ZSTD(1)),
    Forwarded UInt32 CODEC(ZSTD(1)),
    Rejected Map(LowCardinality(String), UInt32) CODEC(ZSTD(1)),
    DeadLettered Map(LowCardinality(String), UInt32) CODEC(ZSTD(1)),
    ReceivedAt DateTime64(9, 'UTC') CODEC(Delta(8), ZSTD(1)),
    AdmittedAt DateTime64(9, 'UTC') DEFAULT now64(9) CODEC(Delta(8), ZSTD(1))
)
ENGINE = {{replicated}}ReplacingMergeTree(AdmittedAt)
PARTITION BY toYYYYMM(ReceivedAt)
ORDER BY (Tenant, MessageId)
