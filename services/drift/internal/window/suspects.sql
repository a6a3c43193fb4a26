SELECT count() AS Suspects
FROM
(
    SELECT 1
    FROM observation_ids
    WHERE Tenant = $tenant AND Profile = $profile AND RecordId IN (SELECT RecordId FROM observations WHERE $window AND $slice)
    GROUP BY sipHash128(RecordId)
    HAVING min(Minute) != max(Minute)
)
