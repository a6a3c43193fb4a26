SELECT count() AS Conflicts, arraySort(arrayMap(m -> toInt64(toUInt32(m)) DIV 60, arrayDistinct(arrayFlatten(groupArray(minutes))))) AS Minutes
FROM
(
    SELECT groupUniqArray(Minute) AS minutes
    FROM observation_ids
    WHERE Tenant = $tenant AND Profile = $profile AND RecordId IN ($suspects)
    GROUP BY RecordId
)
