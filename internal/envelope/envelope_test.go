package envelope_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/internal/broker"
	"github.com/driftmesh/driftmesh/internal/envelope"
	"github.com/driftmesh/driftmesh/internal/event"
)

func TestStampGoesThere(t *testing.T) {
	t.Parallel()
	want := envelope.Stamp{Tenant: "acme", Type: event.TypeRecords, Count: 3, Accepted: time.Unix(0, 1234567890123456789), Seq: "gw:7", Sender: "user:acme/ann"}
	m := envelope.New(event.Records, want, []byte("v"))
	require.Equal(t, want, envelope.Of(&m))
	require.NotEmpty(t, m.ID)
	instance, n, ok := envelope.SplitSeq(want.Seq)
	require.Equal(t, "gw", instance)
	require.Equal(t, uint64(7), n)
	require.True(t, ok)
	for _, bad := range []string{"", "gw", "gw:", "gw:x", ":7"} {
		_, _, ok := envelope.SplitSeq(bad)
		require.False(t, ok, bad)
	}
}

// The ledger knows a message by its first id, however often it is published.
func TestIdentity(t *testing.T) {
	t.Parallel()
	d := broker.Delivery{Message: envelope.New(event.Spans, envelope.Stamp{Tenant: "acme"}, nil), Lane: "3", Position: "42"}
	require.Equal(t, d.ID, envelope.Of(&d.Message).Identity(&d))
	d.Headers = append(d.Headers, broker.Header{Key: event.HeaderOrigin, Value: []byte("first")}, broker.Header{Key: event.HeaderRedriven, Value: []byte("2")})
	require.Equal(t, "first", envelope.Of(&d.Message).Identity(&d))
	require.Equal(t, 2, envelope.Of(&d.Message).Redriven)
	d = broker.Delivery{Lane: "3", Position: "42"}
	require.Equal(t, "3:42", envelope.Of(&d.Message).Identity(&d))
}
