package record

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

func TestParseParent(t *testing.T) {
	t.Parallel()
	const good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	sc, ok := ParseParent(good)
	require.True(t, ok)
	require.Equal(t, "0af7651916cd43dd8448eb211c80319c", sc.TraceID().String())
	require.Equal(t, "b7ad6b7169203331", sc.SpanID().String())
	require.True(t, sc.IsSampled())
	require.True(t, sc.IsRemote())
	for name, tt := range map[string]struct {
		text string
		want bool
	}{
		"not sampled":             {"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00", true},
		"later version":           {"01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", true},
		"later version, longer":   {"cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-what-the-future", true},
		"later version, no break": {"cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01.x", false},
		"longer":                  {good + "-x", false},
		"shorter":                 {good[:54], false},
		"version ff":              {"ff" + good[2:], false},
		"upper case":              {"00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01", false},
		"no trace":                {"00-00000000000000000000000000000000-b7ad6b7169203331-01", false},
		"no span":                 {"00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01", false},
		"no hex":                  {"00-0af7651916cd43dd8448eb211c80319g-b7ad6b7169203331-01", false},
		"other separators":        {"00_0af7651916cd43dd8448eb211c80319c_b7ad6b7169203331_01", false},
	} {
		_, ok := ParseParent(tt.text)
		require.Equal(t, tt.want, ok, name)
	}
}

func FuzzParseParent(f *testing.F) {
	f.Add("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
	f.Add("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-f7")
	f.Add("cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-x")
	f.Fuzz(func(t *testing.T, text string) {
		sc, ok := ParseParent(text)
		if !ok {
			return
		}
		// What we send on, everybody else must be able to read.
		plain := plainParent(text)
		ctx := propagation.TraceContext{}.Extract(context.Background(), propagation.MapCarrier{"traceparent": plain})
		theirs := trace.SpanContextFromContext(ctx)
		require.Equal(t, theirs.TraceID(), sc.TraceID())
		require.Equal(t, theirs.SpanID(), sc.SpanID())
		require.Equal(t, theirs.IsSampled(), sc.IsSampled())
	})
}
