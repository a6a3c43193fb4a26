package envelope_test

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/internal/broker"
	"github.com/driftmesh/driftmesh/internal/envelope"
	"github.com/driftmesh/driftmesh/internal/event"
	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/internal/identity"
)

func signer(t testing.TB, unsigned bool, secrets ...string) *envelope.Signer {
	t.Helper()
	var list [][]byte
	for _, s := range secrets {
		list = append(list, []byte(s))
	}
	all, err := identity.FixedSecrets(list...)
	require.NoError(t, err)
	return envelope.NewSigner(all, unsigned)
}

var (
	first  = strings.Repeat("a", 32)
	second = strings.Repeat("b", 32)
)

func signed(t testing.TB, s *envelope.Signer, value []byte) broker.Message {
	t.Helper()
	m := envelope.New(event.Spans, envelope.Stamp{Tenant: "acme", Type: event.TypeTraces, Count: 3, Accepted: time.Unix(1, 2), Seq: "gw/1:7", Sender: "key:acme/1"}, value)
	envelope.Pack(&m, make([]byte, envelope.PackRoom(len(value))))
	s.Sign(&m)
	return m
}

// with is the message with one header changed, or added.
func with(m broker.Message, key, value string) broker.Message {
	headers := []broker.Header{{Key: key, Value: []byte(value)}}
	for _, h := range m.Headers {
		if h.Key != key {
			headers = append(headers, h)
		}
	}
	m.Headers = headers
	return m
}

func TestASignatureIsGoodForItsMessageAlone(t *testing.T) {
	t.Parallel()
	s := signer(t, false, first)
	good := signed(t, s, bytes.Repeat([]byte("value "), 1000))
	require.NotEmpty(t, good.Header(event.HeaderEncoding))
	require.NoError(t, s.Check(&good), "the base case must be good, or the others prove nothing")
	again := with(good, event.HeaderOrigin, good.ID)
	again.ID, again.Topic = "another", event.Retry(event.Spans)
	require.NoError(t, s.Check(&again), "it waited, or was redriven")

	changed := bytes.Clone(good.Value)
	changed[len(changed)/2] ^= 1
	other := func(change func(*broker.Message)) broker.Message { m := good; change(&m); return m }
	for name, m := range map[string]broker.Message{
		"tenant": with(good, event.HeaderTenant, "evil"), "type": with(good, event.HeaderType, event.TypeRecords),
		"sender": with(good, event.HeaderSender, "key:acme/2"), "nobody": with(good, event.HeaderSender, ""), "count": with(good, event.HeaderCount, "4"), "time": with(good, event.HeaderTime, "2"), "seq": with(good, event.HeaderSeq, "gw/1:8"),
		"encoding": with(good, event.HeaderEncoding, ""), "origin": with(good, event.HeaderOrigin, "elsewhere"),
		"id": other(func(m *broker.Message) { m.ID = "another" }), "topic": other(func(m *broker.Message) { m.Topic = event.Records }),
		"value": other(func(m *broker.Message) { m.Value = changed }), "shorter": other(func(m *broker.Message) { m.Value = m.Value[:len(m.Value)-1] }),
		"none":    with(good, event.HeaderSignature, ""),
		"garbage": with(good, event.HeaderSignature, strings.Repeat("A", 22)), "long": with(good, event.HeaderSignature, strings.Repeat("A", 200)),
	} {
		err := s.Check(&m)
		require.ErrorIs(t, err, fault.Denied, name)
		require.Equal(t, envelope.ReasonForged, fault.Of(err).Reason())
	}
	bare := good
	bare.Headers = nil
	require.ErrorContains(t, s.Check(&bare), "no service of the mesh published it")
	require.NoError(t, signer(t, true, first).Check(&bare), "of a release that did not sign")
	stranger := with(good, event.HeaderTenant, "evil")
	require.Error(t, signer(t, true, first).Check(&stranger))
	inbox := bare
	inbox.Topic = event.Inbox
	require.NoError(t, s.Check(&inbox), "strangers may publish there")
}

func TestSignaturesOutliveARotation(t *testing.T) {
	t.Parallel()
	m := signed(t, signer(t, false, first), []byte("value"))
	require.NoError(t, signer(t, false, second, first).Check(&m))
	require.Error(t, signer(t, false, second).Check(&m))
}

func BenchmarkSign(b *testing.B) {
	s := signer(b, false, first)
	for name, n := range map[string]int{"1KiB": 1 << 10, "8KiB": 8 << 10, "64KiB": 64 << 10} {
		b.Run(name, func(b *testing.B) {
			m := signed(b, s, bytes.Repeat([]byte("x"), 8))
			m.Value = make([]byte, n)
			b.SetBytes(int64(n))
			b.ReportAllocs()
			for b.Loop() {
				s.Sign(&m)
			}
		})
	}
}
