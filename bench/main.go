// Command bench starts the mesh as five programs beside a NATS server and a
// ClickHouse engine, drives it with OTLP/gRPC load, and prints what it cost:
// a table, and the same as JSON.
//
// Absolute times depend on the machine. What can be compared is CPU time per
// million spans, which counts every process: the whole way first, into an
// empty store, then the door alone, with nobody reading, and what it left.
package main

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"slices"
	"time"

	"github.com/alecthomas/kong"

	"github.com/driftmesh/driftmesh/bench/harness"
	"github.com/driftmesh/driftmesh/bench/load"
	"github.com/driftmesh/driftmesh/internal/clickhouse"
	tracev1 "github.com/driftmesh/driftmesh/proto/driftmesh/trace/v1"
	"github.com/driftmesh/driftmesh/test/mesh"
	"github.com/driftmesh/driftmesh/test/server/nats"
)

// backlogRoom bounds the topics. The door's load waits there whole until its
// phase is over; at the default of 4 GiB a fast machine would be refused.
const backlogRoom = "24GiB"

type flags struct {
	Duration    time.Duration `help:"Length of each load." default:"15s"`
	Connections int           `help:"Connections." default:"4"`
	InFlight    int           `help:"Requests at a time on a connection." default:"2"`
	Rate        float64       `help:"Spans per second of the whole-way load; 0 for as many as it takes." default:"0"`
	Gzip        bool          `help:"Compress requests."`
	WholeOnly   bool          `help:"Only the whole way: for long runs."`
	Lookups     int           `help:"Traces looked up by id." default:"300"`
	SQL         []string      `help:"Statement to run on the store before the load, to try table settings; may be repeated." sep:"none" json:"sql,omitempty"`
	JSON        string        `help:"Write the result as JSON to this file; - for standard output." default:"-"`
}

func main() {
	nats.Child()
	var f flags
	kong.Parse(&f, kong.Name("bench"), kong.Description("Measure the mesh under load."))
	b := harness.New()
	code := 0
	if err := b.Run(func() error { return measure(b, f) }); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		code = 1
	}
	os.Exit(code)
}

func measure(b *harness.Bench, f flags) error {
	ctx := context.Background()
	m := mesh.StartFive(b, "DRIFTMESH_BROKER_MAX_BYTES="+backlogRoom)
	procs := processes{
		"gateway": m.Process("gateway").PID(), "broker": m.Broker.PID(), "trace-store": m.Process("trace-store").PID(),
		"engine": m.Engine.PID(), "auth": m.Process("auth").PID(), "drift": m.Process("drift").PID(),
		"ingest-worker": m.Process("ingest-worker").PID(),
	}
	result := Result{Config: f}
	if err := execute(ctx, m.ClickHouseURL, f.SQL); err != nil {
		return err
	}
	base := load.Config{Target: m.OTLPGRPC, Connections: f.Connections, InFlight: f.InFlight, Gzip: f.Gzip}

	// The whole way at once, into an empty store.
	whole := base
	whole.Rate = f.Rate
	before, begin := procs.cpu(), time.Now()
	all, err := result.Whole.measure(ctx, procs, whole, 2, f.Duration)
	if err != nil {
		return err
	}
	m.Settled(b, "spans")
	result.StoredSpansPerSecond = float64(all.Spans()) / time.Since(begin).Seconds()
	harness.Idle(procs["engine"])
	result.Whole.CPU = costs(procs.cpu(), before, all.Spans())

	stored := all.Spans()
	if !f.WholeOnly {
		n, err := result.door(ctx, b, m, procs, base, f.Duration)
		if err != nil {
			return err
		}
		stored += n
	}
	result.PeakMiB = procs.peaks()
	if account := m.Settled(b, "spans"); int(account.GetStored()) != stored { //nolint:gosec // far below 2^63
		return fmt.Errorf("acknowledged %d spans and stored %d", stored, account.GetStored())
	}
	if err := result.disk(ctx, m.ClickHouseURL); err != nil {
		return err
	}
	if err := result.lookups(ctx, b, m, f.Lookups, all.Acknowledged); err != nil {
		return err
	}
	result.table(os.Stdout)
	return harness.WriteJSON(f.JSON, result)
}

// door measures the door alone, whoever reads being stopped in its tracks, and
// then what it left. It returns how many spans that were.
func (r *Result) door(ctx context.Context, b *harness.Bench, m *mesh.Five, procs processes, cfg load.Config, length time.Duration) (int, error) {
	resume, err := pause(procs["trace-store"])
	if err != nil {
		return 0, err
	}
	defer resume()
	written := harness.WrittenMiB(procs["broker"])
	door, err := r.Door.measure(ctx, procs, cfg, 1, length)
	if err != nil {
		return 0, err
	}
	r.BrokerBytesPerSpan = (harness.WrittenMiB(procs["broker"]) - written) * (1 << 20) / float64(door.Spans())
	before, begin := procs.cpu(), time.Now()
	resume()
	m.Settled(b, "spans") //nolint:contextcheck // it has a limit of its own
	r.DrainSpansPerSecond = float64(door.Spans()) / time.Since(begin).Seconds()
	harness.Idle(procs["engine"])
	r.Drain = costs(procs.cpu(), before, door.Spans())
	return door.Spans(), nil
}

func execute(ctx context.Context, url string, statements []string) error {
	db, err := clickhouse.Open(ctx, clickhouse.Config{URL: url})
	if err != nil {
		return err
	}
	defer db.Close()
	for _, s := range statements {
		if err := db.Exec(ctx, s); err != nil {
			return err
		}
	}
	return nil
}

// measure runs one load and fills in what it saw.
func (p *Phase) measure(ctx context.Context, procs processes, cfg load.Config, seed uint64, length time.Duration) (*load.Result, error) {
	before := procs.cpu()
	cfg.Seed, cfg.Duration = seed, length
	r, err := load.Run(ctx, cfg)
	if err != nil {
		return nil, err
	}
	if len(r.Failures) > 0 {
		return nil, fmt.Errorf("requests failed: %v", r.Failures)
	}
	p.Spans = r.Spans()
	p.SpansPerSecond = float64(r.Spans()) / r.Elapsed.Seconds()
	p.CPU = costs(procs.cpu(), before, r.Spans())
	p.P50, p.P99 = millis(r.Quantile(0.5)), millis(r.Quantile(0.99))
	return r, nil
}

// disk asks the engine how much a span takes.
func (r *Result) disk(ctx context.Context, url string) error {
	db, err := clickhouse.Open(ctx, clickhouse.Config{URL: url})
	if err != nil {
		return err
	}
	defer db.Close()
	var rows, bytes uint64
	err = db.QueryRow(ctx, "SELECT sum(rows), sum(bytes_on_disk) FROM system.parts WHERE active AND database = currentDatabase() AND table = 'spans'").
		Scan(&rows, &bytes)
	if err != nil || rows == 0 {
		return errors.Join(fmt.Errorf("size of %d rows", rows), err)
	}
	r.BytesPerSpan = float64(bytes) / float64(rows)
	return nil
}

// lookups gets random traces by id: cold, after the engine has forgotten what
// it had in memory, and again.
func (r *Result) lookups(ctx context.Context, b *harness.Bench, m *mesh.Five, n int, acknowledged []int) error {
	db, err := clickhouse.Open(ctx, clickhouse.Config{URL: m.ClickHouseURL})
	if err != nil {
		return err
	}
	defer db.Close()
	for _, cache := range []string{"MARK CACHE", "UNCOMPRESSED CACHE", "PRIMARY INDEX CACHE"} {
		if err := db.Exec(ctx, "SYSTEM DROP "+cache); err != nil {
			return err
		}
	}
	client := tracev1.NewTraceServiceClient(m.Conn(b))
	var ids []string
	for range n {
		id := load.TraceID(2, acknowledged[rand.IntN(len(acknowledged))], rand.IntN(load.TracesPerRequest))
		ids = append(ids, hex.EncodeToString(id[:]))
	}
	for _, into := range []*Latency{&r.LookupCold, &r.LookupWarm} {
		times := make([]time.Duration, 0, n)
		for _, id := range ids {
			begin := time.Now()
			stream, err := client.GetTrace(ctx, &tracev1.GetTraceRequest{TraceId: id})
			if err != nil {
				return err
			}
			for {
				if _, err = stream.Recv(); err != nil {
					break
				}
			}
			if !errors.Is(err, io.EOF) {
				return fmt.Errorf("trace %s: %w", id, err)
			}
			times = append(times, time.Since(begin))
		}
		slices.Sort(times)
		into.P50, into.P99 = millis(times[len(times)/2]), millis(times[len(times)*99/100])
	}
	return nil
}
