package ingest_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"

	"github.com/driftmesh/driftmesh/internal/envelope"
	"github.com/driftmesh/driftmesh/internal/event"
	eventv1 "github.com/driftmesh/driftmesh/proto/driftmesh/event/v1"
	ingestv1 "github.com/driftmesh/driftmesh/proto/driftmesh/ingest/v1"
	ledgerv1 "github.com/driftmesh/driftmesh/proto/driftmesh/ledger/v1"
)

// Producers on the inbox choose the time of their messages, and so one can choose that of
// another's. Then both are named, and nobody instead of another.
func TestNobodyPassesForAnotherSender(t *testing.T) {
	m := newMesh(t)
	r := m.run()
	for i, sender := range []string{"key:acme/good", "key:acme/evil"} {
		value, err := proto.Marshal(&eventv1.RecordBatch{Records: []*ingestv1.Record{record([]string{"a", "b"}[i], 0, 1)}})
		require.NoError(t, err)
		m.publish(envelope.New(event.Records, envelope.Stamp{
			Tenant: "acme", Type: event.TypeRecords, Count: 1, Accepted: start, Seq: event.SeqInbox, Sender: sender,
		}, value))
		m.await()
	}
	m.publish(m.message("acme", record("c", 0, 1))) // of a release that named nobody, at the same time
	m.await()
	ctx := metadata.AppendToOutgoingContext(t.Context(), "tenant", "acme")
	for _, id := range []string{"a", "b", "c"} {
		got, err := ledgerv1.NewLedgerServiceClient(r.conn).ListSenders(ctx, &ledgerv1.ListSendersRequest{
			Data: &ledgerv1.ListSendersRequest_Records{Records: &ledgerv1.RecordsSent{Profile: wine, RecordId: id}},
		})
		require.NoError(t, err)
		require.Len(t, got.GetSent(), 1)
		require.Equal(t, "one of: (not known), key:acme/evil, key:acme/good", got.GetSent()[0].GetSender())
	}
}
