package gateway_test

import (
	"bytes"
	"compress/gzip"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
	coltracepb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	_ "google.golang.org/grpc/encoding/gzip" // to send it
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/driftmesh/driftmesh/internal/envelope"
	"github.com/driftmesh/driftmesh/internal/event"
	"github.com/driftmesh/driftmesh/internal/policy"
)

// TestOneAddressTakesSpansToo sends spans where records go, over gRPC and HTTP, plain
// and packed: they are published as those that come by OTLP's own ports, as whose
// they are, by whoever may.
func TestOneAddressTakesSpansToo(t *testing.T) {
	t.Parallel()
	w := start(t)
	body, err := proto.Marshal(exported())
	require.NoError(t, err)
	spans, err := w.admin.Tail(t.Context(), event.Spans)
	require.NoError(t, err)
	defer func() { require.NoError(t, spans.Close()) }()
	native := coltracepb.NewTraceServiceClient(w.conn())
	reader := token("acme", claims(policy.As(policy.Viewer)))

	ways := map[string]func(){
		"gRPC": func() {
			answer, err := native.Export(as(t, "acme"), exported())
			require.NoError(t, err)
			require.Nil(t, answer.GetPartialSuccess())
		},
		"gRPC, packed": func() {
			_, err := native.Export(as(t, "acme"), exported(), grpc.UseCompressor("gzip"))
			require.NoError(t, err)
		},
		"HTTP": func() {
			code, head, _ := w.request(http.MethodPost, w.http+"/v1/traces", string(body),
				"Authorization", "Bearer "+token("acme", nil), "Content-Type", "application/x-protobuf")
			require.Equal(t, http.StatusOK, code)
			require.Equal(t, "application/x-protobuf", head.Get("Content-Type"))
		},
		"HTTP, packed": func() {
			var packed bytes.Buffer
			z := gzip.NewWriter(&packed)
			_, _ = z.Write(body)
			require.NoError(t, z.Close())
			code, _, _ := w.request(http.MethodPost, w.http+"/v1/traces", packed.String(), "Content-Encoding", "gzip",
				"Authorization", "Bearer "+token("acme", nil), "Content-Type", "application/x-protobuf")
			require.Equal(t, http.StatusOK, code)
		},
	}
	for name, send := range ways {
		send()
		got, err := spans.Next(t.Context())
		require.NoError(t, err, name)
		require.NoError(t, envelope.Open(&got.Message), name)
		require.Equal(t, "acme", envelope.Of(&got.Message).Tenant, name)
		require.Equal(t, names(t, body), names(t, got.Value), name)
	}

	_, err = native.Export(t.Context(), exported())
	require.Equal(t, codes.Unauthenticated, status.Code(err))
	code, _, _ := w.request(http.MethodPost, w.http+"/v1/traces", string(body), "Content-Type", "application/x-protobuf")
	require.Equal(t, http.StatusUnauthorized, code)
	code, _, _ = w.request(http.MethodPost, w.http+"/v1/traces", string(body), "Content-Type", "application/x-protobuf", "Authorization", "Bearer "+reader)
	require.Equal(t, http.StatusForbidden, code)
}
