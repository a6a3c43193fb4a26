SELECT RecordId, arrayJoin(arrayFilter(m -> m != winner, minutes)) AS Minute
FROM
(
    SELECT RecordId, groupUniqArray(Minute) AS minutes, argMax(Minute, (ContentHash, Minute)) AS winner
    FROM observation_ids
    WHERE Tenant = $tenant AND Profile = $profile AND RecordId IN ($suspects)
    GROUP BY RecordId
)
