-- Who sent items: a statement that gives Kind and ReceivedAt of each. An item leads to the
-- ledger's entry by the time at which its message was accepted; two messages of one
-- nanosecond would share theirs. Observations that were made of spans lead to the
-- ledger of spans, whose table may not be there yet: merge allows that.
WITH items AS
(
    {{items}}
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
