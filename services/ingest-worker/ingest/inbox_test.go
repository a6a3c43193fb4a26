package ingest_test

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	coltracepb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/driftmesh/driftmesh/internal/broker/driver/memory"
	"github.com/driftmesh/driftmesh/internal/envelope"
	"github.com/driftmesh/driftmesh/internal/event"
	ingestv1 "github.com/driftmesh/driftmesh/proto/driftmesh/ingest/v1"
)

func TestInboxTakesWhatTheDoorTakes(t *testing.T) {
	m := newMesh(t)
	r := m.run()
	const spoofed = "victim"
	nameless := record("", 1, 2)
	nameless.EventTime = nil
	m.publish(
		inboxMessage("1", batchOf(t, record("a", 0, 1), nameless), event.HeaderType, event.TypeRecords, "authorization", bearer("acme"),
			event.HeaderTenant, spoofed, event.HeaderSeq, "gw:7", event.HeaderCount, "99", event.HeaderTime, "1"),
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
		require.Equal(t, tt.reason, d.Header(event.HeaderDLQReason), d.ID)
		require.NotEmpty(t, d.Header(event.HeaderDLQError), d.ID)
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
