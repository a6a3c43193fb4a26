package store_test

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	"github.com/driftmesh/driftmesh/internal/broker"
	"github.com/driftmesh/driftmesh/internal/clickhouse"
	"github.com/driftmesh/driftmesh/internal/clickhouse/clickhousetest"
	"github.com/driftmesh/driftmesh/internal/receipt"
	ledgerv1 "github.com/driftmesh/driftmesh/proto/driftmesh/ledger/v1"
	"github.com/driftmesh/driftmesh/services/ingest-worker/internal/normalize"
	"github.com/driftmesh/driftmesh/services/ingest-worker/internal/store"
)

func TestMain(m *testing.M) { clickhousetest.Main(m) }

var (
	wine = uuid.MustParse("01890a5d-ac96-774b-bcce-b302099a8057")
	beer = uuid.MustParse("01890a5d-ac96-774b-bcce-b302099a8058")
	// In whole seconds: tests compare with what the store gives back.
	start = time.Date(2026, 11, 21, 10, 0, 0, 0, time.UTC)
)

// roomy is a limit that no block of these tests reaches.
const roomy = 1 << 30

func open(t testing.TB) (*clickhouse.DB, *store.Store) {
	db := clickhousetest.Open(t)
	s := store.New(db)
	require.NoError(t, s.Migrate(t.Context()))
	return db, s
}

// row is a row of features: one number and one category.
func row(profile uuid.UUID, id string, minute int, value float64) normalize.Row {
	return normalize.Row{
		Body: normalize.Features, Profile: profile, ID: []byte(id), EventTime: start.Add(time.Duration(minute) * time.Minute).UnixNano(),
		Hash:    math.Float64bits(value) ^ uint64(minute),
		Numbers: []float64{value}, NumberStates: []normalize.State{normalize.Present},
		Categories: [][]byte{[]byte("red")}, CategoryStates: []normalize.State{normalize.Present},
	}
}

func message(tenant, id string, seq uint64) store.Message {
	return store.Message{ID: id, Tenant: tenant, Instance: "gw", Seq: seq, Accepted: start}
}

func fill(b *store.Block, m store.Message, rows ...normalize.Row) {
	b.Begin(m)
	for i := range rows {
		b.Row(&rows[i])
	}
	b.End()
}

func count(t *testing.T, db *clickhouse.DB, sql string, args ...any) uint64 {
	var n uint64
	require.NoError(t, db.QueryRow(t.Context(), sql, args...).Scan(&n), sql)
	return n
}

func TestRowsComeBackAsTheyWere(t *testing.T) {
	db, s := open(t)
	b := store.NewBlock(roomy)
	r := row(wine, "r1", 3, 0)
	r.TraceID, r.SpanID = [16]byte{1, 2}, [8]byte{3}
	r.EventTime += 123456789
	r.Numbers = []float64{1.5, 0, math.NaN(), math.Inf(1), math.Inf(-1)}
	r.NumberStates = []normalize.State{normalize.Present, normalize.Missing, normalize.NaN, normalize.PosInf, normalize.NegInf}
	r.Categories = [][]byte{[]byte("röd"), nil, []byte("")}
	r.CategoryStates = []normalize.State{normalize.Present, normalize.Missing, normalize.Present}
	fill(b, message("a", "m1", 1), r)
	require.NoError(t, s.Write(t.Context(), b))

	var got struct {
		Tenant         string    `ch:"Tenant"`
		Profile        uuid.UUID `ch:"Profile"`
		Minute         time.Time `ch:"Minute"`
		RecordID       string    `ch:"RecordId"`
		EventTime      time.Time `ch:"EventTime"`
		TraceID        string    `ch:"TraceId"`
		SpanID         string    `ch:"SpanId"`
		Numbers        []float64 `ch:"Numbers"`
		NumberStates   []uint8   `ch:"NumberStates"`
		Categories     []string  `ch:"Categories"`
		CategoryStates []uint8   `ch:"CategoryStates"`
		ReceivedAt     time.Time `ch:"ReceivedAt"`
		Hash           uint64    `ch:"ContentHash"`
	}
	require.NoError(t, db.QueryRow(t.Context(), `SELECT Tenant, Profile, Minute, RecordId, EventTime, hex(TraceId) AS TraceId, hex(SpanId) AS SpanId,
		Numbers, NumberStates, Categories, CategoryStates, ReceivedAt, ContentHash FROM observations`).ScanStruct(&got))
	require.Equal(t, "a", got.Tenant)
	require.Equal(t, wine, got.Profile)
	require.Equal(t, start.Add(3*time.Minute), got.Minute.UTC())
	require.Equal(t, "r1", got.RecordID)
	require.Equal(t, r.EventTime, got.EventTime.UnixNano())
	require.Equal(t, "01020000000000000000000000000000", got.TraceID)
	require.Equal(t, "0300000000000000", got.SpanID)
	require.True(t, math.IsNaN(got.Numbers[2]))
	got.Numbers[2] = 0
	require.Equal(t, []float64{1.5, 0, 0, math.Inf(1), math.Inf(-1)}, got.Numbers)
	require.Equal(t, []uint8{0, 1, 2, 3, 4}, got.NumberStates)
	require.Equal(t, []string{"röd", "", ""}, got.Categories)
	require.Equal(t, []uint8{0, 1, 0}, got.CategoryStates)
	require.Equal(t, start, got.ReceivedAt.UTC())
	require.Equal(t, r.Hash, got.Hash)
	require.Equal(t, []store.Touch{{Tenant: "a", Profile: wine, Minutes: []int64{start.Unix()/60 + 3}}}, b.Touched())
}

func TestMetricsAndContexts(t *testing.T) {
	db, s := open(t)
	b := store.NewBlock(roomy)
	at := start.UnixNano()
	fill(b, message("a", "m1", 1),
		normalize.Row{Body: normalize.Metrics, Profile: wine, ID: []byte("x"), EventTime: at, Hash: 9, Names: [][]byte{[]byte("mae"), []byte("rmse")}, Values: []float64{1, 2}},
		// Another record of the same id: one of them wins whole.
		normalize.Row{Body: normalize.Metrics, Profile: wine, ID: []byte("x"), EventTime: at, Hash: 8, Names: [][]byte{[]byte("other")}, Values: []float64{3}},
		normalize.Row{Body: normalize.Context, Profile: wine, ID: []byte("x"), EventTime: at, Hash: 7, JSON: []byte(`{"a":1}`)},
	)
	require.NoError(t, s.Write(t.Context(), b))
	require.Empty(t, b.Touched(), "windows are of features")

	var values []struct {
		Name  string  `ch:"Name"`
		Value float64 `ch:"Value"`
	}
	require.NoError(t, db.Select(t.Context(), &values, "SELECT Name, Value FROM metrics WHERE Tenant = 'a' ORDER BY Name"))
	require.Len(t, values, 2)
	require.Equal(t, "mae", values[0].Name)
	require.InDelta(t, 2, values[1].Value, 0)
	var text string
	require.NoError(t, db.QueryRow(t.Context(), "SELECT Json FROM contexts FINAL WHERE Tenant = 'a'").Scan(&text))
	require.JSONEq(t, `{"a":1}`, text)
	stored, err := s.Stored(t.Context(), "a")
	require.NoError(t, err)
	require.Equal(t, uint64(2), stored)
	require.Equal(t, uint64(3), settled(t, db, "a")[0].GetWritten())
}

// A context that is checked touches its window, and is found by its minute. What drift
// makes of its checks is an observation, and no record: nobody sent it.
func TestCheckedContexts(t *testing.T) {
	db, s := open(t)
	b := store.NewBlock(roomy)
	at := start.Add(3 * time.Minute)
	fill(b, message("a", "m1", 1),
		normalize.Row{Body: normalize.Context, Checked: true, Profile: wine, ID: []byte("x"), EventTime: at.UnixNano(), Hash: 7, JSON: []byte(`{"a":1}`)},
		normalize.Row{Body: normalize.Context, Checked: true, Profile: wine, ID: []byte("y"), EventTime: at.UnixNano(), Hash: 7, JSON: []byte(`{"a":2}`)},
	)
	require.NoError(t, s.Write(t.Context(), b))
	require.Equal(t, []store.Touch{{Tenant: "a", Profile: wine, Minutes: []int64{at.Unix() / 60}}}, b.Touched())
	require.Equal(t, uint64(2), count(t, db, fmt.Sprintf("SELECT count() FROM context_minutes WHERE Tenant = 'a' AND toUnixTimestamp(Minute) = %d", at.Unix())))
	for _, id := range []string{"x", "of a span"} {
		require.NoError(t, db.Exec(t.Context(), fmt.Sprintf(`INSERT INTO observations (Tenant, Profile, RecordId, EventTime, ReceivedAt, ContentHash, Derived)
			SELECT 'a', toUUID('%s'), '%s', fromUnixTimestamp64Nano(%d), now64(9), 1, 1`, wine, id, at.UnixNano())))
	}
	stored, err := s.Stored(t.Context(), "a")
	require.NoError(t, err)
	require.Equal(t, uint64(2), stored)
}

func label(id string, at time.Time, value float64) normalize.Row {
	l := row(wine, id, 0, value)
	l.Body, l.EventTime = normalize.Labels, at.UnixNano()
	return l
}

// Labels come when they come: they touch the windows of the records they are of.
func TestLabelsTouchTheWindowsOfTheirRecords(t *testing.T) {
	db, s := open(t)
	minute := start.Unix() / 60
	b := store.NewBlock(roomy)
	fill(b, message("a", "m1", 1), row(wine, "x", 3, 1), row(wine, "y", 4, 1), row(beer, "x", 9, 1))
	require.NoError(t, s.Write(t.Context(), b))
	for _, c := range []struct {
		why  string
		ids  []string
		want []int64
	}{
		{"of one", []string{"x"}, []int64{minute + 3}},
		{"of both and of one that did not come yet", []string{"y", "x", "z"}, []int64{minute + 3, minute + 4}},
		{"of none that came", []string{"z"}, nil},
	} {
		b.Reset()
		var rows []normalize.Row
		for _, id := range c.ids {
			rows = append(rows, label(id, start.Add(time.Hour), 7))
		}
		fill(b, message("a", "of "+c.why, 2), rows...)
		require.NoError(t, s.Write(t.Context(), b))
		if c.want == nil {
			require.Empty(t, b.Touched(), c.why)
			continue
		}
		require.Equal(t, []store.Touch{{Tenant: "a", Profile: wine, Minutes: c.want}}, b.Touched(), c.why)
	}
	b.Reset()
	fill(b, message("b", "m3", 1), label("x", start, 7))
	require.NoError(t, s.Write(t.Context(), b))
	require.Empty(t, b.Touched(), "another tenant's")
	require.Equal(t, uint64(3), count(t, db, "SELECT count() FROM observations"))
}

// The latest label of a record counts, whatever came first.
func TestTheLatestLabelCounts(t *testing.T) {
	db, s := open(t)
	later, earlier := label("x", start.Add(time.Hour), 1), label("x", start, 2)
	earlier.Hash = math.MaxUint64
	for tenant, rows := range map[string][]normalize.Row{"a": {later, earlier}, "b": {earlier, later}} {
		for i, r := range rows {
			b := store.NewBlock(roomy)
			fill(b, message(tenant, fmt.Sprint("m", i), uint64(i+1)), r)
			require.NoError(t, s.Write(t.Context(), b))
		}
		require.Equal(t, uint64(1), count(t, db, "SELECT sum(Numbers[1])::UInt64 FROM labels FINAL WHERE Tenant = {tenant:String}", clickhouse.Named("tenant", tenant)))
	}
}

// Metrics that are an observation stand in both tables, and are one record.
func TestObservedMetrics(t *testing.T) {
	db, s := open(t)
	b := store.NewBlock(roomy)
	r := row(wine, "x", 3, 1.5)
	r.Body, r.Observed, r.Names, r.Values = normalize.Metrics, true, [][]byte{[]byte("mae")}, []float64{1.5}
	fill(b, message("a", "m1", 1), r)
	require.NoError(t, s.Write(t.Context(), b))
	require.Equal(t, []int64{start.Unix()/60 + 3}, b.Touched()[0].Minutes)
	require.Equal(t, uint64(1), count(t, db, "SELECT count() FROM observations WHERE Numbers = [1.5]"))
	require.Equal(t, uint64(1), count(t, db, "SELECT count() FROM metrics WHERE Value = 1.5"))
	require.Equal(t, uint64(1), settled(t, db, "a")[0].GetWritten())
}

// Whatever the order, the grouping and the number of writes, the same rows
// remain, also of conflicting ones.
func TestShufflesAndRepeatsChangeNothing(t *testing.T) {
	db, s := open(t)
	var rows []normalize.Row
	for i := range 200 {
		rows = append(rows, row(wine, fmt.Sprint(i), i%5, float64(i)))
	}
	for i := range 20 { // the same ids with other values, some of them in another minute
		rows = append(rows, row(wine, fmt.Sprint(i), (i+i%2)%5, float64(1000-i)))
	}
	const fingerprint = `SELECT (count(), groupBitXor(cityHash64(RecordId, EventTime, Numbers, Minute)), sum(Numbers[1]))::String
		FROM (SELECT RecordId, EventTime, Numbers, Minute, ContentHash FROM observations FINAL WHERE Tenant = {tenant:String}) AS o
		WHERE (RecordId, Minute, ContentHash) IN (
			SELECT RecordId, argMax(Minute, (ContentHash, Minute)), max(ContentHash) FROM observation_ids WHERE Tenant = {tenant:String} GROUP BY RecordId)`
	var want string
	for round := range 5 {
		tenant := fmt.Sprint("t", round)
		rng := rand.New(rand.NewPCG(uint64(round), 1))
		for range 1 + round%3 {
			rng.Shuffle(len(rows), func(i, j int) { rows[i], rows[j] = rows[j], rows[i] })
			for from := 0; from < len(rows); {
				to := min(len(rows), from+1+rng.IntN(90))
				b := store.NewBlock(roomy)
				fill(b, message(tenant, fmt.Sprint(round, from), 1), rows[from:to]...)
				require.NoError(t, s.Write(t.Context(), b))
				from = to
			}
		}
		var got string
		require.NoError(t, db.QueryRow(t.Context(), fingerprint, clickhouse.Named("tenant", tenant)).Scan(&got))
		if want == "" {
			want = got
			require.Contains(t, got, "(200,")
		}
		require.Equal(t, want, got, "round %d", round)
		stored, err := s.Stored(t.Context(), tenant)
		require.NoError(t, err)
		require.Equal(t, uint64(200), stored)
	}
}

// settled is a tenant's part of the ledger.
func settled(t *testing.T, db *clickhouse.DB, tenant string) []*ledgerv1.InstanceSettled {
	t.Helper()
	got, err := receipt.New(receipt.Config{
		Signal: "records", Receipts: store.ReceiptsTable, Settled: store.LedgerTable, Written: store.LedgerWritten,
	}, db, func(context.Context, string, string) (broker.Lag, error) { return broker.Lag{Known: true}, nil }).Settled(t.Context(), tenant)
	require.NoError(t, err)
	return got.GetInstances()
}

func TestTheLedgerCountsAMessageOnce(t *testing.T) {
	db, s := open(t)
	b := store.NewBlock(roomy)
	m := message("a", "m1", 1)
	b.Begin(m)
	r := row(wine, "r1", 0, 1)
	b.Row(&r)
	b.Reject(1, normalize.UnknownFeature)
	b.Reject(2, normalize.UnknownFeature)
	b.Reject(3, normalize.Malformed)
	b.End()
	fill(b, message("b", "m3", 3), row(wine, "r1", 0, 1))
	b.Dead(message("a", "m5", 5), 7, "decode")
	require.Equal(t, map[normalize.Reason]int{normalize.UnknownFeature: 2, normalize.Malformed: 1}, b.Rejected())
	for range 3 {
		require.NoError(t, s.Write(t.Context(), b))
	}
	got := settled(t, db, "a")
	require.Len(t, got, 1)
	require.Truef(t, proto.Equal(&ledgerv1.InstanceSettled{
		Instance: "gw", Messages: 2, Accepted: 11, Written: 1,
		Rejected:     map[string]uint64{"unknown_feature": 2, "malformed": 1},
		DeadLettered: map[string]uint64{"decode": 7},
	}, got[0]), "%v", got)

	// The parked message is redriven and stored.
	b.Reset()
	fill(b, message("a", "m5", 5), row(wine, "r2", 0, 1), row(wine, "r1", 0, 1))
	fill(b, message("a", "m4", 4), row(beer, "r1", 0, 1))
	require.NoError(t, s.Write(t.Context(), b))
	got = settled(t, db, "a")
	require.Equal(t, uint64(4), got[0].GetWritten(), "one of them a repeat")
	require.Empty(t, got[0].GetDeadLettered())
	for tenant, want := range map[string]uint64{"a": 3, "b": 1, "nobody": 0} { // an id belongs to its profile and tenant
		stored, err := s.Stored(t.Context(), tenant)
		require.NoError(t, err)
		require.Equal(t, want, stored, tenant)
	}
	require.Empty(t, settled(t, db, "nobody"))
}

func TestManyWordsFitADictionary(t *testing.T) {
	db, s := open(t)
	b := store.NewBlock(roomy)
	for range 2 { // a reset block is as good as new
		b.Reset()
		b.Begin(message("a", "m1", 1))
		for i := range 70_000 {
			r := row(wine, fmt.Sprint(i), 0, 1)
			r.Categories = [][]byte{fmt.Appendf(nil, "word %d", i)}
			b.Row(&r)
		}
		b.End()
	}
	require.NoError(t, s.Write(t.Context(), b))
	require.Equal(t, uint64(70_000), count(t, db, "SELECT countIf(Categories[1] = concat('word ', RecordId)) FROM observations"))
}

func TestMigrateTwiceAndTogether(t *testing.T) {
	db := clickhousetest.Open(t)
	errs := make(chan error)
	for range 3 {
		go func() { errs <- store.New(db).Migrate(context.WithoutCancel(t.Context())) }()
	}
	for range 3 {
		require.NoError(t, <-errs)
	}
	require.Equal(t, uint64(14), count(t, db, "SELECT count() FROM migrations FINAL WHERE Service = 'ingest-worker'"))
}
