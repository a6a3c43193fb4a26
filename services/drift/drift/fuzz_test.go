package drift

import (
	"math"
	"testing"

	"google.golang.org/protobuf/proto"

	driftv1 "github.com/driftmesh/driftmesh/proto/driftmesh/drift/v1"
	eventv1 "github.com/driftmesh/driftmesh/proto/driftmesh/event/v1"
	"github.com/driftmesh/driftmesh/services/drift/internal/store"
	"github.com/driftmesh/driftmesh/services/drift/internal/window"
)

// A profile from anywhere is refused, or comes back as it went and gives
// statements.
func FuzzProfile(f *testing.F) {
	for _, p := range []*driftv1.Profile{
		{}, {Space: "s", Name: "n", Features: []*driftv1.FeatureProfile{
			{Name: "x", Type: "float", Kind: driftv1.FeatureKind_FEATURE_KIND_NUMERIC, Edges: []float64{1, 2}, Counts: []uint64{1, 0, 3}},
			{Name: "c", Type: "bool", Kind: driftv1.FeatureKind_FEATURE_KIND_CATEGORY, Categories: []string{"false", "true"}, Counts: []uint64{math.MaxUint64, 1}},
		}},
	} {
		wire, err := proto.Marshal(p)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(wire)
	}
	f.Fuzz(func(t *testing.T, wire []byte) {
		var m driftv1.Profile
		if proto.Unmarshal(wire, &m) != nil {
			return
		}
		p, err := profileOf(&m)
		if err != nil {
			return
		}
		back := profileMessage(&store.Registered{Profile: p}, true)
		again, err := profileOf(back)
		if err != nil {
			t.Fatalf("a profile that was accepted is refused: %v", err)
		}
		if !proto.Equal(profileMessage(&store.Registered{Profile: again}, true), back) {
			t.Fatal("a profile comes back changed")
		}
		if window.New("t", "01970f4e-6c1a-7b32-9d55-0c2f6f1f5d11", p, nil).Rows([]int64{1}) == "" {
			t.Fatal("no statement")
		}
	})
}

func FuzzAlertEvent(f *testing.F) {
	wire, err := proto.Marshal(&eventv1.AlertEvent{AlertId: "a", Change: eventv1.AlertChange_ALERT_CHANGE_RAISED, Value: math.NaN()})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(wire)
	f.Fuzz(func(t *testing.T, wire []byte) {
		var m eventv1.AlertEvent
		if proto.Unmarshal(wire, &m) != nil {
			return
		}
		e, err := eventOf("t", "id", &m)
		if err == nil && (e.Text() == "" || eventMessage(e).GetChange() != m.GetChange()) {
			t.Fatal("the event is not what it was")
		}
	})
}

func FuzzPageToken(f *testing.F) {
	f.Add("")
	f.Add("MTIzIHNjaGVkdWxl")
	f.Fuzz(func(_ *testing.T, token string) { _, _ = parseAfter(token) })
}
