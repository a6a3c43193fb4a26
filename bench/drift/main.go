// Command drift starts the mesh as five programs beside a NATS server and a
// ClickHouse engine, and measures what its drift costs: CPU of all processes for
// records from the request to cells, and how soon after a minute is over its
// verdict is there. `make bench-drift` runs it.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/alecthomas/kong"

	"github.com/driftmesh/driftmesh/bench/harness"
	"github.com/driftmesh/driftmesh/internal/clickhouse"
	"github.com/driftmesh/driftmesh/sdk"
	"github.com/driftmesh/driftmesh/sdk/profile"
	"github.com/driftmesh/driftmesh/test/mesh"
	"github.com/driftmesh/driftmesh/test/server/nats"
)

type flags struct {
	Records  int `help:"Records of each load from the request to cells." default:"200000"`
	Features int `help:"Features of the profile whose verdict is waited for." default:"1000"`
	Rate     int `help:"Its records a second." default:"50"`
	Minutes  int `help:"Minutes whose verdict is waited for; 0 leaves that out." default:"2"`
}

func main() {
	nats.Child()
	var f flags
	kong.Parse(&f, kong.Name("drift"), kong.Description("Measure what drift costs."))
	b := harness.New()
	code := 0
	if err := b.Run(func() error { return measure(b, f) }); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		code = 1
	}
	os.Exit(code)
}

// bench is what is measured.
type bench struct {
	*harness.Bench
	f      *mesh.Five
	client *sdk.Client
	db     *clickhouse.DB
}

func measure(t *harness.Bench, f flags) (err error) {
	ctx := context.Background()
	// What the mesh tells of itself is another load.
	b := &bench{Bench: t, f: mesh.StartFive(t, "DRIFTMESH_TELEMETRY_DISABLE=true")}
	if b.client, err = sdk.New(b.f.GRPC); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.client.Shutdown(ctx)) }()
	if b.db, err = clickhouse.Open(ctx, clickhouse.Config{URL: b.f.ClickHouseURL}); err != nil {
		return err
	}
	defer b.db.Close()
	for _, shape := range []shape{{16, 4}, {160, 40}} {
		if err := b.path(ctx, shape, f.Records*20/(shape.numbers+shape.categories)); err != nil {
			return err
		}
	}
	return b.verdicts(ctx, f)
}

// register registers a profile of a shape, whose reference has 1,000 rows.
func (b *bench) register(ctx context.Context, name string, s shape, schedule profile.Schedule) (*profile.Profile, error) {
	made, err := profile.New(s.columns(1000), profile.Options{Space: "bench", Name: name, Schedule: schedule})
	if err != nil {
		return nil, err
	}
	return b.client.Register(ctx, made)
}

// await asks until the answer to a query is at least the number, and gives when it
// was.
func (b *bench) await(ctx context.Context, query string, least uint64, pause time.Duration) (time.Time, error) {
	for deadline := time.Now().Add(5 * time.Minute); time.Now().Before(deadline); time.Sleep(pause) { // between two questions
		var n uint64
		if err := b.db.QueryRow(ctx, query).Scan(&n); err != nil {
			return time.Time{}, err
		}
		if n >= least {
			return time.Now(), nil
		}
	}
	return time.Time{}, fmt.Errorf("%q is not %d within five minutes", query, least)
}
