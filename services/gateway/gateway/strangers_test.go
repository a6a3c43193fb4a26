package gateway_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	collectorpb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	ingestv1 "github.com/driftmesh/driftmesh/proto/driftmesh/ingest/v1"
)

const sampledParent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

// send writes a request by hand and reads the answer.
func send(t *testing.T, addr, request string) (*http.Response, string) {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(addr, "http://"))
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	require.NoError(t, conn.SetDeadline(time.Now().Add(patience)))
	_, err = fmt.Fprint(conn, request)
	require.NoError(t, err)
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	require.NoError(t, err)
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	return resp, string(body)
}

// TestStrangersAreRefusedByTheirHead: whoever shows no credentials is told so
// though not one byte of the body has come, on every way in over HTTP.
func TestStrangersAreRefusedByTheirHead(t *testing.T) {
	t.Parallel()
	w := start(t)
	for _, target := range []struct{ addr, path string }{
		{w.http, "/api/v1/records"}, {w.http, "/api/v1/records:stream"}, {w.http, "/api/v1/traces:search"},
		{w.http, "/jaeger/api/services"}, {w.otlpHTTP, "/v1/traces"}, {w.otlpHTTP, "/v1/metrics"},
	} {
		resp, body := send(t, target.addr, "POST "+target.path+" HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 10000000\r\n\r\n")
		require.Equal(t, http.StatusUnauthorized, resp.StatusCode, "%s: %s", target.path, body)
	}
	resp, _ := send(t, w.http, "POST /api/v1/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 10000000\r\n\r\n")
	require.Equal(t, http.StatusRequestEntityTooLarge, resp.StatusCode, "whoever logs in sends little")
}

// TestStrangersLeaveNoSpans: a sampled traceparent is no reason to store spans of
// ours for somebody unknown; for somebody known it is.
func TestStrangersLeaveNoSpans(t *testing.T) {
	t.Parallel()
	w := start(t)
	for path, verb := range map[string]string{"/api/v1/records": http.MethodPost, "/api/v1/whoami": http.MethodGet} {
		req, err := http.NewRequestWithContext(t.Context(), verb, w.http+path, strings.NewReader("{}"))
		require.NoError(t, err)
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Traceparent", sampledParent)
		resp, err := w.client.Do(req)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		require.Equal(t, http.StatusUnauthorized, resp.StatusCode)
	}
	traced := func(ctx context.Context) context.Context {
		return metadata.AppendToOutgoingContext(ctx, "traceparent", sampledParent)
	}
	_, err := w.ingest().PublishRecords(traced(t.Context()), &ingestv1.PublishRecordsRequest{})
	require.Equal(t, codes.Unauthenticated, status.Code(err))
	traces := collectorpb.NewTraceServiceClient(w.dial(w.otlpGRPC))
	_, err = traces.Export(traced(t.Context()), &collectorpb.ExportTraceServiceRequest{})
	require.Equal(t, codes.Unauthenticated, status.Code(err))
	require.Empty(t, w.spans.GetSpans())

	_, err = w.ingest().PublishRecords(traced(as(t, "acme")), &ingestv1.PublishRecordsRequest{})
	require.NoError(t, err)
	_, err = traces.Export(traced(as(t, "acme")), &collectorpb.ExportTraceServiceRequest{})
	require.NoError(t, err)
	require.Len(t, w.spans.GetSpans(), 2)
}

// TestWebPagesDriveNoMesh sends what a page in the user's own browser can:
// under a name of its own that it made resolve to loopback (DNS rebinding), from
// another origin, and in the forms that need no permission to be sent.
func TestWebPagesDriveNoMesh(t *testing.T) {
	t.Parallel()
	w := start(t, anonymous)
	const body = "Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
	for _, addr := range []struct{ addr, path string }{{w.http, "/api/v1/records"}, {w.otlpHTTP, "/v1/traces"}} {
		for name, tc := range map[string]struct {
			request string
			code    int
		}{
			"a program":       {"Host: 127.0.0.1\r\n" + body, http.StatusOK},
			"rebound":         {"Host: evil.example.com:8000\r\nOrigin: http://evil.example.com:8000\r\nSec-Fetch-Site: same-origin\r\n" + body, http.StatusForbidden},
			"another origin":  {"Host: localhost:8000\r\nOrigin: https://evil.example.com\r\nSec-Fetch-Site: cross-site\r\n" + body, http.StatusForbidden},
			"a form":          {"Host: localhost:8000\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\n{}", http.StatusUnsupportedMediaType},
			"a blob, no type": {"Host: localhost:8000\r\nContent-Length: 2\r\n\r\n{}", http.StatusUnsupportedMediaType},
		} {
			resp, said := send(t, addr.addr, "POST "+addr.path+" HTTP/1.1\r\n"+tc.request)
			require.Equal(t, tc.code, resp.StatusCode, "%s %s: %s", name, addr.path, said)
		}
	}
	for _, at := range []struct{ addr, path string }{
		{w.http, "/api/v1/services"}, {w.http, "/jaeger/api/services"}, {w.http, "/openapi.json"}, {w.http, "/traces/" + knownTrace}, {w.http, "/"},
		{w.http, "/api/v1/tail?signal=SIGNAL_SPANS"}, {w.http, "/api/v1/tail/events?signal=SIGNAL_SPANS"}, {w.http, "/api/v1/settings"}, {w.http, "/api/v1/sql?query=SELECT+1"},
		{w.jaeger, "/api/services"}, {w.jaeger, "/api/traces/" + knownTrace}, {w.jaeger, "/"},
	} {
		resp, said := send(t, at.addr, "GET "+at.path+" HTTP/1.1\r\nHost: evil.example.com:8000\r\nSec-Fetch-Site: same-origin\r\n\r\n")
		require.Equal(t, http.StatusForbidden, resp.StatusCode, at.path)
		require.Contains(t, said, "gateway.hosts")
	}
	for _, at := range []struct{ addr, verb, path string }{
		{w.http, "POST", "/api/v1/sql"}, {w.http, "POST", "/api/v1/records:stream"}, {w.http, "POST", "/api/v1/login"}, {w.http, "DELETE", "/api/v1/keys/x"},
		{w.jaeger, "POST", "/api/services"}, {w.otlpHTTP, "POST", "/v1/metrics"}, {w.otlpHTTP, "POST", "/v1/logs"},
	} {
		resp, said := send(t, at.addr, at.verb+" "+at.path+" HTTP/1.1\r\nHost: localhost:8000\r\nOrigin: https://evil.example.com\r\nSec-Fetch-Site: cross-site\r\n"+
			"Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{}")
		require.Equal(t, http.StatusForbidden, resp.StatusCode, "%s %s: %s", at.verb, at.path, said)
		require.Empty(t, resp.Header.Get("Access-Control-Allow-Origin"))
	}
	messages, _ := w.published()
	require.Empty(t, messages, "a program's were empty")
}
