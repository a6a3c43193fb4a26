WITH
$bins,
rows AS
(
    SELECT Numbers, NumberStates, Categories, CategoryStates, toUInt32($target) AS target
    FROM observations FINAL
    WHERE $range AND (Minute, RecordId, ContentHash) NOT IN (SELECT Minute, RecordId, ContentHash FROM losers WHERE $range)
)
SELECT feature, cell, target, count() AS Records
FROM
(
$placed
)
GROUP BY feature, cell, target
ORDER BY feature, cell, target
SETTINGS max_block_size = $block
