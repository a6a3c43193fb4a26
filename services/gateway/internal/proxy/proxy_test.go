package proxy_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"

	"github.com/driftmesh/driftmesh/services/gateway/internal/proxy"
)

// registrar notes what is registered.
type registrar map[string]bool

func (r registrar) RegisterService(desc *grpc.ServiceDesc, _ any) {
	for _, m := range desc.Methods {
		r["/"+desc.ServiceName+"/"+m.MethodName] = true
	}
	for _, s := range desc.Streams {
		r["/"+desc.ServiceName+"/"+s.StreamName] = true
	}
}

// TestWhatIsNotPublic fails when a method appears in a proto and nobody has
// decided whether the outside may call it.
func TestWhatIsNotPublic(t *testing.T) {
	t.Parallel()
	public, private := registrar{}, []string{}
	for _, route := range []proxy.Route{proxy.Auth, proxy.Audit, proxy.Drift, proxy.Trace, proxy.DeadLetters} {
		require.NoError(t, proxy.Register(public, route, nil, nil))
		all := registrar{}
		all.RegisterService(route.Desc, nil)
		for method := range all {
			if !public[method] {
				private = append(private, method)
			}
		}
	}
	require.ElementsMatch(t, []string{
		"/driftmesh.auth.v1.AuthService/CheckAPIKey", "/driftmesh.auth.v1.AuthService/WatchRevocations", "/driftmesh.auth.v1.AuthService/WatchLimits",
		"/driftmesh.audit.v1.AuditService/Record", "/driftmesh.auth.v1.AuthService/LoginStanding", "/driftmesh.auth.v1.AuthService/RenewToken",
	}, private)
}
