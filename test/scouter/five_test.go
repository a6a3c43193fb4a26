package scouter_test

import (
	"fmt"
	"slices"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/internal/clickhouse"
	ledgerv1 "github.com/driftmesh/driftmesh/proto/driftmesh/ledger/v1"
	"github.com/driftmesh/driftmesh/test/mesh"
)

// Five programs, with two workers each and two gateways, are to the client what one
// program is, on all five transports; and each of them is killed in mid-run.
func TestFiveServices(t *testing.T) {
	t.Parallel()
	python(t)
	b := startTheirs(t)
	f := mesh.StartFive(t, append(b.variables(), "DRIFTMESH_AUTH_SCOUTER_ACCOUNTS=true", "DRIFTMESH_TELEMETRY_DISABLE=true")...)
	for _, name := range []string{"ingest-worker", "drift", "trace-store"} {
		f.Join(name)
	}
	second, _ := f.JoinGateway()
	requireRuns(t, b, f, second)

	all := []*streamed{stream(t, "http", f.Addresses), stream(t, "grpc", second)}
	for _, name := range mesh.Services {
		for _, s := range all {
			s.goesOn(10)
		}
		f.Kill(name)
		if name == "gateway" {
			all[0].r.cut()
		}
		f.Restart(name)
		if name == "gateway" {
			all[0].r.open()
		}
	}
	for _, s := range all {
		s.goesOn(10)
		s.s.end(&s.sent)
	}
	f.Settled(t, "records")
	f.Settled(t, "spans")
	for _, s := range all {
		s.ask(f.HTTP)
	}
	for _, s := range all {
		requireCheckedOnce(t, f.Conn(t), openStore(t, f.ClickHouseURL), s.sent.Profiles["eval"])
	}
	requireAcknowledged(t, f.ClickHouseURL, all)
}

// report is drive.py's.
type report struct {
	Run  string
	Sent struct{ Messages, Records, Spans uint64 }

	Profiles map[string]struct{ UID string }
	Queue    struct {
		SPC, Custom struct{ Values map[string][]float64 }
		PSI         struct{ Bins map[string]map[string]uint64 }
		Eval        struct{ UIDs []string }
	}
	Link struct {
		RecordUID string `json:"record_uid"`
	}
	Traces []struct {
		TraceID string `json:"trace_id"`
		Spans   []struct{ Name string }
	}
}

// requireRuns lets drive.py run over all transports at once, and requires that it reads
// back what it sent, and of the store what it does not ask.
func requireRuns(t *testing.T, b theirs, f *mesh.Five, second mesh.Addresses) {
	t.Helper()
	scripts, reports := map[string]*script{}, map[string]*report{"http": {}, "grpc": {}}
	for _, way := range ways {
		scripts[way], reports[way] = b.drive(t, f.Addresses, way), &report{}
	}
	for _, way := range []string{"http", "grpc"} {
		scripts[way] = begin(t, "drive.py", "--transport", way, "--run", way, "--http", "http://"+f.HTTP, "--grpc", second.GRPC,
			"--otlp-http", "http://"+f.OTLPHTTP, "--otlp-grpc", "http://"+second.OTLPGRPC, "--verify", "--drain", "0.7")
	}
	var sent uint64
	for way, r := range reports {
		scripts[way].end(r)
		sent += r.Sent.Records
	}
	f.Account(t, "records", func(a *ledgerv1.Account) bool {
		return a.GetAccepted() == sent && a.GetRejected()["not_finite"] == 5 && mesh.AllSettled(a) && a.GetBalanced()
	})
	f.Settled(t, "spans")
	// Every message is one of ours.
	db := openStore(t, f.ClickHouseURL)
	require.Equal(t, []uint64{5 * 12, 5*109 - 5}, row[uint64](t, db, "SELECT [count(), sum(Written)] FROM record_ledger FINAL WHERE Tenant = 'default'"))
	for _, r := range reports {
		requireRun(t, db, r)
	}
}

// row reads a list that a query makes.
func row[V any](t *testing.T, db *clickhouse.DB, query string) (list []V) {
	t.Helper()
	require.NoError(t, db.QueryRow(t.Context(), query).Scan(&list), query)
	return list
}

// requireRun requires that the store has exactly what a run says that it sent.
func requireRun(t *testing.T, db *clickhouse.DB, r *report) {
	t.Helper()
	require.Equal(t, []uint64{12, 109}, []uint64{r.Sent.Messages, r.Sent.Records})
	of := func(kind string) string { return "Tenant = 'default' AND Profile = '" + r.Profiles[kind].UID + "'" }
	// Features are in the order of their names.
	require.Equal(t, []float64{24, 74, 12, 37}, row[float64](t, db, `SELECT arrayConcat(arraySort(groupArrayIf(Numbers[1], NumberStates[1] = 0)), arraySort(groupArrayIf(Numbers[2], NumberStates[2] = 0)))
		FROM (SELECT Numbers, NumberStates FROM observations FINAL WHERE `+of("spc")+`)`), r.Run)
	require.Equal(t, []float64{3, 16.5, 4, 0.5}, row[float64](t, db, `SELECT [toFloat64(countIf(Name = 'mae')), avgIf(Value, Name = 'mae'), toFloat64(countIf(Name = 'accuracy')), avgIf(Value, Name = 'accuracy')]
		FROM metrics WHERE `+of("custom")), "a mean that was no number is none, and its neighbour is")
	require.ElementsMatch(t, append(slices.Clone(r.Queue.Eval.UIDs), r.Link.RecordUID), row[string](t, db, "SELECT groupArray(RecordId) FROM contexts FINAL WHERE "+of("eval")))
	require.Len(t, r.Queue.Eval.UIDs, 27)
	requireBins(t, db, of("psi"), r)
	for _, trace := range r.Traces {
		var want []string
		for _, s := range trace.Spans {
			want = append(want, s.Name)
		}
		require.ElementsMatch(t, want, row[string](t, db, "SELECT groupArray(SpanName) FROM otel_traces WHERE Tenant = 'default' AND TraceId = '"+trace.TraceID+"'"), trace)
	}
	require.Equal(t, []uint64{r.Sent.Spans, r.Sent.Spans}, row[uint64](t, db, `SELECT [count(), uniqExact(TraceId, SpanId)] FROM otel_traces
		WHERE Tenant = 'default' AND ServiceName = 'drive-`+r.Run+"'"), "every span once, though some came over two ways")
}

// requireBins requires the counts of every bin, to the last value: those that were
// inserted and the one of the span.
func requireBins(t *testing.T, db *clickhouse.DB, of string, r *report) {
	t.Helper()
	one := map[string]int{"requests": 0, "region": 1, "temperature": 2} // bins of the span's row, from 0
	for i, feature := range []string{"region", "requests", "temperature"} {
		want := make([]uint64, len(r.Queue.PSI.Bins[feature]))
		first := 1
		if feature == "region" {
			first = 0 // categories have their numbers
		}
		for bin, n := range r.Queue.PSI.Bins[feature] {
			at, err := strconv.Atoi(bin)
			require.NoError(t, err)
			want[at-first] = n
		}
		want[one[feature]]++
		require.Equal(t, want, row[uint64](t, db, fmt.Sprintf(`SELECT groupArray(n) FROM (SELECT CountedBin, sum(Counted) AS n FROM observations FINAL
			WHERE %s AND CountedFeature = %d GROUP BY CountedBin ORDER BY CountedBin)`, of, i+1)), feature)
	}
}
