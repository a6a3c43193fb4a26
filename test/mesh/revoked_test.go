package mesh_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	coltracepb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/driftmesh/driftmesh/internal/broker"
	"github.com/driftmesh/driftmesh/internal/event"
	driftv1 "github.com/driftmesh/driftmesh/proto/driftmesh/drift/v1"
	ingestv1 "github.com/driftmesh/driftmesh/proto/driftmesh/ingest/v1"
	tracev1 "github.com/driftmesh/driftmesh/proto/driftmesh/trace/v1"
	"github.com/driftmesh/driftmesh/test/mesh"
)

// entry is a way in: it says whether its caller is known.
type entry struct {
	name  string
	known func(ctx context.Context) (bool, error)
}

// entries are the ways in of a gateway, as somebody with a Token, or an API key in
// its place, goes in. A tail that is open counts: it must end.
func entries(t *testing.T, m mesh.Addresses) []entry {
	t.Helper()
	public, otlp := m.Conn(t), m.Dial(t, m.OTLPGRPC)
	rpc := func(call func(ctx context.Context) error) func(context.Context) (bool, error) {
		return func(ctx context.Context) (bool, error) {
			err := call(ctx)
			if status.Code(err) == codes.Unauthenticated {
				return false, nil
			}
			return true, err
		}
	}
	web := m.Web(t)
	over := func(method, address, path, body, contentType string) func(context.Context) (bool, error) {
		return func(ctx context.Context) (bool, error) {
			req, err := http.NewRequestWithContext(ctx, method, m.URL(address, path), strings.NewReader(body))
			if err != nil {
				return true, err
			}
			req.Header.Set("Authorization", "Bearer "+m.Token)
			if contentType != "" {
				req.Header.Set("Content-Type", contentType)
			}
			resp, err := web.Do(req)
			if err != nil {
				return true, err
			}
			defer resp.Body.Close()
			switch resp.StatusCode {
			case http.StatusUnauthorized:
				return false, nil
			case http.StatusOK:
				return true, nil
			}
			return true, fmt.Errorf("%s %s: %s", method, path, resp.Status)
		}
	}
	return []entry{
		{"gRPC, records", rpc(func(ctx context.Context) error {
			_, err := ingestv1.NewIngestServiceClient(public).PublishRecords(ctx, &ingestv1.PublishRecordsRequest{Records: []*ingestv1.Record{alcohol("", "default/wine")}})
			return err
		})},
		{"gRPC, traces", rpc(func(ctx context.Context) error {
			_, err := tracev1.NewTraceServiceClient(public).ListServices(ctx, &tracev1.ListServicesRequest{})
			return err
		})},
		{"gRPC, alerts", rpc(func(ctx context.Context) error {
			_, err := driftv1.NewDriftServiceClient(public).ListAlerts(ctx, &driftv1.ListAlertsRequest{})
			return err
		})},
		{"OTLP gRPC", rpc(func(ctx context.Context) error {
			_, err := coltracepb.NewTraceServiceClient(otlp).Export(ctx, someSpan("revoked"))
			return err
		})},
		{"OTLP HTTP", over(http.MethodPost, m.OTLPHTTP, "/v1/traces", `{"resourceSpans":[]}`, "application/json")},
		{"OTLP HTTP, metrics", over(http.MethodPost, m.OTLPHTTP, "/v1/metrics", `{"resourceMetrics":[]}`, "application/json")},
		{"REST", over(http.MethodGet, m.HTTP, "/api/v1/services", "", "")},
		{"REST, SQL", over(http.MethodPost, m.HTTP, "/api/v1/sql?format=csv", "SELECT 1", "text/plain")},
		{"Jaeger", over(http.MethodGet, m.HTTP, "/jaeger/api/services", "", "")},
		{"Jaeger at its root", over(http.MethodGet, m.Jaeger, "/api/services", "", "")},
	}
}

// openTail watches spans and tells how that ended.
func openTail(t *testing.T, m mesh.Addresses) (ended <-chan error) {
	t.Helper()
	tail, err := ingestv1.NewIngestServiceClient(m.Conn(t)).Tail(t.Context(), &ingestv1.TailRequest{Signal: ingestv1.Signal_SIGNAL_SPANS, Service: "nobody's"})
	require.NoError(t, err)
	end := make(chan error, 1)
	go func() {
		_, err := tail.Recv() // nothing comes
		end <- err
	}()
	return end
}

// requireRevokedEverywhere revokes a key, and disables a user, at one gateway: five
// seconds later neither gets in anywhere, and what was open has ended.
func requireRevokedEverywhere(t *testing.T, s *mesh.Secure, admin string, p *producer) {
	t.Helper()
	second, gateway := s.JoinGateway()
	defer func() { require.NoError(t, gateway.Stop()) }()
	key := s.MustCLI(t, "key", "create", "lost", "--tenant", "default", "--role", "editor", "--token", admin)
	s.MustCLI(t, "user", "create", "bob", "--tenant", "default", "--role", "editor", "--password", adminPassword, "--token", admin)
	bob := s.Login(t, "default", "bob", adminPassword)

	var ways []entry
	var tails []<-chan error
	for gateway, at := range map[string]mesh.Addresses{"first": s.Addresses, "second": second} {
		for who, credentials := range map[string]string{"key": key, "user": bob} {
			at.Token = credentials
			for _, e := range entries(t, at) {
				ways = append(ways, entry{e.name + " of the " + gateway + " gateway, by " + who, e.known})
			}
			tails = append(tails, openTail(t, at))
		}
	}
	parked, err := openBroker(t, s.BrokerURL("ingest-worker")).Tail(t.Context(), broker.DLQ(event.Inbox))
	require.NoError(t, err)
	defer parked.Close()
	for _, way := range ways {
		known, err := way.known(t.Context())
		require.NoError(t, err, way.name)
		require.True(t, known, way.name)
	}

	s.MustCLI(t, "key", "revoke", strings.Split(key, "_")[1])
	s.MustCLI(t, "user", "disable", "bob", "--tenant", "default", "--token", admin)
	revoked := time.Now()
	open := ways
	for len(open) > 0 {
		var still []entry
		for _, way := range open {
			known, err := way.known(t.Context())
			require.NoError(t, err, way.name)
			if known {
				still = append(still, way)
			}
		}
		open = still
		if len(open) > 0 {
			require.Less(t, time.Since(revoked), 5*time.Second, "%d ways in are open: %s first", len(open), open[0].name)
		}
	}
	t.Logf("revoked everywhere after %v at most", time.Since(revoked).Round(time.Millisecond))
	for _, way := range ways {
		known, err := way.known(t.Context())
		require.NoError(t, err, way.name)
		require.False(t, known, way.name)
	}
	for _, ended := range tails {
		select {
		case err := <-ended:
			require.Equal(t, codes.Unauthenticated, status.Code(err), "%v", err)
		case <-time.After(time.Until(revoked.Add(5 * time.Second))):
			require.Fail(t, "a tail goes on")
		}
	}
	p.publish(toInbox("after", spansNumbered(t, 4002, 1, 0), "authorization", "Bearer "+key))
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	letter, err := parked.Next(ctx)
	require.NoError(t, err)
	require.Equal(t, "after", letter.ID)
	require.Equal(t, "unauthenticated", letter.Header(event.HeaderDLQReason))
}
