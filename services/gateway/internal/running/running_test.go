package running_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/internal/identity"
	"github.com/driftmesh/driftmesh/internal/policy"
	"github.com/driftmesh/driftmesh/internal/process"
	"github.com/driftmesh/driftmesh/internal/settings"
	"github.com/driftmesh/driftmesh/internal/tlsfiles"
	meshv1 "github.com/driftmesh/driftmesh/proto/driftmesh/mesh/v1"
	"github.com/driftmesh/driftmesh/services/gateway/internal/running"
)

func as(tenant string, role policy.Role) context.Context {
	return identity.With(context.Background(), identity.Identity{Tenant: tenant, Subject: "ada", Kind: identity.User, Grant: policy.As(role)})
}

func TestTheMeshIsForItsAdministrators(t *testing.T) {
	t.Parallel()
	noon := time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)
	s := running.New(running.Config{
		Instance: "i", Version: "v",
		Settings: func() []settings.Setting {
			return []settings.Setting{{Name: "broker.url", Value: "nats://h", Default: "embedded", Source: "file", Help: "Where.", Secret: true}}
		},
		Certificates: func() []process.Certificate {
			return []process.Certificate{{
				Certificate: tlsfiles.Certificate{Subject: "CN=auth", Names: []string{"auth"}, Issuer: "CN=CA", Serial: "ff", NotBefore: noon, NotAfter: noon.Add(time.Hour)},
				Role:        process.Peer, Service: "auth",
			}}
		},
	})
	for _, ctx := range []context.Context{as("acme", policy.Admin), as("default", policy.Local), as(identity.MeshTenant, policy.Operator), context.Background()} {
		_, err := s.ListSettings(ctx, &meshv1.ListSettingsRequest{})
		require.Error(t, err)
		_, err = s.ListCertificates(ctx, &meshv1.ListCertificatesRequest{})
		require.Error(t, err)
	}
	_, err := s.ListSettings(as("acme", policy.Admin), &meshv1.ListSettingsRequest{})
	require.ErrorIs(t, err, fault.Denied)

	admin := as(identity.MeshTenant, policy.Admin)
	told, err := s.ListSettings(admin, &meshv1.ListSettingsRequest{})
	require.NoError(t, err)
	require.Equal(t, "i v", told.GetInstance()+" "+told.GetVersion())
	one := told.GetSettings()[0]
	require.Equal(t, []string{"broker.url", "nats://h", "embedded", "file", "Where."}, []string{one.GetName(), one.GetValue(), one.GetDefaultValue(), one.GetSource(), one.GetHelp()})
	require.True(t, one.GetSecret())
	known, err := s.ListCertificates(admin, &meshv1.ListCertificatesRequest{})
	require.NoError(t, err)
	c := known.GetCertificates()[0]
	require.Equal(t, meshv1.Certificate_ROLE_PEER, c.GetRole())
	require.Equal(t, []string{"auth", "CN=auth", "CN=CA", "ff"}, []string{c.GetService(), c.GetSubject(), c.GetIssuer(), c.GetSerial()})
	require.Equal(t, noon.Add(time.Hour), c.GetNotAfter().AsTime())

	nothing, err := running.New(running.Config{}).ListCertificates(admin, &meshv1.ListCertificatesRequest{})
	require.NoError(t, err)
	require.Empty(t, nothing.GetCertificates())
}
