// Package mesh runs the real programs for tests: the all-in-one, or the five
// services as processes of their own beside a broker and a ClickHouse engine. Everything is on loopback, on ports of its own, in a directory of its
// own, and ends with the test. Processes are killed with -9 on purpose.
package mesh

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/driftmesh/driftmesh/internal/tlsfiles"
	ledgerv1 "github.com/driftmesh/driftmesh/proto/driftmesh/ledger/v1"
	"github.com/driftmesh/driftmesh/test/server"
)

// Addresses are where a mesh listens, and as whom its methods call: as nobody,
// or with a Token. With the file of an authority, CA, they talk TLS.
type Addresses struct {
	HTTP, Jaeger, GRPC, OTLPGRPC, OTLPHTTP, Admin string
	Auth, Drift, TraceStore, IngestWorker         string
	Token                                         string
	CA                                            string
}

// Mesh is a mesh under test.
type Mesh struct {
	Addresses
	Dir string

	t    server.T
	args []string
	main *Process
}

// Start runs "driftmesh up" with these extra flags and waits until it is ready.
func Start(t server.T, args ...string) *Mesh {
	t.Helper()
	RequireEngine(t)
	m := &Mesh{t: t, Dir: t.TempDir(), Addresses: freeAddresses(t), args: args}
	m.Boot()
	t.Cleanup(func() { m.main.Stop() })
	return m
}

// Boot starts the program, again after Kill, on the same data and ports.
func (m *Mesh) Boot() {
	m.t.Helper()
	args := append([]string{"up", "--data-dir", filepath.Join(m.Dir, "data")}, m.Addresses.flags()...)
	rest, env := hidden(m.args)
	m.main = RunEnv(m.t, env, "up", Binary(m.t, "./cmd/driftmesh"), append(args, rest...)...)
	admin := m.Admin
	if slices.Contains(m.args, "--admin.tls.cert") {
		admin = "https://" + admin
	}
	m.main.WaitReady(admin)
}

// hidden takes the secrets out of a command line, as variables: the program
// refuses them there.
func hidden(args []string) (rest, env []string) {
	rest = args
	for _, name := range []string{"auth.bootstrap-password", "broker.url", "nats.producer-password", "ingest-worker.scouter-kafka", "ingest-worker.scouter-rabbitmq", "ingest-worker.scouter-redis"} {
		var value string
		if rest, value = without(rest, "--"+name); value != "" {
			env = append(env, "DRIFTMESH_"+strings.ToUpper(strings.NewReplacer(".", "_", "-", "_").Replace(name))+"="+value)
		}
	}
	return rest, env
}

// Kill ends the program, broker and engine and all, with SIGKILL.
func (m *Mesh) Kill() { m.main.Kill() }

// Stop ends the program with SIGTERM and requires that it stops cleanly.
func (m *Mesh) Stop() {
	m.t.Helper()
	require.NoError(m.t, m.main.Stop())
}

// Log is what the program has written so far.
func (m *Mesh) Log() string { return m.main.Log() }

// PID is the program's process id.
func (m *Mesh) PID() int { return m.main.PID() }

func (a Addresses) flags() []string {
	return []string{
		"--gateway.http", a.HTTP, "--gateway.jaeger", a.Jaeger, "--gateway.grpc", a.GRPC, "--gateway.otlp-grpc", a.OTLPGRPC, "--gateway.otlp-http", a.OTLPHTTP,
		"--admin.listen", a.Admin,
		"--auth.listen", a.Auth, "--drift.listen", a.Drift, "--trace-store.listen", a.TraceStore, "--ingest-worker.listen", a.IngestWorker,
	}
}

// Conn is a client connection to the public gRPC address.
func (a Addresses) Conn(t server.T) *grpc.ClientConn {
	t.Helper()
	return a.Dial(t, a.GRPC)
}

// Dial is a client connection to another of the gRPC addresses.
func (a Addresses) Dial(t server.T, address string) *grpc.ClientConn {
	t.Helper()
	conn, err := a.Open(address)
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// Open is Dial for who closes the connection.
func (a Addresses) Open(address string) (*grpc.ClientConn, error) {
	transport := insecure.NewCredentials()
	if a.CA != "" {
		var err error
		if transport, err = (tlsfiles.Client{CA: a.CA}).Transport(); err != nil {
			return nil, err
		}
	}
	return grpc.NewClient(address, grpc.WithTransportCredentials(transport), grpc.WithPerRPCCredentials(token(a.Token)))
}

// URL is a path at one of the HTTP addresses.
func (a Addresses) URL(address, path string) string {
	if a.CA != "" {
		return "https://" + address + path
	}
	return "http://" + address + path
}

// Web is a client of the HTTP addresses; it shows no credentials by itself.
func (a Addresses) Web(t server.T) *http.Client {
	t.Helper()
	if a.CA == "" {
		return http.DefaultClient
	}
	cfg, err := tlsfiles.Client{CA: a.CA}.Config(nil)
	require.NoError(t, err)
	transport := &http.Transport{TLSClientConfig: cfg, ForceAttemptHTTP2: true}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

// Post sends a protobuf message to an HTTP address and returns the status.
func (a Addresses) Post(t server.T, address, path string, message proto.Message) int {
	t.Helper()
	raw, err := proto.Marshal(message)
	require.NoError(t, err)
	req, err := http.NewRequestWithContext(context.Background(), http.MethodPost, a.URL(address, path), bytes.NewReader(raw))
	require.NoError(t, err)
	req.Header.Set("Content-Type", "application/x-protobuf")
	if a.Token != "" {
		req.Header.Set("Authorization", "Bearer "+a.Token)
	}
	resp, err := a.Web(t).Do(req)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	return resp.StatusCode
}

// Get fetches a path of the HTTP address into answer and returns the status.
func (a Addresses) Get(t server.T, path string, answer any) int {
	t.Helper()
	req, err := http.NewRequestWithContext(context.Background(), http.MethodGet, a.URL(a.HTTP, path), nil)
	require.NoError(t, err)
	if a.Token != "" {
		req.Header.Set("Authorization", "Bearer "+a.Token)
	}
	resp, err := a.Web(t).Do(req)
	if err != nil {
		return 0
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	if answer != nil && resp.StatusCode == http.StatusOK {
		require.NoError(t, json.Unmarshal(body, answer), string(body))
	}
	return resp.StatusCode
}

// account asks for the ledger of the caller's tenant for one signal.
func (a Addresses) account(t server.T, signal string) (*ledgerv1.Account, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	conn, err := a.Open(a.GRPC)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	ledger, err := ledgerv1.NewLedgerServiceClient(conn).GetLedger(ctx, &ledgerv1.GetLedgerRequest{})
	if err != nil {
		return nil, err
	}
	for _, account := range ledger.GetAccounts() {
		if account.GetSignal() == signal {
			return account, nil
		}
	}
	return nil, errors.New("the ledger has no account of " + signal)
}

// Settled waits until nothing of the signal is in flight and returns its
// account, which must balance.
func (a Addresses) Settled(t server.T, signal string) *ledgerv1.Account {
	t.Helper()
	account := a.Account(t, signal, AllSettled)
	require.True(t, account.GetBalanced(), "%v", account)
	return account
}

// AllSettled tells that nothing is on its way.
func AllSettled(a *ledgerv1.Account) bool { return a.GetInFlight() == 0 && a.GetPendingMessages() == 0 }

// Account waits until the account of a signal is as is wants it. While a part of
// the mesh is away the ledger cannot be read, and says so; that is waited out.
func (a Addresses) Account(t server.T, signal string, is func(*ledgerv1.Account) bool) *ledgerv1.Account {
	t.Helper()
	// What is pending is that of all tenants, the mesh's own telemetry too, which
	// our questions cause: whoever asks too often keeps it busy.
	wait := 200 * time.Millisecond
	for deadline := time.Now().Add(3 * time.Minute); ; wait = min(wait*5/4, 4*time.Second) {
		account, err := a.account(t, signal)
		if err == nil && is(account) {
			return account
		}
		if err != nil {
			require.Equal(t, codes.Unavailable, status.Code(err), "%v", err)
		}
		require.True(t, time.Now().Before(deadline), "the account of %s is still %v: %v", signal, account, err)
		time.Sleep(wait) // between two questions
	}
}

// freeAddresses finds ports that are free now.
func freeAddresses(t server.T) Addresses {
	t.Helper()
	var a Addresses
	for _, p := range []*string{
		&a.HTTP, &a.Jaeger, &a.GRPC, &a.OTLPGRPC, &a.OTLPHTTP, &a.Admin, &a.Auth, &a.Drift, &a.TraceStore, &a.IngestWorker,
	} {
		*p = server.FreeAddress(t)
	}
	return a
}

// String names the public addresses, for messages.
func (a Addresses) String() string { return fmt.Sprintf("mesh on http %s, grpc %s", a.HTTP, a.GRPC) }
