package ingest_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"fmt"
	"log/slog"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/trace"

	"github.com/driftmesh/driftmesh/internal/broker"
	"github.com/driftmesh/driftmesh/internal/broker/driver/memory"
	"github.com/driftmesh/driftmesh/internal/event"
	"github.com/driftmesh/driftmesh/internal/identity"
	"github.com/driftmesh/driftmesh/internal/settings"
	"github.com/driftmesh/driftmesh/internal/telemetry"
	"github.com/driftmesh/driftmesh/services/ingest-worker/ingest"
)

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
	time.Sleep(5 * time.Millisecond) // again
	m.publish(reused)
	m.awaitInbox()
	for range 2 {
		r.end() // its workers are stopped
		require.NoError(t, m.server.Replay(event.Inbox, event.GroupIngest))
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

// refusing is a broker whose publisher fails to a topic: all of it with err, or, where
// that is nil, after it may have published.
type refusing struct {
	broker.Broker
	topic string
	err   error
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
	if p.f.err != nil {
		return broker.Published(slices.Repeat([]error{p.f.err}, len(msgs)))
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
	require.Equal(t, "unauthenticated", tampered[0].Header(event.HeaderDLQReason), "a seal is good for its value alone")
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
		require.Equal(t, "unauthenticated", parked[i].Header(event.HeaderDLQReason))
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
