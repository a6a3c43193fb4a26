    SELECT
        Minute, numeric[i] AS feature, key,
        toUInt16(multiIf(
            state != 0, bins[feature + 1] + state - 1,
            isNaN(value), bins[feature + 1] + 1,
            isInfinite(value), bins[feature + 1] + if(value > 0, 2, 3),
            arrayCount(edge -> edge < value, edges[i]))) AS cell
    FROM rows
    ARRAY JOIN Numbers AS value, NumberStates AS state, arrayEnumerate(Numbers) AS i
