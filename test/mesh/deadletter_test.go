package mesh_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	coltracepb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/driftmesh/driftmesh/internal/broker"
	"github.com/driftmesh/driftmesh/internal/broker/driver"
	"github.com/driftmesh/driftmesh/internal/clickhouse"
	"github.com/driftmesh/driftmesh/internal/envelope"
	"github.com/driftmesh/driftmesh/internal/event"
	"github.com/driftmesh/driftmesh/internal/identity"
	deadletterv1 "github.com/driftmesh/driftmesh/proto/driftmesh/deadletter/v1"
	ingestv1 "github.com/driftmesh/driftmesh/proto/driftmesh/ingest/v1"
	"github.com/driftmesh/driftmesh/test/mesh"
)

// Promise 6: poison among good neighbours. The neighbours are stored, the
// poison is parked with its reason, seen by RPC, REST and CLI, and stored by a
// redrive once what was wrong is mended. The ledger balances at every step.
func requireRedrive(t *testing.T, f *mesh.Five, broker string) {
	t.Helper()
	f.MustCLI(t, "profile", "create", "--reference", wine(t), "--name", "wine")
	// The store refuses some rows: what an operator's mistake or a full disk
	// quota of one table looks like from outside.
	sql(t, f, "ALTER TABLE spans ADD CONSTRAINT no_poison CHECK ServiceName != 'poison'")
	sql(t, f, "ALTER TABLE contexts ADD CONSTRAINT no_poison CHECK RecordId != 'poison'")
	sendAmongNeighbours(t, f)

	letters := map[string]letterJSON{}
	mesh.Await(t, time.Minute, func() error {
		var list struct {
			DeadLetters []letterJSON `json:"dead_letters"`
		}
		f.JSON(t, &list, "dlq", "list")
		for _, l := range list.DeadLetters {
			letters[l.Topic+"/"+l.Reason] = l
		}
		if len(letters) < 3 {
			return fmt.Errorf("only %v", letters)
		}
		return nil
	})
	spans, records, garbage := letters["spans/max_deliveries"], letters["records/max_deliveries"], letters["spans/decode"]
	require.NotEmpty(t, spans.ID)
	require.NotEmpty(t, records.ID)
	require.Contains(t, garbage.Error, "not an OTLP request")
	require.Equal(t, []string{"1", "1", "7"}, []string{spans.Count, records.Count, garbage.Count})
	requireTraceOf(t, f, 1, true)
	requireTraceOf(t, f, 2, false)
	requireTraceOf(t, f, 3, true)
	requireShown(t, f, spans)
	requireAccount(t, f, "spans", 2+1+7, 2, 8)
	requireAccount(t, f, "records", 3, 2, 1)
	requireLag(t, f, broker != "rabbitmq") // which tells the workers alone, without its management API

	// Mended, and redriven well within the time that a broker remembers ids.
	sql(t, f, "ALTER TABLE spans DROP CONSTRAINT no_poison")
	sql(t, f, "ALTER TABLE contexts DROP CONSTRAINT no_poison")
	require.Contains(t, f.MustCLI(t, "dlq", "redrive", spans.ID), "redriven")
	require.Contains(t, f.MustCLI(t, "dlq", "redrive", "--topic", "records"), "redriven")
	require.Contains(t, f.MustCLI(t, "dlq", "redrive", spans.ID), "already redriven")
	requireTraceOf(t, f, 2, true)
	mesh.Await(t, 20*time.Second, func() error {
		if account := f.Settled(t, "records"); account.GetStored() != 3 {
			return fmt.Errorf("%v", account)
		}
		return nil
	})
	requireAccount(t, f, "spans", 2+1+7, 3, 7)
	requireAccount(t, f, "records", 3, 3, 0)
	require.Contains(t, f.MustCLI(t, "dlq", "list", "--state", "redriven"), spans.ID)

	// What cannot be mended comes back, and counts once.
	f.MustCLI(t, "dlq", "redrive", "--topic", "spans", "--reason", "decode")
	mesh.Await(t, 30*time.Second, func() error {
		var list struct {
			DeadLetters []letterJSON `json:"dead_letters"`
		}
		f.JSON(t, &list, "dlq", "list")
		if len(list.DeadLetters) != 1 || list.DeadLetters[0].ID != garbage.ID || list.DeadLetters[0].Redrives != 1 {
			return fmt.Errorf("%v", list)
		}
		return nil
	})
	requireAccount(t, f, "spans", 2+1+7, 3, 7)
	_, err := f.CLI(t, "dlq", "redrive", strings.Repeat("0", 32))
	require.Error(t, err, "what is not there was not redriven")
}

// letterJSON is a dead letter as the CLI prints it.
type letterJSON struct {
	ID, State, Topic, Reason, Error string
	Redrives                        int
	MessageID                       string `json:"message_id"`
	Count                           string
}

// sendAmongNeighbours sends poison of three kinds between good messages.
func sendAmongNeighbours(t *testing.T, f *mesh.Five) {
	t.Helper()
	traces, ingest := coltracepb.NewTraceServiceClient(dial(t, f.OTLPGRPC)), ingestv1.NewIngestServiceClient(f.Conn(t))
	for i, service := range []string{"before", "poison", "after"} {
		answer, err := traces.Export(t.Context(), oneSpan(service, byte(i+1)))
		require.NoError(t, err)
		require.Nil(t, answer.GetPartialSuccess())
		accepted, err := ingest.PublishRecords(t.Context(), &ingestv1.PublishRecordsRequest{Records: []*ingestv1.Record{{
			Id: service, Profile: "default/wine", Body: &ingestv1.Record_Context{Context: &ingestv1.Context{Json: `{"of":"` + service + `"}`}},
		}}})
		require.NoError(t, err)
		require.Equal(t, uint64(1), accepted.GetAccepted())
	}
	secrets, err := identity.FixedSecrets([]byte(mesh.Secret))
	require.NoError(t, err)
	b, err := driver.Open(t.Context(), driver.Config{URL: f.Broker.URL(), Seal: envelope.NewSigner(secrets, false)})
	require.NoError(t, err)
	defer b.Close(context.Background())
	p, err := b.Publisher()
	require.NoError(t, err)
	mesh.Await(t, 20*time.Second, func() error {
		return p.Publish(t.Context(), []broker.Message{envelope.New(event.Spans, envelope.Stamp{
			Tenant: "default", Type: event.TypeTraces, Count: 7, Accepted: time.Now(),
		}, []byte("hello"))})
	})
}

// requireTraceOf requires that the trace of oneSpan(…, id) is stored, or is not.
func requireTraceOf(t *testing.T, f *mesh.Five, id byte, stored bool) {
	t.Helper()
	trace := strings.Repeat(fmt.Sprintf("%02x", id), 16)
	if !stored {
		require.Empty(t, getTrace(t, f.Addresses, "", trace))
		return
	}
	mesh.Await(t, 20*time.Second, func() error {
		if n := len(getTrace(t, f.Addresses, "", trace)); n != 1 {
			return fmt.Errorf("trace %s has %d spans", trace, n)
		}
		return nil
	})
}

func sql(t *testing.T, f *mesh.Five, statement string) {
	t.Helper()
	db, err := clickhouse.Open(t.Context(), clickhouse.Config{URL: f.ClickHouseURL})
	require.NoError(t, err)
	defer db.Close()
	require.NoError(t, db.Exec(t.Context(), statement))
}

// requireShown looks at a letter through every door.
func requireShown(t *testing.T, f *mesh.Five, l letterJSON) {
	t.Helper()
	text := f.MustCLI(t, "dlq", "show", l.ID)
	for _, part := range []string{"max_deliveries", "driftmesh-seq", `"stringValue":"poison"`, l.MessageID, "VIOLATED_CONSTRAINT"} {
		require.Contains(t, text, part)
	}
	require.Contains(t, f.MustCLI(t, "dlq", "show", l.ID, "--value"), "poison")
	resp, err := deadletterv1.NewDeadLetterServiceClient(f.Conn(t)).GetDeadLetter(t.Context(), &deadletterv1.GetDeadLetterRequest{Id: l.ID})
	require.NoError(t, err)
	require.Equal(t, l.MessageID, resp.GetDeadLetter().GetMessageId())
	require.Contains(t, string(resp.GetValue()), "poison")
	var answer struct {
		DeadLetter letterJSON `json:"dead_letter"`
	}
	require.Equal(t, http.StatusOK, f.Get(t, "/api/v1/dead-letters/"+l.ID, &answer))
	require.Equal(t, l.MessageID, answer.DeadLetter.MessageID)
	_, err = deadletterv1.NewDeadLetterServiceClient(dial(t, f.IngestWorker)).GetDeadLetter(t.Context(), &deadletterv1.GetDeadLetterRequest{Id: l.ID})
	require.Equal(t, codes.Unauthenticated, status.Code(err), "inside, nobody without a token")
}

func requireAccount(t *testing.T, f *mesh.Five, signal string, accepted, stored, dead int) {
	t.Helper()
	account := f.Settled(t, signal) // which balances
	require.Equal(t, []int{accepted, stored, dead},
		[]int{int(account.GetAccepted()), int(account.GetStored()), int(account.GetDeadLettered())}, "%v", account)
}

// requireLag compares what the CLI says with the gauges of the gateway, where
// it can know, and of the workers, when all is done. It leaves out the number of
// spans: the mesh sends its own all the time.
func requireLag(t *testing.T, f *mesh.Five, gatewayKnows bool) {
	t.Helper()
	groups := []string{"spans trace-store", "records ingest-worker", "records.retry ingest-worker", "windows drift", "alerts drift-notifier", "spans.dlq dead-letters", "records.dlq dead-letters"}
	mesh.Await(t, 20*time.Second, func() error { // until the last window is done
		text := f.MustCLI(t, "topics", "lag")
		for _, g := range groups {
			topic, group, _ := strings.Cut(g, " ")
			row := `0 +0 +0 `
			switch {
			case !gatewayKnows:
				row = `\? +\? +\? `
			case topic == event.Spans:
				row = `\d+ +\d+ +\d+ `
			}
			if !regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(topic) + ` +` + group + ` +` + row).MatchString(text) {
				return fmt.Errorf("%s is not %s in:\n%s", g, row, text)
			}
		}
		return nil
	})
	for _, g := range groups {
		topic, group, _ := strings.Cut(g, " ")
		gauge := `0`
		if topic == event.Spans {
			gauge = `\d+`
		}
		for _, exporter := range exporters(topic) {
			if exporter == "gateway" && !gatewayKnows {
				continue
			}
			mesh.Await(t, 20*time.Second, func() error { return lagIs(f, exporter, topic, group, gauge) })
		}
	}
}

// exporters are the services that export the lag of a topic's group.
func exporters(topic string) []string {
	workers := map[string]string{event.Spans: "trace-store", event.Records: "ingest-worker", event.Windows: "drift", event.Alerts: "drift"}
	if broker.IsDLQ(topic) {
		return []string{"gateway", "ingest-worker"}
	}
	return []string{"gateway", workers[event.RetryOf(topic)]}
}

// lagIs reads a gauge; want is a regular expression.
func lagIs(f *mesh.Five, service, topic, group, want string) error {
	resp, err := http.Get("http://" + f.Admin(service) + "/metrics")
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	gauge := regexp.MustCompile(`(?m)^driftmesh_broker_lag_messages\{group="` + group + `",service="` + service + `",topic="` +
		regexp.QuoteMeta(topic) + `"\} (.*)$`)
	got := gauge.FindSubmatch(raw)
	if got == nil {
		return fmt.Errorf("%s does not export the lag of %s/%s", service, topic, group)
	}
	if !regexp.MustCompile(`^` + want + `$`).Match(got[1]) {
		return fmt.Errorf("%s exports %s", service, got[0])
	}
	return nil
}
