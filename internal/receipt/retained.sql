-- How many bytes were acknowledged of each tenant.
SELECT toString(Tenant), sum(Items)
FROM
(
    SELECT Tenant, max(Items) AS Items
    FROM {{receipts}}
    WHERE Day >= toDate({since:DateTime64(9)}) AND Reason = {reason:String}
    GROUP BY Tenant, Day, Account
)
GROUP BY Tenant
