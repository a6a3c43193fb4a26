package mesh_test

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	coltracepb "go.opentelemetry.io/proto/otlp/collector/trace/v1"

	"github.com/driftmesh/driftmesh/internal/pki"
	ingestv1 "github.com/driftmesh/driftmesh/proto/driftmesh/ingest/v1"
	"github.com/driftmesh/driftmesh/test/mesh"
)

// steadyLoad calls the doors of a mesh until it is stopped, and fails with the first
// call that does.
type steadyLoad struct {
	cancel context.CancelFunc
	wait   sync.WaitGroup
	calls  map[string]*atomic.Int64
	failed chan error
}

// steadily begins a load: spans over one connection, and over a new one each time,
// by key; reading over REST, over one connection and over new ones, by token; and a
// tail that must not end.
func steadily(t *testing.T, s *mesh.Secure, key string) *steadyLoad {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	l := &steadyLoad{cancel: cancel, calls: map[string]*atomic.Int64{}, failed: make(chan error, 1)}
	t.Cleanup(cancel)
	keyed := s.Addresses
	keyed.Token = key
	export := func(m mesh.Addresses) func() error {
		held := coltracepb.NewTraceServiceClient(m.Dial(t, m.OTLPGRPC))
		return func() error {
			_, err := held.Export(ctx, someSpan("steady"))
			return err
		}
	}
	read := func(web *http.Client) func() error {
		return func() error {
			req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL(s.HTTP, "/api/v1/services"), nil)
			if err != nil {
				return err
			}
			req.Header.Set("Authorization", "Bearer "+s.Token)
			resp, err := web.Do(req)
			if err != nil {
				return err
			}
			defer resp.Body.Close()
			if resp.StatusCode != http.StatusOK {
				return errors.New(resp.Status)
			}
			return nil
		}
	}
	l.again(ctx, "spans", export(keyed))
	l.again(ctx, "spans, each over its own connection", func() error { return exportOnce(ctx, keyed) })
	l.again(ctx, "REST", read(s.Web(t)))
	l.again(ctx, "REST, each over its own connection", func() error {
		web := s.Web(t)
		defer web.CloseIdleConnections()
		return read(web)()
	})
	tail, err := ingestv1.NewIngestServiceClient(s.Conn(t)).Tail(ctx, &ingestv1.TailRequest{Signal: ingestv1.Signal_SIGNAL_SPANS, Service: "steady"})
	require.NoError(t, err)
	l.again(ctx, "tail", func() error {
		_, err := tail.Recv()
		return err
	})
	return l
}

// again calls now and then until ctx ends or a call fails.
func (l *steadyLoad) again(ctx context.Context, name string, call func() error) {
	count := &atomic.Int64{}
	l.calls[name] = count
	l.wait.Go(func() {
		tick := time.NewTicker(40 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			if err := call(); err != nil && ctx.Err() == nil {
				select {
				case l.failed <- fmt.Errorf("%s, call %d: %w", name, count.Load()+1, err):
				default:
				}
				return
			}
			count.Add(1)
		}
	})
}

// goesOn requires that nothing has failed, and waits until every kind of call
// has succeeded again.
func (l *steadyLoad) goesOn(t *testing.T, after string) {
	t.Helper()
	for name, count := range l.calls {
		before := count.Load()
		mesh.Await(t, time.Minute, func() error {
			select {
			case err := <-l.failed:
				require.NoError(t, err, "after %s", after)
			default:
			}
			if count.Load() < before+3 {
				return fmt.Errorf("%s stands still after %s", name, after)
			}
			return nil
		})
	}
}

func (l *steadyLoad) stop(t *testing.T) {
	t.Helper()
	l.cancel()
	l.wait.Wait()
	select {
	case err := <-l.failed:
		require.NoError(t, err)
	default:
	}
	for name, count := range l.calls {
		t.Logf("%s: %d calls, none failed", name, count.Load())
	}
}

// someSpan is a span of a trace of its own.
func someSpan(service string) *coltracepb.ExportTraceServiceRequest {
	req := oneSpan(service, 1)
	span := req.GetResourceSpans()[0].GetScopeSpans()[0].GetSpans()[0]
	_, _ = rand.Read(span.GetTraceId())
	return req
}

// exportOnce sends a span over a connection of its own.
func exportOnce(ctx context.Context, m mesh.Addresses) error {
	conn, err := m.Open(m.OTLPGRPC)
	if err != nil {
		return err
	}
	defer conn.Close()
	_, err = coltracepb.NewTraceServiceClient(conn).Export(ctx, someSpan("steady"))
	return err
}

// requireNoFailureWhileRotating replaces under load, twice, what everybody proves
// themselves with, and restarts auth after the first time: nobody has to log in
// again.
func requireNoFailureWhileRotating(t *testing.T, s *mesh.Secure, key string) {
	t.Helper()
	l := steadily(t, s, key)
	l.goesOn(t, "the start")
	signs := kid(t, s.Token)
	for round := range 2 {
		s.MustCerts(s.Certs, "make", "--replace-ca", "--spread", "3s")
		l.goesOn(t, "new certificates of a new authority")
		s.MustCerts(s.Stores, "renew", "--before", "100000h")
		l.goesOn(t, "renewed certificates for broker and stores")
		out, err := exec.Command(mesh.Binary(t, "./cmd/driftmesh"), "secret", "rotate", s.SecretFile(), "--spread", "3s").CombinedOutput()
		require.NoError(t, err, string(out))
		l.goesOn(t, "a new mesh secret")
		s.MustCLI(t, "auth", "rotate-keys", "--token", s.Login(t, "driftmesh", "admin", adminPassword))
		mesh.Await(t, time.Minute, func() error {
			next := s.Login(t, "default", "ann", adminPassword)
			if kid(t, next) == signs {
				return errors.New("the old key signs")
			}
			signs = kid(t, next)
			later := s.Addresses
			later.Token = next
			require.Equal(t, http.StatusOK, later.Get(t, "/api/v1/services", nil))
			return nil
		})
		l.goesOn(t, "a new signing key")
		if round == 0 {
			s.Kill("auth")
			l.goesOn(t, "the end of auth")
			s.Restart("auth")
			l.goesOn(t, "another auth")
		}
	}
	// Who starts now believes the token of then.
	second, gateway := s.JoinGateway()
	require.Equal(t, http.StatusOK, second.Get(t, "/api/v1/services", nil))
	require.NoError(t, gateway.Stop())
	l.stop(t)
	raw, err := os.ReadFile(s.SecretFile())
	require.NoError(t, err)
	require.NotContains(t, string(raw), mesh.Secret, "the secret that auth sealed its first keys with")
}

// kid is the key that signed a token.
func kid(t *testing.T, token string) string {
	t.Helper()
	head, _, _ := strings.Cut(token, ".")
	raw, err := base64.RawURLEncoding.DecodeString(head)
	require.NoError(t, err)
	return string(raw)
}

// requireBadCertificatesAreNamed gives the running gateway certificates that
// nobody should believe, and tells what callers are told.
func requireBadCertificatesAreNamed(t *testing.T, s *mesh.Secure) {
	t.Helper()
	good, here := t.TempDir(), []net.IP{net.IPv4(127, 0, 0, 1)}
	copyFiles(t, s.Certs, good, "gateway.pem", "gateway.key", "ca.pem", "ca.key")
	defer copyFiles(t, good, s.Certs, "gateway.pem", "gateway.key")
	for _, bad := range []struct {
		name, told string
		own        bool // of an authority that nobody believes
		plan       pki.Plan
	}{
		{name: "another name", told: "certificate is valid for gateway, elsewhere.example, spiffe://driftmesh/gateway, not 127.0.0.1", plan: pki.Plan{DNS: []string{"elsewhere.example"}, Life: time.Hour}},
		{name: "expired", told: "expired on 20", plan: pki.Plan{IPs: here, Life: time.Millisecond}},
		{name: "foreign", told: "signed by unknown authority", own: true, plan: pki.Plan{IPs: here, Life: time.Hour, CALife: time.Hour}},
	} {
		dir := t.TempDir()
		if !bad.own {
			copyFiles(t, good, dir, "ca.pem", "ca.key")
		}
		bad.plan.Domain, bad.plan.Services = "driftmesh", []string{"gateway"}
		_, err := pki.NewDir(dir, time.Now).Make(bad.plan)
		require.NoError(t, err)
		copyFiles(t, dir, s.Certs, "gateway.key", "gateway.pem")
		mesh.Await(t, 10*time.Second, func() error { // the pair is taken up when both files are there
			out, err := s.CLI(t, "whoami")
			if err == nil || !strings.Contains(out, bad.told) {
				return fmt.Errorf("%s: it says %q", bad.name, out)
			}
			return nil
		})
		_, err = s.Web(t).Get(s.URL(s.HTTP, "/"))
		require.Error(t, err, bad.name)
	}
}

// copyFiles puts files into a directory, each as a whole.
func copyFiles(t *testing.T, from, to string, names ...string) {
	t.Helper()
	for _, name := range names {
		raw, err := os.ReadFile(filepath.Join(from, name))
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(to, name+".new"), raw, 0o600))
		require.NoError(t, os.Rename(filepath.Join(to, name+".new"), filepath.Join(to, name)))
	}
}
