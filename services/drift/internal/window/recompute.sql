INSERT INTO cells (Tenant, Profile, Minute, Feature, Counts, Exemplars, Records, Version)
WITH
$bins,
lost_rows AS
(
    SELECT Minute, RecordId, ContentHash FROM losers WHERE $window
),
rows AS
(
    SELECT Minute, Numbers, NumberStates, Categories, CategoryStates, $key AS key
    FROM observations FINAL
    WHERE $window AND (Minute, RecordId, ContentHash) NOT IN lost_rows
),
placed AS
(
$placed),
counted AS
(
    SELECT Minute, feature, groupArray(cell) AS cell_list, groupArray(n) AS count_list, groupArray(keys_of_cell) AS key_list
    FROM
    (
        SELECT Minute, feature, cell, count() AS n, groupArraySorted($exemplars)(key) AS keys_of_cell
        FROM placed
        GROUP BY Minute, feature, cell
    )
    GROUP BY Minute, feature
),
windows AS
(
    SELECT
        Minute, countIf(NOT lost) AS records,
        sum(2 * toUInt128(ContentHash) + if(lost, 2, 1)) AS version
    FROM (SELECT Minute, ContentHash, (Minute, RecordId, ContentHash) IN lost_rows AS lost FROM observations FINAL WHERE $window)
    GROUP BY Minute
)
SELECT
    $tenant AS Tenant, toUUID($profile) AS Profile, w.Minute AS Minute, w.feature AS Feature,
    arrayMap(c -> count_list[indexOf(cell_list, c)], range(toUInt16(bins[w.feature + 1] + 5))) AS Counts,
    arrayMap(c -> key_list[indexOf(cell_list, c)], range(toUInt16(bins[w.feature + 1] + 5))) AS Exemplars,
    w.records AS Records, w.version AS Version
FROM (SELECT Minute, records, version, toUInt16(arrayJoin(range(length(bins)))) AS feature FROM windows) AS w
LEFT JOIN counted AS c ON w.Minute = c.Minute AND w.feature = c.feature
SETTINGS max_block_size = $block
