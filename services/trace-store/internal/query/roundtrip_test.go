package query_test

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
	tracev1 "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/driftmesh/driftmesh/services/trace-store/internal/query"
	"github.com/driftmesh/driftmesh/services/trace-store/internal/store"
	"github.com/driftmesh/driftmesh/services/trace-store/internal/tracetest"
)

// TestRoundTrip: what went in comes out equal, field by field, value type by
// value type.
func TestRoundTrip(t *testing.T) {
	f := setup(t, query.Limits{})
	r := rand.New(rand.NewPCG(3, 14))
	var sent []*tracev1.TracesData
	var msgs []store.Message
	for range 60 {
		data := tracetest.Random(r)
		sent = append(sent, data)
		msgs = append(msgs, f.message("acme", data))
	}
	for i, e := range f.write(msgs...) {
		require.Empty(t, e.Rejected)
		require.Equal(t, msgs[i].Count, e.Stored)
	}
	want := tracetest.Canonical(sent...)
	require.Greater(t, len(want), 200)
	var read []*tracev1.TracesData
	for _, id := range traceIDs(want) {
		read = append(read, f.trace("acme", id))
	}
	got := tracetest.Canonical(read...)
	require.Len(t, got, len(want))
	for i := range want {
		if !proto.Equal(want[i], got[i]) {
			t.Fatalf("span %d differs:\nwant %s\ngot  %s", i, protojson.Format(want[i]), protojson.Format(got[i]))
		}
	}
}
