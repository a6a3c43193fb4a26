package tracestore_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	"github.com/driftmesh/driftmesh/internal/broker"
	"github.com/driftmesh/driftmesh/internal/envelope"
	"github.com/driftmesh/driftmesh/internal/event"
	eventv1 "github.com/driftmesh/driftmesh/proto/driftmesh/event/v1"
	ledgerv1 "github.com/driftmesh/driftmesh/proto/driftmesh/ledger/v1"
	"github.com/driftmesh/driftmesh/services/trace-store/internal/tracetest"
)

// receipt puts on record what a door would of lanes of the tenant acme.
func (m *mesh) receipt(instance string, rejected map[string]uint64, lanes ...*eventv1.ReceiptLane) {
	m.t.Helper()
	value, err := proto.Marshal(&eventv1.Receipt{Instance: instance, Accounts: []*eventv1.ReceiptAccount{{
		Tenant: "acme", Day: uint32(time.Now().Unix() / 86400), Rejected: rejected, Lanes: lanes,
	}}})
	require.NoError(m.t, err)
	m.publish(envelope.New(event.SpanReceipts, envelope.Stamp{
		Tenant: event.Mesh, Type: event.TypeReceipt, Count: 1, Accepted: time.Now(),
	}, value))
}

func lane(number uint32, messages, items uint64) *eventv1.ReceiptLane {
	return &eventv1.ReceiptLane{Lane: number, Messages: messages, Items: items}
}

// unsettled waits until no receipt is pending and returns what is on record and
// not settled.
func (r *running) unsettled() *ledgerv1.Unsettled {
	r.t.Helper()
	var got *ledgerv1.GetSettledResponse
	require.Eventually(r.t, func() bool {
		got = r.settled("acme")
		return got.GetUnsettled().GetPendingReceipts() == 0
	}, patience, tick)
	return got.GetUnsettled()
}

// TestReceiptsAgainstWhatWasSettled: of what is on record, the number of
// messages and spans that nobody settled, exactly: whatever order receipts come
// in, however often, and however much was settled of which no receipt tells.
func TestReceiptsAgainstWhatWasSettled(t *testing.T) {
	m := newMesh(t)
	r := m.run()
	random, each := rand.New(rand.NewPCG(1, 1)), uint64(0)
	settle := func(lane string, seqs ...int) {
		for _, n := range seqs {
			data := tracetest.Realistic(random, uint64(time.Now().UnixNano()))
			each = uint64(len(tracetest.Canonical(data)))
			msg := m.message("acme", data)
			for i, h := range msg.Headers {
				if h.Key == event.HeaderSeq {
					msg.Headers[i].Value = fmt.Appendf(nil, "gw/%s:%d", lane, n)
				}
			}
			m.publish(msg)
		}
		require.Eventually(t, func() bool { return r.settled("acme").GetPendingMessages() == 0 }, patience, tick)
	}
	settle("1", 1, 2, 4, 5) // 3 is lost; 5 was never acknowledged
	settle("3", 1)          // of an older gateway, or killed before its receipt
	m.receipt("gw", map[string]uint64{"trace_id_zero": 7}, lane(1, 4, 4*each), lane(2, 10, 10*each))
	m.receipt("gw", map[string]uint64{"trace_id_zero": 5}, lane(1, 2, 2*each)) // an old one, late
	m.receipt("gw", nil, lane(1, 4, 4*each))                                   // again
	got := r.unsettled()
	require.EqualValues(t, 11, got.GetMessages())
	require.Equal(t, 11*each, got.GetItems())
	require.Zero(t, got.GetLateMessages())
	require.Equal(t, map[string]uint64{"trace_id_zero": 7}, got.GetRejected())
	settled := r.settled("acme").GetInstances()
	require.Len(t, settled, 1, "lanes of one process are one")
	require.Equal(t, 5*each, settled[0].GetAccepted())

	// What is found after all is not missing any more.
	settle("1", 3)
	require.EqualValues(t, 10, r.unsettled().GetMessages())
}

// TestReceiptThatIsNone is parked, and its neighbours are read.
func TestReceiptThatIsNone(t *testing.T) {
	m := newMesh(t)
	r := m.run()
	m.publish(
		broker.Message{Topic: event.SpanReceipts, Value: []byte{0xff}, ID: "x"},
		envelope.New(event.SpanReceipts, envelope.Stamp{Tenant: event.Mesh, Type: event.TypeReceipt, Accepted: time.Now()}, []byte{0x0a, 0xff}))
	m.receipt("gw", nil, lane(1, 1, 9))
	require.EqualValues(t, 9, r.unsettled().GetItems())
}
