package httptracing_test

import (
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/goleak"

	"github.com/driftmesh/driftmesh/sdk"
	"github.com/driftmesh/driftmesh/sdk/httptracing"
)

const (
	patience = 10 * time.Second
	tick     = time.Millisecond
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestOneTraceForARequest(t *testing.T) {
	t.Parallel()
	r := tracetest.NewSpanRecorder()
	p := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(r))
	head := make(chan http.Header, 10)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /things/{id}", func(w http.ResponseWriter, r *http.Request) {
		head <- r.Header
		for range 3 { // a stream
			_, _ = io.WriteString(w, "part\n")
			w.(http.Flusher).Flush()
		}
	})
	mux.HandleFunc("/panics", func(http.ResponseWriter, *http.Request) { panic("no") }) //nolint:forbidigo // as a user's may
	mux.HandleFunc("/healthz", func(http.ResponseWriter, *http.Request) {})
	server := httptest.NewUnstartedServer(httptracing.Handler(mux, httptracing.WithProvider(p), httptracing.WithFilter(func(r *http.Request) bool { return r.URL.Path != "/healthz" })))
	server.Config.ErrorLog = log.New(io.Discard, "", 0) //nolint:forbidigo // net/http takes no other
	server.Start()
	defer server.Close()
	base := &http.Transport{DisableKeepAlives: true} // a request that broke would be sent again
	defer base.CloseIdleConnections()
	client := &http.Client{Transport: httptracing.Transport(base, httptracing.WithProvider(p))}
	ctx, span := sdk.Start(t.Context(), "caller", sdk.InProvider(p))
	get := func(path string) (string, error) {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, server.URL+path, nil)
		require.NoError(t, err)
		resp, err := client.Do(req)
		if err != nil {
			return "", err
		}
		defer resp.Body.Close()
		raw, err := io.ReadAll(resp.Body)
		return string(raw), err
	}
	ended := func(n int) []sdktrace.ReadOnlySpan {
		require.Eventually(t, func() bool { return len(r.Ended()) == n }, patience, tick)
		return r.Ended()
	}
	got, err := get("/things/7")
	require.NoError(t, err)
	require.Equal(t, strings.Repeat("part\n", 3), got)
	h := <-head
	require.Equal(t, span.SpanContext().TraceID().String(), h.Get("trace_id"))
	require.Equal(t, "true", h.Get("is_sampled"))
	require.NotEmpty(t, h.Get("traceparent"))
	byKind := map[trace.SpanKind]sdktrace.ReadOnlySpan{}
	for _, s := range ended(2) {
		require.Equal(t, span.SpanContext().TraceID(), s.SpanContext().TraceID())
		byKind[s.SpanKind()] = s
	}
	require.Equal(t, "GET /things/{id}", byKind[trace.SpanKindServer].Name())
	require.Equal(t, byKind[trace.SpanKindClient].SpanContext().SpanID(), byKind[trace.SpanKindServer].Parent().SpanID())
	require.Equal(t, h.Get("span_id"), byKind[trace.SpanKindClient].SpanContext().SpanID().String())

	_, err = get("/panics")
	require.Error(t, err)
	for _, s := range ended(4)[2:] {
		require.Equal(t, codes.Error, s.Status().Code)
		if s.SpanKind() == trace.SpanKindServer {
			require.Equal(t, "panic: no", s.Status().Description)
			require.Equal(t, "GET /panics", s.Name())
		}
	}

	// A caller that knows the header map alone is the parent, and decides.
	for _, sampled := range []string{"false", "true"} {
		askByHeaderMap(t, base, server.URL+"/things/1", sampled)
	}
	require.Equal(t, "b7ad6b7169203331", ended(5)[4].Parent().SpanID().String())
	resp, err := base.RoundTrip(httptest.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+"/healthz", nil))
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Len(t, r.Ended(), 5, "a probe is not traced")
}

// askByHeaderMap asks as a client does that knows the header map alone.
func askByHeaderMap(t *testing.T, base http.RoundTripper, url, sampled string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	require.NoError(t, err)
	req.Header.Set("trace_id", "0af7651916cd43dd8448eb211c80319c")
	req.Header.Set("span_id", "b7ad6b7169203331")
	req.Header.Set("is_sampled", sampled)
	resp, err := (&http.Client{Transport: base}).Do(req)
	require.NoError(t, err)
	_, _ = io.Copy(io.Discard, resp.Body)
	require.NoError(t, resp.Body.Close())
}
