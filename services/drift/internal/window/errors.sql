SELECT
    $tenant AS Tenant, toUUID($profile) AS Profile, Minute,
    groupArrayIf((bucket, n, ones, twos), which = 1) AS Absolute,
    groupArrayIf((bucket, n, ones, twos), which = 2) AS Squared,
    any(Version) AS Version
FROM
(
    SELECT Minute, which, bucket, n, ones, twos, sum(versions) OVER (PARTITION BY Minute) AS Version
    FROM
    (
        SELECT Minute, which, $bucket AS bucket, count() AS n, $ones AS ones, $twos AS twos, sumIf(version, which < 2) AS versions
        FROM
        (
            SELECT Minute, version, errors.1 AS which, errors.2 AS x
            FROM rows
            ARRAY JOIN if(measured, [(1, abs(error)), (2, error * error)], [(0, 0.)]) AS errors
        )
        GROUP BY Minute, which, bucket
    )
)
GROUP BY Minute
