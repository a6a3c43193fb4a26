-- Labels: what became known of records after they were sent, one row per message
-- about it, in the columns of observations. A value whose state is 0 stands in
-- the place of the record's own; any other says nothing. Of several rows with one
-- name the one of the latest event time counts, of those the one with the greatest
-- ContentHash: both are in Version, so that the order of arrival does not matter.
CREATE TABLE IF NOT EXISTS labels {{on_cluster}}
(
    Tenant LowCardinality(String),
    Profile UUID,
    RecordId String CODEC(ZSTD(1)),
    EventTime DateTime64(9, 'UTC') CODEC(Delta(8), ZSTD(1)),
    TraceId FixedString(16) CODEC(ZSTD(1)),
    SpanId FixedString(8) CODEC(ZSTD(1)),
    Numbers Array(Float64) CODEC(ZSTD(1)),
    NumberStates Array(UInt8) CODEC(ZSTD(1)),
    Categories Array(LowCardinality(String)) CODEC(ZSTD(1)),
    CategoryStates Array(UInt8) CODEC(ZSTD(1)),
    ReceivedAt DateTime64(9, 'UTC') CODEC(Delta(8), ZSTD(1)),
    ContentHash UInt64 CODEC(NONE),
    Version UInt128 DEFAULT bitOr(bitShiftLeft(toUInt128(toUnixTimestamp64Nano(EventTime)), 64), toUInt128(ContentHash)) CODEC(ZSTD(1))
)
ENGINE = {{replicated}}ReplacingMergeTree(Version)
PARTITION BY toYYYYMM(ReceivedAt)
ORDER BY (Tenant, Profile, RecordId);
