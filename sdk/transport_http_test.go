package sdk_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	coltracepb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	driftv1 "github.com/driftmesh/driftmesh/proto/driftmesh/drift/v1"
	ingestv1 "github.com/driftmesh/driftmesh/proto/driftmesh/ingest/v1"
	"github.com/driftmesh/driftmesh/sdk"
	"github.com/driftmesh/driftmesh/sdk/sdktest"
)

// overHTTP is a gateway in memory behind HTTP: the routes of the mesh that a client
// calls. first answers before them, when it says so.
type overHTTP struct {
	*sdktest.Gateway
	first func(http.ResponseWriter, *http.Request) bool

	mu   sync.Mutex
	seen []*http.Request
}

func startHTTP(t *testing.T, options ...sdk.Option) (*overHTTP, *sdk.Client) {
	t.Helper()
	g := &overHTTP{Gateway: sdktest.New(t), first: func(http.ResponseWriter, *http.Request) bool { return false }}
	server := httptest.NewServer(g)
	t.Cleanup(server.Close)
	quick := []sdk.Option{sdk.WithBatch(1000, 1<<20, time.Millisecond), sdk.WithRetry(time.Millisecond, 20*time.Millisecond)}
	client, err := sdk.New(server.URL+"/mesh/", append(quick, options...)...)
	require.NoError(t, err)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		_ = client.Shutdown(ctx) // the test has looked at what it cares about
	})
	return g, client
}

func (g *overHTTP) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	g.mu.Lock()
	g.seen = append(g.seen, r)
	g.mu.Unlock()
	if g.first(w, r) {
		return
	}
	if r.Header.Get("Content-Encoding") == "gzip" {
		z, err := gzip.NewReader(bytes.NewReader(body))
		if err != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		body, _ = io.ReadAll(z)
	}
	ctx := metadata.NewIncomingContext(r.Context(), metadata.MD{
		"authorization": r.Header["Authorization"], "x-api-key": r.Header["X-Api-Key"],
	})
	var answer proto.Message
	var err error
	switch path, _ := strings.CutPrefix(r.URL.Path, "/mesh"); {
	case path == "/v1/traces":
		var req coltracepb.ExportTraceServiceRequest
		if err = proto.Unmarshal(body, &req); err == nil {
			answer, err = g.Export(ctx, &req)
		}
	case path == "/api/v1/records":
		var req ingestv1.PublishRecordsRequest
		if err = proto.Unmarshal(body, &req); err == nil {
			answer, err = g.PublishRecords(ctx, &req)
		}
	case r.Method == http.MethodPost && path == "/api/v1/profiles":
		var req driftv1.CreateProfileRequest
		if err = proto.Unmarshal(body, &req); err == nil {
			answer, err = g.CreateProfile(ctx, &req)
		}
	default:
		name, _ := strings.CutPrefix(path, "/api/v1/profiles/")
		answer, err = g.GetProfile(ctx, &driftv1.GetProfileRequest{Profile: name})
	}
	if err != nil {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(map[codes.Code]int{codes.Unavailable: 503, codes.NotFound: 404, codes.InvalidArgument: 400}[status.Code(err)])
		raw, _ := protojson.Marshal(status.Convert(err).Proto())
		_, _ = w.Write(raw)
		return
	}
	raw, _ := proto.Marshal(answer)
	w.Header().Set("Content-Type", "application/x-protobuf")
	_, _ = w.Write(raw)
}

func TestHTTPCarriesEverything(t *testing.T) {
	t.Parallel()
	g, client := startHTTP(t, sdk.WithAPIKey("key-1"), sdk.WithGzip())
	g.Refuse(func(r *ingestv1.Record) *ingestv1.Rejection {
		if r.GetId() == "3" {
			return &ingestv1.Rejection{Reason: "unknown_profile"}
		}
		return nil
	})
	g.Fail(status.Error(codes.Unavailable, "the broker is away"))
	for i := range 5 {
		require.NoError(t, client.Send(t.Context(), numbered(i)))
	}
	_, span := client.TracerProvider().Tracer("test").Start(t.Context(), "priced")
	span.End()
	var rejected *sdk.RejectedError
	require.ErrorAs(t, client.Flush(t.Context()), &rejected)
	require.Equal(t, "3", rejected.Rejections[0].RecordID)
	require.ElementsMatch(t, []string{"0", "1", "2", "4"}, ids(g.Records()))
	require.Equal(t, "priced", g.Spans()[0].GetScopeSpans()[0].GetSpans()[0].GetName())
	for _, md := range g.Calls() {
		require.Equal(t, []string{"key-1"}, md.Get("x-api-key"))
	}
	packed := map[string]string{}
	for _, r := range g.seen {
		packed[r.URL.Path] = r.Header.Get("Content-Encoding")
	}
	require.Equal(t, map[string]string{"/mesh/v1/traces": "gzip", "/mesh/api/v1/records": ""}, packed)

}

func TestHTTPAsksForProfiles(t *testing.T) {
	t.Parallel()
	g, client := startHTTP(t)
	g.Fail(status.Error(codes.Unavailable, "drift is away"))
	made, err := client.Register(t.Context(), churn(t))
	require.NoError(t, err)
	require.Len(t, g.Profiles(), 1)
	got, err := client.Profile(t.Context(), "ml/churn/0.1.0")
	require.NoError(t, err)
	require.Equal(t, made, got)
	_, err = client.Profile(t.Context(), "no/such one")
	require.Equal(t, codes.NotFound, status.Code(err), "%v", err)
	require.Equal(t, "/mesh/api/v1/profiles/no/such%20one", g.seen[len(g.seen)-1].URL.EscapedPath())
}

// TestHTTPAnswersAreUnderstood answers a batch once with each status: those of OTLP
// that may be sent again are, with the wait that is asked for; others give it up.
func TestHTTPAnswersAreUnderstood(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		code  int
		head  string // Retry-After
		again bool
		wait  time.Duration
	}{
		"busy":            {code: 429, again: true},
		"bad gateway":     {code: 502, again: true},
		"away":            {code: 503, again: true},
		"away for long":   {code: 503, head: "1", again: true, wait: time.Second},
		"until a date":    {code: 503, head: "a date", again: true, wait: time.Second},
		"slow":            {code: 504, again: true},
		"a bug":           {code: 500, again: true},
		"too large":       {code: 413},
		"no access":       {code: 401},
		"not readable":    {code: 400},
		"somewhere else":  {code: 307},
		"not for records": {code: 415},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g, client := startHTTP(t)
			answered := false
			g.first = func(w http.ResponseWriter, _ *http.Request) bool {
				if answered {
					return false
				}
				answered = true
				switch tt.head {
				case "":
				case "a date": // which has no fractions of a second
					w.Header().Set("Retry-After", time.Now().Add(2100*time.Millisecond).UTC().Format(http.TimeFormat))
				default:
					w.Header().Set("Retry-After", tt.head)
				}
				w.Header().Set("Location", "http://127.0.0.1:1/elsewhere")
				w.WriteHeader(tt.code)
				_, _ = w.Write([]byte("a page of somebody's proxy"))
				return true
			}
			began := time.Now()
			require.NoError(t, client.Send(t.Context(), numbered(0)))
			err := client.Flush(t.Context())
			if !tt.again {
				var unsent *sdk.UnsentError
				require.ErrorAs(t, err, &unsent)
				require.ErrorContains(t, err, "a page of somebody's proxy")
				require.Equal(t, map[string]uint64{sdk.DroppedRefused: 1}, client.Stats().Records.Dropped)
				return
			}
			require.NoError(t, err)
			require.GreaterOrEqual(t, time.Since(began), tt.wait)
			require.Equal(t, upTo(1), ids(g.Records()))
		})
	}
}

// TestABatchThatBreaksTheMeshIsGivenUp after some attempts, while others pass.
func TestABatchThatBreaksTheMeshIsGivenUp(t *testing.T) {
	t.Parallel()
	g, client := startHTTP(t, sdk.WithBatch(1, 1<<20, 0))
	tries := 0
	var mu sync.Mutex
	g.first = func(w http.ResponseWriter, r *http.Request) bool {
		mu.Lock()
		defer mu.Unlock()
		if r.ContentLength < 100 {
			return false
		}
		tries++
		w.WriteHeader(http.StatusInternalServerError)
		return true
	}
	poison := sdk.Features("cellar/wine", sdk.String("note", strings.Repeat("x", 200)))
	require.NoError(t, client.Send(t.Context(), poison))
	require.NoError(t, client.Send(t.Context(), numbered(1)))
	var unsent *sdk.UnsentError
	require.ErrorAs(t, client.Flush(t.Context()), &unsent)
	require.Equal(t, uint64(1), unsent.Count)
	require.Equal(t, 12, tries)
	require.Equal(t, []string{"1"}, ids(g.Records()))
}
