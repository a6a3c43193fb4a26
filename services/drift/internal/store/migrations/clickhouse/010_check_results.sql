-- What the checks of a profile came to, for each record with a context: a row of the
-- observation that is made of it, and of each check what became of it.
--
-- Version is the greatest of what there may be of a record: of its contents (44 bits of
-- their hash), then of how much there was of its trace (20 bits). So whoever ran the
-- checks when, the same row wins, here and among the observations, whose hash it is.
CREATE TABLE IF NOT EXISTS check_results {{on_cluster}}
(
    Tenant LowCardinality(String),
    Profile UUID,
    RecordId String CODEC(ZSTD(1)),
    EventTime DateTime64(9, 'UTC') CODEC(Delta(8), ZSTD(1)),
    TraceId FixedString(16) CODEC(ZSTD(1)),
    Numbers Array(Float64) CODEC(ZSTD(1)),
    NumberStates Array(UInt8) CODEC(ZSTD(1)),
    Passed UInt16 CODEC(ZSTD(1)),
    Failed UInt16 CODEC(ZSTD(1)),
    Results String CODEC(ZSTD(3)),
    CheckedAt DateTime64(6, 'UTC') CODEC(Delta(8), ZSTD(1)),
    Took UInt64 CODEC(ZSTD(1)),
    ReceivedAt DateTime64(9, 'UTC') CODEC(Delta(8), ZSTD(1)),
    Version UInt64 CODEC(NONE)
)
ENGINE = {{replicated}}ReplacingMergeTree(Version)
PARTITION BY toYYYYMM(ReceivedAt)
ORDER BY (Tenant, Profile, RecordId)
