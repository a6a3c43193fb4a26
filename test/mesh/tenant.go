package mesh

import (
	"context"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/metadata"

	authv1 "github.com/driftmesh/driftmesh/proto/driftmesh/auth/v1"
	"github.com/driftmesh/driftmesh/test/server"
)

// AdminPassword is for the setting auth.bootstrap-password of meshes in which
// tests make tenants.
const AdminPassword = "correct horse battery"

// Tenant makes a tenant and returns the same mesh as one of its users calls it,
// so that tests that share a mesh do not see each other's data. The mesh
// must have been started with AdminPassword; Kill and Boot are for its owner.
func (m *Mesh) Tenant(t server.T, name string) *Mesh {
	t.Helper()
	auth := authv1.NewAuthServiceClient(m.Conn(t))
	login := func(tenant, user string) context.Context {
		answer, err := auth.Login(context.Background(), &authv1.LoginRequest{Tenant: tenant, Username: user, Password: AdminPassword})
		require.NoError(t, err)
		return metadata.AppendToOutgoingContext(context.Background(), "authorization", "Bearer "+answer.GetToken())
	}
	admin := login("driftmesh", "admin")
	_, err := auth.CreateTenant(admin, &authv1.CreateTenantRequest{Name: name})
	require.NoError(t, err)
	_, err = auth.CreateUser(admin, &authv1.CreateUserRequest{Tenant: name, Username: "ann", Password: AdminPassword, Admin: true})
	require.NoError(t, err)
	answer, err := auth.Login(context.Background(), &authv1.LoginRequest{Tenant: name, Username: "ann", Password: AdminPassword})
	require.NoError(t, err)
	seen := *m
	seen.t, seen.Token = t, answer.GetToken()
	return &seen
}

// token is sent with every call; "" is nobody.
type token string

func (t token) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	if t == "" {
		return nil, nil
	}
	return map[string]string{"authorization": "Bearer " + string(t)}, nil
}

func (token) RequireTransportSecurity() bool { return false }
