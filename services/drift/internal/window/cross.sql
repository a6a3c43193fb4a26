WITH
$bins,
rows AS
(
    SELECT Numbers, NumberStates, Categories, CategoryStates, toUInt32($target) AS target
    FROM ($records)
    WHERE target != 4294967295
)
SELECT feature, cell, target, count() AS Records
FROM
(
$placed
)
GROUP BY feature, cell, target
ORDER BY feature, cell, target
SETTINGS max_block_size = $block
