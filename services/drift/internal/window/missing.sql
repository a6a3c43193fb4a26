SELECT DISTINCT intDiv(toUnixTimestamp64Nano(Timestamp), 60000000000) AS Minute
FROM $spans
WHERE $chosen AND $during AND $id NOT IN (SELECT RecordId FROM observations WHERE Tenant = $tenant AND Profile = $profile AND Minute >= $from AND Minute < $to)
ORDER BY Minute
