INSERT INTO outcome_cells (Tenant, Profile, Minute, $columns, Version)
WITH
$bins,
lost_rows AS
(
    SELECT Minute, RecordId, ContentHash FROM losers WHERE $window
),
labelled AS
(
    SELECT RecordId, Numbers, NumberStates, Categories, CategoryStates, Version
    FROM labels FINAL
    WHERE Tenant = $tenant AND Profile = $profile AND RecordId IN (SELECT RecordId FROM observations WHERE $window)
),
rows AS
(
    SELECT Minute, 2 * toUInt128(ContentHash) + if(lost, 2, 1) + bitShiftRight(l.Version, 32) AS version, $values
    FROM
    (
        SELECT Minute, RecordId, ContentHash, Numbers, NumberStates, Categories, CategoryStates, (Minute, RecordId, ContentHash) IN lost_rows AS lost
        FROM observations FINAL
        WHERE $window
    ) AS o
    LEFT JOIN labelled AS l ON o.RecordId = l.RecordId
)
$counted
SETTINGS max_block_size = $block
