WITH
$bins
SELECT feature, arraySort(topK($names)(toString(value))) AS Names
FROM
(
    SELECT category[i] AS feature, value
    FROM
    (
        SELECT Categories, CategoryStates
        FROM observations FINAL
        WHERE $range AND (Minute, RecordId, ContentHash) NOT IN (SELECT Minute, RecordId, ContentHash FROM losers WHERE $range)
    )
    ARRAY JOIN Categories AS value, CategoryStates AS state, arrayEnumerate(Categories) AS i
    WHERE state = 0 AND transform(concat(toString(i), ':', value), keys, cells_of_keys, toUInt32(4294967295)) = 4294967295
)
GROUP BY feature
SETTINGS max_block_size = $block
