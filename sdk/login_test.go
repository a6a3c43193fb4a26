package sdk_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	authv1 "github.com/driftmesh/driftmesh/proto/driftmesh/auth/v1"
	ingestv1 "github.com/driftmesh/driftmesh/proto/driftmesh/ingest/v1"
	"github.com/driftmesh/driftmesh/sdk"
)

// gate lets those in who have logged in; a token is good for life.
type gate struct {
	authv1.UnimplementedAuthServiceServer
	ingestv1.UnimplementedIngestServiceServer
	life time.Duration

	mu     sync.Mutex
	logins int
	with   []string // credentials of what was sent
}

func (g *gate) Login(ctx context.Context, req *authv1.LoginRequest) (*authv1.LoginResponse, error) {
	md, _ := metadata.FromIncomingContext(ctx)
	if len(md.Get("authorization")) > 0 {
		return nil, status.Error(codes.Internal, "a login with credentials")
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.logins++
	if req.GetTenant() != "cellar" || req.GetUsername() != "ann" || req.GetPassword() != "secret" || g.logins > 1 && req.GetDevice() != "d1" {
		return nil, status.Error(codes.Unauthenticated, "wrong password")
	}
	return &authv1.LoginResponse{Token: fmt.Sprint("token-", g.logins), ExpireTime: timestamppb.New(time.Now().Add(g.life)), Device: "d1"}, nil
}

func (g *gate) PublishRecords(ctx context.Context, _ *ingestv1.PublishRecordsRequest) (*ingestv1.PublishRecordsResponse, error) {
	md, _ := metadata.FromIncomingContext(ctx)
	g.mu.Lock()
	defer g.mu.Unlock()
	g.with = append(g.with, md.Get("authorization")...)
	return &ingestv1.PublishRecordsResponse{}, nil
}

func (g *gate) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	ctx := metadata.NewIncomingContext(r.Context(), metadata.MD{"authorization": r.Header["Authorization"]})
	var answer proto.Message
	var err error
	if r.URL.Path == "/api/v1/login" {
		var req authv1.LoginRequest
		raw := make([]byte, r.ContentLength)
		_, _ = r.Body.Read(raw)
		if err = proto.Unmarshal(raw, &req); err == nil {
			answer, err = g.Login(ctx, &req)
		}
	} else {
		answer, err = g.PublishRecords(ctx, nil)
	}
	if err != nil {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	raw, _ := proto.Marshal(answer)
	_, _ = w.Write(raw)
}

func (g *gate) serve(t *testing.T) (overGRPC, overHTTP string) {
	t.Helper()
	server := grpc.NewServer()
	authv1.RegisterAuthServiceServer(server, g)
	ingestv1.RegisterIngestServiceServer(server, g)
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	done := make(chan error, 1)
	go func() { done <- server.Serve(lis) }()
	web := httptest.NewServer(g)
	t.Cleanup(func() { server.Stop(); <-done; web.Close() })
	return lis.Addr().String(), web.URL
}

// A password is sent once for as long as its token lives, and again before it ends.
func TestLogin(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		life   time.Duration
		logins int
	}{{time.Hour, 1}, {time.Nanosecond, 3}} {
		g := &gate{life: tt.life}
		overGRPC, overHTTP := g.serve(t)
		for _, address := range []string{overGRPC, overHTTP} {
			g.logins, g.with = 0, nil
			client, err := sdk.New(address, sdk.WithLogin("cellar", "ann", "secret"))
			require.NoError(t, err)
			for i := range 3 {
				require.NoError(t, client.Publish(t.Context(), numbered(i)))
			}
			require.NoError(t, client.Shutdown(t.Context()))
			require.Equal(t, tt.logins, g.logins, address)
			require.Equal(t, "Bearer token-1", g.with[0])
			require.Equal(t, fmt.Sprint("Bearer token-", tt.logins), g.with[2])
		}
	}
	g := &gate{life: time.Hour}
	overGRPC, _ := g.serve(t)
	client, err := sdk.New(overGRPC, sdk.WithLogin("cellar", "ann", "wrong"))
	require.NoError(t, err)
	require.Equal(t, codes.Unauthenticated, status.Code(client.Publish(t.Context(), numbered(0))))
	require.NoError(t, client.Shutdown(t.Context()))
}
