-- A tenant's settled messages by gateway process. A process numbers the
-- messages of all tenants together, from 1, so what is missing is counted over
-- all of them; it is a number and tells nothing else of the others.
SELECT
    mine.Instance AS Instance, Messages, Accepted, Written, Rejected, DeadLettered,
    toUInt64(Highest - Known) AS Missing
FROM
(
    SELECT
        Instance,
        count() AS Messages,
        sum(toUInt64(Accepted)) AS Accepted,
        sum(toUInt64(Written)) AS Written,
        CAST(sumMap(CAST(Rejected, 'Map(String, UInt64)')), 'Map(String, UInt64)') AS Rejected,
        CAST(sumMap(CAST(DeadLettered, 'Map(String, UInt64)')), 'Map(String, UInt64)') AS DeadLettered
    FROM record_ledger FINAL
    WHERE Tenant = {tenant:String}
    GROUP BY Instance
) AS mine
LEFT JOIN
(
    -- A bitmap of the numbers: they are dense, so it takes about a bit for each.
    -- Void numbers above the highest that came tell nothing of those below it.
    SELECT Instance, any(Top) AS Highest, groupBitmapIf(Number, Number > 0 AND Number <= Top) AS Known
    FROM
    (
        SELECT Instance, arrayJoin(arrayPushBack(Void, Seq)) AS Number
        FROM record_ledger
        WHERE Instance IN (SELECT Instance FROM record_ledger WHERE Tenant = {tenant:String})
    ) AS numbers
    INNER JOIN
    (
        SELECT Instance, max(Seq) AS Top
        FROM record_ledger
        WHERE Instance IN (SELECT Instance FROM record_ledger WHERE Tenant = {tenant:String})
        GROUP BY Instance
    ) AS tops USING Instance
    GROUP BY Instance
) AS everybody ON mine.Instance = everybody.Instance
ORDER BY Instance
