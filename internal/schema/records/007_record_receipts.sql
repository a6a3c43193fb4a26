-- What the doors have put on record of the topic records: per lane how many messages were
-- acknowledged and how many records are in them, per process and reason how many
-- were refused (in Items). Numbers only grow, so the highest is what counts,
-- in whatever order and however often receipts come.
CREATE TABLE IF NOT EXISTS record_receipts {{on_cluster}}
(
    Tenant LowCardinality(String),
    Day Date CODEC(ZSTD(1)),
    Account String CODEC(ZSTD(1)),
    Reason LowCardinality(String) CODEC(ZSTD(1)),
    Messages SimpleAggregateFunction(max, UInt64) CODEC(ZSTD(1)),
    Items SimpleAggregateFunction(max, UInt64) CODEC(ZSTD(1))
)
ENGINE = {{replicated}}AggregatingMergeTree
PARTITION BY toYYYYMM(Day)
ORDER BY (Tenant, Day, Account, Reason)
