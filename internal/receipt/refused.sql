-- What was refused at the doors, by reason.
SELECT toString(Reason), sum(Items)
FROM
(
    SELECT Reason, max(Items) AS Items
    FROM {{receipts}}
    WHERE {{tenant}} AND Day >= toDate({since:DateTime64(9)}) AND Reason != ''
    GROUP BY Tenant, Day, Account, Reason
)
GROUP BY Reason
