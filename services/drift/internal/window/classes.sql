SELECT
    $tenant AS Tenant, toUUID($profile) AS Profile, Minute, Counts,
    arrayMap(c -> yes.2[indexOf(yes.1, c)], range(toUInt16(bins))) AS Positives,
    arrayMap(c -> no.2[indexOf(no.1, c)], range(toUInt16(bins))) AS Negatives,
    Version
FROM
(
    SELECT
        Minute,
        [countIf(both AND predicted = came), countIf(both AND predicted != came),
         countIf(both AND predicted = positive AND came = positive), countIf(both AND predicted = positive AND came != positive),
         countIf(both AND predicted != positive AND came = positive), countIf(both AND predicted != positive AND came != positive)] AS Counts,
        sumMapIf([cell], [toUInt64(1)], scored AND came = positive) AS yes,
        sumMapIf([cell], [toUInt64(1)], scored AND came != positive) AS no,
        sum(version) AS Version
    FROM rows
    GROUP BY Minute
)
