package ingest_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/metadata"

	"github.com/driftmesh/driftmesh/internal/event"
	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/internal/quota"
	ledgerv1 "github.com/driftmesh/driftmesh/proto/driftmesh/ledger/v1"
	recordv1 "github.com/driftmesh/driftmesh/proto/driftmesh/record/v1"
)

// A producer on the topic inbox that is over its tenant's rate waits beside the
// others: theirs pass, and of its own nothing is lost.
func TestInboxOverItsRateWaitsAndIsNotLost(t *testing.T) {
	m := newMesh(t)
	m.tenants = quota.NewBook(quota.Limits{})
	m.tenants.Hear(quota.Change{Own: map[string]quota.Own{"acme": {quota.IngestItems: 20, quota.IngestItemsBurst: 20}}})
	m.run()
	const flood, others = 120, 20
	began := time.Now()
	for i := range flood {
		m.publish(inboxMessage(fmt.Sprint("a", i), batchOf(t, record(fmt.Sprint("a", i), 0, 1)), event.HeaderType, event.TypeRecords, "authorization", bearer("acme")))
	}
	for i := range others {
		m.publish(inboxMessage(fmt.Sprint("b", i), spansOf(t, byte(i+1)), event.HeaderType, event.TypeTraces, "x-api-key", apiKey))
	}
	require.Eventually(t, func() bool {
		lag, err := m.broker.Admin().Lag(t.Context(), event.Spans, event.GroupTraceStore)
		require.NoError(t, err)
		return lag.Total() == others
	}, patience, tick)
	require.Greater(t, m.pending(event.Inbox), uint64(flood/3), "the others passed while most of the flood waits")
	m.awaitInbox()
	require.Greater(t, time.Since(began), 4*time.Second, "at 20 a second")
	require.EqualValues(t, flood, m.rows("observations", "acme"))
	require.Empty(t, m.dead())
}

// Who asks for records, or for their senders, pays as for any query: no more than its
// tenant may, and the answer names the limit.
func TestQuestionsCostNoMoreThanTheyMay(t *testing.T) {
	m := newMesh(t)
	m.tenants = quota.NewBook(quota.Limits{})
	r := m.run()
	m.publish(m.message("acme", in(trace1, span1, record("a", 0, 1))))
	m.await()
	ctx := metadata.AppendToOutgoingContext(t.Context(), "tenant", "acme")
	list := func(req *recordv1.ListRecordsRequest) func() error {
		return func() error {
			_, err := recordv1.NewRecordServiceClient(r.conn).ListRecords(ctx, req)
			return err
		}
	}
	questions := map[string]func() error{
		"senders": func() error {
			_, err := ledgerv1.NewLedgerServiceClient(r.conn).ListSenders(ctx, &ledgerv1.ListSendersRequest{
				Data: &ledgerv1.ListSendersRequest_Records{Records: &ledgerv1.RecordsSent{Profile: wine, RecordId: "a"}},
			})
			return err
		},
		"records of a trace": list(&recordv1.ListRecordsRequest{TraceId: trace1}),
		"a record":           list(&recordv1.ListRecordsRequest{Profile: wine, RecordId: "a"}),
	}
	for what, ask := range questions {
		require.NoError(t, ask(), what)
	}
	m.tenants.Hear(quota.Change{Own: map[string]quota.Own{"acme": {quota.QueryRead: 1}}})
	for what, ask := range questions {
		err := ask()
		require.ErrorIs(t, err, fault.Exhausted, what)
		require.Contains(t, fault.Of(err).Message(), "the limit query-read of tenant acme is 1B: the query would read more", what)
	}
}
