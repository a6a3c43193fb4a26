-- How many messages are on record.
SELECT sum(Messages)
FROM
(
    SELECT max(Messages) AS Messages
    FROM {{receipts}}
    WHERE {{tenant}} AND Day >= toDate({since:DateTime64(9)}) AND Reason = ''
    GROUP BY Tenant, Day, Account
)
