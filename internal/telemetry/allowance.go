package telemetry

import (
	"context"

	"go.opentelemetry.io/otel/trace"
)

// Allowance bounds how many traces per second are recorded because a caller
// asks for it, by a sampled trace context: what the mesh stores of its own work
// is its own to decide. nil allows all. It is safe for concurrent use.
type Allowance struct{ rate rateSampler }

// NewAllowance makes an allowance; a rate of 0 allows none.
func NewAllowance(perSecond float64) *Allowance { return &Allowance{rate: newRateSampler(perSecond)} }

// Limit returns ctx; with the trace context of its caller not sampled when that
// is sampled and the allowance is used up.
func (a *Allowance) Limit(ctx context.Context) context.Context {
	sc := trace.SpanContextFromContext(ctx)
	if a == nil || !sc.IsRemote() || !sc.IsSampled() || a.rate.Allow() {
		return ctx
	}
	return trace.ContextWithRemoteSpanContext(ctx, sc.WithTraceFlags(sc.TraceFlags()&^trace.FlagsSampled))
}
