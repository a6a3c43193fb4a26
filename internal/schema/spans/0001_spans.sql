-- One row per span. Identity is trace id + span id: a span that was delivered,
-- or sent, more than once is one row after merges; readers must not rely on
-- merges and use FINAL or LIMIT 1 BY. The partition is the day the door
-- accepted the span: a redelivery falls into the same one, an absurd event time
-- makes no partition, and the TTL drops whole parts. docs/adr/005 has the why.
CREATE TABLE IF NOT EXISTS spans {{on_cluster}}
(
    Tenant LowCardinality(String),
    ReceivedAt DateTime64(9) CODEC(Delta(8), ZSTD(1)),
    TraceId FixedString(16) CODEC(ZSTD(1)),
    SpanId FixedString(8) CODEC(NONE),
    ParentSpanId FixedString(8) CODEC(ZSTD(1)),
    TraceState LowCardinality(String) CODEC(ZSTD(1)),
    TraceFlags UInt32 CODEC(ZSTD(1)),
    SpanName LowCardinality(String) CODEC(ZSTD(1)),
    SpanKind Int32 CODEC(ZSTD(1)),
    ServiceName LowCardinality(String) CODEC(ZSTD(1)),
    Timestamp DateTime64(9) CODEC(Delta(8), ZSTD(1)),
    -- End minus start modulo 2^64, so that the end is kept whatever it was.
    Duration UInt64 CODEC(ZSTD(1)),
    StatusCode Int32 CODEC(ZSTD(1)),
    StatusMessage String CODEC(ZSTD(1)),
    -- Values are text; the letters beside them, one per attribute in order, say
    -- what they were: s string, i int, d double, b bool, y bytes (base64),
    -- a array and k key-value list (JSON), n empty, x absent, r raw protobuf.
    SpanAttributes Map(LowCardinality(String), String) CODEC(LZ4),
    SpanAttributeTypes LowCardinality(String) CODEC(ZSTD(1)),
    -- What has no column that keeps all of it, as a fragment of the protobuf
    -- Span: events, links, dropped counts, fields of later OTLP versions.
    SpanRest String CODEC(ZSTD(1)),
    -- Resource and scope are few and large: the protobuf ResourceSpans and
    -- ScopeSpans without spans, once per part. ResourceAttributes is the same
    -- for SQL, [["key","text"],...] in JSON; the view makes a Map of it.
    Resource LowCardinality(String) CODEC(ZSTD(1)),
    ResourceAttributes LowCardinality(String) CODEC(ZSTD(1)),
    Scope LowCardinality(String) CODEC(ZSTD(1)),
    ScopeName LowCardinality(String) CODEC(ZSTD(1)),
    ScopeVersion LowCardinality(String) CODEC(ZSTD(1)),
    -- Events and links for SQL; trace look-ups read SpanRest.
    Events Nested
    (
        Timestamp DateTime64(9),
        Name LowCardinality(String),
        Attributes Map(LowCardinality(String), String)
    ) CODEC(ZSTD(1)),
    Links Nested
    (
        TraceId String,
        SpanId String,
        TraceState String,
        Attributes Map(LowCardinality(String), String)
    ) CODEC(ZSTD(1)),
    -- Lets a hex id find its granules through the view otel_traces.
    INDEX trace_hex lower(hex(TraceId)) TYPE minmax GRANULARITY 1
)
ENGINE = {{replicated}}ReplacingMergeTree(ReceivedAt)
PARTITION BY toDate(ReceivedAt)
ORDER BY (Tenant, TraceId, SpanId)
SETTINGS index_granularity = 2048, ttl_only_drop_parts = 1, 
    min_bytes_for_wide_part = 20000000, merge_selector_base = 12
