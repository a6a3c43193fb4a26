SELECT any(RecordId)
FROM observation_ids
WHERE Tenant = $tenant AND Profile = $profile AND RecordId IN (SELECT RecordId FROM observations WHERE $window)
GROUP BY sipHash128(RecordId)
HAVING min(Minute) != max(Minute)
