-- Who sent items: a statement that gives Kind and ReceivedAt of each. An item leads to the
-- ledger's entry by the time at which its message was accepted. Of the inbox that is what
-- a producer or its broker says: where several messages have one time, all who sent one
-- are named, so that nobody passes for another. Observations that were made of spans lead to the
-- ledger of spans, whose table may not be there yet: merge allows that.
WITH items AS
(
    {{items}}
)
SELECT
    if(length(entries.Senders) < 2, arrayElement(entries.Senders, 1),
        concat('one of: ', arrayStringConcat(arrayMap(one -> if(one = '', '(not known)', one), entries.Senders), ', '))) AS Named,
    items.Kind, count() AS Items, min(items.ReceivedAt), max(items.ReceivedAt)
FROM items
LEFT JOIN
(
    SELECT ReceivedAt, arraySort(groupUniqArray(11)(toString(Sender))) AS Senders
    FROM merge(currentDatabase(), '^(record|span)_ledger$')
    WHERE Tenant = {tenant:String} AND ReceivedAt IN (SELECT ReceivedAt FROM items)
    GROUP BY ReceivedAt
) AS entries ON items.ReceivedAt = entries.ReceivedAt
GROUP BY Named, items.Kind
ORDER BY Items DESC, items.Kind, Named
LIMIT 1000
