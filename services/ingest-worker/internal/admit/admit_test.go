package admit_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	"github.com/driftmesh/driftmesh/internal/broker"
	"github.com/driftmesh/driftmesh/internal/envelope"
	"github.com/driftmesh/driftmesh/internal/event"
	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/internal/identity"
	"github.com/driftmesh/driftmesh/internal/policy"
	"github.com/driftmesh/driftmesh/internal/record"
	eventv1 "github.com/driftmesh/driftmesh/proto/driftmesh/event/v1"
	ingestv1 "github.com/driftmesh/driftmesh/proto/driftmesh/ingest/v1"
	"github.com/driftmesh/driftmesh/services/ingest-worker/internal/admit"
)

var at = time.Date(2026, 11, 21, 10, 0, 0, 0, time.UTC)

type anyProfile struct{}

func (anyProfile) Profile(_ context.Context, _, name string) (*record.Profile, error) {
	return &record.Profile{UID: "uid of " + name, Features: map[string]record.Kind{"acid": record.Float}}, nil
}

func nobody(context.Context, *broker.Message) (admit.Sender, error) {
	return admit.Sender{}, fault.Unauthenticated.New("who?")
}

func always(tenant string) admit.Caller {
	return func(context.Context, *broker.Message) (admit.Sender, error) {
		return admit.Sender{Tenant: tenant, Principal: "key:" + tenant + "/1"}, nil
	}
}

func newAdmitter(maxMessage int) *admit.Admitter {
	return admit.New(admit.Config{Service: "test", Caller: always("acme"), Profiles: anyProfile{}, MaxMessage: func() int { return maxMessage }})
}

func delivery(value []byte, headers ...string) *broker.Delivery {
	d := &broker.Delivery{Message: broker.Message{Topic: event.Inbox, Value: value, Time: at}, Lane: "0", Position: "7"}
	for i := 0; i+1 < len(headers); i += 2 {
		d.Headers = append(d.Headers, broker.Header{Key: headers[i], Value: []byte(headers[i+1])})
	}
	return d
}

func TestTypeOf(t *testing.T) {
	t.Parallel()
	const proto, json = event.TypeTraces, event.TypeTracesJSON
	for _, tt := range []struct{ said, media, value, want string }{
		{"otlp.traces.v1", "", "{", proto},
		{"otlp.traces.json.v1", "application/x-protobuf", "", json},
		{"records.v1", "application/json", "{", "records.v1"},
		{"", "application/json", "\n", json},
		{"", "application/json; charset=utf-8", "", json},
		{"", "application/x-protobuf", "{", proto},
		{"", "nonsense/", "{", proto},
		{"", "", " \r\n\t{}", json},
		{"", "", "\x0a\x00", proto},
		{"", "", "", proto},
		{"windows.v1", "", "", ""},
	} {
		got, err := admit.TypeOf(&delivery([]byte(tt.value), event.HeaderType, tt.said, "content-type", tt.media).Message)
		require.Equal(t, tt.want, got, "%+v", tt)
		if tt.want == "" {
			require.ErrorIs(t, err, fault.Unsupported)
		}
	}
}

func sealer(t *testing.T, secrets ...string) *admit.Sealer {
	t.Helper()
	var list [][]byte
	for _, s := range secrets {
		list = append(list, []byte(s))
	}
	all, err := identity.FixedSecrets(list...)
	require.NoError(t, err)
	return admit.NewSealer(all)
}

var ann = admit.Sender{Tenant: "acme", Principal: "user:acme/ann"}

// What was sealed with the secret before is believed while that is on the list.
func TestSealsOutliveARotation(t *testing.T) {
	t.Parallel()
	const first, second = "0123456789abcdef0123456789abcdef", "another secret that is long enough"
	m := delivery([]byte("value"), event.HeaderType, "records.v1").Message
	m.Headers = append(m.Headers, sealer(t, first).Seal(ann, &m)...)
	sender, err := sealer(t, second, first).Caller(nobody)(t.Context(), &m)
	require.NoError(t, err)
	require.Equal(t, ann, sender)
	_, err = sealer(t, second).Caller(nobody)(t.Context(), &m)
	require.Error(t, err)
}

func TestSealIsGoodForItsMessageAlone(t *testing.T) {
	t.Parallel()
	s := sealer(t, "0123456789abcdef0123456789abcdef")
	other := sealer(t, "another secret that is long enough")

	m := delivery([]byte("value"), event.HeaderType, "records.v1").Message
	sealOf := func(headers []broker.Header) string { return string(headers[slices.IndexFunc(headers, isSeal)].Value) }
	seal := sealOf(s.Seal(ann, &m))
	check := func(m broker.Message, seal, principal string) admit.Sender {
		m.Headers = append(append([]broker.Header{}, m.Headers...), broker.Header{Key: event.HeaderSeal, Value: []byte(seal)},
			broker.Header{Key: event.HeaderSender, Value: []byte(principal)})
		sender, err := s.Caller(nobody)(t.Context(), &m)
		if err != nil {
			require.ErrorIs(t, err, fault.Unauthenticated)
			return admit.Sender{}
		}
		return sender
	}
	require.Equal(t, ann, check(m, seal, ann.Principal))
	require.Empty(t, check(m, seal, "user:acme/bob"), "nobody else sent it")
	require.Empty(t, check(m, seal, ""))
	require.Empty(t, check(m, strings.Replace(seal, "acme", "evil", 1), ann.Principal))
	require.Empty(t, check(m, sealOf(other.Seal(ann, &m)), ann.Principal))
	require.Empty(t, check(m, "acme:", ann.Principal))
	require.Empty(t, check(m, "acme", ann.Principal))
	require.Empty(t, check(delivery([]byte("other"), event.HeaderType, "records.v1").Message, seal, ann.Principal))
	require.Empty(t, check(delivery([]byte("value"), event.HeaderType, "otlp.traces.v1").Message, seal, ann.Principal))
	unknown := admit.Sender{Tenant: "acme"} // as before there were senders
	require.Equal(t, unknown, check(m, sealOf(s.Seal(unknown, &m)), ""))
}

func isSeal(h broker.Header) bool { return h.Key == event.HeaderSeal }

func TestPrepareTakesAwayWhatOnlyTheMeshMaySay(t *testing.T) {
	t.Parallel()
	s := sealer(t, "0123456789abcdef0123456789abcdef")
	d := delivery(nil, event.HeaderTenant, "x", event.HeaderSeq, "x", event.HeaderCount, "x", event.HeaderTime, "x",
		event.HeaderOrigin, "x", event.HeaderRedriven, "9", event.HeaderSender, "user:acme/ann", event.HeaderSeal, "acme:forged",
		event.HeaderType, "records.v1", "other", "kept")
	before := d.Headers
	s.Prepare(at.Add(time.Hour), d)
	require.Equal(t, []broker.Header{
		{Key: event.HeaderSeal, Value: []byte("acme:forged")}, {Key: event.HeaderType, Value: []byte("records.v1")}, {Key: "other", Value: []byte("kept")},
	}, d.Headers)
	require.Equal(t, event.HeaderTenant, before[0].Key, "the driver's memory is not written to")
	require.Equal(t, at, d.Time)
	require.Empty(t, d.ID)
	for _, wrong := range []time.Time{{}, at.Add(-8 * 24 * time.Hour), at.Add(time.Hour)} {
		d.Time = wrong
		s.Prepare(at, d)
		require.Equal(t, at, d.Time)
	}
	d.Position = ""
	s.Prepare(at, d)
	require.NotEmpty(t, d.ID, "without a place it gets a name")
}

// What was parked and is published again has a seal, and is still the message
// that it was.
func TestPrepareBelievesASeal(t *testing.T) {
	t.Parallel()
	s := sealer(t, "0123456789abcdef0123456789abcdef")
	d := delivery([]byte("value"), event.HeaderType, "records.v1", event.HeaderOrigin, "first", event.HeaderRedriven, "1", event.HeaderCount, "9")
	d.Headers = append(d.Headers, s.Seal(ann, &d.Message)...)
	s.Prepare(at, d)
	require.Equal(t, "first", d.Header(event.HeaderOrigin))
	require.Equal(t, "1", d.Header(event.HeaderRedriven))
	require.Equal(t, ann.Principal, d.Header(event.HeaderSender))
	require.Empty(t, d.Header(event.HeaderCount))
}

func TestIDsDependOnTenantOriginAndValue(t *testing.T) {
	t.Parallel()
	a := newAdmitter(0)
	value, err := proto.Marshal(&eventv1.RecordBatch{Records: []*ingestv1.Record{{Profile: "p", Body: &ingestv1.Record_Features{
		Features: &ingestv1.Features{Values: []*ingestv1.Feature{{Name: "acid", Value: &ingestv1.Feature_Float{Float: 1}}}},
	}}}})
	require.NoError(t, err)
	take := func(d *broker.Delivery) *admit.Admission {
		out, err := a.Admit(t.Context(), d)
		require.NoError(t, err)
		require.Len(t, out.Forwards, 1)
		return out
	}
	first := take(delivery(value, event.HeaderType, "records.v1"))
	again := take(delivery(value, event.HeaderType, "records.v1"))
	require.Equal(t, first, again, "down to the ids of records")
	stamp := envelope.Of(&first.Forwards[0])
	require.WithinDuration(t, at, stamp.Accepted, 0)
	require.Equal(t, "key:acme/1", stamp.Sender)
	named := delivery(value, event.HeaderType, "records.v1")
	named.ID = "id"
	elsewhere := delivery(value, event.HeaderType, "records.v1")
	elsewhere.Position = "8"
	ids := map[string]bool{first.ID: true, first.Forwards[0].ID: true}
	for _, d := range []*broker.Delivery{named, elsewhere, delivery(value, event.HeaderType, "records.v1", event.HeaderOrigin, "parked once")} {
		out := take(d)
		ids[out.ID], ids[out.Forwards[0].ID] = true, true
	}
	require.Len(t, ids, 8)
	tenant, id, err := a.Identify(t.Context(), named)
	require.NoError(t, err)
	require.Equal(t, "acme", tenant)
	require.Equal(t, take(named).ID, id)
	_, origin, err := a.Origin(t.Context(), elsewhere)
	require.NoError(t, err)
	require.Equal(t, "0:8", origin)
}

func TestTooLargeIsRefused(t *testing.T) {
	t.Parallel()
	_, err := newAdmitter(0).Admit(t.Context(), delivery(make([]byte, admit.MaxValue+1)))
	require.ErrorIs(t, err, broker.ErrTooLarge)
}

// FuzzAdmit: anything is admitted or refused, and the same a second time; what
// is forwarded fits into a message and adds up.
func FuzzAdmit(f *testing.F) {
	f.Add([]byte(`{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"0102030405060708090a0b0c0d0e0f10","spanId":"0102030405060708"}]}]}]}`), "", "")
	f.Add([]byte("\x0a\x05\x12\x03\x12\x01\x00"), "otlp.traces.v1", "")
	f.Add([]byte("\x0a\x03\x1a\x01p"), "records.v1", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
	f.Add([]byte(nil), "windows.v1", "x")
	const limit = 8 << 10
	a := newAdmitter(limit)
	f.Fuzz(func(t *testing.T, value []byte, kind, parent string) {
		d := delivery(value, event.HeaderType, kind, "traceparent", parent)
		one, err := a.Admit(t.Context(), d)
		two, again := a.Admit(t.Context(), d)
		require.Equal(t, fmt.Sprint(err), fmt.Sprint(again))
		if err != nil {
			require.False(t, fault.KindOf(err).Retryable(), err)
			return
		}
		require.Equal(t, one, two)
		sum := 0
		for i := range one.Forwards {
			sum += envelope.Of(&one.Forwards[i]).Count
			require.NoError(t, broker.ValidMessage(&one.Forwards[i], limit))
		}
		for _, n := range one.Rejected {
			sum += n
		}
		require.Equal(t, one.Accepted, sum)
	})
}

// What may be sent through the inbox is what may be sent through the doors.
func TestWhoMaySend(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		grant policy.Grant
		kind  string
		ok    bool
	}{
		{policy.As(policy.Ingest), event.TypeTraces, true},
		{policy.As(policy.Ingest), event.TypeRecords, true},
		{policy.As(policy.Viewer), event.TypeTraces, false},
		{policy.As(policy.Viewer), event.TypeRecords, false},
		{policy.Grant{Role: policy.Ingest, Only: policy.OnlyOf(policy.RecordsWrite)}, event.TypeTracesJSON, false},
		{policy.Grant{Role: policy.Ingest, Only: policy.OnlyOf(policy.RecordsWrite)}, event.TypeRecords, true},
		{policy.Grant{Role: policy.Ingest, Spaces: "ml"}, event.TypeRecords, false},
	} {
		caller := admit.ByCredentials(func(context.Context, string, string) (identity.Identity, error) {
			return identity.Identity{Tenant: "acme", Subject: "k", Kind: identity.Key, Grant: row.grant}, nil
		})
		_, err := caller(t.Context(), &delivery(nil, event.HeaderType, row.kind).Message)
		if row.ok {
			require.NoError(t, err, row)
			continue
		}
		require.ErrorIs(t, err, fault.Denied, row)
		require.Equal(t, identity.ReasonDenied, fault.Of(err).Reason())
	}
}
