-- Observations of what the checks of contexts came to. Those that are there it leaves
-- alone.
INSERT INTO observations (Tenant, Profile, RecordId, EventTime, TraceId, SpanId, Numbers, NumberStates, Categories, CategoryStates, ReceivedAt, ContentHash, Derived)
SELECT Tenant, Profile, RecordId, EventTime, TraceId, SpanId, Numbers, NumberStates, [], [], ReceivedAt, Version, 1
FROM
(
    SELECT Tenant, Profile, RecordId, EventTime, TraceId, toFixedString('', 8) AS SpanId, Numbers, NumberStates, ReceivedAt, Version
    FROM check_results FINAL
    WHERE Tenant = $tenant AND Profile = $profile AND RecordId IN (SELECT RecordId FROM context_minutes WHERE $window)
)
WHERE intDiv(toUnixTimestamp(EventTime), 60) * 60 IN ($minutes) AND (RecordId, Version) NOT IN (SELECT RecordId, ContentHash FROM observations WHERE $window)
