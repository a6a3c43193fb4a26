package exact_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/internal/clickhouse"
	"github.com/driftmesh/driftmesh/internal/clickhouse/clickhousetest"
	"github.com/driftmesh/driftmesh/internal/exact"
)

// BenchmarkSQL measures what Σx and Σx² of 20 million values of 20 features cost
// the engine, in its own count of CPU, exactly and as floats. "one" has values
// of few buckets, "wide" of all exponents from 2^−40 to 2^40.
func BenchmarkSQL(b *testing.B) {
	const rows = 20_000_000
	db := clickhousetest.Open(b)
	for name, value := range map[string]string{
		"one":  "randNormal(50, 20)",
		"wide": "randNormal(0, 1) * exp2(rand(1) % 81 - 40.)",
	} {
		require.NoError(b, db.Exec(b.Context(), fmt.Sprintf(
			"CREATE TABLE %s (f UInt8, x Float64) ENGINE = MergeTree ORDER BY tuple() AS SELECT number %% 20, %s FROM numbers(%d)", name, value, rows)))
		exactly := func(order int) string {
			return "SELECT f, " + exact.SQLOf("x", order).Select() + " FROM %s GROUP BY f, bucket"
		}
		for what, statement := range map[string]string{
			"read":      "SELECT f, any(x) FROM %s GROUP BY f",
			"plain sum": "SELECT f, sum(x), sum(x * x) FROM %s GROUP BY f",
			"exact sum": exactly(1),
			"exact":     exactly(2),
			"exact 4":   exactly(4),
		} {
			b.Run(name+"/"+what, func(b *testing.B) {
				before, loops := cpu(b, db), 0.0
				for b.Loop() {
					require.NoError(b, db.Exec(b.Context(), fmt.Sprintf(statement, name)+" FORMAT Null"))
					loops++
				}
				b.ReportMetric(float64(cpu(b, db)-before)*1000/loops/rows, "cpu-ns/value")
			})
		}
	}
}

// cpu is the time that the engine's threads have worked, in microseconds.
func cpu(b *testing.B, db *clickhouse.DB) (used uint64) {
	b.Helper()
	require.NoError(b, db.QueryRow(b.Context(),
		"SELECT toUInt64(sum(value)) FROM system.events WHERE event IN ('UserTimeMicroseconds', 'SystemTimeMicroseconds')").Scan(&used))
	return used
}
