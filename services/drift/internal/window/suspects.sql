SELECT
(
    SELECT count()
    FROM observation_ids
    WHERE Tenant = $tenant AND Profile = $profile AND Minute NOT IN ($minutes) AND $named
)
+
(
    SELECT count()
    FROM (SELECT 1 FROM observations WHERE $window AND $several GROUP BY cityHash64(RecordId) HAVING min(Minute) != max(Minute))
) AS Suspects
