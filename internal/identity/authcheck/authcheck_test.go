package authcheck_test

import (
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"fmt"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	healthgrpc "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/internal/identity"
	"github.com/driftmesh/driftmesh/internal/identity/authcheck"
	"github.com/driftmesh/driftmesh/internal/policy"
	authv1 "github.com/driftmesh/driftmesh/proto/driftmesh/auth/v1"
)

var (
	signing = ed25519.NewKeyFromSeed([]byte("0123456789abcdef0123456789abcdef"))
	apiKey  = identity.FormatAPIKey("key1", []byte("0123456789abcdef0123456789abcdef"))
)

// auth answers as the service does, without a network.
type auth struct {
	grpc.ClientConnInterface
	t    *testing.T
	away bool
}

func (a *auth) Invoke(ctx context.Context, method string, args, reply any, _ ...grpc.CallOption) error {
	if a.away {
		return fault.Unavailable.New("auth is away")
	}
	switch out := reply.(type) {
	case *authv1.ListKeysResponse:
		x := base64.RawURLEncoding.EncodeToString(signing.Public().(ed25519.PublicKey))
		out.Jwks = fmt.Sprintf(`{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"k1","x":%q}]}`, x)
	case *healthgrpc.HealthCheckResponse:
	case *authv1.CheckAPIKeyResponse:
		id, ok := identity.From(ctx)
		require.True(a.t, ok)
		require.Equal(a.t, identity.ForService("tester", identity.MeshTenant), id, "only services may ask")
		if args.(*authv1.CheckAPIKeyRequest).GetKey() != apiKey {
			return fault.NotFound.New("no such key")
		}
		out.Tenant, out.KeyId, out.ExpireTime = "keyed", "key1", timestamppb.New(time.Now().Add(time.Hour))
	default:
		a.t.Errorf("unexpected call of %s", method)
	}
	return nil
}

func token(t *testing.T) string {
	tok := jwt.NewWithClaims(jwt.SigningMethodEdDSA, jwt.MapClaims{
		"iss": identity.TokenIssuer, "aud": identity.TokenAudience, "sub": "ann", "tenant": "acme", "exp": time.Now().Add(time.Hour).Unix(),
	})
	tok.Header["kid"] = "k1"
	text, err := tok.SignedString(signing)
	require.NoError(t, err)
	return text
}

func TestCheckerBelievesAuth(t *testing.T) {
	t.Parallel()
	conn := &auth{t: t, away: true}
	c, err := authcheck.New(conn, "tester", "")
	require.NoError(t, err)
	ctx := t.Context()
	require.ErrorIs(t, c.Ready(ctx), fault.Unavailable)
	_, err = c.Authenticate(ctx, "", apiKey)
	require.ErrorIs(t, err, fault.Unavailable)

	conn.away = false
	running, stop := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- c.Run(running) }()
	require.Eventually(t, func() bool { return c.Ready(ctx) == nil }, 10*time.Second, time.Millisecond)
	conn.away = true
	require.ErrorIs(t, c.Ready(ctx), fault.Unavailable, "the keys are known, but no API key can be checked")
	conn.away = false
	stop()
	require.NoError(t, <-done)

	id, err := c.Authenticate(ctx, "Bearer "+token(t), "")
	require.NoError(t, err)
	require.Equal(t, identity.Identity{Tenant: "acme", Subject: "ann", Kind: identity.User, Grant: policy.As(policy.Editor)}, id)
	for _, headers := range [][2]string{{"", apiKey}, {"Bearer " + apiKey, ""}} {
		id, err = c.Authenticate(ctx, headers[0], headers[1])
		require.NoError(t, err)
		require.Equal(t, identity.Identity{Tenant: "keyed", Subject: "key1", Kind: identity.Key, Grant: policy.As(policy.Editor)}, id)
	}
	_, err = c.Authenticate(ctx, "", "")
	require.ErrorIs(t, err, fault.Unauthenticated)
	_, err = c.Authenticate(ctx, "", identity.FormatAPIKey("other", make([]byte, 32)))
	require.ErrorIs(t, err, fault.Unauthenticated)

	open, err := authcheck.New(conn, "tester", policy.Local)
	require.NoError(t, err)
	id, err = open.Authenticate(ctx, "", "")
	require.NoError(t, err)
	require.Equal(t, identity.DefaultTenant, id.Tenant)
}
