package broker

import (
	"context"
	"errors"
	"slices"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/driftmesh/driftmesh/internal/broker/internal/instrument"
	"github.com/driftmesh/driftmesh/internal/event"
	"github.com/driftmesh/driftmesh/internal/telemetry"
)

// tracedPublisher adds the publish span, the trace context in the headers, and
// the metrics of publishing.
type tracedPublisher struct {
	Publisher
	telemetry *Telemetry
	fates     *fates
}

// Publish implements Publisher.
func (p *tracedPublisher) Publish(ctx context.Context, msgs []Message) error {
	if len(msgs) == 0 {
		return nil
	}
	start := time.Now()
	msgs = p.telemetry.sign(msgs)
	ctx, span := p.telemetry.startSend(ctx, msgs)
	err := p.Publisher.Publish(ctx, inject(ctx, msgs))
	p.telemetry.metrics.sent(msgs, err, time.Since(start))
	p.fates.note(msgs, err)
	if span != nil {
		if err != nil {
			span.SetAttributes(attribute.String(instrument.AttrErrorType, outcomeOf(err)))
			span.SetStatus(codes.Error, err.Error())
		}
		span.End()
	}
	return err
}

// sign signs what is published for the first time. What was parked or waits keeps
// the signature it came with, if any: to sign it anew would make the word of
// whoever published it ours.
func (t *Telemetry) sign(msgs []Message) []Message {
	if t.seal == nil || !t.seal.Signs(msgs[0].Topic) {
		return msgs
	}
	signed := slices.Clone(msgs)
	for i := range signed {
		m := &signed[i]
		_, again := m.Find(event.HeaderOrigin)
		if _, has := m.Find(event.HeaderSignature); !again && !has && t.seal.Signs(m.Topic) {
			t.seal.Sign(m)
		}
	}
	return signed
}

// startSend starts the publish span, and returns none when nothing is to be
// traced: the mesh's own telemetry, or a caller whose trace is not sampled.
func (t *Telemetry) startSend(ctx context.Context, msgs []Message) (context.Context, trace.Span) {
	if parent := trace.SpanContextFromContext(ctx); parent.IsValid() && !parent.IsSampled() {
		return ctx, nil
	}
	foreign := 0 // messages that bring a trace context
	ours := 0    // messages about the mesh itself
	for i := range msgs {
		if msgs[i].Is(HeaderTenant, MeshTenant) {
			ours++
		} else if _, has := msgs[i].Find(HeaderTraceParent); has {
			foreign++
		}
	}
	if ours == len(msgs) {
		return ctx, nil
	}
	ctx, span := t.with.Tracer.Start(ctx, "send "+msgs[0].Topic, trace.WithSpanKind(trace.SpanKindProducer))
	if span.IsRecording() {
		span.SetAttributes(t.sendAttributes(msgs)...)
		if foreign > 0 {
			addLinks(span, msgs)
		}
	}
	return ctx, span
}

func (t *Telemetry) sendAttributes(msgs []Message) []attribute.KeyValue {
	attrs := t.with.Attributes("send", "send", msgs[0].Topic)
	if tenant := msgs[0].Header(HeaderTenant); oneTenant(msgs, tenant) {
		attrs = append(attrs, attribute.String(telemetry.AttrTenant, tenant))
	}
	if len(msgs) > 1 {
		return append(attrs, attribute.Int(instrument.AttrBatchCount, len(msgs)))
	}
	attrs = append(attrs, attribute.Int(instrument.AttrBodySize, len(msgs[0].Value)))
	if msgs[0].ID != "" {
		attrs = append(attrs, attribute.String(instrument.AttrMessageID, msgs[0].ID))
	}
	return attrs
}

func oneTenant(msgs []Message, tenant string) bool {
	for i := range msgs {
		if !msgs[i].Is(HeaderTenant, tenant) {
			return false
		}
	}
	return true
}

// addLinks links a span to where its messages were made.
func addLinks(span trace.Span, msgs []Message) {
	n, dropped := 0, 0
	for i := range msgs {
		sc := SpanContext(&msgs[i])
		switch {
		case !sc.IsValid() || msgs[i].Is(HeaderTenant, MeshTenant):
		case n == instrument.MaxLinks:
			dropped++
		default:
			n++
			span.AddLink(trace.Link{SpanContext: sc})
		}
	}
	if dropped > 0 {
		span.SetAttributes(attribute.Int(instrument.AttrLinksDropped, dropped))
	}
}

// inject returns messages that carry the trace context of ctx, if that is
// sampled: nobody follows one that is not, and headers cost. A message that has
// one keeps it: it says where the message was made.
func inject(ctx context.Context, msgs []Message) []Message {
	if !trace.SpanContextFromContext(ctx).IsSampled() {
		return msgs
	}
	out := slices.Clone(msgs)
	for i := range out {
		m := &out[i]
		if _, has := m.Find(HeaderTraceParent); has || m.Is(HeaderTenant, MeshTenant) {
			continue
		}
		hs := make([]Header, len(m.Headers), len(m.Headers)+3)
		copy(hs, m.Headers)
		propagator.Inject(ctx, Carrier{&hs})
		m.Headers = hs
	}
	return out
}

// sent counts one publish call.
func (m *metrics) sent(msgs []Message, err error, took time.Duration) {
	m.publishTime.WithLabelValues(msgs[0].Topic).Observe(took.Seconds())
	var failed []Failure
	if pe, ok := errors.AsType[*PublishError](err); ok {
		failed = pe.Failed
	}
	for _, f := range failed {
		m.published.WithLabelValues(msgs[f.Index].Topic, outcomeOf(f.Err)).Inc()
	}
	for i, f := 0, 0; i < len(msgs); {
		if f < len(failed) && failed[f].Index == i {
			i, f = i+1, f+1
			continue
		}
		end := len(msgs) // of the run of stored messages of one topic
		if f < len(failed) {
			end = failed[f].Index
		}
		start := i
		for i < end && msgs[i].Topic == msgs[start].Topic {
			i++
		}
		m.published.WithLabelValues(msgs[start].Topic, "ok").Add(float64(i - start))
	}
}

func outcomeOf(err error) string {
	switch {
	case errors.Is(err, ErrUnknownOutcome):
		return "unknown"
	case Permanent(err):
		return "refused"
	}
	return "failed"
}
