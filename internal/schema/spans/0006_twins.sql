-- Spans of different services or kinds may share trace and span id (Zipkin's
-- client and server do): they are different spans. Twin tells them apart in the
-- sort keys, by which rows replace one another. A sort key can only grow by a
-- new column without a default; the default, which comes after, is then computed
-- for older rows too, so that one of these and its repetition meet.
ALTER TABLE spans {{on_cluster}}
    ADD COLUMN IF NOT EXISTS Twin UInt32 CODEC(ZSTD(1)) AFTER SpanId,
    MODIFY ORDER BY (Tenant, TraceId, SpanId, Twin);
ALTER TABLE spans {{on_cluster}}
    MODIFY COLUMN Twin DEFAULT toUInt32(bitXor(xxHash64(ServiceName), toUInt32(SpanKind)));
ALTER TABLE span_index {{on_cluster}}
    ADD COLUMN IF NOT EXISTS Twin UInt32 CODEC(ZSTD(1)) AFTER SpanId,
    MODIFY ORDER BY (Tenant, ServiceName, Timestamp, TraceId, SpanId, Twin);
ALTER TABLE span_index {{on_cluster}}
    MODIFY COLUMN Twin DEFAULT toUInt32(bitXor(xxHash64(ServiceName), toUInt32(SpanKind)));
-- [["key","text"],...] in JSON, as ResourceAttributes.
ALTER TABLE spans {{on_cluster}}
    ADD COLUMN IF NOT EXISTS ScopeAttributes LowCardinality(String) CODEC(ZSTD(1)) AFTER ScopeVersion
