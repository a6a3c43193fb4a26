package authcheck_test

import (
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"fmt"
	"sync"
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
	t *testing.T

	mu      sync.Mutex
	away    bool
	revoked []*authv1.Revocation
	changed chan struct{} // closed with every change
	asked   []int64       // after which number was asked
}

func newAuth(t *testing.T) *auth { return &auth{t: t, changed: make(chan struct{})} }

func (a *auth) change(how func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	how()
	close(a.changed)
	a.changed = make(chan struct{})
}

func (a *auth) setAway(away bool) { a.change(func() { a.away = away }) }

// revoke revokes under the next number.
func (a *auth) revoke(r *authv1.Revocation) {
	a.change(func() {
		r.Number = int64(len(a.revoked) + 1)
		a.revoked = append(a.revoked, r)
	})
}

func (a *auth) isAway() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.away
}

// watching is a stream of WatchRevocations that breaks when auth goes away.
type watching struct {
	grpc.ClientStream
	ctx   context.Context //nolint:containedctx // grpc hands a stream its context this way
	auth  *auth
	after int64
	told  bool
}

func (a *auth) NewStream(ctx context.Context, _ *grpc.StreamDesc, method string, _ ...grpc.CallOption) (grpc.ClientStream, error) {
	if a.isAway() {
		return nil, fault.Unavailable.New("auth is away")
	}
	require.Equal(a.t, authv1.AuthService_WatchRevocations_FullMethodName, method)
	id, _ := identity.From(ctx)
	require.Equal(a.t, identity.ForService("tester", identity.MeshTenant), id, "only services may ask")
	return &watching{ctx: ctx, auth: a}, nil
}

func (w *watching) CloseSend() error { return nil }

func (w *watching) SendMsg(m any) error {
	w.after = m.(*authv1.WatchRevocationsRequest).GetAfter()
	w.auth.mu.Lock()
	defer w.auth.mu.Unlock()
	w.auth.asked = append(w.auth.asked, w.after)
	return nil
}

func (w *watching) RecvMsg(m any) error {
	for {
		w.auth.mu.Lock()
		away, all, changed := w.auth.away, w.auth.revoked, w.auth.changed
		w.auth.mu.Unlock()
		head := int64(len(all))
		switch {
		case away:
			return fault.Unavailable.New("auth is away")
		case head > w.after || !w.told:
			answer := m.(*authv1.WatchRevocationsResponse)
			answer.Revocations, answer.Head = all[w.after:], &head
			w.after, w.told = head, true
			return nil
		}
		select {
		case <-changed:
		case <-w.ctx.Done():
			return w.ctx.Err()
		}
	}
}

func (a *auth) Invoke(ctx context.Context, method string, args, reply any, _ ...grpc.CallOption) error {
	if a.isAway() {
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

func token(t *testing.T) string { return tokenOf(t, "s1", 0) }

func tokenOf(t *testing.T, session string, head int64) string {
	tok := jwt.NewWithClaims(jwt.SigningMethodEdDSA, jwt.MapClaims{
		"iss": identity.TokenIssuer, "aud": identity.TokenAudience, "sub": "ann", "tenant": "acme", "exp": time.Now().Add(time.Hour).Unix(),
		"sid": session, "head": head,
	})
	tok.Header["kid"] = "k1"
	text, err := tok.SignedString(signing)
	require.NoError(t, err)
	return text
}

func TestCheckerBelievesAuth(t *testing.T) {
	t.Parallel()
	conn := newAuth(t)
	conn.setAway(true)
	c, err := authcheck.New(conn, "tester", "")
	require.NoError(t, err)
	ctx := t.Context()
	require.ErrorIs(t, c.Ready(ctx), fault.Unavailable)
	_, err = c.Authenticate(ctx, "", apiKey)
	require.ErrorIs(t, err, fault.Unavailable)

	conn.setAway(false)
	running, stop := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- c.Run(running) }()
	require.Eventually(t, func() bool { return c.Ready(ctx) == nil }, 10*time.Second, time.Millisecond)
	conn.setAway(true)
	require.ErrorIs(t, c.Ready(ctx), fault.Unavailable, "the keys are known, but no API key can be checked")
	conn.setAway(false)
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

// While auth cannot be heard those who are known go on; once it is back, nothing
// of what it revoked meanwhile is missed.
func TestRevocationsAreHeardAlsoAfterAuthWasAway(t *testing.T) {
	t.Parallel()
	conn := newAuth(t)
	c, err := authcheck.New(conn, "tester", "")
	require.NoError(t, err)
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	check := func(session string, head int64) string {
		_, err := c.Authenticate(ctx, "Bearer "+tokenOf(t, session, head), "")
		if err == nil {
			return ""
		}
		return fault.Of(err).Reason()
	}
	becomes := func(want, session string, head int64) {
		t.Helper()
		require.Eventually(t, func() bool { return check(session, head) == want }, 5*time.Second, time.Millisecond)
	}
	becomes("", "s1", 0)
	conn.revoke(&authv1.Revocation{Kind: authv1.RevocationKind_REVOCATION_KIND_SESSION, Tenant: "acme", Subject: "s1"})
	becomes(identity.ReasonRevoked, "s1", 0)
	require.Empty(t, check("s2", 1))

	conn.setAway(true)
	require.Eventually(t, func() bool { return c.Ready(ctx) != nil }, 5*time.Second, time.Millisecond)
	require.Empty(t, check("s2", 1), "whoever is known goes on")
	require.Equal(t, identity.ReasonRevoked, check("s1", 0), "and whoever was revoked stays away")
	for _, id := range []string{"s2", "s3"} {
		conn.revoke(&authv1.Revocation{Kind: authv1.RevocationKind_REVOCATION_KIND_SESSION, Tenant: "acme", Subject: id})
	}
	conn.setAway(false)
	becomes(identity.ReasonRevoked, "s2", 1)
	becomes(identity.ReasonRevoked, "s3", 1)
	require.Empty(t, check("s4", 3))
	conn.mu.Lock()
	require.NotContains(t, conn.asked[1:], int64(0), "it went on where it had stopped")
	conn.mu.Unlock()
	stop()
	require.NoError(t, <-done)
}
