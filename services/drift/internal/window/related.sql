SELECT arraySort(arrayMap(m -> toInt64(toUnixTimestamp(m)) DIV 60, groupUniqArrayArray(found))) AS Minutes
FROM
(
    SELECT groupUniqArray(Minute) AS found
    FROM observation_ids
    WHERE Tenant = $tenant AND Profile = $profile AND RecordId IN (SELECT RecordId FROM observations WHERE $window AND $slice)
    GROUP BY RecordId
    HAVING length(found) > 1
)
