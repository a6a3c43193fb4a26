-- What was settled, by gateway process, and how much of what its receipts say.
SELECT
    splitByChar('/', Account)[1] AS Process,
    sum(Messages), sum(Accepted), sum(Written),
    CAST(sumMap(Rejected), 'Map(String, UInt64)'), CAST(sumMap(DeadLettered), 'Map(String, UInt64)'),
    sum(Top), sum(toUInt64(Top - Below)), sum(toUInt64(Items - BelowItems))
FROM
(
    SELECT
        if(r.Account != '', r.Account, toString(s.Instance)) AS Account,
        countIf(s.MessageId != '') AS Messages,
        sum(toUInt64(s.Accepted)) AS Accepted,
        sum(toUInt64(s.Written)) AS Written,
        sumMap(CAST(s.Rejected, 'Map(String, UInt64)')) AS Rejected,
        sumMap(CAST(s.DeadLettered, 'Map(String, UInt64)')) AS DeadLettered,
        max(r.Messages) AS Top,
        max(r.Items) AS Items,
        countIf(s.Seq BETWEEN 1 AND r.Messages) AS Below,
        sumIf(toUInt64(s.Accepted), s.Seq BETWEEN 1 AND r.Messages) AS BelowItems
    FROM
    (
        SELECT Instance, MessageId, Seq, Accepted, {{written}} AS Written, Rejected, DeadLettered
        FROM {{settled}} FINAL
        WHERE {{tenant}} AND ReceivedAt >= {since:DateTime64(9)}
    ) AS s
    FULL JOIN
    (
        SELECT Account, max(Messages) AS Messages, max(Items) AS Items
        FROM {{receipts}}
        WHERE {{tenant}} AND Day >= toDate({since:DateTime64(9)}) AND Reason = ''
        GROUP BY Account
    ) AS r ON toString(s.Instance) = r.Account
    GROUP BY Account
)
GROUP BY Process
ORDER BY Process
SETTINGS join_use_nulls = 0
