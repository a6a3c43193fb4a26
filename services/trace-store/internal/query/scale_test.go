package query_test

import (
	"cmp"
	"context"
	"encoding/binary"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/internal/clickhouse/clickhousetest"
	"github.com/driftmesh/driftmesh/internal/otlp"
	"github.com/driftmesh/driftmesh/services/trace-store/internal/query"
	"github.com/driftmesh/driftmesh/services/trace-store/internal/store"
	"github.com/driftmesh/driftmesh/services/trace-store/internal/tracetest"
	"github.com/driftmesh/driftmesh/services/trace-store/internal/wire"
)

var (
	scaleSpans   = flag.Int("scale.spans", 0, "measure with this many spans; 0 skips TestScale")
	scaleBatch   = flag.Int("scale.batch", 42_000, "spans in one write")
	scaleWriters = flag.Int("scale.writers", 1, "writes at a time")
	scaleTables  = flag.String("scale.tables", "", "directory of other migrations to measure")
	scaleHold    = flag.Duration("scale.hold", 0, "keep the database open this long afterwards, to look around")
	scaleScreens = flag.Bool("scale.screens", false, "only what the screens of the user interface ask")
	scaleRuns    = flag.Int("scale.runs", 100, "look-ups of each kind")
)

// TestScale loads many spans and prints what loading, storing and looking them
// up costs; docs/adr/005-span-table.md has the numbers. It asserts only that
// answers are complete.
//
//	go test -run TestScale -timeout 60m -v ./services/trace-store/internal/query -args -scale.spans 10000000
func TestScale(t *testing.T) {
	if *scaleSpans == 0 {
		t.Skip("give -scale.spans to measure")
	}
	db := clickhousetest.Open(t)
	if *scaleTables == "" {
		migrate(t, db)
	} else {
		require.NoError(t, db.Migrate(t.Context(), "trace-store", os.DirFS(*scaleTables)))
	}
	f := &fixture{t: t, db: db, reader: query.New(db, query.Limits{}), writer: store.NewWriter(db, store.WriterConfig{Blocks: *scaleWriters, MaxBlock: 48 << 20})}
	l := newLoader(f)
	l.run()
	l.sizes()
	switch {
	case *scaleScreens:
		l.screens()
	case *scaleRuns > 0:
		l.lookups()
	}
	if *scaleHold > 0 {
		fmt.Println("holding", db.Database(), "at", clickhousetest.URL(t))
		time.Sleep(*scaleHold) // for whoever wants to look at the tables
	}
}

// loader makes unique spans out of a few requests by changing ids and times in
// place, so that making them costs next to nothing.
type loader struct {
	*fixture
	templates [][]byte
	ids       []query.TraceID // of some traces, to look up
	began     time.Time
}

const scaleBase = 1_795_000_000_000_000_000

func newLoader(f *fixture) *loader {
	r := rand.New(rand.NewPCG(5, 5))
	l := &loader{fixture: f}
	for range 200 {
		l.templates = append(l.templates, tracetest.Marshal(tracetest.Realistic(r, scaleBase)))
	}
	return l
}

// request is the n-th request, whose spans start at an n-th of a day.
func (l *loader) request(n int) store.Message {
	raw := slices.Clone(l.templates[n%len(l.templates)])
	shift := uint64(n) * uint64(24*time.Hour) / uint64(max(*scaleSpans/100, 1))
	mix := uint64(n/len(l.templates)+1) * 0x9E3779B97F4A7C15
	id := func(b []byte) { binary.LittleEndian.PutUint64(b, binary.LittleEndian.Uint64(b)^mix) }
	stamp := func(field []byte) {
		b := field[len(field)-8:]
		binary.LittleEndian.PutUint64(b, binary.LittleEndian.Uint64(b)+shift)
	}
	for rs := wire.Of(raw); rs.Next(); {
		for ss := wire.Of(rs.V); ss.Next(); {
			for s := wire.Of(ss.V); ss.Num == otlp.ResourceSpansScopeSpans && s.Next(); {
				for c := wire.Of(s.V); s.Num == otlp.ScopeSpansSpans && c.Next(); {
					switch c.Num {
					case otlp.SpanTraceID, otlp.SpanSpanID, otlp.SpanParentSpanID:
						id(c.V)
						if c.Num == otlp.SpanTraceID && n%97 == 0 {
							l.ids = append(l.ids, query.TraceID(c.V))
						}
					case otlp.SpanStartTimeUnixNano, otlp.SpanEndTimeUnixNano:
						stamp(c.Raw)
					}
				}
			}
		}
	}
	received := time.Unix(0, int64(scaleBase+shift*2)) // over two days: two partitions
	return store.Message{ID: "m" + strconv.Itoa(n), Tenant: "acme", ReceivedAt: received, Count: 100, Value: raw}
}

func (l *loader) run() {
	l.began = time.Now()
	own, engine := l.cpu()
	heap := uint64(0)
	batches := make(chan []store.Message)
	var wg sync.WaitGroup
	for range *scaleWriters {
		wg.Go(func() {
			for msgs := range batches {
				if _, err := l.writer.Write(context.Background(), msgs); err != nil {
					l.t.Error(err)
				}
			}
		})
	}
	for n := 0; n < *scaleSpans/100; {
		var msgs []store.Message
		for ; len(msgs) < *scaleBatch/100 && n < *scaleSpans/100; n++ {
			msgs = append(msgs, l.request(n))
		}
		batches <- msgs
		var stats runtime.MemStats
		runtime.ReadMemStats(&stats)
		heap = max(heap, stats.Sys)
	}
	close(batches)
	wg.Wait()
	took := time.Since(l.began).Seconds()
	own2, engine2 := l.cpu()
	million := float64(*scaleSpans) / 1e6
	fmt.Printf("load: %.1f s, %.0f k spans/s, own %.2f CPU-s/M, engine %.2f CPU-s/M, own memory %d MiB\n",
		took, float64(*scaleSpans)/took/1e3, (own2-own)/million, (engine2-engine)/million, heap>>20)
	l.quiet()
	_, engine3 := l.cpu()
	fmt.Printf("with merges: engine %.2f CPU-s/M, quiet after %.0f s\n", (engine3-engine)/million, time.Since(l.began).Seconds())
}

// quiet waits until nothing has been merged for a while.
func (l *loader) quiet() {
	for idle := 0; idle < 10; {
		var merges uint64
		require.NoError(l.t, l.db.QueryRow(context.Background(), "SELECT count() FROM system.merges").Scan(&merges))
		if idle++; merges > 0 {
			idle = 0
		}
		time.Sleep(300 * time.Millisecond) // between two looks
	}
}

// cpu is the seconds that this process and the engine have used.
func (l *loader) cpu() (own, engine float64) {
	var u syscall.Rusage
	require.NoError(l.t, syscall.Getrusage(syscall.RUSAGE_SELF, &u))
	own = float64(u.Utime.Sec+u.Stime.Sec) + float64(u.Utime.Usec+u.Stime.Usec)/1e6
	if e := clickhousetest.Engine(l.t); e != nil {
		raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", e.PID()))
		require.NoError(l.t, err)
		fields := strings.Fields(string(raw[strings.LastIndexByte(string(raw), ')')+1:]))
		const userHZ = 100
		for _, f := range fields[11:13] {
			ticks, err := strconv.ParseFloat(f, 64)
			require.NoError(l.t, err)
			engine += ticks / userHZ
		}
	}
	return own, engine
}

func (l *loader) sizes() {
	rows, err := l.db.Query(context.Background(), `SELECT table, sum(rows), sum(bytes_on_disk), count(), sum(primary_key_bytes_in_memory_allocated)
FROM system.parts WHERE active AND database = currentDatabase() GROUP BY table ORDER BY table`)
	require.NoError(l.t, err)
	defer rows.Close()
	for rows.Next() {
		var table string
		var n, bytes, parts, pk uint64
		require.NoError(l.t, rows.Scan(&table, &n, &bytes, &parts, &pk))
		fmt.Printf("table %-12s %9d rows %6.1f B/span %3d parts, %d KiB primary key\n", table, n, float64(bytes)/float64(*scaleSpans), parts, pk>>10)
	}
	cols, err := l.db.Query(context.Background(), `SELECT table, column, sum(column_data_compressed_bytes) AS b
FROM system.parts_columns WHERE active AND database = currentDatabase() GROUP BY table, column ORDER BY b DESC LIMIT 14`)
	require.NoError(l.t, err)
	defer cols.Close()
	for cols.Next() {
		var table, column string
		var bytes uint64
		require.NoError(l.t, cols.Scan(&table, &column, &bytes))
		fmt.Printf("  %s.%s %.1f B/span\n", table, column, float64(bytes)/float64(*scaleSpans))
	}
}

func (l *loader) lookups() {
	ctx := context.Background()
	r := rand.New(rand.NewPCG(7, 7))
	l.measure("trace by id", func() {
		spans := 0
		id := l.ids[r.IntN(len(l.ids))]
		require.NoError(l.t, l.reader.Trace(ctx, "acme", id, func(p query.Part) error { spans += p.Spans; return nil }))
		require.Equal(l.t, 10, spans)
	})
	l.measure("otel_traces by id", func() {
		var n uint64
		id := l.ids[r.IntN(len(l.ids))].String()
		require.NoError(l.t, l.db.QueryRow(ctx, "SELECT count() FROM (SELECT * FROM otel_traces WHERE TraceId = '"+id+"')").Scan(&n))
		require.Equal(l.t, uint64(10), n)
	})
	service := func() string { return fmt.Sprintf("service-%d", r.IntN(4)) }
	hour := func() query.Range {
		from := time.Unix(0, scaleBase+r.Int64N(int64(23*time.Hour)))
		return query.Range{Start: from, End: from.Add(time.Hour)}
	}
	searches := map[string]func() query.Search{
		"1 service":       func() query.Search { return query.Search{Service: service()} },
		"2 service, hour": func() query.Search { return query.Search{Service: service(), Range: hour()} },
		"3 service, operation, hour": func() query.Search {
			return query.Search{Service: service(), Operation: "GET /api/v3/orders/{id}", Range: hour()}
		},
		"4 service, error": func() query.Search {
			return query.Search{Service: service(), Attributes: map[string]string{"error": "true"}}
		},
		"5 service, status 500, hour": func() query.Search {
			return query.Search{Service: service(), Range: hour(), Attributes: map[string]string{"http.response.status_code": "500"}}
		},
		"6 service, one user": func() query.Search {
			return query.Search{Service: service(), Attributes: map[string]string{"enduser.id": fmt.Sprintf("user-%d", r.IntN(1e5))}}
		},
		"7 service, one user, hour": func() query.Search {
			return query.Search{Service: service(), Range: hour(), Attributes: map[string]string{"enduser.id": fmt.Sprintf("user-%d", r.IntN(1e5))}}
		},
		"8 any service, absent value": func() query.Search {
			return query.Search{Attributes: map[string]string{"enduser.id": fmt.Sprintf("nobody-%d", r.IntN(1e9))}}
		},
		"9 any service, slow, hour": func() query.Search { return query.Search{MinDuration: 200 * time.Millisecond, Range: hour()} },
	}
	for _, name := range slices.Sorted(maps.Keys(searches)) {
		l.measure("summaries: "+name, func() {
			_, _, err := l.reader.Summaries(ctx, "acme", searches[name]())
			require.NoError(l.t, err)
		})
	}
	l.measure("find whole: service, hour", func() {
		_, err := l.reader.Find(ctx, "acme", searches["2 service, hour"](), func(query.Part) error { return nil })
		require.NoError(l.t, err)
	})
	l.measure("1,500 summaries: service, hour", func() {
		s := searches["2 service, hour"]()
		s.Limit = 1500
		_, _, err := l.reader.Summaries(ctx, "acme", s)
		require.NoError(l.t, err)
	})
	l.measure("operations", func() {
		ops, _, err := l.reader.Operations(ctx, "acme", service(), "")
		require.NoError(l.t, err)
		require.NotEmpty(l.t, ops)
	})
	l.screens()
	*scaleRuns = min(*scaleRuns, 3)
	l.measure("dependencies, an hour", func() {
		_, _, err := l.reader.Dependencies(ctx, "acme", hour())
		require.NoError(l.t, err)
	})
	l.measure("dependencies, all", func() {
		_, _, err := l.reader.Dependencies(ctx, "acme", query.Range{Start: time.Unix(0, scaleBase), End: time.Unix(0, scaleBase).Add(48 * time.Hour)})
		require.NoError(l.t, err)
	})
	for name, m := range map[string]query.Measure{
		"hour, server":            {Kinds: []string{"server"}},
		"hour, p95":               {Quantile: new(0.95)},
		"day, p95":                {Quantile: new(0.95), Step: time.Minute * 5},
		"day, p95, by operation":  {Quantile: new(0.95), Step: time.Minute * 5, ByOperation: true},
		"hour, p95, by operation": {Quantile: new(0.95), ByOperation: true},
		"day, two services, p95":  {Quantile: new(0.95), Step: time.Minute * 5},
	} {
		m.Services, m.Window, m.Step = []string{service()}, 10*time.Minute, cmp.Or(m.Step, time.Minute)
		within := hour()
		m.From, m.Until = within.Start, within.End
		if strings.HasPrefix(name, "day") {
			m.From, m.Until = time.Unix(0, scaleBase), time.Unix(0, scaleBase).Add(24*time.Hour)
		}
		if strings.HasPrefix(name, "day, two") {
			m.Services = []string{"service-1", "service-2"}
		}
		l.measure("measure: "+name, func() {
			series, err := l.reader.Measure(ctx, "acme", m)
			require.NoError(l.t, err)
			require.NotEmpty(l.t, series)
		})
	}
	l.measure("ledger", func() {
		var pending int64
		_, err := l.newBook(&pending).Settled(ctx, "acme")
		require.NoError(l.t, err)
		stored, err := l.reader.Stored(ctx, "acme", time.Unix(0, 0))
		require.NoError(l.t, err)
		require.Equal(l.t, uint64(*scaleSpans), stored)
	})
}

// screens are what the user interface asks: the search for traces over its usual hour,
// the last, and over a day, and the overview over its day.
func (l *loader) screens() {
	ctx := context.Background()
	r := rand.New(rand.NewPCG(9, 9))
	end := time.Unix(0, scaleBase).Add(24 * time.Hour)
	ranges := map[string]query.Range{
		"1 last hour": {Start: end.Add(-time.Hour), End: end}, "2 hour at noon": {Start: end.Add(-12 * time.Hour), End: end.Add(-11 * time.Hour)},
		"3 day": {Start: end.Add(-24 * time.Hour), End: end},
	}
	for _, when := range slices.Sorted(maps.Keys(ranges)) {
		for _, what := range []string{"all", "service", "error", "status 500"} {
			search := func() query.Search {
				s := query.Search{Range: ranges[when]}
				switch what {
				case "service":
					s.Service = fmt.Sprintf("service-%d", r.IntN(4))
				case "error":
					s.Attributes = map[string]string{"error": "true"}
				case "status 500":
					s.Attributes = map[string]string{"http.response.status_code": "500"}
				}
				return s
			}
			name := when[2:] + ", " + what
			l.measure("summaries: "+name, func() {
				s := search()
				s.Limit = 50
				_, _, err := l.reader.Summaries(ctx, "acme", s)
				require.NoError(l.t, err)
			})
			sampled := uint64(0)
			l.measure("heat map: "+name, func() {
				got, err := l.reader.Count(ctx, "acme", query.Count{Search: search(), Durations: 14})
				require.NoError(l.t, err)
				require.NotEmpty(l.t, got.Rows)
				sampled = got.Sampled
			})
			fmt.Printf("    one trace in %d\n", sampled)
			var listed *query.AttributeList
			for list, a := range map[string]query.AttributeQuery{"keys": {Keys: 60, Values: 7}, "values": {Key: "user_agent.original"}} {
				l.measure(list+": "+name, func() {
					var err error
					a.Search = search()
					listed, err = l.reader.Attributes(ctx, "acme", a)
					require.NoError(l.t, err)
				})
				fmt.Printf("    looked at %d of %d\n", listed.LookedAt, listed.Spans)
			}
		}
		within := ranges[when]
		step := max(within.End.Sub(within.Start)/48, time.Minute)
		m := query.Measure{
			Services: []string{"service-0", "service-1", "service-2", "service-3"},
			From:     within.Start.Add(step), Until: within.End, Step: step, Window: step, Quantile: new(0.95),
		}
		sampled := uint64(0)
		l.measure("overview: "+when[2:], func() {
			series, one, err := l.reader.Estimate(ctx, "acme", m)
			require.NoError(l.t, err)
			require.Len(l.t, series, 4)
			sampled = one
		})
		fmt.Printf("    one span in %d\n", sampled)
		var graph *query.Graph
		l.measure("map: "+when[2:], func() {
			var err error
			graph, err = l.reader.Graph(ctx, "acme", query.GraphQuestion{Range: within})
			require.NoError(l.t, err)
			require.NotEmpty(l.t, graph.Edges)
		})
		fmt.Printf("    one trace in %d, of %d spans\n", graph.OneIn, graph.Spans)
	}
}

func (l *loader) measure(name string, do func()) {
	do() // warm: the first one loads indexes
	_, before := l.cpu()
	took := make([]time.Duration, *scaleRuns)
	for i := range took {
		start := time.Now()
		do()
		took[i] = time.Since(start)
	}
	_, after := l.cpu()
	slices.Sort(took)
	at := func(p float64) float64 { return float64(took[int(p*float64(len(took)-1))].Microseconds()) / 1e3 }
	fmt.Printf("%-40s p50 %7.1f ms  p95 %7.1f  p99 %7.1f  engine %6.1f ms CPU\n", name, at(.5), at(.95), at(.99), (after-before)*1e3/float64(len(took)))
}
