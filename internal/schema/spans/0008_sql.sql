-- What SQL of users may read, in a database of its own: the tables of the
-- Collector's exporter, with the rows of one tenant alone. Whoever runs such a
-- statement puts a token into the setting log_comment. A statement can set that
-- too (in a subquery even when the session is readonly), but it knows no other
-- tenant's token, and whoever may read the views may not read the tokens. The
-- condition stands in PREWHERE: it is decided before anything that the statement
-- computes, so that no error can tell of other rows. docs/adr/016 has the whole.
CREATE TABLE IF NOT EXISTS sql_tokens {{on_cluster}}
(
    Token String,
    Tenant LowCardinality(String),
    At DateTime
)
ENGINE = {{replicated}}MergeTree
ORDER BY Token
TTL At + INTERVAL 2 DAY;
CREATE DATABASE IF NOT EXISTS {{guests}} {{on_cluster}};
CREATE VIEW IF NOT EXISTS {{guests}}.otel_traces {{on_cluster}} DEFINER = CURRENT_USER SQL SECURITY DEFINER AS
SELECT
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
FROM {{database}}.spans AS spans FINAL
PREWHERE Tenant IN (SELECT Tenant FROM {{database}}.sql_tokens WHERE Token = getSetting('log_comment'))
SETTINGS use_skip_indexes_if_final_exact_mode = 0;
-- From when to when a trace lasts: what Grafana asks before it asks for spans.
CREATE VIEW IF NOT EXISTS {{guests}}.otel_traces_trace_id_ts {{on_cluster}} DEFINER = CURRENT_USER SQL SECURITY DEFINER AS
SELECT lower(hex(TraceId)) AS TraceId, toDateTime(min(Timestamp)) AS Start, toDateTime(max(Timestamp)) AS End
FROM {{database}}.spans
PREWHERE Tenant IN (SELECT Tenant FROM {{database}}.sql_tokens WHERE Token = getSetting('log_comment'))
GROUP BY TraceId;
CREATE VIEW IF NOT EXISTS otel_traces_trace_id_ts {{on_cluster}} AS
SELECT Tenant, lower(hex(TraceId)) AS TraceId, toDateTime(min(Timestamp)) AS Start, toDateTime(max(Timestamp)) AS End
FROM spans
GROUP BY Tenant, TraceId
