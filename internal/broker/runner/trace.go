package runner

import (
	"context"
	"crypto/rand"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/driftmesh/driftmesh/internal/broker"
	"github.com/driftmesh/driftmesh/internal/broker/internal/instrument"
	"github.com/driftmesh/driftmesh/internal/telemetry"
)

// Outcomes of a delivery, as the traces name them.
const (
	outcomeDone  = "done"
	outcomeRetry = "retry"
	outcomeAside = "aside"
	outcomeDead  = "dead"
)

// batchTrace traces one batch. The batch has a live span of its own, linked to
// its messages. In the trace of each sampled message, up to a bound, it writes
// afterwards, with the times it noted, how long the message dwelt in the broker
// and how it was processed, so that one trace names every hop. Nothing is
// traced of messages about the mesh itself.
type batchTrace struct {
	telemetry *instruments
	cfg       *broker.ConsumerConfig
	batch     *broker.Batch
	received  time.Time
	span      trace.Span            // of the batch; nil when nothing is traced
	messages  map[int]*messageTrace // by index, of the sampled messages

	mu sync.Mutex // guards steps and tenants: they come from any goroutine of the handler
}

// messageTrace is what is noted about one sampled message.
type messageTrace struct {
	parent  trace.SpanContext
	first   time.Time // handed to the handler
	last    *call     // the call that decided
	tenant  string    // whom it is about, if its headers cannot say
	tries   int
	written bool
}

// call is one invocation of the handler.
type call struct {
	trace *batchTrace
	index []int // of the deliveries, in the batch
	steps []step
}

// step is a part of a call that the handler named.
type step struct {
	name       string
	start, end time.Time
	err        error
}

type callKey struct{}

// startBatch begins to trace a batch.
func (t *instruments) startBatch(ctx context.Context, cfg *broker.ConsumerConfig, b *broker.Batch, received time.Time) *batchTrace {
	bt := &batchTrace{telemetry: t, cfg: cfg, batch: b, received: received, messages: map[int]*messageTrace{}}
	users, dropped := 0, 0
	var links []trace.Link
	for i := range b.Deliveries {
		m := &b.Deliveries[i].Message
		if m.Is(broker.HeaderTenant, broker.MeshTenant) {
			continue
		}
		users++
		sc := broker.SpanContext(m) //nolint:contextcheck // it reads headers only
		switch {
		case !sc.IsValid():
		case len(links) == instrument.MaxLinks:
			dropped++
		default:
			links = append(links, trace.Link{SpanContext: sc})
			if sc.IsSampled() {
				bt.messages[i] = &messageTrace{parent: sc}
			}
		}
	}
	if users == 0 {
		return bt
	}
	attrs := append(t.with.Attributes("process", "process", cfg.Topic),
		attribute.String(instrument.AttrGroup, cfg.Group), attribute.Int(instrument.AttrBatchCount, len(b.Deliveries)))
	if dropped > 0 {
		attrs = append(attrs, attribute.Int(instrument.AttrLinksDropped, dropped))
	}
	_, bt.span = t.with.Tracer.Start(ctx, "process "+cfg.Topic, trace.WithNewRoot(),
		trace.WithSpanKind(trace.SpanKindConsumer), trace.WithTimestamp(received),
		trace.WithLinks(links...), trace.WithAttributes(attrs...))
	return bt
}

// invoke returns the context for one call of the handler, and what to call
// after it.
func (bt *batchTrace) invoke(ctx context.Context, idx []int) (context.Context, func(error)) {
	if bt.span == nil {
		return untraced(ctx), func(error) {}
	}
	c := &call{trace: bt, index: idx}
	ctx = trace.ContextWithSpan(context.WithValue(ctx, callKey{}, c), bt.span)
	start := time.Now()
	for _, i := range idx {
		if mt := bt.messages[i]; mt != nil {
			if mt.tries++; mt.tries == 1 {
				mt.first = start
			}
			mt.last = c
		}
	}
	return ctx, func(err error) {
		if err != nil {
			bt.span.RecordError(err)
			bt.span.SetStatus(codes.Error, err.Error())
		}
	}
}

// Step names a part of a handler's work, such as "store spans": it becomes a
// span under the batch's span, and one in the trace of every sampled message
// of the call. The returned context carries the batch's; call end once, with
// the step's error. Outside a Runner's handler it does nothing.
func Step(ctx context.Context, name string) (_ context.Context, end func(error)) {
	c, _ := ctx.Value(callKey{}).(*call)
	if c == nil {
		return ctx, func(error) {}
	}
	start := time.Now()
	ctx, span := c.trace.telemetry.with.Tracer.Start(ctx, name, trace.WithTimestamp(start))
	return ctx, func(err error) {
		s := step{name: name, start: start, end: time.Now(), err: err}
		finish(span, s.end, err)
		c.trace.mu.Lock()
		defer c.trace.mu.Unlock()
		c.steps = append(c.steps, s)
	}
}

// Belongs tells, within a Runner's handler, whom the i-th delivery of the call
// is about: what is traced of it is shown to that tenant. It is for deliveries
// whose headers cannot say so, because a stranger wrote them.
func Belongs(ctx context.Context, i int, tenant string) {
	c, _ := ctx.Value(callKey{}).(*call)
	if c == nil {
		return
	}
	c.trace.mu.Lock()
	defer c.trace.mu.Unlock()
	if mt := c.trace.messages[c.index[i]]; mt != nil {
		mt.tenant = tenant
	}
}

func finish(span trace.Span, at time.Time, err error) {
	if err != nil {
		span.SetStatus(codes.Error, err.Error())
	}
	span.End(trace.WithTimestamp(at))
}

// verdict writes what became of one delivery into its own trace.
func (bt *batchTrace) verdict(ctx context.Context, i int, outcome string, reason Reason, err error) {
	mt := bt.messages[i]
	if mt == nil || mt.written {
		return
	}
	mt.written = true
	d := &bt.batch.Deliveries[i]
	tenant := bt.tenant(mt, d)
	if tenant == broker.MeshTenant {
		return
	}
	ctx = telemetry.WithTenant(trace.ContextWithRemoteSpanContext(ctx, mt.parent), tenant)
	bt.dwell(ctx, d)
	first, end := mt.first, time.Now()
	if first.IsZero() {
		first = bt.received // parked unseen
	}
	attrs := append(bt.telemetry.with.Attributes("process", "process", bt.cfg.Topic), bt.about(d)...)
	attrs = append(attrs, attribute.String(instrument.AttrOutcome, outcome), attribute.Int(instrument.AttrTries, mt.tries))
	if reason != "" {
		attrs = append(attrs, attribute.String(instrument.AttrDLQReason, string(reason)))
	}
	ctx, span := bt.telemetry.with.Tracer.Start(ctx, "process "+bt.cfg.Topic, trace.WithSpanKind(trace.SpanKindConsumer),
		trace.WithTimestamp(first), trace.WithAttributes(attrs...),
		trace.WithLinks(trace.Link{SpanContext: bt.span.SpanContext()}))
	bt.steps(ctx, mt.last)
	if err == nil && outcome != outcomeDone {
		span.SetStatus(codes.Error, outcome)
	}
	finish(span, end, err)
}

func (bt *batchTrace) tenant(mt *messageTrace, d *broker.Delivery) string {
	bt.mu.Lock()
	defer bt.mu.Unlock()
	if mt.tenant != "" {
		return mt.tenant
	}
	return d.Header(broker.HeaderTenant)
}

// dwell writes how long the message was on its way to us.
func (bt *batchTrace) dwell(ctx context.Context, d *broker.Delivery) {
	start := d.Time
	if start.IsZero() || start.After(bt.received) { // clocks differ
		start = bt.received
	}
	attrs := append(bt.telemetry.with.Attributes("receive", "receive", bt.cfg.Topic), bt.about(d)...)
	attrs = append(attrs, attribute.Float64(instrument.AttrDwell, bt.received.Sub(start).Seconds()))
	_, span := bt.telemetry.with.Tracer.Start(ctx, "dwell "+bt.cfg.Topic,
		trace.WithTimestamp(start), trace.WithAttributes(attrs...))
	span.End(trace.WithTimestamp(bt.received))
}

// about are the attributes that tell one delivery from another.
func (bt *batchTrace) about(d *broker.Delivery) []attribute.KeyValue {
	attrs := []attribute.KeyValue{
		attribute.String(instrument.AttrGroup, bt.cfg.Group),
		attribute.Int(instrument.AttrAttempt, d.Attempt),
		attribute.Int(instrument.AttrBodySize, len(d.Value)),
	}
	for _, a := range []struct{ key, value string }{
		{instrument.AttrMessageID, d.ID}, {instrument.AttrPartition, d.Lane}, {instrument.AttrPosition, d.Position},
		{instrument.AttrClientID, bt.cfg.Member},
	} {
		if a.value != "" {
			attrs = append(attrs, attribute.String(a.key, a.value))
		}
	}
	return attrs
}

// steps writes the steps of a call under the span of ctx.
func (bt *batchTrace) steps(ctx context.Context, c *call) {
	if c == nil {
		return
	}
	bt.mu.Lock()
	defer bt.mu.Unlock()
	for _, s := range c.steps {
		_, span := bt.telemetry.with.Tracer.Start(ctx, s.name, trace.WithTimestamp(s.start))
		finish(span, s.end, s.err)
	}
}

// end ends the batch's span.
func (bt *batchTrace) end() {
	if bt.span != nil {
		bt.span.End()
	}
}

// untraced returns a context in which nothing is traced: its span context is
// valid and not sampled, so that samplers that follow the parent drop
// everything under it.
func untraced(ctx context.Context) context.Context {
	var cfg trace.SpanContextConfig
	rand.Read(cfg.TraceID[:])
	rand.Read(cfg.SpanID[:])
	return trace.ContextWithSpanContext(ctx, trace.NewSpanContext(cfg))
}
