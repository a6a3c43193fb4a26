-- One row per value of a metrics record, every record once.
CREATE VIEW IF NOT EXISTS metrics {{on_cluster}} AS
SELECT Tenant, Profile, RecordId, EventTime, TraceId, SpanId, Name, Value, ReceivedAt
FROM metric_records FINAL
ARRAY JOIN Names AS Name, Values AS Value
