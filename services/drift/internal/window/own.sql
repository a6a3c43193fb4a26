SELECT RecordId, TraceId, SpanId, Numbers, NumberStates, Categories, CategoryStates
FROM observations FINAL
WHERE $range AND (Minute, RecordId, ContentHash) NOT IN (SELECT Minute, RecordId, ContentHash FROM losers WHERE $range)
