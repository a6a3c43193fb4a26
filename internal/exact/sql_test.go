package exact_test

import (
	"fmt"
	"math"
	"math/big"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/internal/clickhouse"
	"github.com/driftmesh/driftmesh/internal/clickhouse/clickhousetest"
	"github.com/driftmesh/driftmesh/internal/exact"
)

func TestMain(m *testing.M) { clickhousetest.Main(m) }

// ask sums a table of Float64s in the engine and reads what comes out, all at
// once or a row each.
func ask(t *testing.T, db *clickhouse.DB, from string, order int, each bool) []*exact.Moments {
	t.Helper()
	sql := exact.SQLOf("x", order)
	group := "bucket"
	if each {
		group = "i, bucket"
	}
	rows, err := db.Query(t.Context(), fmt.Sprintf("SELECT %s FROM %s GROUP BY %s ORDER BY any(i)", sql.Select(), from, group))
	require.NoError(t, err)
	defer func() { require.NoError(t, rows.Close()) }()
	all := []*exact.Moments{exact.NewMoments(order)}
	for rows.Next() {
		var bucket uint16
		var n uint64
		into, sums := []any{&bucket, &n}, make([]*big.Int, len(sql.Sums))
		for i := range sums {
			sums[i] = new(big.Int)
			into = append(into, sums[i])
		}
		require.NoError(t, rows.Scan(into...))
		require.NoError(t, sql.Read(all[len(all)-1], int(bucket), n, sums))
		if each {
			all = append(all, exact.NewMoments(order))
		}
	}
	require.NoError(t, rows.Err())
	return all
}

func same(t *testing.T, want, got *exact.Moments, values []float64) {
	t.Helper()
	a, err := want.MarshalBinary()
	require.NoError(t, err)
	b, err := got.MarshalBinary()
	require.NoError(t, err)
	require.Equal(t, a, b, "%v", values)
}

// table makes one of values, by the bits of them: not every way in which the
// engine reads a decimal gives the nearest float.
func table(t *testing.T, db *clickhouse.DB, name string, values []float64) {
	t.Helper()
	require.NoError(t, db.Exec(t.Context(), "CREATE TABLE "+name+" (i UInt32, x Float64) ENGINE = Memory"))
	const chunk = 4000 // the engine bounds the length of a statement
	for begin := 0; begin < len(values); begin += chunk {
		var rows []string
		for i, x := range values[begin:min(begin+chunk, len(values))] {
			rows = append(rows, fmt.Sprintf("(%d,%d)", begin+i, math.Float64bits(x)))
		}
		require.NoError(t, db.Exec(t.Context(), fmt.Sprintf(
			"INSERT INTO %s SELECT i, reinterpretAsFloat64(bits) FROM VALUES('i UInt32, bits UInt64', %s)", name, strings.Join(rows, ","))))
	}
}

// TestSQL sums the same values here and there, each alone and all together.
func TestSQL(t *testing.T) {
	db := clickhousetest.Open(t)
	values := slices.Clone(nasty)
	for e := -1074; e <= 1023; e++ { // every exponent, with a full and an empty mantissa
		p := math.Ldexp(1, e)
		values = append(values, p, -p, math.Nextafter(p, math.Inf(1)), math.Nextafter(p, 0))
	}
	r := rand.New(rand.NewPCG(11, 12))
	for range 2000 {
		values = append(values, any64(r))
	}
	table(t, db, "nasty", values)
	for order := 1; order <= exact.MaxOrder; order++ {
		same(t, exact.Of(order, values...), ask(t, db, "nasty", order, false)[0], nil)
		each := ask(t, db, "nasty", order, true)
		require.Len(t, each, len(values)+1)
		for i, x := range values {
			same(t, exact.Of(order, x), each[i], []float64{x})
		}
	}
}

// TestSQLAnswersExactly is the check of the reference, in the engine.
func TestSQLAnswersExactly(t *testing.T) {
	db := clickhousetest.Open(t)
	table(t, db, "lost", []float64{1e16, 1, -1e16, 1, 3})
	got, err := ask(t, db, "lost", 1, false)[0].Sum(1).Float()
	require.NoError(t, err)
	require.Equal(t, 5.0, got) //nolint:testifylint // exact
	table(t, db, "far", []float64{1e9 + 4, 1e9 + 7, 1e9 + 13, 1e9 + 16})
	got, err = ask(t, db, "far", 2, false)[0].Variance()
	require.NoError(t, err)
	require.Equal(t, 30.0, got) //nolint:testifylint // exact
}
