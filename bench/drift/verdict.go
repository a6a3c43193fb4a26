package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/driftmesh/driftmesh/internal/settings"
	ingestv1 "github.com/driftmesh/driftmesh/proto/driftmesh/ingest/v1"
	"github.com/driftmesh/driftmesh/sdk/profile"
	"github.com/driftmesh/driftmesh/services/drift/drift"
)

// verdicts measures how soon after a minute is over the scores of all features can
// be read, for a profile that is judged as its windows close.
func (b *bench) verdicts(ctx context.Context, f flags) error {
	if f.Minutes == 0 {
		return nil
	}
	s := shape{numbers: f.Features}
	p, err := b.register(ctx, "verdict", s, profile.Schedule{OnClose: true})
	if err != nil {
		return err
	}
	var defaults drift.Config
	if err := settings.Defaults(&defaults); err != nil {
		return err
	}
	client := ingestv1.NewIngestServiceClient(b.f.Conn(b))
	r := rand.New(rand.NewPCG(3, 3))
	end := time.Now().Truncate(time.Minute).Add(2 * time.Minute) // of the first whole minute
	for minute := range f.Minutes {
		over := end.Add(time.Duration(minute) * time.Minute)
		tick := time.NewTicker(time.Second)
		for now := range tick.C {
			if !now.Before(over) {
				break
			}
			req := &ingestv1.PublishRecordsRequest{}
			for range f.Rate {
				req.Records = append(req.Records, s.record(r, "bench/verdict", fmt.Sprintf("%032x", r.Uint64()), now))
			}
			if _, err := client.PublishRecords(ctx, req); err != nil {
				return err
			}
		}
		tick.Stop()
		query := fmt.Sprintf("SELECT count() FROM monitor_scores WHERE Profile = '%s' AND Trigger = 'close' AND Slot = toDateTime(%d, 'UTC')", p.UID, over.Unix())
		seen, err := b.await(ctx, query, uint64(f.Features), 20*time.Millisecond) //nolint:gosec // positive
		if err != nil {
			return err
		}
		after := seen.Sub(over)
		fmt.Printf("%d features × %d records: verdict %.2f s after the minute is over, %.2f of it grace\n", f.Features, 60*f.Rate, after.Seconds(), defaults.Grace.Seconds())
	}
	return nil
}
