-- Sender is the principal who brought the message to the door. A record leads to it by
-- the time at which it was accepted, which all records of a message have in common.
ALTER TABLE record_ledger {{on_cluster}}
    ADD COLUMN IF NOT EXISTS Sender LowCardinality(String) CODEC(ZSTD(1)) AFTER Seq
