package otlpdoor

import (
	"context"

	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/internal/identity"
	"github.com/driftmesh/driftmesh/internal/otlp"
	"github.com/driftmesh/driftmesh/internal/rpc"
)

// Take takes an OTLP request that came to another door of the gateway, from the
// caller in the context, who may send spans. It answers when the good ones are
// durable. The body stays the caller's.
func (d *Door) Take(ctx context.Context, body []byte) (otlp.Report, error) {
	id, ok := identity.From(ctx)
	if !ok {
		return otlp.Report{}, fault.Unauthenticated.New("nobody is calling").WithReason(identity.ReasonMissing)
	}
	r := &request{started: d.now(), lease: d.deps.Budget.Lease()}
	defer r.lease.Free()
	rep, err := d.takeInside(ctx, r, id, body)
	if err != nil {
		d.deps.Intake.Refused(r.owner, err)
		return rep, rpc.Fault(publicError(err, d.cfg.RetryDelay).Err())
	}
	return rep, nil
}

func (d *Door) takeInside(ctx context.Context, r *request, id identity.Identity, body []byte) (otlp.Report, error) {
	if err := d.enter(r, id); err != nil {
		return otlp.Report{}, err
	}
	if !r.lease.Resize(len(body)) {
		return otlp.Report{}, r.lease.Why(errBusy())
	}
	return d.accept(ctx, r, body)
}
