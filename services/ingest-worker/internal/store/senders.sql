-- Who sent records of a profile: those whose event time is in the range, or one by its
-- id. Of a feed of spans the observations lead to the ledger of spans; that table may
-- not be there yet, which merge allows. A row leads to its entry by the time at which
-- its message was accepted; two messages of one nanosecond would share theirs.
WITH items AS
(
    SELECT 'features' AS Kind, RecordId, ReceivedAt FROM observations FINAL
    WHERE Tenant = {tenant:String} AND Profile = {profile:UUID} AND Minute >= {start:DateTime('UTC')} AND Minute < {end:DateTime('UTC')}
        AND ({id:String} = '' OR RecordId = {id:String} AND Minute IN
            (SELECT Minute FROM observation_ids WHERE Tenant = {tenant:String} AND Profile = {profile:UUID} AND RecordId = {id:String}))
    UNION ALL
    SELECT 'metrics', RecordId, ReceivedAt FROM metric_records FINAL
    WHERE Tenant = {tenant:String} AND Profile = {profile:UUID} AND ({id:String} = '' OR RecordId = {id:String})
        AND EventTime >= {start:DateTime('UTC')} AND EventTime < {end:DateTime('UTC')}
    UNION ALL
    SELECT 'context', RecordId, ReceivedAt FROM contexts FINAL
    WHERE Tenant = {tenant:String} AND Profile = {profile:UUID} AND ({id:String} = '' OR RecordId = {id:String})
        AND EventTime >= {start:DateTime('UTC')} AND EventTime < {end:DateTime('UTC')}
    UNION ALL
    SELECT 'label', RecordId, ReceivedAt FROM labels FINAL
    WHERE Tenant = {tenant:String} AND Profile = {profile:UUID} AND RecordId IN
        (SELECT RecordId FROM observation_ids WHERE Tenant = {tenant:String} AND Profile = {profile:UUID}
            AND Minute >= {start:DateTime('UTC')} AND Minute < {end:DateTime('UTC')} AND ({id:String} = '' OR RecordId = {id:String}))
)
SELECT entries.Sender, items.Kind, count() AS Items, min(items.ReceivedAt), max(items.ReceivedAt)
FROM items
LEFT JOIN
(
    SELECT ReceivedAt, anyLast(toString(Sender)) AS Sender
    FROM merge(currentDatabase(), '^(record|span)_ledger$')
    WHERE Tenant = {tenant:String} AND ReceivedAt IN (SELECT ReceivedAt FROM items)
    GROUP BY ReceivedAt
) AS entries ON items.ReceivedAt = entries.ReceivedAt
GROUP BY entries.Sender, items.Kind
ORDER BY Items DESC, items.Kind, entries.Sender
LIMIT 1000
