package mesh_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/require"
	coltracepb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	resourcepb "go.opentelemetry.io/proto/otlp/resource/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	driftv1 "github.com/driftmesh/driftmesh/proto/driftmesh/drift/v1"
	ingestv1 "github.com/driftmesh/driftmesh/proto/driftmesh/ingest/v1"
	ledgerv1 "github.com/driftmesh/driftmesh/proto/driftmesh/ledger/v1"
	tracev1 "github.com/driftmesh/driftmesh/proto/driftmesh/trace/v1"
	"github.com/driftmesh/driftmesh/test/mesh"
)

const adminPassword = mesh.AdminPassword

func bearer(ctx context.Context, token string) context.Context {
	if token == "" {
		return ctx
	}
	return metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+token)
}

func dial(t *testing.T, address string) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func oneSpan(service string, id byte) *coltracepb.ExportTraceServiceRequest {
	now := uint64(time.Now().UnixNano())
	return &coltracepb.ExportTraceServiceRequest{ResourceSpans: []*tracepb.ResourceSpans{{
		Resource: &resourcepb.Resource{Attributes: []*commonpb.KeyValue{{
			Key: "service.name", Value: &commonpb.AnyValue{Value: &commonpb.AnyValue_StringValue{StringValue: service}},
		}}},
		ScopeSpans: []*tracepb.ScopeSpans{{Spans: []*tracepb.Span{{
			TraceId: bytes.Repeat([]byte{id}, 16), SpanId: bytes.Repeat([]byte{id}, 8), Name: "work",
			StartTimeUnixNano: now, EndTimeUnixNano: now + 1000,
		}}}},
	}}}
}

// callers are the ways to be nobody. A token of another issuer has the right
// form and the right claims, and the wrong key.
func callers(t *testing.T) map[string]string {
	t.Helper()
	_, key, err := ed25519.GenerateKey(nil)
	require.NoError(t, err)
	sign := func(ends time.Time) string {
		token := jwt.NewWithClaims(jwt.SigningMethodEdDSA, jwt.MapClaims{
			"iss": "driftmesh", "aud": "driftmesh", "sub": "mallory", "tenant": "default", "admin": true, "exp": ends.Unix(), "iat": time.Now().Unix(),
		})
		token.Header["kid"] = "foreign"
		signed, err := token.SignedString(key)
		require.NoError(t, err)
		return signed
	}
	none, err := jwt.NewWithClaims(jwt.SigningMethodNone, jwt.MapClaims{"tenant": "default", "exp": time.Now().Add(time.Hour).Unix()}).
		SignedString(jwt.UnsafeAllowNoneSignatureType)
	require.NoError(t, err)
	return map[string]string{
		"nobody": "", "nonsense": "nonsense", "foreign": sign(time.Now().Add(time.Hour)),
		"foreign and expired": sign(time.Now().Add(-time.Hour)), "unsigned": none,
	}
}

// A mesh that lets nobody in without credentials.
func TestAccess(t *testing.T) {
	t.Parallel()
	away, flags := atProvider(t)
	m := mesh.Start(t, append(flags, "--no-gateway.anonymous", "--auth.bootstrap-password", adminPassword)...)
	m.HTTP = away.http
	t.Run("nobody gets in without credentials", func(t *testing.T) { requireCredentials(t, m) })
	t.Run("no tenant sees another", func(t *testing.T) { requireTenantsApart(t, m) })
	t.Run("users of a provider", func(t *testing.T) { away.run(t, m) })
}

// Every listener that asks for credentials refuses everybody who has none,
// with the right code, and no listener inside the mesh is open.
func requireCredentials(t *testing.T, m *mesh.Mesh) {
	t.Helper()
	public, otlp := m.Conn(t), dial(t, m.OTLPGRPC)
	for name, token := range callers(t) {
		t.Run(name, func(t *testing.T) {
			ctx := bearer(t.Context(), token)
			_, err := coltracepb.NewTraceServiceClient(otlp).Export(ctx, oneSpan("x", 1))
			require.Equal(t, codes.Unauthenticated, status.Code(err), "OTLP gRPC: %v", err)
			_, err = ingestv1.NewIngestServiceClient(public).PublishRecords(ctx, &ingestv1.PublishRecordsRequest{})
			require.Equal(t, codes.Unauthenticated, status.Code(err), "records: %v", err)
			_, err = driftv1.NewDriftServiceClient(public).ListAlerts(ctx, &driftv1.ListAlertsRequest{})
			require.Equal(t, codes.Unauthenticated, status.Code(err), "alerts: %v", err)
			_, err = ledgerv1.NewLedgerServiceClient(public).GetLedger(ctx, &ledgerv1.GetLedgerRequest{})
			require.Equal(t, codes.Unauthenticated, status.Code(err), "ledger: %v", err)
			_, err = tracev1.NewTraceServiceClient(dial(t, m.TraceStore)).ListServices(ctx, &tracev1.ListServicesRequest{})
			require.Equal(t, codes.Unauthenticated, status.Code(err), "trace-store inside: %v", err)
			_, err = driftv1.NewDriftServiceClient(dial(t, m.Drift)).ListAlerts(ctx, &driftv1.ListAlertsRequest{})
			require.Equal(t, codes.Unauthenticated, status.Code(err), "drift inside: %v", err)
			_, err = ledgerv1.NewLedgerServiceClient(dial(t, m.IngestWorker)).GetSettled(ctx, &ledgerv1.GetSettledRequest{})
			require.Equal(t, codes.Unauthenticated, status.Code(err), "ingest-worker inside: %v", err)
			for _, url := range []string{
				"http://" + m.HTTP + "/api/v1/services", "http://" + m.HTTP + "/api/v1/ledger", "http://" + m.HTTP + "/jaeger/api/services", "http://" + m.Jaeger + "/api/services",
			} {
				require.Equal(t, http.StatusUnauthorized, request(t, http.MethodGet, url, token, nil), url)
			}
			require.Equal(t, http.StatusUnauthorized, request(t, http.MethodPost, "http://"+m.OTLPHTTP+"/v1/traces", token, oneSpan("x", 1)))
		})
	}
	require.Contains(t, m.Login(t, "driftmesh", "admin", adminPassword), ".")
	_, err := m.CLI(t, "login", "admin", "--tenant", "driftmesh", "--password", "wrong password")
	require.Error(t, err)
	require.NotContains(t, m.Log(), adminPassword)
}

func request(t *testing.T, method, url, token string, body proto.Message) int {
	t.Helper()
	var raw []byte
	if body != nil {
		var err error
		raw, err = proto.Marshal(body)
		require.NoError(t, err)
	}
	req, err := http.NewRequestWithContext(t.Context(), method, url, bytes.NewReader(raw))
	require.NoError(t, err)
	req.Header.Set("Content-Type", "application/x-protobuf")
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	return resp.StatusCode
}

// Promise 7: the same names, ids and times in two tenants, and neither sees
// the other's, through any door.
func requireTenantsApart(t *testing.T, m *mesh.Mesh) {
	t.Helper()
	admin := m.Login(t, "driftmesh", "admin", adminPassword)
	tokens := map[string]string{}
	for _, tenant := range []string{"red", "blue"} {
		m.MustCLI(t, "tenant", "create", tenant, "--token", admin)
		m.MustCLI(t, "user", "create", "ann", "--tenant", tenant, "--admin", "--password", "password of "+tenant, "--token", admin)
		tokens[tenant] = m.Login(t, tenant, "ann", "password of "+tenant)
	}
	key := m.MustCLI(t, "key", "create", "loader", "--token", tokens["red"])

	// Red has a span, a profile and a record; blue a span of another service.
	ctx := metadata.AppendToOutgoingContext(t.Context(), "x-api-key", key)
	_, err := coltracepb.NewTraceServiceClient(dial(t, m.OTLPGRPC)).Export(ctx, oneSpan("red-service", 7))
	require.NoError(t, err)
	_, err = coltracepb.NewTraceServiceClient(dial(t, m.OTLPGRPC)).Export(bearer(t.Context(), tokens["blue"]), oneSpan("blue-service", 8))
	require.NoError(t, err)
	m.MustCLI(t, "profile", "create", "--reference", wine(t), "--name", "wine", "--token", tokens["red"])
	m.MustCLI(t, "records", "send", wine(t), "--profile", "default/wine", "--token", tokens["red"])

	for _, tenant := range []string{"red", "blue"} {
		mesh.Await(t, 20*time.Second, func() error {
			if got := m.MustCLI(t, "traces", "services", "--token", tokens[tenant]); got != tenant+"-service" {
				return fmt.Errorf("%s sees the services %q", tenant, got)
			}
			return nil
		})
	}
	_, err = m.CLI(t, "traces", "show", strings.Repeat("07", 16), "--token", tokens["blue"])
	require.Error(t, err)
	require.NotContains(t, m.MustCLI(t, "profile", "list", "--token", tokens["blue"]), "wine")
	out, err := m.CLI(t, "records", "send", wine(t), "--profile", "default/wine", "--token", tokens["blue"])
	require.Error(t, err)
	require.Contains(t, out, "there is no profile")

	accepted := func(token string) map[string]uint64 {
		answer, err := ledgerv1.NewLedgerServiceClient(m.Conn(t)).GetLedger(bearer(t.Context(), token), &ledgerv1.GetLedgerRequest{})
		require.NoError(t, err)
		n := map[string]uint64{}
		for _, a := range answer.GetAccounts() {
			n[a.GetSignal()] = a.GetStored()
		}
		return n
	}
	mesh.Await(t, 20*time.Second, func() error {
		if n := accepted(tokens["red"])["records"]; n != 1599 {
			return fmt.Errorf("%d records of 1599", n)
		}
		return nil
	})
	require.EqualValues(t, 1, accepted(tokens["red"])["spans"])
	require.EqualValues(t, 1, accepted(tokens["blue"])["spans"])
	require.Zero(t, accepted(tokens["blue"])["records"])

	// A revoked key ends; another tenant's administrator cannot revoke it.
	id := strings.Split(key, "_")[1]
	_, err = m.CLI(t, "key", "revoke", id, "--token", tokens["blue"])
	require.Error(t, err)
	m.MustCLI(t, "key", "revoke", id, "--token", tokens["red"])
}
