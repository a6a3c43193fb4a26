package scouter_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/internal/scouter"
	driftv1 "github.com/driftmesh/driftmesh/proto/driftmesh/drift/v1"
)

// Alerts are told in the client's words: a pattern, an index or a metric for each
// feature that moved, and what a profile does not know is left out.
func TestAlertsInTheClientsWords(t *testing.T) {
	t.Parallel()
	raised := time.Date(2026, 11, 26, 23, 0, 0, 0, time.UTC)
	moved := []*driftv1.Score{
		{Feature: "temperature", Value: proto.Float64(0.5), Threshold: proto.Float64(0.25), Caveats: []string{"late", "pattern Zone4 OutOfBounds", "pattern Zone1 Consecutive"}},
		{Feature: "mae", Value: proto.Float64(15), Threshold: proto.Float64(14.7)},
	}
	for name, want := range map[string][]string{
		"spc": {`{"Spc":{"feature":"temperature","kind":"OutOfBounds","zone":"Zone4"}}`, `{"Spc":{"feature":"temperature","kind":"Consecutive","zone":"Zone1"}}`},
		"psi": {`{"Psi":{"feature":"temperature","drift":0.5,"threshold":0.25}}`, `{"Psi":{"feature":"mae","drift":15,"threshold":14.7}}`},
		"custom": {
			`{"Custom":{"metric_name":"mae","baseline_value":12.4,"observed_value":15,"delta":2.3,"alert_threshold":"Above"}}`,
		},
		"genai": nil, // without a condition nothing is watched
	} {
		driftType, raw := document(t, "profile-"+name+".json")
		items, err := scouter.AlertsOf(driftType, raw, []*driftv1.Alert{
			{Id: "one", RaiseTime: timestamppb.New(raised), Moved: moved},
			{Id: "two", RaiseTime: timestamppb.New(raised), Moved: moved, AcknowledgeTime: timestamppb.New(raised)},
		})
		require.NoError(t, err)
		require.Len(t, items, 2*len(want), name)
		for i, item := range items {
			first := i < len(want)
			got, err := json.Marshal(item.Alert)
			require.NoError(t, err)
			require.JSONEq(t, want[i%len(want)], string(got))
			require.Equal(t, raised, item.CreatedAt)
			require.Equal(t, "accept-http", item.Entity)
			require.Equal(t, first, item.Active)
			require.Positive(t, item.ID)
			require.Equal(t, first, scouter.HasItem(&driftv1.Alert{Id: "one", Moved: moved}, item.ID))
			require.Equal(t, i%len(want) > 0, item.ID != items[i/len(want)*len(want)].ID, "each has an id of its own")
		}
	}
	_, err := scouter.AlertsOf("", nil, []*driftv1.Alert{{}})
	require.ErrorIs(t, err, fault.Invalid, "it came from no client of Scouter's")
}

// An alert of many features has an id for each, all different, by each of which it is
// found: two of one id would stand on a page for ever.
func TestEveryItemOfAnAlertHasItsID(t *testing.T) {
	t.Parallel()
	driftType, raw := document(t, "profile-psi.json")
	alert := &driftv1.Alert{Id: "01a22161-272e-71d4-aaa7-2096e4cff6fa", Moved: make([]*driftv1.Score, 1000)}
	for i := range alert.GetMoved() {
		alert.Moved[i] = &driftv1.Score{Feature: "f"}
	}
	items, err := scouter.AlertsOf(driftType, raw, []*driftv1.Alert{alert})
	require.NoError(t, err)
	ids := map[int32]bool{}
	for _, item := range items {
		ids[item.ID] = true
		require.True(t, scouter.HasItem(alert, item.ID))
	}
	require.Len(t, ids, 1000)
}
