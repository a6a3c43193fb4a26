INSERT INTO losers (Tenant, Profile, Minute, RecordId, ContentHash)
SELECT $tenant, toUUID($profile), loser.2, RecordId, loser.1
FROM
(
    SELECT RecordId, arrayJoin(arrayFilter(row -> row != winner, found)) AS loser
    FROM
    (
        SELECT RecordId, groupArray((hash, Minute)) AS found, arrayMax(found) AS winner
        FROM
        (
            SELECT RecordId, Minute, max(ContentHash) AS hash
            FROM observation_ids
            WHERE Tenant = $tenant AND Profile = $profile AND RecordId IN (SELECT RecordId FROM observations WHERE $window AND $slice)
            GROUP BY RecordId, Minute
        )
        GROUP BY RecordId
        HAVING length(found) > 1
    )
)
