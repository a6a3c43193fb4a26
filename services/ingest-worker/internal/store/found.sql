-- A page of records of a trace, or of one id: their names and versions, the newest
-- first. $features and so on select (Profile, RecordId) of rows that may be looked
-- for; of each name the row that counts is then found in its whole table, as another
-- one than the row that was found may be it, and only that is held against $match.
SELECT Kind, toString(Profile), RecordId, toUnixTimestamp64Nano(EventTime) AS At, Version, Minute, Bytes
FROM
(
    SELECT 'features' AS Kind, Profile, RecordId, EventTime, TraceId, SpanId, toUInt128(ContentHash) AS Version,
        toUnixTimestamp(Minute) AS Minute, toUInt64(16 * length(Numbers) + 32 * length(Categories)) AS Bytes
    FROM observations
    WHERE Tenant = {tenant:String} AND (Profile, Minute, RecordId) IN
        (SELECT Profile, Minute, RecordId FROM observation_ids WHERE Tenant = {tenant:String} AND (Profile, RecordId) IN ($features))
    ORDER BY ContentHash DESC, Minute DESC
    LIMIT 1 BY Profile, RecordId
    UNION ALL
    SELECT 'labels', Profile, RecordId, EventTime, TraceId, SpanId, Version, 0, toUInt64(16 * length(Numbers) + 32 * length(Categories))
    FROM labels
    WHERE Tenant = {tenant:String} AND (Profile, RecordId) IN ($labels)
    ORDER BY Version DESC
    LIMIT 1 BY Profile, RecordId
    UNION ALL
    SELECT 'metrics', Profile, RecordId, EventTime, TraceId, SpanId, toUInt128(ContentHash), 0, toUInt64(32 * length(Names))
    FROM metric_records
    WHERE Tenant = {tenant:String} AND (Profile, RecordId) IN ($metrics)
    ORDER BY ContentHash DESC
    LIMIT 1 BY Profile, RecordId
    UNION ALL
    SELECT 'context', Profile, RecordId, EventTime, TraceId, SpanId, toUInt128(ContentHash), 0, toUInt64(length(Json))
    FROM contexts
    WHERE Tenant = {tenant:String} AND (Profile, RecordId) IN ($contexts)
    ORDER BY ContentHash DESC
    LIMIT 1 BY Profile, RecordId
)
WHERE $match AND ({first:Bool} OR At < {at:Int64} OR At = {at:Int64} AND (Kind, toString(Profile), RecordId) > ({kind:String}, {profile:String}, {record:String}))
ORDER BY At DESC, Kind, toString(Profile), RecordId
LIMIT {limit:UInt32}
