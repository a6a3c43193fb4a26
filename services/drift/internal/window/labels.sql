SELECT o.RecordId AS RecordId, o.TraceId AS TraceId, o.SpanId AS SpanId,
    arrayMap((own, label, state) -> if(state = 0, label, own), o.Numbers, arrayResize(l.Numbers, length(o.Numbers)),
        arrayResize(l.NumberStates, length(o.Numbers), 1)) AS Numbers,
    arrayMap((own, state) -> if(state = 0, 0, own), o.NumberStates, arrayResize(l.NumberStates, length(o.Numbers), 1)) AS NumberStates,
    CAST(arrayMap((own, label, state) -> if(state = 0, label, own), o.Categories, arrayResize(l.Categories, length(o.Categories)),
        arrayResize(l.CategoryStates, length(o.Categories), 1)), 'Array(LowCardinality(String))') AS Categories,
    arrayMap((own, state) -> if(state = 0, 0, own), o.CategoryStates, arrayResize(l.CategoryStates, length(o.Categories), 1)) AS CategoryStates
FROM ($own) AS o
LEFT JOIN
(
    SELECT RecordId, Numbers, NumberStates, Categories, CategoryStates
    FROM labels FINAL
    WHERE $of AND RecordId IN (SELECT RecordId FROM observations WHERE $range)
) AS l ON o.RecordId = l.RecordId
