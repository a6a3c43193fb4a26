-- Which span names and kinds a service has, for lists to choose from. A row is
-- written when an operation is new, and again every hour that it is seen.
CREATE TABLE IF NOT EXISTS operations {{on_cluster}}
(
    Tenant LowCardinality(String),
    ServiceName LowCardinality(String),
    SpanName String,
    SpanKind Int32,
    LastSeen DateTime
)
ENGINE = {{replicated}}ReplacingMergeTree(LastSeen)
ORDER BY (Tenant, ServiceName, SpanName, SpanKind)
