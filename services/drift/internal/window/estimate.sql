EXPLAIN ESTIMATE SELECT RecordId FROM observation_ids WHERE Tenant = $tenant AND Profile = $profile AND $among
