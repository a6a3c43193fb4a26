package mesh_test

import (
	"context"
	"encoding/hex"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	coltracepb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/driftmesh/driftmesh/internal/broker"
	"github.com/driftmesh/driftmesh/internal/broker/driver"
	"github.com/driftmesh/driftmesh/internal/event"
	eventv1 "github.com/driftmesh/driftmesh/proto/driftmesh/event/v1"
	ingestv1 "github.com/driftmesh/driftmesh/proto/driftmesh/ingest/v1"
	ledgerv1 "github.com/driftmesh/driftmesh/proto/driftmesh/ledger/v1"
	"github.com/driftmesh/driftmesh/test/mesh"
	"github.com/driftmesh/driftmesh/test/server"
	"github.com/driftmesh/driftmesh/test/server/rabbitmq"
)

// producer publishes past the gateway.
type producer struct {
	t         *testing.T
	broker    broker.Broker
	publisher broker.Publisher
}

func newProducer(t *testing.T, url string) *producer {
	t.Helper()
	b, err := driver.Open(t.Context(), driver.Config{URL: url, Name: "producer"})
	require.NoError(t, err)
	t.Cleanup(func() { _ = b.Close(context.Background()) })
	p, err := b.Publisher()
	require.NoError(t, err)
	return &producer{t, b, p}
}

// publish sends messages to the inbox until each is durable.
func (p *producer) publish(msgs ...broker.Message) {
	p.t.Helper()
	mesh.Await(p.t, time.Minute, func() error { return p.publisher.Publish(p.t.Context(), msgs) })
}

// toInbox is a message for the inbox, with headers in pairs.
func toInbox(id string, value []byte, headers ...string) broker.Message {
	m := broker.Message{Topic: event.Inbox, ID: id, Value: value}
	for i := 0; i+1 < len(headers); i += 2 {
		m.Headers = append(m.Headers, broker.Header{Key: headers[i], Value: []byte(headers[i+1])})
	}
	return m
}

// spansNumbered is a request with spans of their own; the last bad ones have
// no trace id.
func spansNumbered(t *testing.T, n, good, bad int) []byte {
	t.Helper()
	now := uint64(time.Now().UnixNano())
	var spans []*tracepb.Span
	for i := range good + bad {
		id := fmt.Appendf(nil, "%08d%08d", n, i)
		s := &tracepb.Span{TraceId: id, SpanId: id[8:], Name: "work", StartTimeUnixNano: now, EndTimeUnixNano: now + 1}
		if i >= good {
			s.TraceId = make([]byte, 16)
		}
		spans = append(spans, s)
	}
	value, err := proto.Marshal(&coltracepb.ExportTraceServiceRequest{ResourceSpans: []*tracepb.ResourceSpans{{
		ScopeSpans: []*tracepb.ScopeSpans{{Spans: spans}},
	}}})
	require.NoError(t, err)
	return value
}

func alcohol(id, profile string) *ingestv1.Record {
	return &ingestv1.Record{Id: id, Profile: profile, Body: &ingestv1.Record_Features{Features: &ingestv1.Features{
		Values: []*ingestv1.Feature{{Name: "alcohol", Value: &ingestv1.Feature_Float{Float: 9.4}}},
	}}}
}

func batch(t *testing.T, records ...*ingestv1.Record) []byte {
	t.Helper()
	value, err := proto.Marshal(&eventv1.RecordBatch{Records: records})
	require.NoError(t, err)
	return value
}

// Producers that bypass the gateway get the same treatment as its callers, on
// every broker: credentials, rules, one trace, a ledger that balances. It needs
// the profile default/wine.
func requireInbox(t *testing.T, m *mesh.Mesh, b server.Broker, name string) {
	t.Helper()
	admin := m.Login(t, "driftmesh", "admin", adminPassword)
	key := m.MustCLI(t, "key", "create", "sensors", "--tenant", "default", "--token", admin)
	p := newProducer(t, b.URL())
	t.Run("one trace", func(t *testing.T) { requireInboxTrace(t, m.Addresses, p, key) })
	t.Run("what cannot be taken", func(t *testing.T) { requireInboxParks(t, p, key) })
	t.Run("examples", func(t *testing.T) {
		address := b.URL()
		if name == "kafka" { // kafka-go and kcat want no more
			address = hostOf(t, address)
		}
		t.Run("program", func(t *testing.T) { requireProgram(t, m.Addresses, name, address, key) })
		if name != "rabbitmq" { // its management API is not there: see TestInboxByRabbitMQsUsers
			t.Run("script", func(t *testing.T) { requireScript(t, m.Addresses, name, address, key) })
		}
	})
	t.Run("kill -9", func(t *testing.T) { requireInboxCountsOnce(t, m, p, key) })
}

// requireInboxTrace sends a record and a span in OTLP/JSON, both with the span
// as their parent, and requires one trace of all hops.
func requireInboxTrace(t *testing.T, m mesh.Addresses, p *producer, key string) {
	const span = "00f067aa0ba902b7"
	trace := strings.Repeat("c3", 16)
	parent := "00-" + trace + "-" + span + "-01"
	now := time.Now().UnixNano()
	text := fmt.Sprintf(`{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":%q,"spanId":%q,"name":"measure","startTimeUnixNano":"%d","endTimeUnixNano":"%d"}]}]}]}`,
		trace, span, now-1000, now)
	p.publish(
		toInbox("trace-1", batch(t, alcohol("1", "default/wine")), "driftmesh-type", "records.v1", "authorization", "Bearer "+key,
			"traceparent", parent, "driftmesh-tenant", "driftmesh", "driftmesh-time", "1"),
		toInbox("trace-2", []byte(text), "driftmesh-type", "otlp.traces.json.v1", "x-api-key", key, "traceparent", parent))
	want := []string{
		"measure", "dwell inbox", "process inbox", "forward records", "forward spans",
		"dwell records", "process records", "store observations", "dwell spans", "process spans", "process windows",
	}
	var spans []*tracepb.Span
	mesh.Await(t, 30*time.Second, func() error {
		spans = getTrace(t, m, "", trace)
		names := spanNames(spans)
		for _, w := range want {
			if !names[w] {
				return fmt.Errorf("no span %q among %v", w, names)
			}
		}
		return nil
	})
	var hops []*tracepb.Span
	for _, s := range spans {
		if hex.EncodeToString(s.GetSpanId()) != span {
			hops = append(hops, s)
		}
	}
	requireOneTree(t, hops, span)
	client := ledgerv1.NewLedgerServiceClient(m.Conn(t))
	for _, req := range []*ledgerv1.ListSendersRequest{
		{Data: &ledgerv1.ListSendersRequest_TraceId{TraceId: trace}},
		{Data: &ledgerv1.ListSendersRequest_Records{Records: &ledgerv1.RecordsSent{Profile: "default/wine", RecordId: "1"}}},
	} {
		answer, err := client.ListSenders(t.Context(), req)
		require.NoError(t, err)
		require.Len(t, answer.GetSent(), 1, answer)
		require.Regexp(t, `^key:default/.+`, answer.GetSent()[0].GetSender())
	}
}

// requireInboxParks sends what cannot be taken and looks at the dead letters.
func requireInboxParks(t *testing.T, p *producer, key string) {
	tail, err := p.broker.Tail(t.Context(), broker.DLQ(event.Inbox))
	require.NoError(t, err)
	defer tail.Close()
	p.publish(
		toInbox("nobody", spansNumbered(t, 1, 1, 0), "driftmesh-tenant", "default"),
		toInbox("forged", spansNumbered(t, 2, 1, 0), "authorization", "Bearer eyJhbGciOiJub25lIn0.eyJ0ZW5hbnQiOiJkZWZhdWx0In0."),
		toInbox("wrong key", spansNumbered(t, 3, 1, 0), "x-api-key", key[:len(key)-4]+"AAAA"),
		toInbox("garbage", []byte("\x0a\x7f\x01"), "authorization", "Bearer "+key))
	reasons := map[string]string{}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for len(reasons) < 4 {
		d, err := tail.Next(ctx)
		require.NoError(t, err, "dead letters so far: %v", reasons)
		reasons[d.ID] = d.Header(event.HeaderDLQReason)
		for _, h := range d.Headers {
			require.NotContains(t, string(h.Value), key[:len(key)-4], "%s holds the key", h.Key)
			require.NotContains(t, string(h.Value), "eyJ0ZW5hbnQi", "%s holds the token", h.Key)
		}
	}
	require.Equal(t, map[string]string{
		"nobody": "unauthenticated", "forged": "unauthenticated", "wrong key": "unauthenticated", "garbage": "decode",
	}, reasons)
}

// requireProgram runs the Go example of a broker.
func requireProgram(t *testing.T, m mesh.Addresses, name, address, token string) {
	t.Helper()
	cmd := exec.Command(mesh.Binary(t, "./examples/producers/"+name), "--url", address, "--profile", "default/wine")
	cmd.Env = append(os.Environ(), "TOKEN="+token)
	requireExample(t, m, cmd)
}

// requireScript runs the shell example of a broker. Its tool comes from .bin or
// the PATH; without it the test is skipped, or fails, as server.Missing says.
func requireScript(t *testing.T, m mesh.Addresses, name, address, token string) {
	t.Helper()
	bin := filepath.Join(mesh.Root(t), ".bin")
	tool := map[string]string{"nats": "nats", "kafka": "kcat", "rabbitmq": "curl", "redis": "redis-cli"}[name]
	_, missing := exec.LookPath(filepath.Join(bin, tool))
	if missing != nil {
		_, missing = exec.LookPath(tool)
	}
	if missing != nil {
		server.Missing(t, name, tool+" is not there; scripts/setup.sh installs it")
	}
	cmd := exec.Command(filepath.Join(mesh.Root(t), "examples/producers/shell", name+".sh"), address)
	cmd.Env = append(os.Environ(), "TOKEN="+token, "PATH="+bin+string(os.PathListSeparator)+os.Getenv("PATH"))
	requireExample(t, m, cmd)
}

// hostOf is the host and port of a broker's URL.
func hostOf(t *testing.T, address string) string {
	t.Helper()
	u, err := url.Parse(address)
	require.NoError(t, err)
	return u.Host
}

// requireExample runs an example and requires its span and the way of its record
// in one trace.
func requireExample(t *testing.T, m mesh.Addresses, cmd *exec.Cmd) {
	t.Helper()
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, string(out))
	parent := regexp.MustCompile(`00-([0-9a-f]{32})-[0-9a-f]{16}-01`).FindSubmatch(out)
	require.NotNil(t, parent, string(out))
	mesh.Await(t, time.Minute, func() error {
		names := spanNames(getTrace(t, m, "", string(parent[1])))
		for _, want := range []string{"measure", "process inbox", "process spans", "store observations"} {
			if !names[want] {
				return fmt.Errorf("no span %q among %v", want, names)
			}
		}
		return nil
	})
}

// RabbitMQ vouches for its users, and nobody can use another's name.
func TestInboxByRabbitMQsUsers(t *testing.T) {
	t.Parallel()
	b := rabbitmq.Start(t, rabbitmq.Options{Management: true})
	m := mesh.Start(t, "--broker.url", b.URL(), "--ingest-worker.inbox-auth", "broker", "--ingest-worker.inbox-users", "guest=default")
	m.MustCLI(t, "profile", "create", "--reference", wine(t), "--name", "wine")
	amqp, _, _ := strings.Cut(b.URL(), "?")
	t.Run("program", func(t *testing.T) { requireProgram(t, m.Addresses, "rabbitmq", amqp, "") })
	t.Run("script", func(t *testing.T) {
		management := strings.Replace(b.ManagementURL(), "//", "//guest:guest@", 1)
		requireScript(t, m.Addresses, "rabbitmq", management, "")
	})
	before := m.Settled(t, "spans").GetStored()
	p := newProducer(t, b.URL())
	p.publish(toInbox("forged", spansNumbered(t, 1, 1, 0), event.HeaderBrokerUser, "guest"))
	account := m.Settled(t, "spans")
	require.Equal(t, before, account.GetStored(), "a header of that name is not the broker's word")
	m.Stop()
}

// Elsewhere the setting is refused at the start.
func TestInboxByUsersOfAnotherBroker(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, mesh.Binary(t, "./services/ingest-worker"), "--broker.url", "nats://127.0.0.1:1",
		"--admin.listen", server.FreeAddress(t), "--ingest-worker.listen", server.FreeAddress(t),
		"--ingest-worker.inbox-auth", "broker", "--ingest-worker.inbox-users", "guest=default")
	cmd.Env = append(os.Environ(), "DRIFTMESH_MESH_SECRET="+mesh.Secret)
	out, err := cmd.CombinedOutput()
	require.Error(t, err)
	require.Contains(t, string(out), "ingest-worker.inbox-auth: broker does not work with nats")
}

// requireInboxCountsOnce publishes while the mesh is killed, some messages
// twice, and requires that everything good is there once and that the ledger
// says what became of the rest.
func requireInboxCountsOnce(t *testing.T, m *mesh.Mesh, p *producer, key string) {
	const (
		messages, good, bad = 300, 10, 2
		records             = 5
	)
	for _, signal := range []string{"spans", "records"} {
		m.Settled(t, signal)
	}
	spansBefore, recordsBefore := m.Settled(t, "spans"), m.Settled(t, "records")
	for n := range messages {
		if n == messages/3 || n == 2*messages/3 {
			m.Kill()
			m.Boot()
		}
		var list []*ingestv1.Record
		for range records {
			list = append(list, alcohol("", "default/wine")) // without an id of its own
		}
		list = append(list, alcohol("", "default/nothing"))
		send := []broker.Message{
			toInbox(fmt.Sprint("spans-", n), spansNumbered(t, 1000+n, good, bad), "authorization", "Bearer "+key),
			toInbox(fmt.Sprint("records-", n), batch(t, list...), "driftmesh-type", "records.v1", "authorization", "Bearer "+key),
		}
		p.publish(send...)
		if n%10 == 0 {
			p.publish(send...) // its producer did not hear of the success
		}
	}
	spans, recs := m.Settled(t, "spans"), m.Settled(t, "records")
	require.EqualValues(t, messages*good, spans.GetStored()-spansBefore.GetStored(), "%v", spans)
	require.EqualValues(t, messages*(good+bad), spans.GetAccepted()-spansBefore.GetAccepted(), "%v", spans)
	require.EqualValues(t, messages*bad, spans.GetRejected()["trace_id_zero"]-spansBefore.GetRejected()["trace_id_zero"], "%v", spans)
	require.EqualValues(t, 1, spans.GetDeadLettered(), "%v", spans)
	require.EqualValues(t, messages*records, recs.GetStored()-recordsBefore.GetStored(), "%v", recs)
	require.EqualValues(t, messages*(records+1), recs.GetAccepted()-recordsBefore.GetAccepted(), "%v", recs)
	require.EqualValues(t, messages, recs.GetRejected()["unknown_profile"]-recordsBefore.GetRejected()["unknown_profile"], "%v", recs)
	for _, a := range []interface {
		GetMissingMessages() uint64
		GetDuplicate() uint64
	}{spans, recs} {
		require.Zero(t, a.GetMissingMessages(), "%v", a)
	}
}

// The embedded broker lets a producer in who may publish to the inbox and do
// nothing else, and takes it at its word as far as the gateway would.
func TestEmbeddedBrokerTakesProducers(t *testing.T) {
	t.Parallel()
	address := server.FreeAddress(t)
	m := mesh.Start(t, "--nats.listen", address, "--nats.producer-password", "let me in")
	mesh.Await(t, 10*time.Second, func() error {
		if !strings.Contains(m.Log(), "nats://producer:PASSWORD@"+address) {
			return fmt.Errorf("the inbox is not among the URLs")
		}
		return nil
	})
	require.NotContains(t, m.Log(), "let me in")
	m.MustCLI(t, "profile", "create", "--reference", wine(t), "--name", "wine")
	p := newProducer(t, "nats://producer:let%20me%20in@"+address)
	p.publish(toInbox("1", batch(t, alcohol("1", "default/wine")), "driftmesh-type", "records.v1"))
	account := m.Settled(t, "records")
	require.EqualValues(t, 1, account.GetStored(), "%v", account)

	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	require.Error(t, p.publisher.Publish(ctx, []broker.Message{{Topic: event.Records, Value: []byte("x")}}))
	_, err := p.broker.Admin().Lag(ctx, event.Inbox, event.GroupIngest)
	require.Error(t, err)
	t.Run("script", func(t *testing.T) {
		requireScript(t, m.Addresses, "nats", "nats://producer:let%20me%20in@"+address, "")
	})
	m.Stop()
}
