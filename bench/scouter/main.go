// Command scouter measures how long Scouter's clients wait for an acknowledgement:
// evaluation records in messages of 25, as the client cuts them, at a fixed rate over
// HTTP and over gRPC, to a mesh in one process that does nothing else. Each is durable
// before it is answered, which the ledger must say in the end. `make bench-scouter`
// runs it.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/alecthomas/kong"

	"github.com/driftmesh/driftmesh/bench/harness"
	ledgerv1 "github.com/driftmesh/driftmesh/proto/driftmesh/ledger/v1"
	"github.com/driftmesh/driftmesh/test/mesh"
)

type flags struct {
	Rate    int           `help:"Requests a second." default:"200"`
	For     time.Duration `help:"How long each transport is measured." default:"30s"`
	Warm    time.Duration `help:"How long it runs before that." default:"5s"`
	Clients int           `help:"Connections, each with one request under way at a time, as an alias of a queue has it." default:"8"`
	Args    []string      `help:"More settings of the mesh." sep:"none" name:"mesh"`
}

func main() {
	var f flags
	kong.Parse(&f, kong.Name("scouter"), kong.Description("Measure how long Scouter's clients wait for an acknowledgement."))
	b := harness.New()
	if err := b.Run(func() error { return measure(b, f) }); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func measure(t *harness.Bench, f flags) error {
	m := mesh.Start(t, append([]string{"--auth.scouter-accounts"}, f.Args...)...)
	web, err := newWeb(m.Addresses)
	if err != nil {
		return err
	}
	defer web.close()
	profile, err := web.register()
	if err != nil {
		return err
	}
	sent := 0
	for _, way := range []struct {
		name string
		open func() (sender, error)
	}{{"HTTP", func() (sender, error) { return newWeb(m.Addresses) }}, {"gRPC", func() (sender, error) { return newCalls(m.Addresses) }}} {
		senders := make([]sender, f.Clients)
		for i := range senders {
			if senders[i], err = way.open(); err != nil {
				return err
			}
			defer senders[i].close()
		}
		for _, phase := range []struct {
			of    time.Duration
			shown bool
		}{{f.Warm, false}, {f.For, true}} {
			cpu := harness.CPU(m.PID())
			waits, err := run(senders, profile, f.Rate, phase.of)
			if err != nil {
				return err
			}
			sent += len(waits)
			if phase.shown {
				report(way.name, waits, harness.CPU(m.PID())-cpu)
			}
		}
	}
	m.Account(t, "records", func(a *ledgerv1.Account) bool {
		return a.GetStored() == uint64(sent*perMessage) && a.GetBalanced() //nolint:gosec // small
	})
	fmt.Printf("%d records were acknowledged, and are stored\n", sent*perMessage)
	return nil
}

// sender is a client with one connection.
type sender interface {
	send(ctx context.Context, message []byte) error
	close()
}

// run sends at a rate for a while, and gives how long each had to wait from the
// moment it was due, so that who is late because of the one before counts as waiting.
func run(senders []sender, profile string, rate int, of time.Duration) ([]time.Duration, error) {
	ctx, cancel := context.WithTimeout(context.Background(), of+time.Minute)
	defer cancel()
	total := int(of.Seconds() * float64(rate))
	waits, errs := make([]time.Duration, total), make([]error, len(senders))
	due := make(chan int, total)
	begun := time.Now()
	at := func(i int) time.Time { return begun.Add(time.Duration(i) * time.Second / time.Duration(rate)) }
	var all sync.WaitGroup
	for n, s := range senders {
		all.Go(func() {
			for i := range due {
				if errs[n] = s.send(ctx, message(profile)); errs[n] != nil {
					return
				}
				waits[i] = time.Since(at(i))
			}
		})
	}
	for i := range total {
		time.Sleep(time.Until(at(i)))
		due <- i
	}
	close(due)
	all.Wait()
	return waits, errors.Join(errs...)
}

func report(way string, waits []time.Duration, cpu float64) {
	slices.Sort(waits)
	at := func(q float64) float64 {
		return waits[int(q*float64(len(waits)-1))].Seconds() * 1000
	}
	load, _ := os.ReadFile("/proc/loadavg") // where there is none, none is shown
	fmt.Printf("%s: %d requests, ms: p50 %.2f  p90 %.2f  p99 %.2f  p99.9 %.2f  most %.2f; the mesh took %.1f s of CPU; load %s",
		way, len(waits), at(0.5), at(0.9), at(0.99), at(0.999), at(1), cpu, load)
}

// perMessage are as many records as the client sends at once.
const perMessage = 25

// message is one of evaluation records, with ids of their own.
func message(profile string) []byte {
	type record struct {
		RecordID   string         `json:"record_id"`
		CreatedAt  time.Time      `json:"created_at"`
		UID        string         `json:"uid"`
		EntityUID  string         `json:"entity_uid"`
		SessionID  string         `json:"session_id"`
		EntityType string         `json:"entity_type"`
		Context    map[string]any `json:"context"`
	}
	type element struct {
		Eval struct {
			Record record `json:"record"`
		} `json:"GenAIEval"`
	}
	elements := make([]element, perMessage)
	for i := range elements {
		elements[i].Eval.Record = record{
			RecordID: strconv.Itoa(i), CreatedAt: time.Now(), UID: newUID(), EntityUID: profile, SessionID: "bench", EntityType: "GenAI",
			Context: map[string]any{"input": fmt.Sprintf("question %d", i), "output": "hello"},
		}
	}
	raw, err := json.Marshal(map[string]any{"records": elements})
	if err != nil {
		panic(err) //nolint:forbidigo // texts and numbers
	}
	return raw
}
