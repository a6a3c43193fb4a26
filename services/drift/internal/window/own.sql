SELECT RecordId, TraceId, SpanId, Numbers, NumberStates, Categories, CategoryStates
FROM observations FINAL
WHERE $range AND CountedFeature = 0 AND (Minute, RecordId, ContentHash) NOT IN (SELECT Minute, RecordId, ContentHash FROM losers WHERE $range)
