CREATE MATERIALIZED VIEW IF NOT EXISTS operations_feed {{on_cluster}} TO operations AS
SELECT Tenant, ServiceName, SpanName, SpanKind, max(toDateTime(ReceivedAt)) AS LastSeen
FROM span_index
GROUP BY Tenant, ServiceName, SpanName, SpanKind
