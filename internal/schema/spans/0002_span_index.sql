-- What search needs of a span, in the order of search: newest first within a
-- service. Tags are tokens of the attributes of span and resource,
-- toUInt32(bitXor(bitShiftRight(xxHash64(key), 1), xxHash64(text))); whoever
-- finds a span by token must look at the span itself.
CREATE TABLE IF NOT EXISTS span_index {{on_cluster}}
(
    Tenant LowCardinality(String),
    ReceivedAt DateTime64(9) CODEC(Delta(8), ZSTD(1)),
    ServiceName LowCardinality(String) CODEC(ZSTD(1)),
    Timestamp DateTime64(9) CODEC(Delta(8), ZSTD(1)),
    SpanName LowCardinality(String) CODEC(ZSTD(1)),
    SpanKind Int32 CODEC(ZSTD(1)),
    StatusCode Int32 CODEC(ZSTD(1)),
    Duration UInt64 CODEC(ZSTD(1)),
    TraceId FixedString(16) CODEC(NONE),
    SpanId FixedString(8) CODEC(NONE),
    Tags Array(UInt32) CODEC(ZSTD(1))
)
ENGINE = {{replicated}}ReplacingMergeTree(ReceivedAt)
PARTITION BY toDate(ReceivedAt)
ORDER BY (Tenant, ServiceName, Timestamp, TraceId, SpanId)
PRIMARY KEY (Tenant, ServiceName, Timestamp)
SETTINGS index_granularity = 8192, ttl_only_drop_parts = 1, merge_selector_base = 12
