-- Distinct records of a tenant over all tables, each read in the order of its
-- names, so that counting needs no memory.
SELECT sum(Records) AS Stored
FROM
(
    SELECT count() AS Records FROM (SELECT 1 FROM observation_ids WHERE Tenant = {tenant:String} GROUP BY Tenant, Profile, RecordId)
    UNION ALL
    SELECT count() AS Records FROM (SELECT 1 FROM metric_records WHERE Tenant = {tenant:String} GROUP BY Tenant, Profile, RecordId)
    UNION ALL
    SELECT count() AS Records FROM (SELECT 1 FROM contexts WHERE Tenant = {tenant:String} GROUP BY Tenant, Profile, RecordId)
)
SETTINGS optimize_aggregation_in_order = 1
