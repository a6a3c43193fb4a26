package record_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/internal/record"
	eventv1 "github.com/driftmesh/driftmesh/proto/driftmesh/event/v1"
	ingestv1 "github.com/driftmesh/driftmesh/proto/driftmesh/ingest/v1"
)

type oneProfile struct{}

func (oneProfile) Profile(_ context.Context, tenant, name string) (*record.Profile, error) {
	switch name {
	case "wine":
		return &record.Profile{UID: "uid", Features: map[string]record.Kind{"acid": record.Float}}, nil
	case "tolerant":
		return &record.Profile{UID: "uid", Features: map[string]record.Kind{"acid": record.Float, "grade": record.Int}, Tolerant: map[string]bool{"acid": true}}, nil
	case "away":
		return nil, fault.Unavailable.New("drift is away")
	}
	return nil, fault.NotFound.New("no profile %q of %s", name, tenant)
}

func acid(id, profile string) *ingestv1.Record {
	return &ingestv1.Record{Id: id, Profile: profile, Body: &ingestv1.Record_Features{Features: &ingestv1.Features{
		Values: []*ingestv1.Feature{{Name: "acid", Value: &ingestv1.Feature_Float{Float: 1}}},
	}}}
}

// A value of another type is let through where a monitor counts it, and only there:
// a label of one says nothing, and a text that is too long is no value.
func TestSiftLetsThroughWhatIsCounted(t *testing.T) {
	t.Parallel()
	text := func(name, value string) *ingestv1.Features {
		return &ingestv1.Features{Values: []*ingestv1.Feature{{Name: name, Value: &ingestv1.Feature_String_{String_: value}}}}
	}
	features := func(id string, f *ingestv1.Features) *ingestv1.Record {
		return &ingestv1.Record{Id: id, Profile: "tolerant", Body: &ingestv1.Record_Features{Features: f}}
	}
	v, err := record.NewSieve(record.Limits{}, oneProfile{}).Sift(t.Context(), record.Batch{
		Tenant: "acme", Now: time.Now(), MaxRecord: record.MaxRecord(0), Records: []*ingestv1.Record{
			features("a", text("acid", "sour")), features("b", text("grade", "good")), features("c", text("acid", string(make([]byte, 1<<17)))),
			{Id: "d", Profile: "tolerant", Body: &ingestv1.Record_Labels{Labels: text("acid", "sour")}},
		},
	})
	require.NoError(t, err)
	require.Equal(t, []int{0}, v.Index)
	require.Equal(t, map[string]uint64{record.ReasonType: 2, record.ReasonTooLarge: 1}, v.Rejected.ByReason)
}

func TestSiftMakesGoodRecordsWhole(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 21, 10, 0, 0, 0, time.UTC)
	s := record.NewSieve(record.Limits{MaxRecords: 5}, oneProfile{})
	v, err := s.Sift(t.Context(), record.Batch{
		Tenant: "acme", Now: now, MaxRecord: record.MaxRecord(0), NewID: func(i int) string { return fmt.Sprint("made-", i) },
		Records: []*ingestv1.Record{acid("a", "wine"), acid("", "wine"), acid("x", "beer"), acid("a", "wine"), acid("", "wine"), acid("late", "wine")},
	})
	require.NoError(t, err)
	require.Equal(t, []int{0, 1, 4}, v.Index)
	for i, id := range []string{"a", "made-1", "made-4"} {
		require.Equal(t, id, v.Good[i].GetId())
		require.Equal(t, "uid", v.Good[i].GetProfile())
		require.Nil(t, v.Good[i].GetEventTime(), "it has none of its own")
	}
	require.EqualValues(t, 3, v.Rejected.Count)
	require.Equal(t, map[string]uint64{record.ReasonProfile: 1, record.ReasonDuplicateID: 1, record.ReasonTooMany: 1}, v.Rejected.ByReason)

	_, err = s.Sift(t.Context(), record.Batch{Tenant: "acme", Now: now, Records: []*ingestv1.Record{acid("a", "away")}})
	require.ErrorIs(t, err, fault.Unavailable)

	named, err := s.Sift(t.Context(), record.Batch{Tenant: "acme", Now: now, MaxRecord: 1000, Records: []*ingestv1.Record{acid("", "wine")}})
	require.NoError(t, err)
	require.Len(t, named.Good[0].GetId(), 36)
	large, err := s.Sift(t.Context(), record.Batch{Tenant: "acme", Now: now, MaxRecord: 10, Records: []*ingestv1.Record{acid("", "wine")}})
	require.NoError(t, err)
	require.Equal(t, map[string]uint64{record.ReasonTooLarge: 1}, large.Rejected.ByReason)
}

func TestCut(t *testing.T) {
	t.Parallel()
	var good []*ingestv1.Record
	for i := range 100 {
		good = append(good, acid(fmt.Sprint("record-", i), "uid"))
	}
	for _, size := range []int{1, 100, 1000, 1 << 20} {
		chunks, err := record.Cut(good, size)
		require.NoError(t, err)
		next := 0
		for _, c := range chunks {
			require.Equal(t, next, c.Start)
			require.True(t, len(c.Value) <= size || c.End-c.Start == 1)
			var b eventv1.RecordBatch
			require.NoError(t, proto.Unmarshal(c.Value, &b))
			require.Len(t, b.GetRecords(), c.End-c.Start)
			require.True(t, proto.Equal(good[c.Start], b.GetRecords()[0]))
			next = c.End
		}
		require.Equal(t, len(good), next)
	}
	none, err := record.Cut(nil, 10)
	require.NoError(t, err)
	require.Empty(t, none)
}

func TestLabelsNameTheirRecord(t *testing.T) {
	t.Parallel()
	labels := func(id string) *ingestv1.Record {
		r := acid(id, "wine")
		r.Body = &ingestv1.Record_Labels{Labels: r.GetFeatures()}
		return r
	}
	unknown := labels("b")
	unknown.GetLabels().Values[0].Name = "sugar"
	v, err := record.NewSieve(record.Limits{}, oneProfile{}).Sift(t.Context(), record.Batch{
		Tenant: "acme", Now: time.Unix(1e9, 0), MaxRecord: 1000,
		Records: []*ingestv1.Record{acid("a", "wine"), labels("a"), labels("a"), labels(""), unknown},
	})
	require.NoError(t, err)
	require.Equal(t, []int{0, 1}, v.Index, "a record and its labels share an id")
	require.Equal(t, map[string]uint64{record.ReasonDuplicateID: 1, record.ReasonID: 1, record.ReasonUnknownFeature: 1}, v.Rejected.ByReason)
	require.Equal(t, "labels.values[0].name", v.Rejected.Described[2].GetField())
}
