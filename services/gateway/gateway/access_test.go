package gateway_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/require"
	coltracepb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/driftmesh/driftmesh/internal/identity"
	"github.com/driftmesh/driftmesh/internal/policy"
	authv1 "github.com/driftmesh/driftmesh/proto/driftmesh/auth/v1"
	driftv1 "github.com/driftmesh/driftmesh/proto/driftmesh/drift/v1"
	ingestv1 "github.com/driftmesh/driftmesh/proto/driftmesh/ingest/v1"
	ledgerv1 "github.com/driftmesh/driftmesh/proto/driftmesh/ledger/v1"
	tracev1 "github.com/driftmesh/driftmesh/proto/driftmesh/trace/v1"
)

// request sends an HTTP request and returns status, head and body.
func (w *world) request(method, url, body string, head ...string) (int, http.Header, []byte) {
	w.t.Helper()
	req, err := http.NewRequestWithContext(w.t.Context(), method, url, bytes.NewBufferString(body))
	require.NoError(w.t, err)
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(head); i += 2 {
		if head[i] == "Content-Type" {
			req.Header.Del("Content-Type")
		}
		req.Header.Add(head[i], head[i+1])
	}
	resp, err := w.client.Do(req)
	require.NoError(w.t, err)
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	require.NoError(w.t, err)
	return resp.StatusCode, resp.Header, raw
}

// credentials that are no good, as header pairs.
func badCredentials() map[string][]string {
	return map[string][]string{
		"none":                          nil,
		"garbage":                       {"authorization", "Bearer garbage"},
		"foreign":                       {"authorization", "Bearer " + signed("acme", foreign, "k1", nil)},
		"unknown":                       {"authorization", "Bearer " + signed("acme", foreign, "k2", nil)},
		"none alg":                      {"authorization", "Bearer " + confused(jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType)},
		"our public key as an HMAC key": {"authorization", "Bearer " + confused(jwt.SigningMethodHS256, []byte(ours.Public().(ed25519.PublicKey)))},
		"of the far future":             {"authorization", "Bearer " + token("acme", func(c jwt.MapClaims) { c["nbf"] = time.Now().Add(time.Hour).Unix() })},
		"without an end":                {"authorization", "Bearer " + token("acme", func(c jwt.MapClaims) { delete(c, "exp") })},
		"expired":                       {"authorization", "Bearer " + token("acme", func(c jwt.MapClaims) { c["exp"] = time.Now().Add(-time.Minute).Unix() })},
		"issuer":                        {"authorization", "Bearer " + token("acme", func(c jwt.MapClaims) { c["iss"] = "somebody" })},
		"audience":                      {"authorization", "Bearer " + token("acme", func(c jwt.MapClaims) { c["aud"] = "somebody" })},
		"no tenant":                     {"authorization", "Bearer " + token("", nil)},
		"basic":                         {"authorization", "Basic YW5uOnNlY3JldA=="},
		"key":                           {"x-api-key", "dm_wrong"},
		"two tokens":                    {"authorization", "Bearer " + token("acme", nil), "authorization", "Bearer " + token("other", nil)},
	}
}

// confused is a token with the right claims, and an algorithm that nobody should
// believe.
func confused(method jwt.SigningMethod, key any) string {
	t := jwt.NewWithClaims(method, jwt.MapClaims{
		"iss": identity.TokenIssuer, "aud": identity.TokenAudience, "sub": "ann", "tenant": "acme", "exp": time.Now().Add(time.Minute).Unix(),
	})
	t.Header["kid"] = "k1"
	text, err := t.SignedString(key)
	if err != nil {
		return err.Error()
	}
	return text
}

func TestWithoutGoodCredentialsNobodyComesIn(t *testing.T) {
	t.Parallel()
	w := start(t)
	native, otlp := w.conn(), w.dial(w.otlpGRPC)
	grpcCalls := map[string]func(context.Context) error{
		"publish": func(ctx context.Context) error {
			_, err := ingestv1.NewIngestServiceClient(native).PublishRecords(ctx, &ingestv1.PublishRecordsRequest{})
			return err
		},
		"stream": func(ctx context.Context) error {
			s, err := ingestv1.NewIngestServiceClient(native).StreamRecords(ctx)
			require.NoError(t, err)
			_, err = s.CloseAndRecv()
			return err
		},
		"tail": func(ctx context.Context) error {
			s, err := ingestv1.NewIngestServiceClient(native).Tail(ctx, &ingestv1.TailRequest{Signal: ingestv1.Signal_SIGNAL_SPANS})
			require.NoError(t, err)
			_, err = s.Recv()
			return err
		},
		"alerts": func(ctx context.Context) error {
			_, err := driftv1.NewDriftServiceClient(native).ListAlerts(ctx, &driftv1.ListAlertsRequest{})
			return err
		},
		"services": func(ctx context.Context) error {
			_, err := tracev1.NewTraceServiceClient(native).ListServices(ctx, &tracev1.ListServicesRequest{})
			return err
		},
		"ledger": func(ctx context.Context) error {
			_, err := ledgerv1.NewLedgerServiceClient(native).GetLedger(ctx, &ledgerv1.GetLedgerRequest{})
			return err
		},
		"exchange": func(ctx context.Context) error {
			s, err := ingestv1.NewIngestServiceClient(native).ExchangeRecords(ctx)
			require.NoError(t, err)
			_, err = s.Recv()
			return err
		},
		"whoami": func(ctx context.Context) error {
			_, err := authv1.NewAuthServiceClient(native).WhoAmI(ctx, &authv1.WhoAmIRequest{})
			return err
		},
		"otlp": func(ctx context.Context) error {
			_, err := coltracepb.NewTraceServiceClient(otlp).Export(ctx, &coltracepb.ExportTraceServiceRequest{})
			return err
		},
	}
	urls := map[string]string{
		"GET " + w.http + "/api/v1/alerts": "", "GET " + w.http + "/api/v1/services": "", "GET " + w.http + "/api/v1/ledger": "",
		"POST " + w.http + "/api/v1/records": `{"records":[]}`, "GET " + w.http + "/api/v1/tail?signal=SIGNAL_SPANS": "",
		"GET " + w.http + "/jaeger/api/services": "", "GET " + w.http + "/jaeger/api/v3/services": "",
		"GET " + w.http + "/jaeger/api/traces/" + knownTrace: "",
		"GET http://" + w.jaeger + "/api/services":           "", "GET http://" + w.jaeger + "/api/traces/" + knownTrace: "",
		"GET " + w.http + "/api/v1/traces/" + knownTrace: "", "POST " + w.http + "/api/v1/sql": "SELECT 1", "POST " + w.http + "/api/v1/records:stream": "{}",
		"GET " + w.http + "/api/v1/audit": "", "GET " + w.http + "/api/v1/keys": "",
		"POST " + w.otlpHTTP + "/v1/traces": "{}", "POST " + w.otlpHTTP + "/v1/metrics": "{}", "POST " + w.otlpHTTP + "/v1/logs": "{}",
	}
	for name, credentials := range badCredentials() {
		for call, do := range grpcCalls {
			ctx := metadata.AppendToOutgoingContext(t.Context(), credentials...)
			require.Equal(t, codes.Unauthenticated, status.Code(do(ctx)), "%s with %s", call, name)
		}
		for target, body := range urls {
			method, url, _ := bytes.Cut([]byte(target), []byte(" "))
			code, head, raw := w.request(string(method), string(url), body, credentials...)
			require.Equal(t, http.StatusUnauthorized, code, "%s with %s: %s", target, name, raw)
			require.NotEmpty(t, head.Get("Content-Type"))
		}
	}
	messages, _ := w.published()
	require.Empty(t, messages)
}

func TestEachTenantSeesItsOwn(t *testing.T) {
	t.Parallel()
	w := start(t)
	conn := w.conn()
	for _, tenant := range []string{"acme", "other"} {
		ctx := as(t, tenant)
		services, err := tracev1.NewTraceServiceClient(conn).ListServices(ctx, &tracev1.ListServicesRequest{})
		require.NoError(t, err)
		require.Equal(t, []string{"service-of-" + tenant}, services.GetServices())
		alerts, err := driftv1.NewDriftServiceClient(conn).ListAlerts(ctx, &driftv1.ListAlertsRequest{})
		require.NoError(t, err)
		require.Equal(t, "alert-of-"+tenant, alerts.GetAlerts()[0].GetId())
		who, err := authv1.NewAuthServiceClient(conn).WhoAmI(ctx, &authv1.WhoAmIRequest{})
		require.NoError(t, err)
		require.Equal(t, tenant, who.GetTenant())
		require.Equal(t, "ann", who.GetSubject())
		ledger, err := ledgerv1.NewLedgerServiceClient(conn).GetLedger(ctx, &ledgerv1.GetLedgerRequest{})
		require.NoError(t, err)
		require.Equal(t, tenant, ledger.GetAccounts()[0].GetTenant())

		var answer struct{ Data []string }
		code, _, raw := w.request(http.MethodGet, w.http+"/jaeger/api/services", "", "Authorization", "Bearer "+token(tenant, nil))
		require.Equal(t, http.StatusOK, code)
		require.NoError(t, json.Unmarshal(raw, &answer))
		require.Equal(t, []string{"service-of-" + tenant}, answer.Data)
	}
	// A profile of acme is none of other's.
	resp, err := w.ingest().PublishRecords(as(t, "other"), &ingestv1.PublishRecordsRequest{
		Records: []*ingestv1.Record{wine("a", float("alcohol", 1))},
	})
	require.NoError(t, err)
	require.Equal(t, "unknown_profile", resp.GetRejections()[0].GetReason())
}

func TestAPIKeysAndAnonymous(t *testing.T) {
	t.Parallel()
	w := start(t, anonymous)
	auth := authv1.NewAuthServiceClient(w.conn())
	who, err := auth.WhoAmI(metadata.AppendToOutgoingContext(t.Context(), "x-api-key", apiKey), &authv1.WhoAmIRequest{})
	require.NoError(t, err)
	require.Equal(t, "keyed", who.GetTenant())
	require.Equal(t, "key", who.GetKind())
	who, err = auth.WhoAmI(t.Context(), &authv1.WhoAmIRequest{})
	require.NoError(t, err)
	require.Equal(t, "default", who.GetTenant())
	require.Equal(t, "anonymous", who.GetKind())
	_, err = auth.WhoAmI(metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer garbage"), &authv1.WhoAmIRequest{})
	require.Equal(t, codes.Unauthenticated, status.Code(err), "wrong credentials are not the same as none")
}

func TestOnlyPublicMethodsPass(t *testing.T) {
	t.Parallel()
	w := start(t)
	conn := w.conn()
	auth := authv1.NewAuthServiceClient(conn)
	_, err := auth.Login(t.Context(), &authv1.LoginRequest{Username: "ann", Password: "wrong"})
	require.Equal(t, codes.Unauthenticated, status.Code(err))
	require.Equal(t, "wrong name or password", status.Convert(err).Message())
	login, err := auth.Login(t.Context(), &authv1.LoginRequest{Username: "ann", Password: "right"})
	require.NoError(t, err)
	require.Equal(t, "a.b.c", login.GetToken())
	keys, err := auth.ListKeys(t.Context(), &authv1.ListKeysRequest{})
	require.NoError(t, err)
	require.JSONEq(t, `{"keys":[]}`, keys.GetJwks())

	_, err = auth.CheckAPIKey(as(t, "acme"), &authv1.CheckAPIKeyRequest{Key: apiKey})
	require.Equal(t, codes.Unimplemented, status.Code(err))
	_, err = ledgerv1.NewLedgerServiceClient(conn).GetSettled(as(t, "acme"), &ledgerv1.GetSettledRequest{})
	require.Equal(t, codes.Unimplemented, status.Code(err))
	_, err = auth.ListUsers(asRole(t, "acme", policy.Admin), &authv1.ListUsersRequest{})
	require.Equal(t, codes.Unimplemented, status.Code(err), "what the service behind says is passed on")
}

func TestGarbageStopsAtTheDoor(t *testing.T) {
	t.Parallel()
	w := start(t)
	conn := w.conn()
	for method, want := range map[string]codes.Code{
		"/driftmesh.drift.v1.DriftService/ListAlerts":       codes.InvalidArgument,
		"/driftmesh.ingest.v1.IngestService/PublishRecords": codes.InvalidArgument,
		"/driftmesh.ledger.v1.LedgerService/GetLedger":      codes.InvalidArgument,
		"/driftmesh.drift.v1.DriftService/NoSuchMethod":     codes.Unimplemented,
	} {
		garbage := []byte{0x0a, 0x7f, 0x01}
		err := conn.Invoke(as(t, "acme"), method, &garbage, new([]byte), grpc.ForceCodec(rawBytes{}))
		require.Equal(t, want, status.Code(err), "%s: %v", method, err)
	}
}

// rawBytes is a codec whose messages are *[]byte.
type rawBytes struct{}

func (rawBytes) Name() string                  { return "proto" }
func (rawBytes) Marshal(v any) ([]byte, error) { return *v.(*[]byte), nil }
func (rawBytes) Unmarshal(data []byte, v any) error {
	*v.(*[]byte) = append([]byte(nil), data...)
	return nil
}

func TestTracesStreamThroughTheProxy(t *testing.T) {
	t.Parallel()
	w := start(t)
	traces := tracev1.NewTraceServiceClient(w.conn())
	stream, err := traces.GetTrace(as(t, "acme"), &tracev1.GetTraceRequest{TraceId: knownTrace})
	require.NoError(t, err)
	parts := 0
	for {
		_, err = stream.Recv()
		if err != nil {
			break
		}
		parts++
	}
	require.ErrorIs(t, err, io.EOF)
	require.Equal(t, 3, parts)
	stream, err = traces.GetTrace(as(t, "acme"), &tracev1.GetTraceRequest{TraceId: "ff"})
	require.NoError(t, err)
	_, err = stream.Recv()
	require.Equal(t, codes.NotFound, status.Code(err))
}
