package rpc_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"github.com/driftmesh/driftmesh/internal/rpc"
)

// A stranger may call nothing, and who may call a method is known of every one that
// services have for one another.
func TestServicesCallWhatTheyNeedAlone(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		service, method string
		may             bool
	}{
		{"gateway", "/driftmesh.auth.v1.AuthService/CreateUser", true},
		{"ingest-worker", "/driftmesh.auth.v1.AuthService/CreateUser", false},
		{"ingest-worker", "/driftmesh.auth.v1.AuthService/CheckAPIKey", true},
		{"ingest-worker", "/driftmesh.drift.v1.DriftService/GetProfile", true},
		{"ingest-worker", "/driftmesh.drift.v1.DriftService/CreateProfile", false},
		{"drift", "/driftmesh.trace.v1.TraceService/GetTrace", true},
		{"drift", "/driftmesh.trace.v1.TraceService/QuerySQL", false},
		{"gateway", "/driftmesh.trace.v1.TraceService/GetTrace", true},
		{"", "/driftmesh.trace.v1.TraceService/GetTrace", false},
		{"gateway", "/driftmesh.unheard.v1.Service/Method", false},
	} {
		require.Equal(t, row.may, rpc.MayCall(row.service, row.method), "%+v", row)
	}
	inner := map[string]bool{"auth": true, "drift": true, "trace": true, "ledger": true, "deadletter": true}
	seen := 0
	protoregistry.GlobalFiles.RangeFiles(func(file protoreflect.FileDescriptor) bool {
		parts := strings.Split(string(file.Package()), ".")
		if parts[0] != "driftmesh" || !inner[parts[1]] {
			return true
		}
		for i := range file.Services().Len() {
			methods := file.Services().Get(i).Methods()
			for j := range methods.Len() {
				m := methods.Get(j)
				require.True(t, rpc.MayCall("gateway", "/"+string(m.Parent().FullName())+"/"+string(m.Name())), m.FullName())
				seen++
			}
		}
		return true
	})
	require.Greater(t, seen, 30)
}
