package mesh_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	coltracepb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	resourcepb "go.opentelemetry.io/proto/otlp/resource/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/encoding/protojson"

	ledgerv1 "github.com/driftmesh/driftmesh/proto/driftmesh/ledger/v1"
	"github.com/driftmesh/driftmesh/test/mesh"
)

// senders is who sent what, by principal and kind, as the command line tells.
func senders(t *testing.T, m *mesh.Mesh, args ...string) map[string]uint64 {
	t.Helper()
	var answer ledgerv1.ListSendersResponse
	require.NoError(t, protojson.Unmarshal([]byte(m.MustCLI(t, append([]string{"audit", "senders", "-o", "json"}, args...)...)), &answer))
	of := map[string]uint64{}
	for _, s := range answer.GetSent() {
		of[s.GetSender()+" "+s.GetKind()] += s.GetItems()
		require.False(t, s.GetLastTime().AsTime().Before(s.GetFirstTime().AsTime()))
		require.WithinDuration(t, time.Now(), s.GetFirstTime().AsTime(), 10*time.Minute)
	}
	return of
}

// awaitSenders waits until all that was sent is in the books.
func awaitSenders(t *testing.T, m *mesh.Mesh, want map[string]uint64, args ...string) {
	t.Helper()
	mesh.Await(t, time.Minute, func() error {
		if got := senders(t, m, args...); fmt.Sprint(got) != fmt.Sprint(want) {
			return fmt.Errorf("the senders of %v are %v, want %v", args, got, want)
		}
		return nil
	})
}

// A trace, a record and a score lead to those who sent the data.
func requireSenders(t *testing.T, m *mesh.Mesh) {
	t.Helper()
	key := func(name string) (id, key string) {
		t.Helper()
		key = m.MustCLI(t, "key", "create", name, "--role", "editor")
		for line := range strings.Lines(m.MustCLI(t, "key", "list")) {
			if fields := strings.Fields(line); strings.Contains(line, name) {
				id = fields[0]
			}
		}
		require.NotEmpty(t, id)
		return "key:who-sent-what/" + id, strings.TrimSpace(key)
	}
	one, oneKey := key("first")
	two, twoKey := key("second")

	trace := []byte("who sent what ??")
	export := func(key string, from, n int) {
		t.Helper()
		now := uint64(time.Now().UnixNano()) //nolint:gosec // after 1970
		var spans []*tracepb.Span
		for i := range n {
			spans = append(spans, &tracepb.Span{
				TraceId: trace, SpanId: fmt.Appendf(nil, "%08d", from+i), Name: "work", StartTimeUnixNano: now, EndTimeUnixNano: now + 1,
			})
		}
		ctx := metadata.AppendToOutgoingContext(t.Context(), "x-api-key", key)
		anybody := *m
		anybody.Token = ""
		_, err := coltracepb.NewTraceServiceClient(anybody.Dial(t, m.OTLPGRPC)).Export(ctx, &coltracepb.ExportTraceServiceRequest{
			ResourceSpans: []*tracepb.ResourceSpans{{Resource: &resourcepb.Resource{}, ScopeSpans: []*tracepb.ScopeSpans{{Spans: spans}}}},
		})
		require.NoError(t, err)
	}
	export(oneKey, 1, 3)
	export(twoKey, 11, 2)
	id := fmt.Sprintf("%x", trace)
	awaitSenders(t, m, map[string]uint64{one + " span": 3, two + " span": 2}, "--trace", id)
	require.NotContains(t, m.MustCLI(t, "audit", "senders", "--trace", id, "--token", m.Login(t, "driftmesh", "admin", adminPassword)), "span", "nobody else's")

	begin := time.Now().UTC().Add(-2 * time.Hour).Truncate(time.Minute)
	file := func(name string, from, n int) string {
		lines := []string{"amount,at,id"}
		for i := from; i < from+n; i++ {
			lines = append(lines, strconv.Itoa(i%7)+","+begin.Add(time.Duration(i%3)*time.Minute).Format(time.RFC3339)+","+strconv.Itoa(i))
		}
		path := filepath.Join(t.TempDir(), name)
		require.NoError(t, os.WriteFile(path, []byte(strings.Join(lines, "\n")+"\n"), 0o600))
		return path
	}
	m.MustCLI(t, "profile", "create", "--reference", file("reference.csv", 0, 70), "--name", "sent", "--features", "amount")
	send := func(path string, more ...string) {
		t.Helper()
		m.MustCLI(t, append([]string{"records", "send", path, "--profile", "default/sent", "--time", "at", "--id", "id"}, more...)...)
	}
	send(file("a.csv", 0, 30))
	send(file("b.csv", 30, 12), "--token", oneKey)
	ann := "user:who-sent-what/ann"
	awaitSenders(t, m, map[string]uint64{ann + " features": 30, one + " features": 12}, "--profile", "default/sent", "--since", "3h")
	require.Equal(t, map[string]uint64{one + " features": 1}, senders(t, m, "--profile", "default/sent", "--record", "33"))
	minute := []string{"--start", begin.Format(time.RFC3339), "--end", begin.Add(time.Minute).Format(time.RFC3339)}
	require.Equal(t, map[string]uint64{ann + " features": 10, one + " features": 4}, senders(t, m, append([]string{"--profile", "default/sent"}, minute...)...))
}
