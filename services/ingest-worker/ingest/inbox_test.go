package ingest_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/hex"
	"fmt"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/trace"
	coltracepb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"

	"github.com/driftmesh/driftmesh/internal/broker"
	"github.com/driftmesh/driftmesh/internal/broker/driver/memory"
	"github.com/driftmesh/driftmesh/internal/envelope"
	"github.com/driftmesh/driftmesh/internal/event"
	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/internal/identity"
	"github.com/driftmesh/driftmesh/internal/settings"
	"github.com/driftmesh/driftmesh/internal/telemetry"
	eventv1 "github.com/driftmesh/driftmesh/proto/driftmesh/event/v1"
	ingestv1 "github.com/driftmesh/driftmesh/proto/driftmesh/ingest/v1"
	ledgerv1 "github.com/driftmesh/driftmesh/proto/driftmesh/ledger/v1"
	"github.com/driftmesh/driftmesh/services/ingest-worker/ingest"
)

var (
	meshSecret = []byte("a secret of the mesh, for tests only")
	ours       = ed25519.NewKeyFromSeed([]byte("0123456789abcdef0123456789abcdef"))
	foreignKey = ed25519.NewKeyFromSeed([]byte("fedcba9876543210fedcba9876543210"))
	apiKey     = identity.FormatAPIKey("key1", []byte("0123456789abcdef0123456789abcdef"))
	badKey     = identity.FormatAPIKey("key2", []byte("0123456789abcdef0123456789abcdef"))
)

type keys struct{}

func (keys) Key(_ context.Context, id string) (ed25519.PublicKey, error) {
	if id != "k1" {
		return nil, fault.Unauthenticated.New("no such key").WithReason(identity.ReasonUnknownKey)
	}
	return ours.Public().(ed25519.PublicKey), nil
}

// identify checks credentials as the gateway's door does.
func (m *mesh) identify() func(context.Context, string, string) (identity.Identity, error) {
	a, err := identity.NewAuthenticator(identity.Checks{
		Tokens: identity.NewTokenVerifier(keys{}, identity.TokenAudience, identity.TokenIssuer),
		Keys: identity.NewKeyVerifier(func(_ context.Context, key string) (identity.Identity, time.Time, error) {
			switch {
			case m.authAway.Load():
				return identity.Identity{}, time.Time{}, fault.Unavailable.New("auth is away")
			case key != apiKey:
				return identity.Identity{}, time.Time{}, fault.NotFound.New("no such key")
			}
			return identity.Identity{Tenant: "keyed", Subject: "key1", Kind: identity.Key}, time.Time{}, nil
		}),
		Anonymous: m.inbox.Auth == ingest.AuthAnonymous,
	})
	require.NoError(m.t, err)
	return a.Authenticate
}

func token(tenant string, key ed25519.PrivateKey, ends time.Time) string {
	tok := jwt.NewWithClaims(jwt.SigningMethodEdDSA, jwt.MapClaims{
		"iss": identity.TokenIssuer, "aud": identity.TokenAudience, "sub": "ann", "tenant": tenant, "exp": ends.Unix(),
	})
	tok.Header["kid"] = "k1"
	text, err := tok.SignedString(key)
	if err != nil {
		return err.Error() // which nobody takes for a token
	}
	return text
}

func bearer(tenant string) string { return "Bearer " + token(tenant, ours, time.Now().Add(time.Hour)) }

// inboxMessage is what a producer publishes: a value and headers in pairs.
func inboxMessage(id string, value []byte, headers ...string) broker.Message {
	m := broker.Message{Topic: event.Inbox, ID: id, Value: value}
	for i := 0; i+1 < len(headers); i += 2 {
		m.Headers = append(m.Headers, broker.Header{Key: headers[i], Value: []byte(headers[i+1])})
	}
	return m
}

func encode(t testing.TB, m proto.Message) []byte {
	t.Helper()
	value, err := proto.Marshal(m)
	require.NoError(t, err)
	return value
}

func batchOf(t testing.TB, records ...*ingestv1.Record) []byte {
	return encode(t, &eventv1.RecordBatch{Records: records})
}

// spansOf is a request with a good span for each id, and a bad one for each 0.
func spansOf(t testing.TB, ids ...byte) []byte {
	var spans []*tracepb.Span
	now := uint64(time.Now().UnixNano())
	for i, id := range ids {
		s := &tracepb.Span{TraceId: bytes.Repeat([]byte{id}, 16), SpanId: bytes.Repeat([]byte{byte(i + 1)}, 8), Name: "work", StartTimeUnixNano: now, EndTimeUnixNano: now + 1}
		spans = append(spans, s)
	}
	return encode(t, &coltracepb.ExportTraceServiceRequest{ResourceSpans: []*tracepb.ResourceSpans{{ScopeSpans: []*tracepb.ScopeSpans{{Spans: spans}}}}})
}

func spansJSON(id byte) []byte {
	return fmt.Appendf(nil, ` {"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"%032x","spanId":"%016x","name":"json","startTimeUnixNano":"%d","endTimeUnixNano":"%d"}]}]}]}`,
		id, id, time.Now().UnixNano(), time.Now().UnixNano()+1)
}

// drain reads what a group has to read of a topic.
func (m *mesh) drain(topic, group string) []broker.Delivery {
	m.t.Helper()
	c, err := m.broker.Consumer(broker.ConsumerConfig{Topic: topic, Group: group, Linger: time.Millisecond})
	require.NoError(m.t, err)
	defer c.Close(context.Background())
	var out []broker.Delivery
	for {
		lag, err := m.broker.Admin().Lag(m.t.Context(), topic, group)
		require.NoError(m.t, err)
		if lag.Total() == 0 {
			return out
		}
		b, err := c.Receive(m.t.Context())
		require.NoError(m.t, err)
		out = append(out, b.Deliveries...)
		require.NoError(m.t, b.Ack(m.t.Context()))
	}
}

// dead reads the dead letters of the inbox.
func (m *mesh) dead() []broker.Delivery {
	m.t.Helper()
	topic := broker.DLQ(event.Inbox)
	require.NoError(m.t, m.broker.Admin().EnsureGroup(m.t.Context(), broker.GroupSpec{Topic: topic, Name: "test"}))
	return m.drain(topic, "test")
}

// awaitInbox waits until the inbox is empty, and the records are.
func (m *mesh) awaitInbox() {
	m.t.Helper()
	require.Eventually(m.t, func() bool {
		lag, err := m.broker.Admin().Lag(m.t.Context(), event.Inbox, event.GroupIngest)
		return err == nil && lag.Known && lag.Total() == 0
	}, patience, tick)
	m.await()
}

// admitted asks what came in for a tenant, by signal.
func (r *running) admitted(tenant string) map[string]*ledgerv1.Admitted {
	r.t.Helper()
	ctx := metadata.AppendToOutgoingContext(r.t.Context(), "tenant", tenant)
	resp, err := ledgerv1.NewLedgerServiceClient(r.conn).GetAdmitted(ctx, &ledgerv1.GetAdmittedRequest{})
	require.NoError(r.t, err)
	require.Zero(r.t, resp.GetPendingMessages())
	out := map[string]*ledgerv1.Admitted{}
	for _, a := range resp.GetSignals() {
		out[a.GetSignal()] = a
	}
	return out
}

func TestInboxTakesWhatTheDoorTakes(t *testing.T) {
	m := newMesh(t)
	r := m.run()
	const spoofed = "victim"
	nameless := record("", 1, 2)
	nameless.EventTime = nil
	m.publish(
		inboxMessage("1", batchOf(t, record("a", 0, 1), nameless), event.HeaderType, event.TypeRecords, "authorization", bearer("acme"),
			event.HeaderTenant, spoofed, event.HeaderSeq, "gw:7", event.HeaderCount, "99", event.HeaderTime, "1", event.HeaderVoid, "1,2"),
		inboxMessage("2", spansOf(t, 7, 7), event.HeaderType, event.TypeTraces, "authorization", "Bearer "+apiKey, event.HeaderTenant, spoofed),
		inboxMessage("3", spansJSON(8), event.HeaderType, event.TypeTracesJSON, "x-api-key", apiKey),
		inboxMessage("4", spansJSON(9), "content-type", "application/json; charset=utf-8", "x-api-key", apiKey),
		inboxMessage("", spansJSON(10), "x-api-key", apiKey),
		inboxMessage("", spansOf(t, 11), "x-api-key", apiKey),
		inboxMessage("6", encode(t, &coltracepb.ExportTraceServiceRequest{}), "x-api-key", apiKey))
	m.awaitInbox()
	require.Empty(t, m.dead())

	require.EqualValues(t, 2, m.rows("observations", "acme"))
	settled := r.settled("acme")
	require.EqualValues(t, 2, settled.GetStored())
	require.Len(t, settled.GetInstances(), 1)
	require.Equal(t, event.InstanceInbox, settled.GetInstances()[0].GetInstance())
	require.Zero(t, settled.GetInstances()[0].GetMissingMessages())
	require.Zero(t, m.rows("observations", spoofed))

	forwarded := m.drain(event.Spans, event.GroupTraceStore)
	require.Len(t, forwarded, 5)
	ids := map[string]bool{}
	total := 0
	for i := range forwarded {
		d := &forwarded[i]
		stamp := envelope.Of(&d.Message)
		require.Equal(t, "keyed", stamp.Tenant)
		require.Equal(t, event.TypeTraces, stamp.Type)
		require.Equal(t, event.SeqInbox, stamp.Seq)
		require.WithinDuration(t, time.Now(), stamp.Accepted, time.Minute, "the time is the broker's, not the sender's")
		require.Empty(t, d.Header("authorization")+d.Header("x-api-key"))
		var req coltracepb.ExportTraceServiceRequest
		require.NoError(t, proto.Unmarshal(d.Value, &req))
		require.Len(t, req.GetResourceSpans()[0].GetScopeSpans()[0].GetSpans(), stamp.Count)
		ids[d.ID] = true
		total += stamp.Count
	}
	require.Len(t, ids, 5)
	require.Equal(t, 6, total)

	require.Equal(t, uint64(2), r.admitted("acme")["records"].GetAccepted())
	spans := r.admitted("keyed")["spans"]
	require.Equal(t, uint64(6), spans.GetAccepted())
	require.Equal(t, uint64(5), spans.GetMessages())
	require.Empty(t, r.admitted(spoofed))
}

func TestInboxParksWhatCannotBeTaken(t *testing.T) {
	m := newMesh(t)
	r := m.run()
	expired := "Bearer " + token("acme", ours, time.Now().Add(-time.Hour))
	forged := "Bearer " + token("acme", foreignKey, time.Now().Add(time.Hour))
	good := bearer("acme")
	tests := map[string]struct {
		value   []byte
		headers []string
		reason  string
		sealed  bool
	}{
		"nobody":       {spansJSON(1), []string{event.HeaderTenant, "acme"}, "unauthenticated", false},
		"expired":      {spansJSON(1), []string{"authorization", expired}, "unauthenticated", false},
		"forged":       {spansJSON(1), []string{"authorization", forged}, "unauthenticated", false},
		"unknown key":  {spansJSON(1), []string{"x-api-key", badKey}, "unauthenticated", false},
		"two proofs":   {spansJSON(1), []string{"x-api-key", apiKey, "authorization", good}, "unauthenticated", false},
		"basic":        {spansJSON(1), []string{"authorization", "Basic YWRtaW46c2VjcmV0"}, "unauthenticated", false},
		"forged seal":  {spansJSON(1), []string{event.HeaderSeal, "acme:c2VhbA"}, "unauthenticated", false},
		"forged user":  {spansJSON(1), []string{event.HeaderBrokerUser, "acme"}, "unauthenticated", false},
		"garbage":      {[]byte("\x0a\x7f\x01"), []string{"authorization", good}, "decode", true},
		"bad JSON":     {[]byte(`{"resourceSpans":[{]}`), []string{"authorization", good}, "decode", true},
		"no batch":     {[]byte("hello"), []string{"authorization", good, event.HeaderType, event.TypeRecords}, "decode", true},
		"foreign type": {[]byte("hello"), []string{"authorization", good, event.HeaderType, event.TypeAlert}, "unsupported_type", true},
	}
	for name, tt := range tests {
		m.publish(inboxMessage(name, tt.value, append(tt.headers, "kept", "yes")...))
	}
	m.publish(inboxMessage("neighbour", batchOf(t, record("1", 0, 1)), event.HeaderType, event.TypeRecords, "authorization", good))
	m.awaitInbox()
	require.EqualValues(t, 1, m.rows("observations", "acme"), "the good neighbour is stored")
	require.Empty(t, m.drain(event.Spans, event.GroupTraceStore))

	parked := m.dead()
	require.Len(t, parked, len(tests))
	for i := range parked {
		d := &parked[i]
		tt, known := tests[d.ID]
		require.True(t, known, d.ID)
		require.Equal(t, tt.reason, d.Header(broker.HeaderDLQReason), d.ID)
		require.NotEmpty(t, d.Header(broker.HeaderDLQError), d.ID)
		require.Equal(t, tt.value, d.Value)
		require.Equal(t, "yes", d.Header("kept"))
		for _, h := range d.Headers {
			for _, secret := range []string{apiKey, badKey, expired[7:], forged[7:], good[7:], "YWRtaW46c2VjcmV0"} {
				require.NotContains(t, string(h.Value), secret, "%s: %s", d.ID, h.Key)
			}
		}
		if tt.sealed {
			require.Equal(t, "acme", d.Header(event.HeaderTenant), d.ID)
			require.NotEmpty(t, d.Header(event.HeaderSeal), d.ID)
		} else if d.ID != "forged seal" {
			require.Empty(t, d.Header(event.HeaderTenant)+d.Header(event.HeaderSeal), d.ID)
		}
	}
	admitted := r.admitted("acme")
	require.Equal(t, map[string]uint64{"decode": 2}, admitted["spans"].GetDeadLettered())
	require.Equal(t, uint64(2), admitted["spans"].GetAccepted())
	require.Equal(t, map[string]uint64{"decode": 1}, admitted["records"].GetDeadLettered())
	require.Equal(t, uint64(2), admitted["records"].GetAccepted())
}

func TestInboxKeepsGoodNeighbours(t *testing.T) {
	m := newMesh(t)
	r := m.run()
	wrong := record("x", 0, 1)
	wrong.GetFeatures().Values[0].Name = "sugar"
	text := record("t", 0, 1)
	text.GetFeatures().Values[1].Value = &ingestv1.Feature_String_{String_: "VERY-BAD-TEXT"}
	batch := bytes.Replace(batchOf(t, record("1", 0, 1), wrong, unknown("y"), text, record("2", 0, 1)), []byte("VERY-BAD-TEXT"), []byte("VERY-BAD-\xff\xfe\xfd\xfc"), 1)
	m.publish(
		inboxMessage("1", batch, event.HeaderType, event.TypeRecords, "authorization", bearer("acme")),
		inboxMessage("2", spansOf(t, 1, 0, 2, 0, 0), "authorization", bearer("acme")))
	m.awaitInbox()
	require.Empty(t, m.dead())
	require.EqualValues(t, 2, m.rows("observations", "acme"))
	forwarded := m.drain(event.Spans, event.GroupTraceStore)
	require.Len(t, forwarded, 1)
	require.Equal(t, 2, envelope.Of(&forwarded[0].Message).Count)
	admitted := r.admitted("acme")
	require.Equal(t, map[string]uint64{"unknown_feature": 1, "unknown_profile": 1, "invalid_utf8": 1}, admitted["records"].GetRejected())
	require.Equal(t, uint64(5), admitted["records"].GetAccepted())
	require.Equal(t, map[string]uint64{"trace_id_zero": 3}, admitted["spans"].GetRejected())
	require.Equal(t, uint64(5), admitted["spans"].GetAccepted())
}

// A large message is cut to what the broker takes; every piece is one of its
// own in the ledger.
func TestInboxCutsWhatGrew(t *testing.T) {
	m := newMesh(t)
	r := m.run()
	var records []*ingestv1.Record
	for i := range 8000 { // about 600 KiB, 900 KiB once profile and time are written out
		rec := record(fmt.Sprintf("record-%d", i), i%3, 1)
		rec.EventTime = nil
		records = append(records, rec)
	}
	value := batchOf(t, records...)
	require.Less(t, len(value), memory.MaxMessageBytes)
	m.publish(inboxMessage("1", value, event.HeaderType, event.TypeRecords, "authorization", bearer("acme")))
	m.awaitInbox()
	require.EqualValues(t, len(records), m.rows("observations", "acme"))
	require.Greater(t, r.admitted("acme")["records"].GetMessages(), uint64(1))
	require.EqualValues(t, len(records), r.admitted("acme")["records"].GetAccepted())
	require.EqualValues(t, len(records), r.settled("acme").GetInstances()[0].GetAccepted())
}

// Whatever is delivered twice, or published twice under one id, counts once,
// records without an id included; a new id, or a new value, is another message.
func TestInboxRedeliveryCountsOnce(t *testing.T) {
	m := newMesh(t)
	r := m.run()
	twice := inboxMessage("same", batchOf(t, record("", 0, 1), record("b", 0, 2)), event.HeaderType, event.TypeRecords, "authorization", bearer("acme"))
	nameless := inboxMessage("", batchOf(t, record("", 1, 3)), event.HeaderType, event.TypeRecords, "authorization", bearer("acme"))
	reused := inboxMessage("same", batchOf(t, record("", 2, 4)), event.HeaderType, event.TypeRecords, "authorization", bearer("acme"))
	spans := inboxMessage("spans", spansOf(t, 1, 2), "authorization", bearer("acme"))
	m.publish(twice, nameless, spans)
	m.awaitInbox()
	time.Sleep(5 * time.Millisecond) // the dedupe window
	m.publish(twice)
	time.Sleep(5 * time.Millisecond)
	m.publish(reused)
	m.awaitInbox()
	for range 2 {
		r.end() // its workers are stopped
		require.NoError(t, m.broker.Admin().Seek(t.Context(), event.Inbox, event.GroupIngest, broker.Position{}))
		r = m.run()
		m.awaitInbox()
	}
	require.EqualValues(t, 4, m.rows("observations", "acme"))
	admitted := r.admitted("acme")
	require.EqualValues(t, 4, admitted["records"].GetAccepted())
	require.EqualValues(t, 3, admitted["records"].GetMessages())
	require.EqualValues(t, 2, admitted["spans"].GetAccepted())
	adds(t, r.settled("acme"), 4, 4)
	require.EqualValues(t, 3, r.settled("acme").GetInstances()[0].GetMessages())
	ids := map[string]bool{}
	for _, d := range m.drain(event.Spans, event.GroupTraceStore) {
		ids[d.ID] = true
	}
	require.Len(t, ids, 1, "the spans were forwarded again under the same id")
}

// refusing is a broker whose publisher fails to a topic, after it may have
// published.
type refusing struct {
	broker.Broker
	topic string
	times atomic.Int32
}

func (f *refusing) Publisher() (broker.Publisher, error) {
	p, err := f.Broker.Publisher()
	return &refusingPublisher{p, f}, err
}

type refusingPublisher struct {
	broker.Publisher
	f *refusing
}

func (p *refusingPublisher) Publish(ctx context.Context, msgs []broker.Message) error {
	if msgs[0].Topic != p.f.topic || p.f.times.Add(-1) < 0 {
		return p.Publisher.Publish(ctx, msgs)
	}
	if err := p.Publisher.Publish(ctx, msgs); err != nil {
		return err
	}
	return &broker.PublishError{Total: len(msgs), Failed: []broker.Failure{{Index: 0, Err: broker.ErrUnknownOutcome}}}
}

func TestInboxForwardOfUnknownOutcomeCountsOnce(t *testing.T) {
	m := newMesh(t)
	f := &refusing{topic: event.Records}
	f.times.Store(3)
	m.wrap = func(b broker.Broker) broker.Broker {
		f.Broker = b
		return f
	}
	r := m.run()
	for i := range 10 {
		m.publish(inboxMessage(fmt.Sprint(i), batchOf(t, record("", i, 1)), event.HeaderType, event.TypeRecords, "authorization", bearer("acme")))
	}
	m.awaitInbox()
	require.EqualValues(t, 10, m.rows("observations", "acme"))
	require.EqualValues(t, 10, r.admitted("acme")["records"].GetAccepted())
	require.EqualValues(t, 10, r.settled("acme").GetInstances()[0].GetAccepted())
}

// While auth cannot be asked, messages wait; those of whom it was asked before
// do not.
func TestInboxWaitsForAuth(t *testing.T) {
	m := newMesh(t)
	m.authAway.Store(true)
	r := m.run()
	for i := range 10 {
		m.publish(inboxMessage(fmt.Sprint("k", i), batchOf(t, record(fmt.Sprint(i), 0, 1)), event.HeaderType, event.TypeRecords, "x-api-key", apiKey))
	}
	m.publish(inboxMessage("t", batchOf(t, record("1", 0, 1)), event.HeaderType, event.TypeRecords, "authorization", bearer("acme")))
	require.Never(t, func() bool { return m.rows("observations", "keyed") > 0 }, 300*time.Millisecond, 50*time.Millisecond)
	m.authAway.Store(false)
	m.awaitInbox()
	require.EqualValues(t, 10, r.admitted("keyed")["records"].GetAccepted())
	require.EqualValues(t, 1, m.rows("observations", "acme"))
	require.Empty(t, m.dead())
}

// What was parked is taken in when it is published again: the seal stands for
// the credentials, and the ledger takes it for the message it was.
func TestInboxTakesParkedMessagesAgain(t *testing.T) {
	m := newMesh(t)
	r := m.run()
	value := batchOf(t, record("1", 0, 1))
	m.publish(inboxMessage("", value, event.HeaderType, "records.v0", "authorization", bearer("acme")),
		inboxMessage("garbage", []byte("\x0a\x7f\x01"), "authorization", bearer("acme")))
	m.awaitInbox()
	parked := m.dead()
	require.Len(t, parked, 2)
	require.EqualValues(t, 1, r.admitted("acme")["spans"].GetDeadLettered()["decode"])

	redrives := 0
	again := func(d broker.Delivery, change func(*broker.Message)) {
		redrives++
		msg := d.Message
		msg.Topic, msg.ID = event.Inbox, fmt.Sprint("redrive-", redrives)
		change(&msg)
		m.publish(msg)
		m.awaitInbox()
	}
	for _, d := range parked {
		again(d, func(*broker.Message) {})
	}
	require.Len(t, m.dead(), 2, "the cause is not mended")
	require.EqualValues(t, 1, r.admitted("acme")["spans"].GetAccepted(), "it is the same message as before")
	again(parked[0], func(msg *broker.Message) { msg.Value = batchOf(t, record("2", 0, 1)) })
	tampered := m.dead()
	require.Len(t, tampered, 1)
	require.Equal(t, "unauthenticated", tampered[0].Header(broker.HeaderDLQReason), "a seal is good for its value alone")
}

func TestInboxAnonymous(t *testing.T) {
	m := newMesh(t)
	m.inbox.Auth = ingest.AuthAnonymous
	r := m.run()
	m.publish(
		inboxMessage("1", spansJSON(1)),
		inboxMessage("2", spansJSON(2), event.HeaderTenant, "victim"),
		inboxMessage("3", spansJSON(3), "x-api-key", apiKey),
		inboxMessage("4", spansJSON(4), "x-api-key", badKey))
	m.awaitInbox()
	require.EqualValues(t, 2, r.admitted(identity.DefaultTenant)["spans"].GetAccepted())
	require.EqualValues(t, 1, r.admitted("keyed")["spans"].GetAccepted())
	require.Len(t, m.dead(), 1, "wrong credentials are refused all the same")
}

// verified is a broker that says who published.
type verified struct{ broker.Broker }

func (v verified) Capabilities() broker.Capabilities {
	c := v.Broker.Capabilities()
	c.VerifiedUser = true
	return c
}

func TestInboxByTheBrokersWord(t *testing.T) {
	m := newMesh(t)
	m.inbox = ingest.InboxConfig{Auth: ingest.AuthBroker, Users: []string{"sensors=acme", "lab=other"}}
	m.wrap = func(b broker.Broker) broker.Broker { return verified{b} }
	r := m.run()
	m.publish(
		inboxMessage("1", spansJSON(1), event.HeaderBrokerUser, "sensors"),
		inboxMessage("2", spansJSON(2), event.HeaderBrokerUser, "guest"),
		inboxMessage("3", spansJSON(3), "authorization", bearer("acme")))
	m.awaitInbox()
	require.EqualValues(t, 1, r.admitted("acme")["spans"].GetAccepted())
	parked := m.dead()
	require.Len(t, parked, 2)
	for i := range parked {
		require.Equal(t, "unauthenticated", parked[i].Header(broker.HeaderDLQReason))
	}
}

func TestInboxAuthBrokerNeedsABrokerThatVerifies(t *testing.T) {
	var cfg ingest.Config
	require.NoError(t, settings.Defaults(&cfg))
	cfg.Inbox.Auth, cfg.Inbox.Users = ingest.AuthBroker, []string{"a=b"}
	b := memory.NewServer().Open(memory.Options{})
	defer b.Close(context.Background())
	_, err := ingest.New(cfg, ingest.Deps{Broker: b, Stats: prometheus.NewRegistry(), Log: slog.New(slog.DiscardHandler)})
	require.ErrorContains(t, err, "ingest-worker.inbox-auth: broker does not work with memory")
}

func TestInboxSettingsThatCannotWorkAreNamed(t *testing.T) {
	for want, change := range map[string]func(*ingest.InboxConfig){
		"inbox-users: name at least one":       func(c *ingest.InboxConfig) { c.Auth = ingest.AuthBroker },
		"inbox-users: is only for":             func(c *ingest.InboxConfig) { c.Users = []string{"a=b"} },
		`inbox-users: "a" is not USER=TENANT`:  func(c *ingest.InboxConfig) { c.Auth, c.Users = ingest.AuthBroker, []string{"a"} },
		"is reserved for the mesh itself":      func(c *ingest.InboxConfig) { c.Auth, c.Users = ingest.AuthBroker, []string{"a=driftmesh"} },
		`user "a" stands twice`:                func(c *ingest.InboxConfig) { c.Auth, c.Users = ingest.AuthBroker, []string{"a=b", "a=c"} },
		"is not token, broker or anonymous":    func(c *ingest.InboxConfig) { c.Auth = "everybody" },
		"inbox-max-age, inbox-max-ahead: must": func(c *ingest.InboxConfig) { c.MaxAge = -1 },
	} {
		var cfg ingest.Config
		require.NoError(t, settings.Defaults(&cfg))
		change(&cfg.Inbox)
		require.ErrorContains(t, cfg.Validate(), want)
	}
}

// A producer's trace goes on through inbox, forward and store, and is its
// tenant's alone.
func TestInboxContinuesTheTrace(t *testing.T) {
	m := newMesh(t)
	m.run()
	inHeader, inRecord := trace.TraceID{0xab, 1}, trace.TraceID{0xab, 2}
	parent := func(id trace.TraceID) string { return fmt.Sprintf("00-%s-%s-01", id, trace.SpanID{7}) }
	traced := record("2", 0, 1)
	traced.Traceparent = parent(inRecord)
	m.publish(
		inboxMessage("1", batchOf(t, record("1", 0, 1)), event.HeaderType, event.TypeRecords, "authorization", bearer("acme"),
			"traceparent", parent(inHeader), "tracestate", "vendor=1", event.HeaderTenant, "victim"),
		inboxMessage("2", batchOf(t, traced), event.HeaderType, event.TypeRecords, "authorization", bearer("acme")))
	m.awaitInbox()
	names := map[trace.TraceID]map[string]string{inHeader: {}, inRecord: {}}
	require.Eventually(t, func() bool {
		for _, s := range m.spans.GetSpans() {
			if of := names[s.SpanContext.TraceID()]; of != nil {
				of[s.Name] = ""
				for _, a := range s.Attributes {
					if string(a.Key) == telemetry.AttrTenant {
						of[s.Name] = a.Value.AsString()
					}
				}
			}
		}
		return hasAll(names[inHeader], "process inbox", "process records") && hasAll(names[inRecord], "process records")
	}, patience, tick)
	for _, name := range []string{"dwell inbox", "process inbox", "enter inbox ledger", "forward records", "dwell records", "process records", "store observations"} {
		require.Contains(t, names[inHeader], name)
	}
	require.NotContains(t, names[inRecord], "process inbox", "nobody can know of the record's trace before it is read")
	for _, tenant := range names[inHeader] {
		require.NotEqual(t, "victim", tenant)
	}
}

func hasAll(m map[string]string, keys ...string) bool {
	for _, k := range keys {
		if _, ok := m[k]; !ok {
			return false
		}
	}
	return true
}

// What the inbox makes of anything is either taken, parked or retried, and never
// a crash; and the same twice.
func TestInboxEatsAnything(t *testing.T) {
	m := newMesh(t)
	m.inbox.Auth = ingest.AuthAnonymous
	m.run()
	for i, text := range []string{"", "{", "{}", "[]", "\x00", "null", `{"resourceSpans":null}`, hex.EncodeToString(bytes.Repeat([]byte("a"), 1000))} {
		for j, kind := range []string{"", event.TypeTraces, event.TypeTracesJSON, event.TypeRecords} {
			m.publish(inboxMessage(fmt.Sprintf("%d-%d", i, j), []byte(text), event.HeaderType, kind))
		}
	}
	m.awaitInbox()
}
