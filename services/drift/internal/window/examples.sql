WITH
$bins
SELECT Cell, count() AS Records, groupArraySorted($most)((Key, RecordId, Trace, Span)) AS Found
FROM
(
    SELECT toUInt32($target) AS Cell, $key AS Key, RecordId,
        if(TraceId = toFixedString('', 16), '', lower(hex(TraceId))) AS Trace, if(SpanId = toFixedString('', 8), '', lower(hex(SpanId))) AS Span
    FROM ($records)
    WHERE Cell != 4294967295
)
GROUP BY Cell
ORDER BY Cell
SETTINGS max_block_size = $block
