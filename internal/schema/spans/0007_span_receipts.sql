-- What the doors have put on record of the topic spans: per lane how many messages were
-- acknowledged and how many spans are in them, per process and reason how many
-- were refused (in Items). Numbers only grow, so the highest is what counts,
-- in whatever order and however often receipts come.
CREATE TABLE IF NOT EXISTS span_receipts {{on_cluster}}
(
    Tenant LowCardinality(String),
    Day Date CODEC(ZSTD(1)),
    Account String CODEC(ZSTD(1)),
    Reason LowCardinality(String) CODEC(ZSTD(1)),
    Messages SimpleAggregateFunction(max, UInt64) CODEC(ZSTD(1)),
    Items SimpleAggregateFunction(max, UInt64) CODEC(ZSTD(1))
)
ENGINE = {{replicated}}AggregatingMergeTree
PARTITION BY Day
ORDER BY (Tenant, Day, Account, Reason)
SETTINGS index_granularity = 8192, ttl_only_drop_parts = 1
