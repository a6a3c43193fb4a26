-- The names and types of the OpenTelemetry Collector's ClickHouse exporter, so
-- that what was built for its table otel_traces works here; plus Tenant. Every
-- span once. The setting lets the index of hex ids work under FINAL as it is:
-- rows that replace one another have the same id, so none of them is missed.
CREATE VIEW IF NOT EXISTS otel_traces {{on_cluster}} AS
SELECT
    Tenant,
    Timestamp,
    lower(hex(TraceId)) AS TraceId,
    lower(hex(SpanId)) AS SpanId,
    if(ParentSpanId = toFixedString('', 8), '', lower(hex(ParentSpanId))) AS ParentSpanId,
    CAST(TraceState, 'String') AS TraceState,
    SpanName,
    CAST(transform(SpanKind, [0, 1, 2, 3, 4, 5], ['Unspecified', 'Internal', 'Server', 'Client', 'Producer', 'Consumer'], ''), 'LowCardinality(String)') AS SpanKind,
    ServiceName,
    CAST(JSONExtract(spans.ResourceAttributes, 'Array(Tuple(String, String))'), 'Map(LowCardinality(String), String)') AS ResourceAttributes,
    CAST(ScopeName, 'String') AS ScopeName,
    CAST(ScopeVersion, 'String') AS ScopeVersion,
    SpanAttributes,
    if(Duration > 9223372036854775807, 0, Duration) AS Duration,
    CAST(transform(StatusCode, [0, 1, 2], ['Unset', 'Ok', 'Error'], ''), 'LowCardinality(String)') AS StatusCode,
    StatusMessage,
    `Events.Timestamp` AS `Events.Timestamp`,
    `Events.Name` AS `Events.Name`,
    `Events.Attributes` AS `Events.Attributes`,
    arrayMap(id -> lower(hex(id)), `Links.TraceId`) AS `Links.TraceId`,
    arrayMap(id -> lower(hex(id)), `Links.SpanId`) AS `Links.SpanId`,
    `Links.TraceState` AS `Links.TraceState`,
    `Links.Attributes` AS `Links.Attributes`
FROM spans FINAL
SETTINGS use_skip_indexes_if_final_exact_mode = 0
