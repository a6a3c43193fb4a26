package scouter_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"

	"github.com/driftmesh/driftmesh/internal/scouter"
	ingestv1 "github.com/driftmesh/driftmesh/proto/driftmesh/ingest/v1"
	scouterv1 "github.com/driftmesh/driftmesh/proto/scouter/grpc/v1"
	"github.com/driftmesh/driftmesh/test/mesh"
	"github.com/driftmesh/driftmesh/test/server"
)

// recorder stands between the client and a mesh, over HTTP and gRPC, and keeps what
// passes: each message, whether it was acknowledged, and the tokens that were handed
// back. It does what it is told to and no more: who is away behind it is away.
type recorder struct {
	HTTP, GRPC string // where it listens

	t  *testing.T
	to mesh.Addresses

	mu       sync.Mutex
	messages []message
	renewed  []string // tokens
	refused  int      // answers that are no acknowledgement
	left     int      // messages whose sender did not wait for the answer
	http     *http.Server
	grpc     *grpc.Server
}

// message is one that the client sent.
type message struct {
	body         []byte
	acknowledged bool
}

func newRecorder(t *testing.T, to mesh.Addresses) *recorder {
	t.Helper()
	r := &recorder{t: t, to: to, HTTP: server.FreeAddress(t), GRPC: server.FreeAddress(t)}
	r.open()
	t.Cleanup(r.cut)
	return r
}

// open listens, again after cut.
func (r *recorder) open() {
	r.t.Helper()
	web, err := net.Listen("tcp", r.HTTP)
	require.NoError(r.t, err)
	calls, err := net.Listen("tcp", r.GRPC)
	require.NoError(r.t, err)
	r.http, r.grpc = &http.Server{Handler: r.proxy(), ReadHeaderTimeout: time.Minute}, grpc.NewServer()
	conn := r.to.Conn(r.t)
	scouterv1.RegisterMessageServiceServer(r.grpc, &recordedMessages{r: r, to: scouterv1.NewMessageServiceClient(conn)})
	scouterv1.RegisterAuthServiceServer(r.grpc, &recordedAuth{to: scouterv1.NewAuthServiceClient(conn)})
	go func(s *http.Server) { _ = s.Serve(web) }(r.http) // until it is closed
	go func(s *grpc.Server) { _ = s.Serve(calls) }(r.grpc)
}

// cut breaks all connections, as the end of a server does.
func (r *recorder) cut() {
	_ = r.http.Close()
	r.grpc.Stop()
}

// keep keeps a message, whose sender waits while ctx lasts.
func (r *recorder) keep(ctx context.Context, body []byte, acknowledged bool, token string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.messages = append(r.messages, message{body, acknowledged})
	switch {
	case acknowledged:
	case ctx.Err() != nil:
		r.left++
	default:
		r.refused++
	}
	if token != "" {
		r.renewed = append(r.renewed, token)
	}
}

// acknowledged counts the messages that were, and tokens those that were renewed.
func (r *recorder) acknowledged() (n, tokens, refused int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, m := range r.messages {
		if m.acknowledged {
			n++
		}
	}
	return n, len(r.renewed), r.refused
}

// proxy passes HTTP on, and breaks a connection where it cannot.
func (r *recorder) proxy() http.Handler {
	target := &url.URL{Scheme: "http", Host: r.to.HTTP}
	proxy := &httputil.ReverseProxy{
		Rewrite: func(p *httputil.ProxyRequest) { p.SetURL(target) },
		ErrorHandler: func(http.ResponseWriter, *http.Request, error) {
			panic(http.ErrAbortHandler) // as a server that is killed
		},
	}
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if req.URL.Path != "/scouter/message" {
			proxy.ServeHTTP(w, req)
			return
		}
		body, err := io.ReadAll(req.Body)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		req.Body = io.NopCloser(bytes.NewReader(body))
		status := &statusWriter{ResponseWriter: w}
		defer func() { r.keep(req.Context(), body, status.is == http.StatusOK, status.Header().Get("Authorization")) }()
		proxy.ServeHTTP(status, req)
	})
}

type statusWriter struct {
	http.ResponseWriter
	is int
}

func (s *statusWriter) WriteHeader(is int) {
	s.is = is
	s.ResponseWriter.WriteHeader(is)
}

type recordedMessages struct {
	scouterv1.UnimplementedMessageServiceServer
	r  *recorder
	to scouterv1.MessageServiceClient
}

// InsertMessage passes a message on with its credentials, and the next token back.
func (m *recordedMessages) InsertMessage(ctx context.Context, req *scouterv1.InsertMessageRequest) (*scouterv1.InsertMessageResponse, error) {
	in, _ := metadata.FromIncomingContext(ctx)
	var header metadata.MD
	resp, err := m.to.InsertMessage(metadata.NewOutgoingContext(ctx, metadata.MD{"authorization": in.Get("authorization")}), req, grpc.Header(&header))
	token := header.Get("x-refreshed-token")
	m.r.keep(ctx, req.GetMessageRecord(), err == nil && resp.GetStatus() == "success", slices.Concat(token, []string{""})[0])
	if len(token) > 0 {
		_ = grpc.SetHeader(ctx, metadata.Pairs("x-refreshed-token", token[0]))
	}
	return resp, err
}

type recordedAuth struct {
	scouterv1.UnimplementedAuthServiceServer
	to scouterv1.AuthServiceClient
}

func (a *recordedAuth) Login(ctx context.Context, req *scouterv1.LoginRequest) (*scouterv1.LoginResponse, error) {
	return a.to.Login(ctx, req)
}

// said is what messages say: names of records, and of spans.
type said struct {
	records map[[2]string]*ingestv1.Record // by profile and id
	spans   map[[2]string]*tracepb.Span    // by trace and span
}

// what reads the messages that were acknowledged, or all.
func (r *recorder) what(all bool) said {
	r.t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	s := said{map[[2]string]*ingestv1.Record{}, map[[2]string]*tracepb.Span{}}
	for _, one := range r.messages {
		if !one.acknowledged && !all {
			continue
		}
		m, err := scouter.Decode(one.body)
		require.NoError(r.t, err)
		require.Empty(r.t, m.Refused)
		for _, record := range m.Records {
			s.records[[2]string{record.GetProfile(), record.GetId()}] = record
		}
		var data tracepb.TracesData
		require.NoError(r.t, proto.Unmarshal(m.Spans, &data))
		for _, resource := range data.GetResourceSpans() {
			for _, scope := range resource.GetScopeSpans() {
				for _, span := range scope.GetSpans() {
					s.spans[[2]string{hex.EncodeToString(span.GetTraceId()), hex.EncodeToString(span.GetSpanId())}] = span
				}
			}
		}
	}
	return s
}
