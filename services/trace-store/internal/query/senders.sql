-- Who sent the spans of a trace. A span leads to the ledger's entry by the time at which
-- its message was accepted; two messages of one nanosecond would share theirs.
WITH items AS
(
    SELECT ReceivedAt FROM spans FINAL
    PREWHERE Tenant = {tenant:String} AND TraceId = toFixedString(unhex({trace:String}), 16)
)
SELECT entries.Sender, count() AS Spans, min(items.ReceivedAt), max(items.ReceivedAt)
FROM items
LEFT JOIN
(
    SELECT ReceivedAt, anyLast(toString(Sender)) AS Sender
    FROM span_ledger
    WHERE Tenant = {tenant:String} AND ReceivedAt IN (SELECT ReceivedAt FROM items)
    GROUP BY ReceivedAt
) AS entries ON items.ReceivedAt = entries.ReceivedAt
GROUP BY entries.Sender
ORDER BY Spans DESC, entries.Sender
LIMIT 1000
