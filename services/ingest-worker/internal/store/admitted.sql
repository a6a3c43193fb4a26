SELECT
    Signal,
    sum(toUInt64(Accepted)),
    sum(toUInt64(Forwarded)),
    CAST(sumMap(CAST(Rejected, 'Map(String, UInt64)')), 'Map(String, UInt64)'),
    CAST(sumMap(CAST(DeadLettered, 'Map(String, UInt64)')), 'Map(String, UInt64)'),
    if({by_day:Bool}, toUInt32(toDate(ReceivedAt)), 0) AS Day
FROM inbox_ledger FINAL
WHERE Tenant = {tenant:String}
GROUP BY Signal, Day
ORDER BY Signal, Day
