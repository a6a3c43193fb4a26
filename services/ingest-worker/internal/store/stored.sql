-- Distinct records of a tenant over all tables, each read in the order of its
-- names, so that counting needs no memory. Metrics and contexts that are observations
-- as well, which a profile's all are or none, count as those. Observations that drift made
-- of something that is stored as well are no records.
SELECT sum(Records) AS Stored
FROM
(
    SELECT count() AS Records FROM (SELECT 1 FROM observation_ids WHERE Tenant = {tenant:String} AND Derived = 0 GROUP BY Tenant, Profile, RecordId)
    UNION ALL
    SELECT count() AS Records FROM (SELECT 1 FROM metric_records WHERE Tenant = {tenant:String} AND Profile NOT IN
        (
            SELECT Profile FROM observation_ids WHERE Tenant = {tenant:String} AND Derived = 0
                AND (Profile, RecordId) IN (SELECT Profile, min(RecordId) FROM metric_records WHERE Tenant = {tenant:String} GROUP BY Profile)
        ) GROUP BY Tenant, Profile, RecordId)
    UNION ALL
    SELECT count() AS Records FROM (SELECT 1 FROM contexts WHERE Tenant = {tenant:String} AND Profile NOT IN
        (
            SELECT Profile FROM observation_ids WHERE Tenant = {tenant:String} AND Derived = 0
                AND (Profile, RecordId) IN (SELECT Profile, min(RecordId) FROM contexts WHERE Tenant = {tenant:String} GROUP BY Profile)
        ) GROUP BY Tenant, Profile, RecordId)
)
SETTINGS optimize_aggregation_in_order = 1
