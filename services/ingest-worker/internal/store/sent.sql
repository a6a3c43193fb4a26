-- Records of a profile whose event time is in the range, or one by its id, for the
-- question who sent them.
SELECT 'features' AS Kind, ReceivedAt FROM observations FINAL
WHERE Tenant = {tenant:String} AND Profile = {profile:UUID} AND Minute >= {start:DateTime('UTC')} AND Minute < {end:DateTime('UTC')}
    -- What drift made of contexts is counted with those; what it made of spans, whoever sent the spans sent.
    AND (Derived = 0 OR RecordId NOT IN (SELECT RecordId FROM contexts WHERE Tenant = {tenant:String} AND Profile = {profile:UUID}
        AND EventTime >= {start:DateTime('UTC')} - 60 AND EventTime < {end:DateTime('UTC')} + 60))
    AND ({id:String} = '' OR RecordId = {id:String} AND Minute IN
        (SELECT Minute FROM observation_ids WHERE Tenant = {tenant:String} AND Profile = {profile:UUID} AND RecordId = {id:String}))
UNION ALL
SELECT 'metrics', ReceivedAt FROM metric_records FINAL
WHERE Tenant = {tenant:String} AND Profile = {profile:UUID} AND ({id:String} = '' OR RecordId = {id:String})
    AND EventTime >= {start:DateTime('UTC')} AND EventTime < {end:DateTime('UTC')}
UNION ALL
SELECT 'context', ReceivedAt FROM contexts FINAL
WHERE Tenant = {tenant:String} AND Profile = {profile:UUID} AND ({id:String} = '' OR RecordId = {id:String})
    AND EventTime >= {start:DateTime('UTC')} AND EventTime < {end:DateTime('UTC')}
UNION ALL
SELECT 'label', ReceivedAt FROM labels FINAL
WHERE Tenant = {tenant:String} AND Profile = {profile:UUID} AND RecordId IN
    (SELECT RecordId FROM observation_ids WHERE Tenant = {tenant:String} AND Profile = {profile:UUID}
        AND Minute >= {start:DateTime('UTC')} AND Minute < {end:DateTime('UTC')} AND ({id:String} = '' OR RecordId = {id:String}))
