package scouter_test

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/driftmesh/driftmesh/internal/scouter"
	ingestv1 "github.com/driftmesh/driftmesh/proto/driftmesh/ingest/v1"
)

// gist is what a message says, without what differs from one run of the client to the
// next: uids, ids, times and the names of runs.
func gist(t *testing.T, raw []byte) (said []string) {
	t.Helper()
	m, err := scouter.Decode(raw)
	require.NoError(t, err)
	for _, no := range m.Refused {
		said = append(said, "refused: "+no.Reason) // which of them it is changes from run to run
	}
	for _, r := range m.Records {
		if c := r.GetContext(); c != nil {
			require.NotEmpty(t, r.GetId())
			var words struct{ Context json.RawMessage }
			require.NoError(t, json.Unmarshal([]byte(c.GetJson()), &words))
			said = append(said, string(words.Context))
			continue
		}
		require.NotEmpty(t, r.GetProfile())
		require.NotNil(t, r.GetEventTime())
		said = append(said, protojson.Format(&ingestv1.Record{Body: r.GetBody()}))
	}
	if m.Spans != nil {
		var data tracepb.TracesData
		require.NoError(t, proto.Unmarshal(m.Spans, &data))
		for _, r := range data.GetResourceSpans() {
			for _, sc := range r.GetScopeSpans() {
				for _, s := range sc.GetSpans() {
					said = append(said, fmt.Sprintf("span %s %s of %d attributes, %d events, %d links, status %s", s.GetName(), s.GetKind(), len(s.GetAttributes()), len(s.GetEvents()), len(s.GetLinks()), s.GetStatus().GetCode()))
				}
			}
		}
	}
	require.NotEmpty(t, said)
	return said
}

// The client says the same over every transport: what was captured on brokers, byte for
// byte, comes to what was captured over HTTP.
func TestEveryTransportSaysTheSame(t *testing.T) {
	t.Parallel()
	for _, file := range []string{"spc", "psi", "custom", "custom-null", "eval-rest", "spans", "spans-link"} {
		want := gist(t, sample(t, "message-"+file+".json"))
		for _, way := range []string{"kafka", "rabbitmq", "redis"} {
			require.ElementsMatch(t, want, gist(t, sample(t, way+"/"+file+".json")), "%s over %s", file, way)
		}
	}
}
