package sdk

import (
	"encoding/binary"
	"fmt"
	"math"
	"strconv"
	"strings"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// Consistent probability sampling as OpenTelemetry specifies it (Trace State:
// Probability Sampling; W3C Trace Context level 2): every trace has 56 bits of
// randomness, a ratio is a threshold below them, and who samples says in the trace
// state with which threshold. So all who sample by a ratio agree: what one keeps of
// ten in a hundred is among what another keeps of twenty, and whoever counts knows
// what a span stands for.
const (
	randomBits = 56
	maxRandom  = 1<<randomBits - 1
	otelKey    = "ot"
	thField    = "th"
	rvField    = "rv"
)

// threshold is the part of all traces that is not kept, out of 2^56. 0 keeps all,
// 2^56 none.
type threshold uint64

const (
	keepAll  threshold = 0
	keepNone threshold = 1 << randomBits
)

// precision is how many hexadecimal digits of a threshold count, beyond those at its
// beginning that a very small or very large ratio has anyway.
const precision = 4

// digits is how many a threshold has.
const digits = randomBits / 4

// thresholdOf is the threshold of a ratio, rounded as OpenTelemetry has it.
func thresholdOf(ratio float64) threshold {
	switch {
	case ratio >= 1:
		return keepAll
	case !(ratio >= 1.0/(1<<randomBits)):
		return keepNone
	}
	_, kept := math.Frexp(ratio)
	_, dropped := math.Frexp(1 - ratio)
	t := uint64(1<<randomBits) - uint64(math.Round(ratio*(1<<randomBits)))
	if drop := 4 * (digits - max(precision-kept/4, precision-dropped/4)); drop > 0 {
		t = (t + 1<<(drop-1)) >> drop << drop
	}
	return threshold(t)
}

// String is the threshold as it stands in a trace state.
func (t threshold) String() string {
	if t == keepAll {
		return "0"
	}
	return strings.TrimRight(fmt.Sprintf("%014x", uint64(t)), "0")
}

// keeps tells whether a trace of that randomness is kept.
func (t threshold) keeps(random uint64) bool { return random >= uint64(t) }

// randomness is that of a trace: what its state says, or its id.
func randomness(id trace.TraceID, o otelState) uint64 {
	if o.hasRandom {
		return o.random
	}
	return binary.BigEndian.Uint64(id[8:]) & maxRandom
}

// otelState is what OpenTelemetry has put into a trace state.
type otelState struct {
	threshold    threshold
	random       uint64
	hasThreshold bool
	hasRandom    bool
	rest         string // everything but the threshold, separated by ;
}

// readState reads the key ot of a trace state.
func readState(ts trace.TraceState) (o otelState) {
	if ts.Len() == 0 {
		return o
	}
	return parseState(ts.Get(otelKey))
}

func parseState(value string) (o otelState) {
	for value != "" {
		var field string
		field, value, _ = strings.Cut(value, ";")
		key, v, _ := strings.Cut(field, ":")
		switch key {
		case thField:
			o.threshold, o.hasThreshold = parseThreshold(v)
			continue
		case rvField:
			if n, err := strconv.ParseUint(v, 16, 64); err == nil && len(v) == digits {
				o.random, o.hasRandom = n, true
			}
		}
		if field != "" && o.rest != "" {
			o.rest += ";"
		}
		o.rest += field
	}
	return o
}

func parseThreshold(v string) (threshold, bool) {
	if v == "" || len(v) > digits {
		return 0, false
	}
	n, err := strconv.ParseUint(v, 16, 64)
	if err != nil {
		return 0, false
	}
	return threshold(n << (4 * (digits - len(v)))), true
}

// with is a trace state whose threshold is t.
func (o otelState) with(t threshold, ts trace.TraceState) trace.TraceState {
	value := thField + ":" + t.String()
	if o.rest != "" {
		value += ";" + o.rest
	}
	return inserted(ts, value)
}

// without is a trace state that says nothing of a threshold.
func (o otelState) without(ts trace.TraceState) trace.TraceState {
	if !o.hasThreshold {
		return ts
	}
	if o.rest == "" {
		return ts.Delete(otelKey)
	}
	return inserted(ts, o.rest)
}

func inserted(ts trace.TraceState, value string) trace.TraceState {
	if out, err := ts.Insert(otelKey, value); err == nil {
		return out
	}
	return ts
}

// sampler decides which traces are recorded. It is consistent, and asks the parent
// unless it is told not to.
type sampler struct {
	threshold threshold
	state     trace.TraceState // of a trace that begins here
	parent    bool             // the parent's decision counts
}

var _ sdktrace.Sampler = (*sampler)(nil)

func newSampler(ratio float64, parent bool) *sampler {
	s := &sampler{threshold: thresholdOf(ratio), parent: parent}
	if s.threshold != keepAll && s.threshold != keepNone {
		s.state = otelState{}.with(s.threshold, trace.TraceState{})
	}
	return s
}

// Description implements sdktrace.Sampler.
func (s *sampler) Description() string {
	return fmt.Sprintf("driftmesh{threshold:%s,parent:%t}", s.threshold, s.parent)
}

// ShouldSample implements sdktrace.Sampler.
func (s *sampler) ShouldSample(p sdktrace.SamplingParameters) sdktrace.SamplingResult {
	psc := trace.SpanContextFromContext(p.ParentContext)
	ts := psc.TraceState()
	if s.parent && psc.IsValid() {
		if psc.IsSampled() {
			return sdktrace.SamplingResult{Decision: sdktrace.RecordAndSample, Tracestate: ts}
		}
		return sdktrace.SamplingResult{Decision: sdktrace.Drop, Tracestate: ts}
	}
	switch {
	case s.threshold == keepNone:
		return sdktrace.SamplingResult{Decision: sdktrace.Drop, Tracestate: ts}
	case ts.Len() == 0: // most traces that begin here
		if !s.threshold.keeps(randomness(p.TraceID, otelState{})) {
			return sdktrace.SamplingResult{Decision: sdktrace.Drop}
		}
		return sdktrace.SamplingResult{Decision: sdktrace.RecordAndSample, Tracestate: s.state}
	}
	o := readState(ts)
	if !s.threshold.keeps(randomness(p.TraceID, o)) {
		return sdktrace.SamplingResult{Decision: sdktrace.Drop, Tracestate: o.without(ts)}
	}
	if s.threshold == keepAll {
		return sdktrace.SamplingResult{Decision: sdktrace.RecordAndSample, Tracestate: o.without(ts)}
	}
	return sdktrace.SamplingResult{Decision: sdktrace.RecordAndSample, Tracestate: o.with(s.threshold, ts)}
}

// keeper chooses the part of the sampled spans that goes to one exporter.
type keeper struct{ threshold threshold }

// newKeeper is nil where everything goes there.
func newKeeper(ratio float64) *keeper {
	t := thresholdOf(ratio)
	if t == keepAll {
		return nil
	}
	return &keeper{t}
}

// keeps tells whether a sampled span goes there.
func (k *keeper) keeps(sc trace.SpanContext) bool {
	return k.threshold.keeps(randomness(sc.TraceID(), readState(sc.TraceState())))
}

// states says for each span with which trace state it goes there; nil leaves it as
// it is.
func (k *keeper) states() func(sdktrace.ReadOnlySpan) *trace.TraceState {
	if k == nil {
		return nil
	}
	return func(s sdktrace.ReadOnlySpan) *trace.TraceState {
		ts := s.SpanContext().TraceState()
		o := readState(ts)
		if o.hasThreshold && o.threshold >= k.threshold {
			return nil // chosen more strictly before
		}
		out := o.with(k.threshold, ts)
		return &out
	}
}
