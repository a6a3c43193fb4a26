package window_test

import (
	"cmp"
	"context"
	"encoding/hex"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/internal/clickhouse"
	"github.com/driftmesh/driftmesh/internal/clickhouse/clickhousetest"
	"github.com/driftmesh/driftmesh/sdk/profile"
	"github.com/driftmesh/driftmesh/services/drift/internal/drifttest"
	"github.com/driftmesh/driftmesh/services/drift/internal/store"
	"github.com/driftmesh/driftmesh/services/drift/internal/window"
)

func TestMain(m *testing.M) { clickhousetest.Main(m) }

const (
	tenant = "acme"
	// day is the minute at which the test data begin.
	day = int64(29600000)
)

var uid = uuid.MustParse("01970f4e-6c1a-7b32-9d55-0c2f6f1f5d11")

// record is one row of observations.
type record = drifttest.Record

func tables(t testing.TB) *clickhouse.DB { return drifttest.Tables(t) }

func insert(ctx context.Context, db *clickhouse.DB, tenant string, records []record) error {
	return drifttest.Insert(ctx, db, tenant, uid, records)
}

// recompute does what a worker does.
func recompute(ctx context.Context, db *clickhouse.DB, s *window.Statements, minutes []int64) error {
	return store.NewCells(db).Recompute(ctx, s, minutes)
}

// cells is what the table says: minute and feature to counts.
func cells(t testing.TB, db *clickhouse.DB) map[string][]uint64 {
	t.Helper()
	rows, err := db.Query(t.Context(), "SELECT toInt64(toUnixTimestamp(Minute)) DIV 60, Feature, Counts, Records FROM cells FINAL WHERE Tenant = 'acme' ORDER BY 1, 2")
	require.NoError(t, err)
	defer func() { _ = rows.Close() }()
	all := map[string][]uint64{}
	for rows.Next() {
		var minute int64
		var feature uint16
		var counts []uint64
		var records uint64
		require.NoError(t, rows.Scan(&minute, &feature, &counts, &records))
		all[fmt.Sprintf("%d/%d", minute-day, feature)] = append(counts, records)
	}
	require.NoError(t, rows.Err())
	return all
}

// expected computes the same in Go: winners first, then bins.
func expected(p *profile.Profile, records []record) map[string][]uint64 {
	winners := map[string]record{}
	touched := map[int64]bool{}
	for _, r := range records {
		touched[r.Minute] = true
		if w, ok := winners[r.ID]; !ok || cmp.Or(cmp.Compare(r.Hash, w.Hash), cmp.Compare(r.Minute, w.Minute)) > 0 {
			winners[r.ID] = r
		}
	}
	all := map[string][]uint64{}
	for minute := range touched {
		for i := range p.Features {
			all[fmt.Sprintf("%d/%d", minute-day, i)] = make([]uint64, p.Features[i].Cells()+1)
		}
	}
	for _, r := range winners {
		number, category := 0, 0
		for i := range p.Features {
			f := &p.Features[i]
			var cell int
			if f.Kind == profile.Numeric {
				cell = f.NumberCell(r.Numbers[number])
				if r.Missing != nil && r.Missing[number] {
					cell = f.SpecialCell(profile.Missing)
				}
				number++
			} else {
				cell = f.CategoryCell(r.Categories[category])
				if r.Categories[category] == "" {
					cell = f.SpecialCell(profile.Missing)
				}
				category++
			}
			counts := all[fmt.Sprintf("%d/%d", r.Minute-day, i)]
			counts[cell]++
			counts[len(counts)-1]++
		}
	}
	return all
}

// mixed is a profile with everything that bins can be: repeated edges, one
// category, texts that need quoting.
func mixed(t testing.TB) *profile.Profile {
	t.Helper()
	n := 400
	random := rand.New(rand.NewPCG(3, 4))
	columns := []profile.Column{
		{Name: "amount", Type: profile.Float}, {Name: "color", Type: profile.String}, {Name: "constant", Type: profile.Int},
		{Name: "flag", Type: profile.Bool}, {Name: "age", Type: profile.Int},
	}
	for range n {
		columns[0].Numbers = append(columns[0].Numbers, math.Round(random.NormFloat64()*100)/10)
		columns[1].Texts = append(columns[1].Texts, colors[random.IntN(4)])
		columns[2].Numbers = append(columns[2].Numbers, 5)
		columns[3].Texts = append(columns[3].Texts, "true")
		columns[4].Numbers = append(columns[4].Numbers, float64(18+random.IntN(60)))
	}
	p, err := profile.New(columns, profile.Options{Space: "s", Name: "n"})
	require.NoError(t, err)
	return p
}

var colors = []string{"red", "it's\\", "2:blue", "grün\n", "violet"}

// sample makes n records over some minutes: values on edges, special values,
// and for every tenth record a second row with the same id.
func sample(p *profile.Profile, n, minutes int) []record {
	random := rand.New(rand.NewPCG(5, 6))
	edges := p.Features[0].Edges()
	special := []float64{math.NaN(), math.Inf(1), math.Inf(-1), math.Copysign(0, -1), edges[0], edges[3], math.Nextafter(edges[3], 100)}
	var records []record
	for i := range n {
		r := record{ID: fmt.Sprintf("record-%05d", i), Minute: day + int64(random.IntN(minutes)), Hash: random.Uint64(), Trace: i%3 == 0}
		amount := random.NormFloat64() * 12
		if i%9 == 0 {
			amount = special[random.IntN(len(special))]
		}
		r.Numbers = []float64{amount, float64(4 + random.IntN(3)), float64(10 + random.IntN(80))}
		r.Categories = []string{colors[random.IntN(5)], []string{"true", "false", ""}[random.IntN(3)]}
		if i%11 == 0 {
			r.Missing = []bool{true, false, i%2 == 0}
			r.Numbers[0] = 0
		}
		records = append(records, r)
		if i%10 == 0 { // the same record said differently: same minute or another
			again := r
			again.Hash = random.Uint64()
			again.Numbers = []float64{1, 2, 3}
			again.Missing = nil
			again.Minute = day + int64(random.IntN(minutes))
			records = append(records, again)
		}
	}
	return records
}

func TestRecomputeCountsWhatGoCounts(t *testing.T) {
	db := tables(t)
	p := mixed(t)
	records := sample(p, 3000, 5)
	require.NoError(t, insert(t.Context(), db, tenant, records))
	require.NoError(t, insert(t.Context(), db, "other tenant", records[:100]))
	s := window.New(tenant, uid.String(), p, nil)
	for minute := day; minute < day+5; minute++ {
		require.NoError(t, recompute(t.Context(), db, s, []int64{minute}))
	}
	require.Equal(t, expected(p, records), cells(t, db))
}

// Workers, order, batches, duplicates and repeated work must not change a digit.
func TestSameCellsWithAnyNumberOfWorkers(t *testing.T) {
	p := mixed(t)
	records := sample(p, 900, 3)
	want := expected(p, records)
	for _, workers := range []int{1, 2, 7} {
		t.Run(strconv.Itoa(workers), func(t *testing.T) {
			db := tables(t)
			s := window.New(tenant, uid.String(), p, nil)
			random := rand.New(rand.NewPCG(uint64(workers), 9))
			shuffled := append(slices.Clone(records), records[:200]...)
			random.Shuffle(len(shuffled), func(a, b int) { shuffled[a], shuffled[b] = shuffled[b], shuffled[a] })
			var group sync.WaitGroup
			batches := make(chan []record)
			failed := make(chan error, workers)
			for range workers {
				group.Go(func() {
					for batch := range batches {
						if err := work(t.Context(), db, s, batch); err != nil {
							failed <- err
							return
						}
					}
				})
			}
			for batch := range slices.Chunk(shuffled, 170) {
				select {
				case batches <- batch:
				case err := <-failed:
					require.NoError(t, err)
				}
			}
			close(batches)
			group.Wait()
			require.Equal(t, want, cells(t, db))
		})
	}
}

// work stores a batch and recomputes what it touched, as ingest and drift do.
func work(ctx context.Context, db *clickhouse.DB, s *window.Statements, batch []record) error {
	if err := insert(ctx, db, tenant, batch); err != nil {
		return err
	}
	touched := map[int64]bool{}
	for _, r := range batch {
		touched[r.Minute] = true
	}
	for minute := range touched {
		if err := recompute(ctx, db, s, []int64{minute}); err != nil {
			return err
		}
	}
	return nil
}

// A result that was computed from fewer rows loses, also when it is written
// last.
func TestStaleRecomputeNeverWins(t *testing.T) {
	db := tables(t)
	p := mixed(t)
	s := window.New(tenant, uid.String(), p, nil)
	records := sample(p, 200, 1)
	require.NoError(t, insert(t.Context(), db, tenant, records[:150]))
	require.NoError(t, recompute(t.Context(), db, s, []int64{day}))
	require.NoError(t, db.Exec(t.Context(), "CREATE TABLE stale AS cells"))
	require.NoError(t, db.Exec(t.Context(), "INSERT INTO stale SELECT * FROM cells"))
	require.NoError(t, insert(t.Context(), db, tenant, records[150:]))
	// A row of the next minute beats one of this: the count here goes down.
	stolen := records[0]
	stolen.Minute, stolen.Hash = day+1, math.MaxUint64
	require.NoError(t, insert(t.Context(), db, tenant, []record{stolen}))
	require.NoError(t, recompute(t.Context(), db, s, []int64{day + 1}))
	want := expected(p, append(slices.Clone(records), stolen))
	require.Equal(t, want, cells(t, db))
	require.NoError(t, db.Exec(t.Context(), "INSERT INTO cells SELECT * FROM stale"))
	require.Equal(t, want, cells(t, db))
	require.NoError(t, db.Exec(t.Context(), "OPTIMIZE TABLE cells FINAL"))
	require.Equal(t, want, cells(t, db))
}

// A window whose only record moved away is written as empty.
func TestWindowCanBecomeEmpty(t *testing.T) {
	db := tables(t)
	p := mixed(t)
	s := window.New(tenant, uid.String(), p, nil)
	one := sample(p, 2, 1)[1:2]
	one[0].Hash = 5
	require.NoError(t, insert(t.Context(), db, tenant, one))
	require.NoError(t, recompute(t.Context(), db, s, []int64{day}))
	moved := one[0]
	moved.Minute, moved.Hash = day+3, 6
	require.NoError(t, insert(t.Context(), db, tenant, []record{moved}))
	require.NoError(t, recompute(t.Context(), db, s, []int64{day + 3}))
	got := cells(t, db)
	require.Equal(t, expected(p, []record{one[0], moved}), got)
	for _, n := range got["0/0"] {
		require.Zero(t, n)
	}
}

// A row that lost can be beaten in its own minute by one that wins: the window
// gets its record back, and the stale result, which had none, loses.
func TestLostRecordComesBack(t *testing.T) {
	db := tables(t)
	p := mixed(t)
	s := window.New(tenant, uid.String(), p, nil)
	first := sample(p, 2, 1)[1]
	first.Hash = 10
	moved, back := first, first
	moved.Minute, moved.Hash = day+1, 20
	back.Hash, back.Numbers = 30, []float64{9, 9, 9}
	var all []record
	for _, r := range []record{first, moved, back} {
		all = append(all, r)
		require.NoError(t, insert(t.Context(), db, tenant, []record{r}))
		require.NoError(t, recompute(t.Context(), db, s, []int64{r.Minute}))
		require.Equal(t, expected(p, all), cells(t, db))
	}
}

// Slices find the same losers as the whole.
func TestSlices(t *testing.T) {
	db := tables(t)
	p := mixed(t)
	s := window.New(tenant, uid.String(), p, nil)
	require.NoError(t, insert(t.Context(), db, tenant, sample(p, 1000, 3)))
	minutes := []int64{day, day + 1, day + 2}
	var whole, sum uint64
	require.NoError(t, db.QueryRow(t.Context(), s.Suspects(minutes, window.Slice{})).Scan(&whole))
	require.NotZero(t, whole)
	for part := range 3 {
		var n uint64
		require.NoError(t, db.QueryRow(t.Context(), s.Suspects(minutes, window.Slice{Part: part, Of: 3})).Scan(&n))
		sum += n
	}
	require.Equal(t, whole, sum)
	var first, last string
	require.NoError(t, db.QueryRow(t.Context(), s.Span(minutes)).Scan(&first, &last))
	require.Equal(t, []string{"record-00000", "record-00999"}, []string{first, last})
	var scanned uint64
	for part := range 2 {
		var n uint64
		require.NoError(t, db.QueryRow(t.Context(), s.SuspectsAmong(minutes, window.Slice{Part: part, Of: 2}, window.IDs{First: first, Last: last})).Scan(&n))
		scanned += n
	}
	require.Equal(t, whole, scanned)
	// A single window: the others are elsewhere.
	var by, between uint64
	require.NoError(t, db.QueryRow(t.Context(), s.Suspects(minutes[:1], window.Slice{})).Scan(&by))
	require.NoError(t, db.QueryRow(t.Context(), s.SuspectsAmong(minutes[:1], window.Slice{}, window.IDs{})).Scan(&between))
	require.NotZero(t, by)
	require.Equal(t, by, between)
}

func TestExemplars(t *testing.T) {
	db := tables(t)
	p := mixed(t)
	s := window.New(tenant, uid.String(), p, nil)
	records := sample(p, 600, 1)
	require.NoError(t, insert(t.Context(), db, tenant, records))
	require.NoError(t, recompute(t.Context(), db, s, []int64{day}))
	var keys [][]uint64
	require.NoError(t, db.QueryRow(t.Context(), "SELECT Exemplars FROM cells FINAL WHERE Feature = 0").Scan(&keys))
	require.Len(t, keys, p.Features[0].Cells())
	rows, err := db.Query(t.Context(), s.Exemplars([]int64{day}, slices.Concat(keys...)))
	require.NoError(t, err)
	defer func() { _ = rows.Close() }()
	found := map[uint64]record{}
	for rows.Next() {
		var key uint64
		var id, trace, span string
		require.NoError(t, rows.Scan(&key, &id, &trace, &span))
		i := slices.IndexFunc(records, func(r record) bool { return r.ID == id })
		found[key] = records[i]
		if !records[i].Trace {
			require.Empty(t, trace+span)
			continue
		}
		require.Equal(t, hex.EncodeToString([]byte(id[:8])), trace[16:])
		require.Equal(t, hex.EncodeToString([]byte(id[:8])), span)
	}
	require.NoError(t, rows.Err())
	for cell, list := range keys[:10] {
		require.Len(t, list, window.MaxExemplars, "bin %d", cell)
		require.True(t, slices.IsSorted(list))
		for _, key := range list {
			r, ok := found[key]
			require.True(t, ok)
			require.True(t, r.Trace, "records with a trace come first")
		}
	}
}

// A record that moved to another minute shows the trace it has there.
func TestExemplarsAreNoLosers(t *testing.T) {
	db := tables(t)
	p := mixed(t)
	s := window.New(tenant, uid.String(), p, nil)
	lost := sample(p, 1, 1)[0]
	lost.ID, lost.Hash, lost.Trace = "moved", 1, false
	counts := lost
	counts.Minute, counts.Hash, counts.Trace = day+1, 2, true
	require.NoError(t, insert(t.Context(), db, tenant, []record{lost, counts}))
	require.NoError(t, recompute(t.Context(), db, s, []int64{day, day + 1}))
	var keys []uint64
	require.NoError(t, db.QueryRow(t.Context(), `SELECT groupUniqArray(key) FROM
		(SELECT arrayJoin([bitShiftRight(cityHash64('moved'), 1), bitOr(bitShiftRight(cityHash64('moved'), 1), bitShiftLeft(toUInt64(1), 63))]) AS key)`).Scan(&keys))
	rows, err := db.Query(t.Context(), s.Exemplars([]int64{day, day + 1}, keys))
	require.NoError(t, err)
	defer func() { _ = rows.Close() }()
	var traces []string
	for rows.Next() {
		var key uint64
		var id, trace, span string
		require.NoError(t, rows.Scan(&key, &id, &trace, &span))
		traces = append(traces, trace)
	}
	require.NoError(t, rows.Err())
	require.Len(t, traces, 1)
	require.NotEmpty(t, traces[0])
}

// The engine's edges are those of the profile to the last bit.
func TestEdgesSurviveToTheLastBit(t *testing.T) {
	db := tables(t)
	random := rand.New(rand.NewPCG(7, 8))
	column := profile.Column{Name: "x", Type: profile.Float}
	for range 500 {
		column.Numbers = append(column.Numbers, math.Ldexp(random.Float64(), random.IntN(80)-40))
	}
	p, err := profile.New([]profile.Column{column}, profile.Options{Space: "s", Name: "n", Binning: profile.Binning{Rule: profile.Quantile, Bins: 100}})
	require.NoError(t, err)
	var records []record
	for i, e := range p.Features[0].Edges() {
		for k, v := range []float64{math.Nextafter(e, math.Inf(-1)), e, math.Nextafter(e, math.Inf(1))} {
			records = append(records, record{ID: fmt.Sprintf("%d-%d", i, k), Minute: day, Hash: 1, Numbers: []float64{v}})
		}
	}
	require.NoError(t, insert(t.Context(), db, tenant, records))
	require.NoError(t, recompute(t.Context(), db, window.New(tenant, uid.String(), p, nil), []int64{day}))
	require.Equal(t, expected(p, records), cells(t, db))
}

func TestStatementsQuote(t *testing.T) {
	t.Parallel()
	p := mixed(t)
	sql := window.New("o'neil\\", uid.String(), p, nil).Rows([]int64{1, 2})
	require.Contains(t, sql, `Tenant = 'o\'neil\\'`)
	require.NotContains(t, sql, "$")
	require.NotContains(t, sql, "violet")
	require.NotContains(t, sql, "grün")
}
