-- Losers: rows of observations that are not the record of their name, because a
-- row of the same name in another minute has a greater ContentHash (package
-- window says why). A row that has lost has lost for ever, so rows are only
-- added, each perhaps several times.
CREATE TABLE IF NOT EXISTS losers {{on_cluster}}
(
    Tenant LowCardinality(String),
    Profile UUID,
    Minute DateTime('UTC') CODEC(Delta(4), ZSTD(1)),
    RecordId String CODEC(ZSTD(1)),
    ContentHash UInt64 CODEC(NONE)
)
ENGINE = {{replicated}}ReplacingMergeTree
ORDER BY (Tenant, Profile, Minute, RecordId, ContentHash);
