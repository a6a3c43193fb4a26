-- Hash is of RecordId: to look for many names at a time, reading eight bytes of
-- each takes a tenth of reading the names (ADR 19). Of rows from before it is
-- computed when it is read.
ALTER TABLE observation_ids {{on_cluster}}
    ADD COLUMN IF NOT EXISTS Hash UInt64 MATERIALIZED cityHash64(RecordId) CODEC(NONE);
