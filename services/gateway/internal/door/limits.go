package door

import (
	"context"
	"time"

	"github.com/driftmesh/driftmesh/internal/quota"
)

// Owner is a tenant of this process; nil where nobody's limits count.
func (x *Intake) Owner(tenant string) *quota.Tenant {
	if x.cfg.Tenants == nil {
		return nil
	}
	return x.cfg.Tenants.Of(tenant)
}

// Enter tells whether a tenant may send something now, by its rates, by what is
// kept of it and by what it has on the topic. It is asked before anything is read.
func (x *Intake) Enter(t *quota.Tenant, now time.Time) error {
	if t == nil {
		return nil
	}
	if err := t.Enter(now); err != nil {
		return err
	}
	if x.cfg.Backlog == nil {
		return nil
	}
	return x.cfg.Backlog.Enter(t)
}

// Refused counts a request that ended with an error, if that is for a limit. The
// ledger has it within a second.
func (x *Intake) Refused(t *quota.Tenant, err error) {
	if t != nil {
		t.TurnAway(x.cfg.Of, err)
	}
}

const (
	// refusedEvery is how often it is put on record what was turned away.
	refusedEvery = time.Second
	// refusedTimeout bounds that.
	refusedTimeout = 5 * time.Second
)

// Run puts on record what was turned away for limits, until ctx ends. It waits for
// nobody who is turned away, and costs one receipt a second however many are.
func (x *Intake) Run(ctx context.Context) error {
	tick := time.NewTicker(refusedEvery)
	defer tick.Stop()
	for running := true; running; {
		select {
		case <-ctx.Done():
			running = false
		case <-tick.C:
		}
		x.record(context.WithoutCancel(ctx))
	}
	return nil
}

func (x *Intake) record(ctx context.Context) {
	if x.cfg.Tenants == nil {
		return
	}
	var last *Entry
	for t := range x.cfg.Tenants.All() {
		turned := t.Turned(x.cfg.Of)
		if turned == nil {
			continue
		}
		if last != nil {
			x.receipts.Enter(last)
		}
		last = x.receipts.Open(t.Name(), time.Now(), 0)
		last.Refused = turned
	}
	if last == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, refusedTimeout)
	defer cancel()
	_ = x.receipts.Commit(ctx, last) // what it would have said, one of the next receipts says
}
