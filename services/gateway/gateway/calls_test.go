package gateway_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	reflectionv1 "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"

	driftv1 "github.com/driftmesh/driftmesh/proto/driftmesh/drift/v1"
	"github.com/driftmesh/driftmesh/services/gateway/gateway"
)

// count is the sum of a counter over all series of one method.
func (w *world) count(name, method string) float64 {
	w.t.Helper()
	families, err := w.stats.Gather()
	require.NoError(w.t, err)
	sum := 0.0
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, one := range f.GetMetric() {
			for _, l := range one.GetLabel() {
				if l.GetName() == "grpc_method" && l.GetValue() == method {
					sum += one.GetCounter().GetValue()
				}
			}
		}
	}
	return sum
}

// TestCallsOfEveryDoorAreCounted: REST comes in as calls of the gateway to
// itself, and counts on both sides of them.
func TestCallsOfEveryDoorAreCounted(t *testing.T) {
	t.Parallel()
	w := start(t)
	for range 2 {
		_, err := driftv1.NewDriftServiceClient(w.conn()).ListAlerts(as(t, "acme"), &driftv1.ListAlertsRequest{})
		require.NoError(t, err)
	}
	_, err := driftv1.NewDriftServiceClient(w.conn()).ListAlerts(t.Context(), &driftv1.ListAlertsRequest{})
	require.Equal(t, codes.Unauthenticated, status.Code(err))
	code, _, _ := w.request(http.MethodGet, w.http+"/api/v1/alerts", "", "Authorization", "Bearer "+token("acme", nil))
	require.Equal(t, http.StatusOK, code)
	for name, want := range map[string]float64{
		"grpc_server_started_total": 4, "grpc_server_handled_total": 4, "grpc_server_msg_received_total": 3, "grpc_server_msg_sent_total": 3,
		"grpc_client_started_total": 1, "grpc_client_handled_total": 1, "grpc_client_msg_received_total": 1, "grpc_client_msg_sent_total": 1,
	} {
		require.InDelta(t, want, w.count(name, "ListAlerts"), 0, name)
	}
}

func TestReflectionFollowsItsSetting(t *testing.T) {
	t.Parallel()
	for _, on := range []bool{true, false} {
		w := start(t, func(c *gateway.Config) { c.Reflection = on })
		for _, version := range []string{"v1", "v1alpha"} { // which have the same messages
			stream, err := w.conn().NewStream(t.Context(), &grpc.StreamDesc{ClientStreams: true, ServerStreams: true},
				"/grpc.reflection."+version+".ServerReflection/ServerReflectionInfo")
			require.NoError(t, err)
			require.NoError(t, stream.SendMsg(&reflectionv1.ServerReflectionRequest{MessageRequest: &reflectionv1.ServerReflectionRequest_FileContainingSymbol{
				FileContainingSymbol: "driftmesh.ingest.v1.IngestService",
			}}))
			var answer reflectionv1.ServerReflectionResponse
			err = stream.RecvMsg(&answer)
			if !on {
				require.Equal(t, codes.Unimplemented, status.Code(err))
				continue
			}
			require.NoError(t, err)
			require.NotEmpty(t, answer.GetFileDescriptorResponse().GetFileDescriptorProto())
		}
	}
}
