-- Parked messages, whole, so that they can be published again. One row per
-- letter: a message that is parked again after a redrive replaces the row it
-- had. The version counts redrives first and time second, because the clocks
-- of two workers may differ and the count may not. A letter that is delivered
-- twice has one version, and is one row.
CREATE TABLE IF NOT EXISTS dead_letters {{on_cluster}}
(
    Tenant LowCardinality(String),
    Id FixedString(16) CODEC(NONE),
    Version UInt64 CODEC(ZSTD(1)),
    Redrives UInt32 CODEC(ZSTD(1)),
    Topic LowCardinality(String) CODEC(ZSTD(1)),
    `Group` LowCardinality(String) CODEC(ZSTD(1)),
    MessageId String CODEC(ZSTD(1)),
    Reason LowCardinality(String) CODEC(ZSTD(1)),
    Error String CODEC(ZSTD(1)),
    Attempts UInt32 CODEC(ZSTD(1)),
    Lane String CODEC(ZSTD(1)),
    Position String CODEC(ZSTD(1)),
    FirstSeen DateTime64(9, 'UTC') CODEC(Delta(8), ZSTD(1)),
    DeadAt DateTime64(9, 'UTC') CODEC(Delta(8), ZSTD(1)),
    Worker LowCardinality(String) CODEC(ZSTD(1)),
    Type LowCardinality(String) CODEC(ZSTD(1)),
    Count UInt64 CODEC(ZSTD(1)),
    Headers Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    Key String CODEC(ZSTD(1)),
    -- The size stands beside the value so that lists need not read values.
    ValueBytes UInt64 CODEC(ZSTD(1)),
    Value String CODEC(ZSTD(1))
)
ENGINE = {{replicated}}ReplacingMergeTree(Version)
PARTITION BY toDate(DeadAt)
ORDER BY (Tenant, Id)
SETTINGS index_granularity = 256, ttl_only_drop_parts = 1;

-- Which version of a letter was published again, by whom. A letter whose
-- version is not here waits for somebody. Beside the letters, because a state
-- in their table would mean to write the values once more.
CREATE TABLE IF NOT EXISTS dead_letter_redrives {{on_cluster}}
(
    Tenant LowCardinality(String),
    Id FixedString(16) CODEC(NONE),
    Version UInt64 CODEC(ZSTD(1)),
    RedrivenAt DateTime64(9, 'UTC') CODEC(Delta(8), ZSTD(1)),
    RedrivenBy LowCardinality(String) CODEC(ZSTD(1))
)
ENGINE = {{replicated}}ReplacingMergeTree(RedrivenAt)
PARTITION BY toDate(RedrivenAt)
ORDER BY (Tenant, Id, Version)
SETTINGS ttl_only_drop_parts = 1;
