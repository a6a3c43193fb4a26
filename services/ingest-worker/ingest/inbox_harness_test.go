package ingest_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"fmt"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/require"
	coltracepb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"

	"github.com/driftmesh/driftmesh/internal/broker"
	"github.com/driftmesh/driftmesh/internal/event"
	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/internal/identity"
	"github.com/driftmesh/driftmesh/internal/policy"
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
			return identity.Identity{Tenant: "keyed", Subject: "key1", Kind: identity.Key, Grant: policy.As(policy.Ingest)}, time.Time{}, nil
		}),
		Anonymous: map[bool]policy.Role{true: policy.Ingest}[m.inbox.Auth == ingest.AuthAnonymous],
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
	require.Eventually(m.t, func() bool { return m.pending(event.Inbox) == 0 }, patience, tick)
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

func meshSecrets(t testing.TB) *identity.Secrets {
	t.Helper()
	s, err := identity.FixedSecrets(meshSecret)
	require.NoError(t, err)
	return s
}
