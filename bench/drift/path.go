package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"syscall"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/driftmesh/driftmesh/bench/harness"
	ingestv1 "github.com/driftmesh/driftmesh/proto/driftmesh/ingest/v1"
	"github.com/driftmesh/driftmesh/sdk/profile"
)

// shape is how many features of each kind a profile has.
type shape struct{ numbers, categories int }

const perRequest = 500

// columns are a reference without drift.
func (s shape) columns(rows int) []profile.Column {
	r := rand.New(rand.NewPCG(1, 1))
	var all []profile.Column
	for i := range s.numbers + s.categories {
		c := profile.Column{Name: fmt.Sprint("f", i), Type: profile.Float}
		if i >= s.numbers {
			c.Type = profile.String
		}
		for range rows {
			if i < s.numbers {
				c.Numbers = append(c.Numbers, r.NormFloat64())
			} else {
				c.Texts = append(c.Texts, fmt.Sprint("value ", r.IntN(20)))
			}
		}
		all = append(all, c)
	}
	return all
}

// record is one of those that come.
func (s shape) record(r *rand.Rand, profile, id string, at time.Time) *ingestv1.Record {
	f := &ingestv1.Features{Values: make([]*ingestv1.Feature, 0, s.numbers+s.categories)}
	for i := range s.numbers + s.categories {
		v := &ingestv1.Feature{Name: fmt.Sprint("f", i), Value: &ingestv1.Feature_Float{Float: r.NormFloat64()}}
		if i >= s.numbers {
			v.Value = &ingestv1.Feature_String_{String_: fmt.Sprint("value ", r.IntN(20))}
		}
		f.Values = append(f.Values, v)
	}
	return &ingestv1.Record{Id: id, Profile: profile, EventTime: timestamppb.New(at), Body: &ingestv1.Record_Features{Features: f}}
}

// path measures records of ten minutes of event time from the request to cells:
// first into the topic, ingest-worker standing still, and from there on.
func (b *bench) path(ctx context.Context, s shape, records int) error {
	name := fmt.Sprint("path-", s.numbers+s.categories)
	p, err := b.register(ctx, name, s, profile.Schedule{})
	if err != nil {
		return err
	}
	pids := map[string]int{"broker": b.f.Broker.PID(), "engine": b.f.Engine.PID()}
	for _, service := range []string{"gateway", "ingest-worker", "drift"} {
		pids[service] = b.f.Process(service).PID()
	}
	cpu := func() map[string]float64 {
		used := map[string]float64{}
		for name, pid := range pids {
			used[name] = harness.CPU(pid)
		}
		return used
	}
	if err := syscall.Kill(pids["ingest-worker"], syscall.SIGSTOP); err != nil {
		return fmt.Errorf("pause ingest-worker: %w", err)
	}
	before := cpu()
	err = b.send(ctx, s, "bench/"+name, records)
	sent := cpu()
	begin := time.Now()
	if err := errors.Join(err, syscall.Kill(pids["ingest-worker"], syscall.SIGCONT)); err != nil {
		return fmt.Errorf("send records: %w", err)
	}
	if _, err := b.await(ctx, "SELECT sum(Records) FROM cells FINAL WHERE Feature = 0 AND Profile = '"+p.UID+"'", uint64(records), time.Second); err != nil { //nolint:gosec // positive
		return err
	}
	took := time.Since(begin)
	if !harness.Idle(pids["engine"]) {
		fmt.Fprintln(os.Stderr, "the engine is still busy after a minute")
	}
	after := cpu()

	values := float64(records*(s.numbers+s.categories)) / 1e6
	total := 0.0
	fmt.Printf("%d records × %d values, CPU-s per million values:\n", records, s.numbers+s.categories)
	for _, name := range slices.Sorted(maps.Keys(pids)) {
		in, rest := (sent[name]-before[name])/values, (after[name]-sent[name])/values
		total += in + rest
		fmt.Printf("  %-14s into the topic %.2f, from there %.2f\n", name, in, rest)
	}
	fmt.Printf("  request to cells, engine included: %.2f; %.2f million values/s from the topic to cells\n", total, values/took.Seconds())
	return nil
}

// send publishes the records, in requests of 500, from four senders.
func (b *bench) send(ctx context.Context, s shape, profile string, records int) error {
	client := ingestv1.NewIngestServiceClient(b.f.Conn(b))
	begin := time.Now().Add(-20 * time.Minute).Truncate(time.Minute)
	errs := make(chan error)
	const senders = 4
	for sender := range senders {
		go func() {
			r := rand.New(rand.NewPCG(uint64(sender), 2))
			for first := sender * perRequest; first < records; first += senders * perRequest {
				req := &ingestv1.PublishRecordsRequest{}
				for i := first; i < min(first+perRequest, records); i++ {
					at := begin.Add(time.Duration(i) * 10 * time.Minute / time.Duration(records))
					req.Records = append(req.Records, s.record(r, profile, fmt.Sprintf("%016x-%d", r.Uint64(), i), at))
				}
				answer, err := client.PublishRecords(ctx, req)
				if err == nil && int(answer.GetAccepted()) != len(req.GetRecords()) {
					err = fmt.Errorf("accepted %d of %d", answer.GetAccepted(), len(req.GetRecords()))
				}
				if err != nil {
					errs <- err
					return
				}
			}
			errs <- nil
		}()
	}
	var failed error
	for range senders {
		if err := <-errs; err != nil {
			failed = err
		}
	}
	return failed
}
