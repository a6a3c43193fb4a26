package deadletter

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	"github.com/driftmesh/driftmesh/internal/broker"
	"github.com/driftmesh/driftmesh/internal/broker/runner"
	"github.com/driftmesh/driftmesh/internal/envelope"
	"github.com/driftmesh/driftmesh/internal/event"
	"github.com/driftmesh/driftmesh/internal/identity"
	deadletterv1 "github.com/driftmesh/driftmesh/proto/driftmesh/deadletter/v1"
	eventv1 "github.com/driftmesh/driftmesh/proto/driftmesh/event/v1"
	ingestv1 "github.com/driftmesh/driftmesh/proto/driftmesh/ingest/v1"
)

func TestPreview(t *testing.T) {
	t.Parallel()
	marshal := func(m proto.Message) []byte {
		raw, err := proto.Marshal(m)
		require.NoError(t, err)
		return raw
	}
	record := func(id string) *ingestv1.Record {
		return &ingestv1.Record{Id: id, Body: &ingestv1.Record_Context{Context: &ingestv1.Context{Json: `{"a":1}`}}}
	}
	long := func(n int, id string) *eventv1.RecordBatch {
		b := &eventv1.RecordBatch{}
		for range n {
			b.Records = append(b.Records, record(id))
		}
		return b
	}
	thousand, huge := long(1000, strings.Repeat("x", 1000)), long(1, strings.Repeat("x", maxPreview))
	for name, tt := range map[string]struct {
		kind, topic string
		value       []byte
		json, note  string // what it is, or begins with
	}{
		"records":              {event.TypeRecords, "records", marshal(&eventv1.RecordBatch{Records: []*ingestv1.Record{record("r1")}}), `{"records":[{"id":"r1","context":{"json":"{\"a\":1}"}}]}`, ""},
		"records without type": {"", "records", marshal(&eventv1.RecordBatch{Records: []*ingestv1.Record{record("r1")}}), `{"records":[{"id":"r1"`, ""},
		"many records":         {event.TypeRecords, "records", marshal(thousand), `{"records":`, "the first 100 of 1000 records"},
		"a huge record":        {event.TypeRecords, "records", marshal(huge), "", "the value has"},
		"no records":           {event.TypeRecords, "records", []byte("hello"), "", "the value is not records.v1: "},
		"spans":                {event.TypeTraces, "spans", []byte{0x0a, 0}, `{"resourceSpans":[{`, ""},
		"no spans":             {event.TypeTraces, "spans", []byte("hello"), "", "the value is not otlp.traces.v1: "},
		"spans as JSON":        {event.TypeTracesJSON, "inbox", []byte(`{"resourceSpans":[]}`), `{"resourceSpans":[]}`, ""},
		"no JSON":              {event.TypeTracesJSON, "inbox", []byte(`{"resourceSpans":`), "", "the value is not otlp.traces.json.v1: it is not JSON"},
		"inbox, JSON":          {"", "inbox", []byte(`{"resourceSpans":[]}`), `{"resourceSpans":[]}`, ""},
		"inbox, protobuf":      {"", "inbox", []byte{0x0a, 0}, `{"resourceSpans":[{`, ""},
		"windows":              {event.TypeWindows, "windows", marshal(&eventv1.WindowsTouched{Profile: "p", Minutes: []int64{7}}), `{"profile":"p","minutes":["7"]}`, ""},
		"an alert":             {event.TypeAlert, "alerts", marshal(&eventv1.AlertEvent{AlertId: "a"}), `{"alert_id":"a"}`, ""},
		"unknown":              {"x.v9", "spans", []byte("hello"), "", `nothing is known of values of type "x.v9"`},
		"nowhere":              {"", "nowhere", []byte("hello"), "", "the message does not say"},
		"large":                {event.TypeTraces, "spans", make([]byte, maxPreview+1), "", "the value has 262145 bytes"},
	} {
		text, note := preview(tt.kind, tt.topic, tt.value)
		squeezed := strings.ReplaceAll(text, " ", "")
		if strings.HasSuffix(tt.json, "}") {
			require.Equal(t, tt.json, squeezed, name)
		} else {
			require.True(t, strings.HasPrefix(squeezed, tt.json), "%s: %.80s", name, text)
			require.Equal(t, tt.json == "", text == "", name)
		}
		require.True(t, strings.HasPrefix(note, tt.note), "%s: %s", name, note)
		require.Equal(t, tt.note == "", note == "", "%s: %s", name, note)
	}
}

func TestVersionsGrow(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 21, 10, 0, 0, 0, time.UTC)
	version := func(redriven int, dead time.Time) uint64 {
		m := runner.Parked(&broker.Delivery{Message: broker.Message{Topic: "spans", ID: "x", Headers: []broker.Header{
			{Key: event.HeaderRedriven, Value: fmt.Append(nil, redriven)},
		}}}, runner.Park{At: dead})
		l, _ := letterOf(&broker.Delivery{Message: m}, nil)
		return l.Version
	}
	require.Less(t, version(0, at), version(0, at.Add(time.Millisecond)))
	require.Less(t, version(0, at.Add(time.Hour)), version(1, at), "a clock that is slow changes nothing")
	require.Equal(t, version(0, latest), version(0, latest.Add(time.Hour)))
	require.Equal(t, version(0, time.Unix(0, 0)), version(-1, time.Unix(-5, 0)))
	require.Less(t, version(maxRedrives, latest), uint64(1<<64-1))
	require.Equal(t, version(maxRedrives, at), version(maxRedrives+1, at))
}

// A message without an id is known by its place. Two that say different things
// are two, whatever they are called.
func TestNamesOfLetters(t *testing.T) {
	t.Parallel()
	letter := func(id, position, value string) Letter {
		m := runner.Parked(&broker.Delivery{
			Message: broker.Message{Topic: "spans", ID: id, Value: []byte(value)}, Lane: "7", Position: position,
		}, runner.Park{Group: "g"})
		l, _ := letterOf(&broker.Delivery{Message: m}, nil)
		return l
	}
	require.Equal(t, "7:1", letter("", "1", "a").MessageID)
	require.Equal(t, "x", letter("x", "1", "a").MessageID)
	require.Equal(t, letter("x", "1", "a").ID, letter("x", "2", "a").ID)
	require.NotEqual(t, letter("x", "1", "a").ID, letter("x", "1", "b").ID)
	require.NotEqual(t, letter("", "1", "a").ID, letter("", "2", "a").ID)
	require.NotEqual(t, letter("", "", "a").ID, letter("", "", "b").ID)
	nameless := letter("", "", "a").ID
	require.Equal(t, nameless, letter("", "", "a").ID)
}

func TestRetentionIsChecked(t *testing.T) {
	t.Parallel()
	require.NoError(t, Config{}.Check())
	require.NoError(t, Config{Retention: MinRetention}.Check())
	require.ErrorContains(t, Config{Retention: time.Minute}.Check(), "retention: must be 0 or at least 1h0m0s")
	_, err := New(Config{Retention: -1}, Deps{Stats: prometheus.NewRegistry()})
	require.Error(t, err)
}

// Whatever lies on a DLQ becomes a letter that can be stored, shown and
// redriven.
func FuzzLetter(f *testing.F) {
	f.Add("acme", event.TypeRecords, "1", "2026-11-21T10:00:00Z", []byte("v"))
	f.Add("", event.TypeTraces, "-1", "9999-12-31T23:59:59Z", []byte{0x0a, 0})
	f.Add("A", "", "99999999999999999999", "0001-01-01T00:00:00Z", []byte("{}"))
	f.Fuzz(func(t *testing.T, tenant, kind, redriven, dead string, value []byte) {
		l, c := letterOf(&broker.Delivery{Message: broker.Message{Topic: "spans.dlq", Value: value, Headers: []broker.Header{
			{Key: event.HeaderTenant, Value: []byte(tenant)}, {Key: event.HeaderType, Value: []byte(kind)},
			{Key: event.HeaderRedriven, Value: []byte(redriven)}, {Key: event.HeaderCount, Value: []byte(redriven)},
			{Key: event.HeaderDLQDeadAt, Value: []byte(dead)}, {Key: event.HeaderDLQFirstSeen, Value: []byte(dead)},
			{Key: event.HeaderDLQReason, Value: []byte(kind)},
		}}}, nil)
		require.NotEmpty(t, l.Tenant)
		require.Equal(t, "spans", l.Topic)
		require.GreaterOrEqual(t, l.DeadAt.Unix(), int64(0))
		require.False(t, l.DeadAt.After(latest))
		require.GreaterOrEqual(t, l.Redrives, 0)
		place, err := ParsePlace(Place{l.DeadAt, l.ID}.Token())
		require.NoError(t, err)
		require.Equal(t, l.ID, place.ID)
		id, err := ParseID(l.ID.String())
		require.NoError(t, err)
		require.Equal(t, l.ID, id)
		text, note := preview(l.Type, l.Topic, c.Value)
		require.True(t, utf8.ValidString(text) && utf8.ValidString(note))
		_, err = proto.Marshal(wire(&l))
		require.NoError(t, err)
		again := l.message(&c)
		require.Equal(t, value, again.Value)
		require.NotEmpty(t, again.ID)
	})
}

func FuzzParsePlace(f *testing.F) {
	f.Add("")
	f.Add(Place{time.Unix(5, 0), ID{1}}.Token())
	f.Fuzz(func(t *testing.T, token string) {
		if p, err := ParsePlace(token); err == nil {
			again, err := ParsePlace(p.Token())
			require.NoError(t, err)
			require.Equal(t, p, again)
		}
	})
}

// Every state and outcome has a name on the wire.
func TestNamesOnTheWire(t *testing.T) {
	t.Parallel()
	require.Len(t, states, len(deadletterv1.DeadLetterState_name)-1)
	require.Len(t, outcomes, len(deadletterv1.RedriveOutcome_name)-1)
}

// Whose letter it is, a good signature tells; what was packed is signed anew for
// what it is unpacked, so that a redrive of it is believed.
func TestForgedLettersAreTheMeshs(t *testing.T) {
	t.Parallel()
	secrets, err := identity.FixedSecrets([]byte(strings.Repeat("s", 32)))
	require.NoError(t, err)
	seal := envelope.NewSigner(secrets, false)
	value := bytes.Repeat([]byte("value "), 1000)
	m := envelope.New(event.Spans, envelope.Stamp{Tenant: "acme", Type: event.TypeTraces, Count: 1, Accepted: time.Now()}, value)
	envelope.Pack(&m, make([]byte, envelope.PackRoom(len(value))))
	forged := runner.Parked(&broker.Delivery{Message: m}, runner.Park{Reason: runner.ReasonDecode})
	l, c := letterOf(&broker.Delivery{Message: forged}, seal)
	require.Equal(t, identity.MeshTenant, l.Tenant)
	again := l.message(&c)
	require.Error(t, seal.Check(&again))

	seal.Sign(&m)
	genuine := runner.Parked(&broker.Delivery{Message: m}, runner.Park{Reason: runner.ReasonDecode})
	l, c = letterOf(&broker.Delivery{Message: genuine}, seal)
	require.Equal(t, "acme", l.Tenant)
	require.Equal(t, value, c.Value)
	again = l.message(&c)
	require.NoError(t, seal.Check(&again))
}
