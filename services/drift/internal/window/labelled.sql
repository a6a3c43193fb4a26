SELECT o.Minute, o.EventTime, o.Key, o.ContentHash, o.Lost,
    arrayMap((own, label, state) -> if(state = 0, label, own), o.Numbers, arrayResize(l.Numbers, length(o.Numbers)),
        arrayResize(l.NumberStates, length(o.Numbers), 1)) AS Numbers,
    arrayMap((own, state) -> if(state = 0, 0, own), o.NumberStates, arrayResize(l.NumberStates, length(o.Numbers), 1)) AS NumberStates,
    CAST(arrayMap((own, label, state) -> if(state = 0, label, own), o.Categories, arrayResize(l.Categories, length(o.Categories)),
        arrayResize(l.CategoryStates, length(o.Categories), 1)), 'Array(LowCardinality(String))') AS Categories,
    arrayMap((own, state) -> if(state = 0, 0, own), o.CategoryStates, arrayResize(l.CategoryStates, length(o.Categories), 1)) AS CategoryStates,
    o.CountedFeature, o.CountedBin, o.Counted,
    bitShiftRight(l.Version, 32) AS Label
FROM
(
    SELECT Minute, EventTime, RecordId, $key AS Key, ContentHash, Numbers, NumberStates, Categories, CategoryStates, CountedFeature, CountedBin, Counted,
        (Minute, RecordId, ContentHash) IN (SELECT Minute, RecordId, ContentHash FROM losers WHERE $window) AS Lost
    FROM observations FINAL
    WHERE $window
) AS o
LEFT JOIN
(
    SELECT RecordId, Numbers, NumberStates, Categories, CategoryStates, Version
    FROM labels FINAL
    WHERE Tenant = $tenant AND Profile = $profile AND RecordId IN (SELECT RecordId FROM observations WHERE $window)
) AS l ON o.RecordId = l.RecordId
SETTINGS max_block_size = $block
