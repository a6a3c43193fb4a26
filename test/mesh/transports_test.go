package mesh_test

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	coltracepb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/driftmesh/driftmesh/internal/broker"
	"github.com/driftmesh/driftmesh/internal/event"
	ledgerv1 "github.com/driftmesh/driftmesh/proto/driftmesh/ledger/v1"
	recordv1 "github.com/driftmesh/driftmesh/proto/driftmesh/record/v1"
	"github.com/driftmesh/driftmesh/sdk"
	_ "github.com/driftmesh/driftmesh/sdk/broker/kafka"
	_ "github.com/driftmesh/driftmesh/sdk/broker/nats"
	_ "github.com/driftmesh/driftmesh/sdk/broker/rabbitmq"
	_ "github.com/driftmesh/driftmesh/sdk/broker/redis"
	"github.com/driftmesh/driftmesh/sdk/transporttest"
	"github.com/driftmesh/driftmesh/test/mesh"
)

// sender is a tenant that sends over one transport.
type sender struct {
	*mesh.Mesh
	five    *mesh.Five
	name    string
	address string
	key     string
	series  []*transporttest.Series
}

// What every transport promises, with the five services at its other end. Brokers
// alone are held to more in test/transport.
func requireTransports(t *testing.T, f *mesh.Five, broker string) {
	t.Helper()
	addresses := map[string]string{broker: producerURL(t, f.Broker.URL())}
	if broker == "nats" {
		addresses["grpc"], addresses["http"] = "grpc://"+f.GRPC, "http://"+f.HTTP
	}
	for name, address := range addresses {
		t.Run(name, func(t *testing.T) {
			s := newSender(t, f, name, address)
			t.Run("contract", func(t *testing.T) { transporttest.Run(t, s.harness(name == broker), s.except(name == broker)) })
			t.Run("refused in part", func(t *testing.T) { s.requireRefusedInPart(t, name != broker) })
			t.Run("ledger", s.requireLedger)
			if name == broker {
				t.Run("an unknown key", s.requireStrangersParked)
			}
		})
	}
}

// producerURL is the broker's without what only the mesh says in it.
func producerURL(t *testing.T, address string) string {
	t.Helper()
	u, err := url.Parse(address)
	require.NoError(t, err)
	u.RawQuery = ""
	return u.String()
}

func newSender(t *testing.T, f *mesh.Five, name, address string) *sender {
	t.Helper()
	tenant := "transport-" + name
	s := &sender{Mesh: (&mesh.Mesh{Addresses: f.Addresses}).Tenant(t, tenant), five: f, name: name, address: address}
	s.key = strings.TrimSpace(s.MustCLI(t, "key", "create", "sender", "--role", "editor"))
	s.MustCLI(t, "profile", "create", "--reference", wine(t), "--name", "wine")
	return s
}

func (s *sender) open(t *testing.T, key string) sdk.Transport {
	t.Helper()
	tr, err := sdk.NewTransport(s.address, sdk.WithAPIKey(key))
	require.NoError(t, err)
	return tr
}

// harness of the suite; bypasses tells that the transport does not meet the gateway.
func (s *sender) harness(bypasses bool) transporttest.Harness {
	f := s.five
	gateway := func() *mesh.Process { return f.Process("gateway") }
	h := transporttest.Harness{
		Profile: "default/wine", Stored: s.stored, Secrets: []string{s.key},
		Open: func(t *testing.T) sdk.Transport { return s.open(t, s.key) },
		Refused: func(t *testing.T) map[string]sdk.Transport {
			return map[string]sdk.Transport{"an unknown key": s.open(t, s.key[:len(s.key)-4]+"AAAA")}
		},
		Kill: func() { f.Kill("gateway") }, Restart: func() { f.Restart("gateway") },
		Freeze: func() { gateway().Freeze() }, Thaw: func() { gateway().Thaw() },
		Faults: []transporttest.Fault{
			{Name: "the mesh killed and restarted", Do: func(*testing.T) {
				for _, name := range mesh.Services {
					f.Kill(name)
				}
				for _, name := range mesh.Services {
					f.Restart(name)
				}
			}},
			{Name: "the broker killed and restarted", Do: func(*testing.T) {
				f.Broker.Kill()
				f.Broker.Restart()
			}},
		},
	}
	if bypasses {
		h.Traced = s.traced
	}
	return h
}

func (s *sender) except(bypasses bool) transporttest.Except {
	if !bypasses {
		return transporttest.Except{"Full": "TestTheTopicIsFullForWhoFillsIt shows that the gateway says when to come again"}
	}
	except := transporttest.Except{}
	for _, name := range []string{"CountsOnce", "Cancelled", "Closes", "ClosesWhileAway", "Refused", "Full", "Frozen", "Killed"} {
		except[name] = "the broker alone is asked in test/transport"
	}
	return except
}

// stored waits until what was acknowledged is there, and counts what is of the series.
func (s *sender) stored(t *testing.T, series *transporttest.Series, acknowledged []string) (counts map[string]int) {
	t.Helper()
	if !slices.Contains(s.series, series) {
		s.series = append(s.series, series)
	}
	mesh.Await(t, 3*time.Minute, func() error {
		counts = map[string]int{}
		s.spans(t, series, counts)
		s.records(t, series, counts)
		for _, item := range acknowledged {
			if counts[item] == 0 {
				return fmt.Errorf("%s is not there, and %d of %d are", item, len(counts), len(acknowledged))
			}
		}
		return nil
	})
	return counts
}

// spans counts those of a series, by SQL.
func (s *sender) spans(t *testing.T, series *transporttest.Series, counts map[string]int) {
	t.Helper()
	out := s.MustCLI(t, "sql", "-o", "csv", "SELECT concat(TraceId, SpanId) FROM otel_traces WHERE startsWith(TraceId, '"+series.Prefix()+"') AND SpanName = 'transport'")
	for line := range strings.Lines(out) {
		if item := strings.Trim(strings.TrimSpace(line), `"`); strings.HasPrefix(item, series.Prefix()) {
			counts[item]++
		}
	}
}

// records counts those of a series, by the trace in which they were made.
func (s *sender) records(t *testing.T, series *transporttest.Series, counts map[string]int) {
	t.Helper()
	client := recordv1.NewRecordServiceClient(s.Conn(t))
	for token := ""; ; {
		page, err := client.ListRecords(t.Context(), &recordv1.ListRecordsRequest{TraceId: series.Trace(), PageSize: 200, PageToken: token})
		require.NoError(t, err)
		for _, r := range page.GetRecords() {
			counts[r.GetRecord().GetId()]++
		}
		if token = page.GetNextPageToken(); token == "" {
			return
		}
	}
}

// requireLedger holds the ledger against all that is there: what is shown once is
// stored once, and nothing is lost on the way.
func (s *sender) requireLedger(t *testing.T) {
	t.Helper()
	for signal, count := range map[string]func(*testing.T, *transporttest.Series, map[string]int){"spans": s.spans, "records": s.records} {
		account := s.Settled(t, signal)
		counts := map[string]int{}
		for _, series := range s.series {
			count(t, series, counts)
		}
		require.EqualValues(t, len(counts), account.GetStored(), "%v", account)
		require.Zero(t, account.GetDeadLettered()+account.GetMissing(), "%v", account)
		t.Logf("%v", account)
	}
}

// traced requires what the mesh did with a message in the trace of its sender.
func (s *sender) traced(t *testing.T, id string) {
	t.Helper()
	mesh.Await(t, 30*time.Second, func() error {
		names := spanNames(getTrace(t, s.Addresses, "", id))
		for _, want := range []string{"dwell inbox", "process inbox", "forward spans", "process spans", "process records", "store observations"} {
			if !names[want] {
				return fmt.Errorf("no span %q among %v", want, names)
			}
		}
		return nil
	})
}

// requireRefusedInPart: what breaks a rule is refused alone, and told where the
// transport can tell.
func (s *sender) requireRefusedInPart(t *testing.T, told bool) {
	series := transporttest.NewSeries("default/wine")
	b, items := series.Batch(sdk.TypeSpans, 3, 100)
	var req coltracepb.ExportTraceServiceRequest
	require.NoError(t, proto.Unmarshal(b.Body, &req))
	req.GetResourceSpans()[0].GetScopeSpans()[0].GetSpans()[1].TraceId = make([]byte, 16)
	var err error
	b.Body, err = proto.Marshal(&req)
	require.NoError(t, err)
	tr := s.open(t, s.key)
	defer tr.Close(t.Context())
	answer, err := tr.Send(t.Context(), b)
	require.NoError(t, err)
	if told {
		require.EqualValues(t, 1, answer.Rejected)
		require.NotEmpty(t, answer.Rejections)
	}
	var good []string
	for _, item := range items {
		if item != items[1] {
			good = append(good, item)
		}
	}
	require.Len(t, s.stored(t, series, good), len(good))
	s.Account(t, "spans", func(a *ledgerv1.Account) bool { return a.GetRejected()["trace_id_zero"] == 1 })
}

// requireStrangersParked: a broker takes what the mesh refuses later; it is told in
// the dead letters, without the key.
func (s *sender) requireStrangersParked(t *testing.T) {
	tail, err := newProducer(t, s.five.Broker.URL()).broker.Tail(t.Context(), broker.DLQ(event.Inbox))
	require.NoError(t, err)
	defer tail.Close()
	wrong := s.key[:len(s.key)-4] + "AAAA"
	series := transporttest.NewSeries("default/wine")
	b, _ := series.Batch(sdk.TypeSpans, 1, 100)
	tr := s.open(t, wrong)
	defer tr.Close(t.Context())
	_, err = tr.Send(t.Context(), b)
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for {
		d, err := tail.Next(ctx)
		require.NoError(t, err)
		if d.ID != b.ID {
			continue
		}
		require.Equal(t, "unauthenticated", d.Header(event.HeaderDLQReason))
		for _, h := range d.Headers {
			require.NotContains(t, string(h.Value), wrong, h.Key)
		}
		return
	}
}
