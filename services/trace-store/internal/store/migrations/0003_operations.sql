-- Which span names and kinds a service has, for lists to choose from.
CREATE TABLE IF NOT EXISTS operations {{on_cluster}}
(
    Tenant LowCardinality(String),
    ServiceName LowCardinality(String),
    SpanName String,
    SpanKind Int32,
    LastSeen SimpleAggregateFunction(max, DateTime)
)
ENGINE = {{replicated}}AggregatingMergeTree
ORDER BY (Tenant, ServiceName, SpanName, SpanKind)
