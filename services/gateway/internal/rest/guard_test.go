package rest

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/internal/identity"
	"github.com/driftmesh/driftmesh/internal/policy"
	"github.com/driftmesh/driftmesh/internal/quota"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// serve runs a handler behind the guard and returns its address.
func serve(t *testing.T, cfg Config, h http.HandlerFunc) string {
	t.Helper()
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	cfg = cfg.withDefaults()
	handler := guard(cfg, newDesk(cfg, nil).whole(cfg.MaxBody, apiRoutes{h}))
	go func() { done <- Serve(ctx, lis, nil, handler, slog.New(slog.DiscardHandler)) }()
	t.Cleanup(func() {
		cancel()
		require.NoError(t, <-done)
	})
	return lis.Addr().String()
}

func dial(t *testing.T, addr string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	require.NoError(t, conn.SetDeadline(time.Now().Add(20*time.Second)))
	return conn
}

// A body that stalls, or comes so slowly that it would never end, is given up.
func TestStalledAndTricklingBodiesAreGivenUp(t *testing.T) {
	t.Parallel()
	addr := serve(t, Config{Stall: 100 * time.Millisecond}, func(http.ResponseWriter, *http.Request) { t.Error("there is no whole body") })
	for _, trickle := range []bool{false, true} {
		conn := dial(t, addr)
		_, err := fmt.Fprint(conn, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\nabc")
		require.NoError(t, err)
		if trickle {
			go func() { // ends with the connection
				for {
					if _, err := conn.Write([]byte("x")); err != nil {
						return
					}
					time.Sleep(10 * time.Millisecond) // never a stall
				}
			}()
		}
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		require.NoError(t, err)
		require.Equal(t, http.StatusBadRequest, resp.StatusCode)
		require.NoError(t, resp.Body.Close())
	}
}

// TestSlowBodiesHoldNoPlace: more callers than there are places send a body and
// do not end it; others are answered all the same.
func TestSlowBodiesHoldNoPlace(t *testing.T) {
	t.Parallel()
	addr := serve(t, Config{MaxRequests: 4, MaxBody: 1 << 20}, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(w, r.Body)
	})
	for range 40 {
		_, err := fmt.Fprint(dial(t, addr), "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nabc")
		require.NoError(t, err)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	for range 10 {
		resp, err := client.Post("http://"+addr, "application/json", strings.NewReader("whole"))
		require.NoError(t, err)
		raw, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		require.Equal(t, "whole", string(raw), resp.Status)
	}
}

// Bodies that wait take memory, and of that there is a bound too.
func TestBodiesHaveARoom(t *testing.T) {
	t.Parallel()
	cfg := Config{MaxBody: 1 << 20}.withDefaults()
	d := newDesk(cfg, nil)
	all := d.bodies.Limit()
	require.Equal(t, quota.Given, d.bodies.Take(nil, all-piece, 0, 0))
	r := func() *http.Request {
		return httptest.NewRequest(http.MethodPost, "/", strings.NewReader(strings.Repeat("x", 3*piece/2)))
	}
	in, err := d.read(r(), cfg.MaxBody)
	require.ErrorIs(t, err, fault.Unavailable)
	require.LessOrEqual(t, in.held, int64(piece))
	d.bodies.Give(nil, all-piece+in.held)
	in, err = d.read(r(), cfg.MaxBody)
	require.NoError(t, err)
	require.Equal(t, 3*piece/2, in.Len())
	require.Equal(t, d.bodies.Used(), in.held)
	_, err = d.read(r(), piece)
	require.ErrorIs(t, err, fault.Exhausted)
}

// Who sends slowly holds little of that room; nobody has all of it, least of all who is
// not known; and so it is with the places.
func TestNobodyTakesAllRoomForBodies(t *testing.T) {
	t.Parallel()
	cfg := Config{MaxBody: 1 << 20, MaxRequests: 8}.withDefaults()
	d := newDesk(cfg, quota.NewBook(quota.Limits{}))
	request := func(tenant, body string) *http.Request {
		ctx := t.Context()
		if tenant != "" {
			ctx = identity.With(ctx, identity.Identity{Tenant: tenant, Subject: "s", Kind: identity.User})
		}
		return httptest.NewRequestWithContext(ctx, http.MethodPost, "/", strings.NewReader(body))
	}
	slow, err := d.read(request("", "abc"), maxLogin)
	require.NoError(t, err)
	require.LessOrEqual(t, slow.held, int64(firstPiece))
	fill := func(tenant string, size int) (bytes int64) {
		for {
			in, err := d.read(request(tenant, strings.Repeat("x", size)), cfg.MaxBody)
			bytes += in.held
			if err != nil {
				require.ErrorIs(t, err, fault.Unavailable)
				return bytes
			}
		}
	}
	require.LessOrEqual(t, fill("", maxLogin), d.bodies.Limit()/unknownPart)
	require.Greater(t, fill("flood", 1<<20), d.bodies.Limit()/4)
	for _, tenant := range []string{"quiet", "still"} {
		_, err = d.read(request(tenant, strings.Repeat("x", 100<<10)), cfg.MaxBody)
		require.NoError(t, err)
	}

	release, entered := make(chan struct{}), make(chan struct{}, cfg.MaxRequests)
	held := d.whole(0, apiRoutes{http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		entered <- struct{}{}
		<-release
	})})
	ask := func(tenant string) int {
		w, r := httptest.NewRecorder(), request(tenant, "")
		r.ContentLength = 0
		held.ServeHTTP(w, r)
		return w.Code
	}
	var all sync.WaitGroup
	for range cfg.MaxRequests / unknownPart {
		all.Go(func() { ask("") })
		<-entered
	}
	require.Equal(t, http.StatusServiceUnavailable, ask(""), "of strangers no more")
	all.Go(func() { ask("quiet") })
	<-entered
	close(release)
	all.Wait()
	require.Zero(t, d.places.Used())
}

func TestSlowButMovingBodyIsRead(t *testing.T) {
	t.Parallel()
	got := make(chan string, 1)
	addr := serve(t, Config{Stall: 2 * time.Second}, func(_ http.ResponseWriter, r *http.Request) {
		raw, _ := io.ReadAll(r.Body)
		got <- string(raw)
	})
	conn := dial(t, addr)
	_, err := fmt.Fprint(conn, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n")
	require.NoError(t, err)
	for range 5 {
		time.Sleep(20 * time.Millisecond) // slow, and far from a stall
		_, err = fmt.Fprint(conn, "x")
		require.NoError(t, err)
	}
	require.Equal(t, "xxxxx", <-got)
}

func TestAnswerMayTakeLongerThanAStall(t *testing.T) {
	t.Parallel()
	addr := serve(t, Config{Stall: 50 * time.Millisecond}, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		select {
		case <-r.Context().Done():
			t.Error("the request was given up")
		case <-time.After(200 * time.Millisecond):
		}
		_, _ = io.WriteString(w, "late")
	})
	for range 2 { // the second on the same connection
		resp, err := http.Post("http://"+addr, "text/plain", strings.NewReader("x"))
		require.NoError(t, err)
		raw, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		require.Equal(t, "late", string(raw))
	}
	http.DefaultClient.CloseIdleConnections()
}

func TestTooManyRequests(t *testing.T) {
	t.Parallel()
	entered, release := make(chan struct{}), make(chan struct{})
	addr := serve(t, Config{MaxRequests: 1}, func(http.ResponseWriter, *http.Request) {
		entered <- struct{}{}
		<-release
	})
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	first := make(chan error, 1)
	go func() {
		resp, err := client.Get("http://" + addr)
		if err == nil {
			err = resp.Body.Close()
		}
		first <- err
	}()
	<-entered
	resp, err := client.Get("http://" + addr)
	require.NoError(t, err)
	require.Equal(t, http.StatusServiceUnavailable, resp.StatusCode)
	require.Equal(t, "1", resp.Header.Get("Retry-After"))
	require.NoError(t, resp.Body.Close())
	close(release)
	require.NoError(t, <-first)
}

func TestHeadsAreBounded(t *testing.T) {
	t.Parallel()
	addr := serve(t, Config{}, func(http.ResponseWriter, *http.Request) {})
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+addr, nil)
	require.NoError(t, err)
	req.Header.Set("X-Big", strings.Repeat("x", 2*maxHead))
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	require.NoError(t, err)
	require.Equal(t, http.StatusRequestHeaderFieldsTooLarge, resp.StatusCode)
	require.NoError(t, resp.Body.Close())
}

// unread is a body that nobody asks for.
type unread struct{ t *testing.T }

func (u unread) Read([]byte) (int, error) {
	u.t.Error("the body was read")
	return 0, io.EOF
}

// Strangers, and those who may not, cost a refusal: their bodies are not read.
func TestWhoIsRefusedCostsNoBody(t *testing.T) {
	t.Parallel()
	cfg := Config{}.withDefaults()
	desk := newDesk(cfg, nil)
	next := apiRoutes{http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("it was let in") })}
	for want, authenticate := range map[int]Authenticate{
		http.StatusUnauthorized: func(context.Context, string, string) (identity.Identity, error) {
			return identity.Identity{}, fault.Unauthenticated.New("who?")
		},
		http.StatusForbidden: func(context.Context, string, string) (identity.Identity, error) {
			return identity.Identity{Tenant: "acme", Subject: "k", Kind: identity.Key, Grant: policy.As(policy.Ingest)}, nil
		},
	} {
		w := httptest.NewRecorder()
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", unread{t})
		r.ContentLength = 16 << 10
		r.Header.Set("Content-Type", "application/json")
		guard(cfg, allowed(authenticate, policy.DeadLettersRedrive, jsonOnly(desk.whole(1<<20, next)))).ServeHTTP(w, r)
		require.Equal(t, want, w.Code)
		require.Zero(t, desk.bodies.Used())
	}
}

// A route that the policy does not know stops the start.
func TestARouteWithoutAPolicyDoesNotStart(t *testing.T) {
	t.Parallel()
	e := newEntrance(policy.HTTP, Config{}.withDefaults(), Deps{})
	require.NoError(t, e.err)
	e.handle("GET /new", 0, apiRoutes{http.NotFoundHandler()})
	require.ErrorContains(t, e.err, "GET /new")
}

// The routes of rest.yaml are found again by what grpc-gateway calls them.
func TestPatterns(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]string{
		"/api/v1/whoami": "/api/v1/whoami", "/api/v1/keys/{id}": "/api/v1/keys/{id=*}", "/a/{profile=**}": "/a/{profile=**}",
		"/api/v1/alerts/{id}:acknowledge": "/api/v1/alerts/{id=*}:acknowledge", "/{a}/b/{c}/d": "/{a=*}/b/{c=*}/d",
	} {
		require.Equal(t, want, pattern(path))
	}
}

// The places for requests are for all: a tenant whose requests take long has most of
// them and never all, and what streams has its own.
func TestNoTenantTakesAllPlaces(t *testing.T) {
	t.Parallel()
	cfg := Config{MaxRequests: 8}.withDefaults()
	d := newDesk(cfg, quota.NewBook(quota.Limits{}))
	release, entered := make(chan struct{}), make(chan struct{}, cfg.MaxRequests)
	slow := d.whole(0, apiRoutes{http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		entered <- struct{}{}
		<-release
	})})
	ask := func(tenant string) *httptest.ResponseRecorder {
		id := identity.Identity{Tenant: tenant, Subject: "s", Kind: identity.User}
		req := httptest.NewRequestWithContext(identity.With(t.Context(), id), http.MethodGet, "/", nil)
		w := httptest.NewRecorder()
		slow.ServeHTTP(w, req)
		return w
	}
	var all sync.WaitGroup
	for range 6 { // three quarters of eight
		all.Go(func() { ask("flood") })
		<-entered
	}
	refused := ask("flood")
	require.Equal(t, http.StatusServiceUnavailable, refused.Code)
	require.NotEmpty(t, refused.Header().Get("Retry-After"))
	all.Go(func() { ask("quiet") })
	<-entered // there is a place for another
	close(release)
	all.Wait()
	require.Zero(t, d.places.Used())
}
