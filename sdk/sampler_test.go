package sdk

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
)

// The values are those of the OpenTelemetry Collector's package sampling, and of the
// specification.
func TestThresholdsAreOpenTelemetrys(t *testing.T) {
	t.Parallel()
	for want, ratio := range map[string]float64{
		"0": 1, "8": 0.5, "c": 0.25, "ffffffffffffff": 0x1p-56, "aaab": 1. / 3, "5555": 2. / 3, "54": 1 - 0x54p-8, "01": 1 - 0x1p-8,
		"4568": 1 - 0x456789ap-28, "0004568": 1 - 0x456789ap-40, "0789b": 1 - 0x789abcdefp-40, "1234": 1 - 0x12345678p-32,
		"e666": 0.1, "fd70a": 0.01, "ffbe77": 0.001,
	} {
		require.Equal(t, want, thresholdOf(ratio).String(), "%g", ratio)
		back, ok := parseThreshold(want)
		require.True(t, ok)
		require.Equal(t, thresholdOf(ratio), back)
	}
	require.Equal(t, keepNone, thresholdOf(0))
	require.Equal(t, keepNone, thresholdOf(0x1p-57))
	for _, bad := range []string{"", "g", "123456789012345", "-1"} {
		_, ok := parseThreshold(bad)
		require.False(t, ok, bad)
	}
	half := thresholdOf(0.5)
	for random, kept := range map[uint64]bool{0: false, 0x7fffffffffffff: false, 0x80000000000000: true, maxRandom: true} {
		var id trace.TraceID
		binary.BigEndian.PutUint64(id[8:], random|0xee<<randomBits) // the rest says nothing
		require.Equal(t, kept, half.keeps(randomness(id, otelState{})), "%x", random)
	}
}

func idOf(random uint64) (id trace.TraceID) {
	id[0] = 1
	binary.BigEndian.PutUint64(id[8:], random)
	return id
}

func sampled(s sdktrace.Sampler, parent trace.SpanContext, random uint64) (bool, string) {
	r := s.ShouldSample(sdktrace.SamplingParameters{ParentContext: trace.ContextWithSpanContext(context.Background(), parent), TraceID: idOf(random)})
	return r.Decision == sdktrace.RecordAndSample, r.Tracestate.String()
}

func TestSampling(t *testing.T) {
	t.Parallel()
	parent := func(sampled bool, state string) trace.SpanContext {
		ts, err := trace.ParseTraceState(state)
		require.NoError(t, err)
		return trace.NewSpanContext(trace.SpanContextConfig{TraceID: idOf(1), SpanID: trace.SpanID{1}, TraceFlags: trace.TraceFlags(0).WithSampled(sampled), TraceState: ts, Remote: true})
	}
	none := trace.SpanContext{}
	const low, high = 0x1000000000000, 0xf0000000000000
	for name, tt := range map[string]struct {
		ratio  float64
		alone  bool
		parent trace.SpanContext
		random uint64
		keep   bool
		state  string
	}{
		"all":                             {1, false, none, low, true, ""},
		"none":                            {0, false, none, high, false, ""},
		"half, kept":                      {0.5, false, none, high, true, "ot=th:8"},
		"half, dropped":                   {0.5, false, none, low, false, ""},
		"parent kept":                     {0, false, parent(true, "ot=th:c,v=1"), low, true, "ot=th:c,v=1"},
		"parent dropped":                  {1, false, parent(false, "v=1"), high, false, "v=1"},
		"alone, against the parent":       {1, true, parent(false, "v=1"), low, true, "v=1"},
		"alone, what the parent said":     {0.5, true, parent(true, "v=1,ot=th:c;x:y"), high, true, "ot=th:8;x:y,v=1"},
		"alone, dropped says nothing":     {0.5, true, parent(true, "ot=th:c;x:y"), low, false, "ot=x:y"},
		"alone, nothing left":             {0.5, true, parent(true, "ot=th:c"), low, false, ""},
		"alone, all":                      {1, true, parent(true, "ot=th:c"), low, true, ""},
		"random value beats the id":       {0.5, true, parent(true, "ot=rv:f0000000000000"), low, true, "ot=th:8;rv:f0000000000000"},
		"random value that is none":       {0.5, true, parent(true, "ot=rv:f"), low, false, "ot=rv:f"},
		"threshold that is none is taken": {0.5, true, parent(true, "ot=th:zz"), high, true, "ot=th:8"},
	} {
		keep, state := sampled(newSampler(tt.ratio, !tt.alone), tt.parent, tt.random)
		require.Equal(t, tt.keep, keep, name)
		require.Equal(t, tt.state, state, name)
	}
}

// TestWhoSamplesLessKeepsAPart draws traces and asks samplers and exporters of several
// ratios: each keeps its share, and what one keeps is among what the next keeps.
func TestWhoSamplesLessKeepsAPart(t *testing.T) {
	t.Parallel()
	const traces = 20_000
	ratios := []float64{0.01, 0.1, 0.25, 0.5, 1}
	kept := make([]int, len(ratios))
	random := rand.New(rand.NewPCG(3, 4))
	for range traces {
		r := random.Uint64()
		before := false
		for i, ratio := range ratios {
			keep, _ := sampled(newSampler(ratio, true), trace.SpanContext{}, r)
			if k := newKeeper(ratio); k != nil {
				require.Equal(t, keep, k.keeps(trace.NewSpanContext(trace.SpanContextConfig{TraceID: idOf(r)})))
			}
			require.True(t, keep || !before)
			if before = keep; keep {
				kept[i]++
			}
		}
	}
	for i, ratio := range ratios {
		require.InDelta(t, ratio, float64(kept[i])/traces, 0.01)
	}
}

// An exporter that takes a part of what is sampled says so in what it gets.
func TestExportersSayWhatTheyKeep(t *testing.T) {
	t.Parallel()
	for was, want := range map[string]string{"": "ot=th:c", "ot=th:8,v=1": "ot=th:c,v=1", "ot=th:f": "ot=th:f", "ot=th:8;rv:ffffffffffffff": "ot=th:c;rv:ffffffffffffff"} {
		ts, err := trace.ParseTraceState(was)
		require.NoError(t, err)
		span := tracetest.SpanStub{SpanContext: trace.NewSpanContext(trace.SpanContextConfig{TraceID: idOf(maxRandom), SpanID: trace.SpanID{1}, TraceState: ts})}.Snapshot()
		got := span.SpanContext().TraceState()
		if other := newKeeper(0.25).states()(span); other != nil {
			got = *other
		}
		require.Equal(t, want, got.String(), was)
	}
	require.Nil(t, (*keeper)(nil).states())
}

func FuzzState(f *testing.F) {
	f.Add("th:8;rv:0123456789abcd;x:y")
	f.Fuzz(func(t *testing.T, value string) {
		o := parseState(value)
		for field := range strings.SplitSeq(o.rest, ";") {
			if strings.HasPrefix(field, "th:") {
				t.Fatal("a threshold is left in ", o.rest)
			}
		}
		if again := parseState(o.rest); again.rest != o.rest || again.random != o.random {
			t.Fatal(fmt.Sprint(o, again))
		}
	})
}
