    SELECT
        Minute, category[i] AS feature, key,
        toUInt16(if(
            state != 0, bins[feature + 1],
            transform(concat(toString(i), ':', value), keys, cells_of_keys, toUInt16(bins[feature + 1] + 4)))) AS cell
    FROM rows
    ARRAY JOIN Categories AS value, CategoryStates AS state, arrayEnumerate(Categories) AS i
