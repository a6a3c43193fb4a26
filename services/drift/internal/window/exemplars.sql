SELECT $key AS Key, RecordId,
    if(TraceId = toFixedString('', 16), '', lower(hex(TraceId))) AS TraceId,
    if(SpanId = toFixedString('', 8), '', lower(hex(SpanId))) AS SpanId
FROM observations FINAL
WHERE $window AND Key IN ($wanted) AND (Minute, RecordId, ContentHash) NOT IN (SELECT Minute, RecordId, ContentHash FROM losers WHERE $window)
