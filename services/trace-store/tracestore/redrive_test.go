package tracestore_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/internal/broker"
	"github.com/driftmesh/driftmesh/internal/event"
	"github.com/driftmesh/driftmesh/services/trace-store/internal/tracetest"
)

// A message that was parked and comes again under another id, with its first
// one in a header, is one message to the ledger: no longer parked but stored,
// and once however often it comes.
func TestRedrivenMessageIsTheSameToTheLedger(t *testing.T) {
	m := newMesh(t)
	r := m.run()
	data := tracetest.Realistic(rand.New(rand.NewPCG(1, 1)), uint64(time.Now().UnixNano()))
	good := m.message("acme", data)
	spans := len(tracetest.Canonical(data))
	parked := good
	parked.Value = []byte("hello")
	m.publish(parked)
	require.Eventually(t, func() bool {
		i := r.settled("acme").GetInstances()
		return len(i) == 1 && i[0].GetDeadLettered()["decode"] == uint64(spans)
	}, patience, tick)

	for _, id := range []string{"second", "third"} {
		again := good
		again.ID = id
		again.Headers = append(append([]broker.Header(nil), good.Headers...), broker.Header{Key: event.HeaderOrigin, Value: []byte(good.ID)})
		m.publish(again)
	}
	got := r.written("acme", spans)
	require.Len(t, got.GetInstances(), 1)
	i := got.GetInstances()[0]
	require.Empty(t, i.GetDeadLettered())
	require.Equal(t, []uint64{uint64(spans), uint64(spans), 1}, []uint64{i.GetAccepted(), got.GetStored(), i.GetMessages()})
}
