SELECT Minute, EventTime, $key AS Key, ContentHash, (Minute, RecordId, ContentHash) IN (SELECT Minute, RecordId, ContentHash FROM losers WHERE $window) AS Lost,
    Numbers, NumberStates, Categories, CategoryStates, CountedFeature, CountedBin, Counted
FROM observations FINAL
WHERE $window
SETTINGS max_block_size = $block
