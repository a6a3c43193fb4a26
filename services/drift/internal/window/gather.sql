INSERT INTO observations (Tenant, Profile, RecordId, EventTime, TraceId, SpanId, Numbers, NumberStates, Categories, CategoryStates, ReceivedAt, ContentHash, Derived)
SELECT $tenant, toUUID($profile), RecordId, EventTime, TraceId, SpanId, Numbers, NumberStates, Categories, CategoryStates, ReceivedAt,
    cityHash64(EventTime, Numbers, NumberStates, Categories, CategoryStates), 1
FROM
(
    SELECT $id AS RecordId, Timestamp AS EventTime, TraceId, SpanId, ReceivedAt,
        [$numbers]::Array(Nullable(Float64)) AS found,
        [$shown]::Array(UInt8) AS there,
        arrayMap((v, t, other) -> multiIf(t = 0, 1, isNull(v), other, isNaN(v), 2, v = inf, 3, v = -inf, 4, 0)::UInt8, found, there, [$others]::Array(UInt8)) AS NumberStates,
        arrayMap((v, t, other) -> if(t = 0, 0., ifNull(v, if(other = 2, nan, 0.))), found, there, [$others]::Array(UInt8)) AS Numbers,
        [$texts]::Array(LowCardinality(String)) AS Categories,
        [$textShown]::Array(UInt8) AS textThere,
        arrayMap(t -> if(t = 0, 1, 0)::UInt8, textThere) AS CategoryStates
    FROM $spans
    WHERE $chosen AND $during
)
WHERE RecordId NOT IN (SELECT RecordId FROM observations WHERE $window)
