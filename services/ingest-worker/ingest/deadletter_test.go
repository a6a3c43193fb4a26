package ingest_test

import (
	"context"
	"sync"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/metadata"

	"github.com/driftmesh/driftmesh/internal/broker"
	"github.com/driftmesh/driftmesh/internal/event"
	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/internal/identity"
	deadletterv1 "github.com/driftmesh/driftmesh/proto/driftmesh/deadletter/v1"
	ingestv1 "github.com/driftmesh/driftmesh/proto/driftmesh/ingest/v1"
)

// letters waits until the tenant has so many parked letters.
func (r *running) letters(tenant string, n int) []*deadletterv1.DeadLetter {
	r.t.Helper()
	var got []*deadletterv1.DeadLetter
	require.Eventually(r.t, func() bool {
		resp, err := r.deadLetters().ListDeadLetters(as(r.t, tenant), &deadletterv1.ListDeadLettersRequest{})
		got = resp.GetDeadLetters()
		return err == nil && len(got) == n
	}, patience, tick)
	return got
}

// comesBack waits until the tenant's only letter was redriven and parked again.
func (r *running) comesBack(tenant string) (again *deadletterv1.DeadLetter) {
	r.t.Helper()
	require.Eventually(r.t, func() bool {
		resp, err := r.deadLetters().ListDeadLetters(as(r.t, tenant), &deadletterv1.ListDeadLettersRequest{})
		if err == nil && len(resp.GetDeadLetters()) == 1 && resp.GetDeadLetters()[0].GetRedrives() == 1 {
			again = resp.GetDeadLetters()[0]
		}
		return again != nil
	}, patience, tick)
	return again
}

func (r *running) deadLetters() deadletterv1.DeadLetterServiceClient {
	return deadletterv1.NewDeadLetterServiceClient(r.conn)
}

func as(t testing.TB, tenant string) context.Context {
	return metadata.AppendToOutgoingContext(t.Context(), "tenant", tenant)
}

func (r *running) redrive(tenant string, ids ...string) []deadletterv1.RedriveOutcome {
	r.t.Helper()
	resp, err := r.deadLetters().RedriveDeadLetters(as(r.t, tenant), &deadletterv1.RedriveDeadLettersRequest{Ids: ids})
	require.NoError(r.t, err)
	var out []deadletterv1.RedriveOutcome
	for _, result := range resp.GetResults() {
		out = append(out, result.GetOutcome())
	}
	return out
}

// Good neighbours are stored; what was parked is listed with its reason; once
// mended it is redriven and stored, and the ledger adds up at every step,
// however often it is redriven.
func TestParkedRecordsAreRedriven(t *testing.T) {
	m := newMesh(t)
	require.NoError(t, m.broker.Admin().EnsureGroup(t.Context(), broker.GroupSpec{Topic: broker.DLQ(event.Records), Name: event.GroupDeadLetters}))
	r := m.run()
	m.publish(m.message("a", record("1", 0, 1), record("2", 0, 2)))
	m.await()
	// The profile is known by now; another one is not to be had.
	m.drift.setSick(fault.Precondition.New("profiles are locked"))
	garbage := m.message("a", record("g", 0, 1))
	garbage.Value = []byte("hello")
	other := func(id string) *ingestv1.Record { r := record(id, 0, 3); r.Profile = uuid.NewString(); return r }
	late := m.message("a", record("3", 0, 3), record("4", 1, 4), other("5"))
	m.publish(late, garbage, m.message("a", record("6", 0, 6)))
	m.await()
	letters := r.letters("a", 2)
	reasons := map[string]*deadletterv1.DeadLetter{}
	for _, l := range letters {
		reasons[l.GetReason()] = l
	}
	require.Contains(t, reasons["store_rejected"].GetError(), "profiles are locked")
	require.Equal(t, late.ID, reasons["store_rejected"].GetMessageId())
	require.Equal(t, uint64(3), reasons["store_rejected"].GetCount())
	require.Contains(t, reasons, "decode")
	shown, err := r.deadLetters().GetDeadLetter(as(t, "a"), &deadletterv1.GetDeadLetterRequest{Id: reasons["store_rejected"].GetId()})
	require.NoError(t, err)
	require.Contains(t, shown.GetPreview(), `"profile":`)
	require.Empty(t, shown.GetPreviewNote())
	adds(t, r.settled("a"), 7, 3)
	require.Equal(t, map[string]uint64{"store_rejected": 3, "decode": 1}, r.settled("a").GetInstances()[0].GetDeadLettered())

	m.drift.setSick(nil) // the other profile is unknown then, which rejects one record
	id := reasons["store_rejected"].GetId()
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() { r.redrive("a", id) })
	}
	all.Wait()
	require.Equal(t, []deadletterv1.RedriveOutcome{deadletterv1.RedriveOutcome_REDRIVE_OUTCOME_ALREADY_REDRIVEN}, r.redrive("a", id))
	m.await()
	after := r.settled("a")
	adds(t, after, 7, 5)
	require.Equal(t, map[string]uint64{"decode": 1}, after.GetInstances()[0].GetDeadLettered())
	require.Equal(t, map[string]uint64{"unknown_profile": 1}, after.GetInstances()[0].GetRejected())
	require.Equal(t, uint64(5), after.GetInstances()[0].GetWritten(), "redriven four times and written once, as the ledger sees it")
	require.Equal(t, uint64(4), after.GetInstances()[0].GetMessages())

	// Garbage stays garbage: it is parked again, and counts once.
	r.letters("a", 1)
	require.Equal(t, []deadletterv1.RedriveOutcome{deadletterv1.RedriveOutcome_REDRIVE_OUTCOME_REDRIVEN}, r.redrive("a", reasons["decode"].GetId()))
	r.comesBack("a")
	adds(t, r.settled("a"), 7, 5)
	require.Equal(t, map[string]uint64{"decode": 1}, r.settled("a").GetInstances()[0].GetDeadLettered())
}

// What came by the inbox belongs to whom its credentials said, and is redriven
// without them: the mesh still knows whose it is, and parks it for what it is.
func TestParkedInboxMessageIsRedriven(t *testing.T) {
	m := newMesh(t)
	require.NoError(t, m.broker.Admin().EnsureGroup(t.Context(), broker.GroupSpec{Topic: broker.DLQ(event.Inbox), Name: event.GroupDeadLetters}))
	r := m.run()
	m.publish(
		inboxMessage("own-id", []byte("hello"), event.HeaderType, event.TypeRecords, event.HeaderAPIKey, apiKey),
		inboxMessage("own-id-2", []byte("hello"), event.HeaderType, event.TypeRecords, event.HeaderAPIKey, badKey))
	letter := r.letters("keyed", 1)[0]
	require.Equal(t, event.Inbox, letter.GetTopic())
	require.Equal(t, "decode", letter.GetReason())
	require.Equal(t, "unauthenticated", r.letters(identity.MeshTenant, 1)[0].GetReason(), "nobody's letters are the mesh's")
	shown, err := r.deadLetters().GetDeadLetter(as(t, "keyed"), &deadletterv1.GetDeadLetterRequest{Id: letter.GetId()})
	require.NoError(t, err)
	require.NotContains(t, shown.String(), apiKey)
	require.Equal(t, []byte("hello"), shown.GetValue())
	dead := r.settled("keyed").GetInstances()

	require.Equal(t, []deadletterv1.RedriveOutcome{deadletterv1.RedriveOutcome_REDRIVE_OUTCOME_REDRIVEN}, r.redrive("keyed", letter.GetId()))
	again := r.comesBack("keyed")
	require.Equal(t, letter.GetId(), again.GetId())
	require.Equal(t, "decode", again.GetReason())
	require.Len(t, r.settled("keyed").GetInstances(), len(dead))
	for i, instance := range r.settled("keyed").GetInstances() {
		require.Equal(t, dead[i].GetDeadLettered(), instance.GetDeadLettered(), "it counts once")
	}
}
