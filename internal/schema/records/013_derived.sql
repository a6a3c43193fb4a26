-- Derived observations are made by drift of something else that is stored: of spans, or
-- of what the checks of a context came to. Nobody sent them.
ALTER TABLE observations {{on_cluster}} ADD COLUMN IF NOT EXISTS Derived UInt8 CODEC(ZSTD(1));
ALTER TABLE observation_ids {{on_cluster}} ADD COLUMN IF NOT EXISTS Derived UInt8 CODEC(ZSTD(1));
ALTER TABLE observation_ids_fill {{on_cluster}} MODIFY QUERY
SELECT Tenant, Profile, RecordId, toStartOfMinute(toDateTime(EventTime, 'UTC')) AS Minute, ContentHash, toDateTime(ReceivedAt, 'UTC') AS ReceivedAt, Derived
FROM observations;
