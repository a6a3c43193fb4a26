-- Sender is the principal who brought the message to the door. A span leads to it by
-- the time at which it was accepted, which all spans of a message have in common.
ALTER TABLE span_ledger {{on_cluster}}
    ADD COLUMN IF NOT EXISTS Sender LowCardinality(String) CODEC(ZSTD(1)) AFTER Seq
