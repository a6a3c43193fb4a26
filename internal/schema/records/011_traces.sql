-- The way from a trace to its records: ids of traces are random, so a bloom
-- filter of each granule leaves few of them to read. Parts from before get it when
-- they are merged, and are read whole until then. ADR 35 has the numbers.
ALTER TABLE observations {{on_cluster}} ADD INDEX IF NOT EXISTS trace TraceId TYPE bloom_filter(0.01) GRANULARITY 1;
ALTER TABLE labels {{on_cluster}} ADD INDEX IF NOT EXISTS trace TraceId TYPE bloom_filter(0.01) GRANULARITY 1;
ALTER TABLE metric_records {{on_cluster}} ADD INDEX IF NOT EXISTS trace TraceId TYPE bloom_filter(0.01) GRANULARITY 1;
ALTER TABLE contexts {{on_cluster}} ADD INDEX IF NOT EXISTS trace TraceId TYPE bloom_filter(0.01) GRANULARITY 1
