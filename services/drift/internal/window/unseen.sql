WITH
$bins
SELECT feature, arraySort(topK($names)(toString(value))) AS Names
FROM
(
    SELECT category[i] AS feature, value
    FROM
    (
        SELECT Categories, CategoryStates FROM ($records)
    )
    ARRAY JOIN Categories AS value, CategoryStates AS state, arrayEnumerate(Categories) AS i
    WHERE state = 0 AND transform(concat(toString(i), ':', value), keys, cells_of_keys, toUInt32(4294967295)) = 4294967295
)
GROUP BY feature
SETTINGS max_block_size = $block
