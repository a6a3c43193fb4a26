package window_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/sdk/profile"
	"github.com/driftmesh/driftmesh/services/drift/internal/store"
	"github.com/driftmesh/driftmesh/services/drift/internal/window"
)

// What comes counted is added to its cell, beside values and whatever the order, once
// however often it is stored; nothing else of the feature is known then.
func TestCountedIsAdded(t *testing.T) {
	db, p := tables(t), mixed(t)
	values := sample(p, 200, 1)
	require.NoError(t, insert(t.Context(), db, tenant, values))
	count := func(id string, feature, bin, n int) {
		t.Helper()
		require.NoError(t, db.Exec(t.Context(), fmt.Sprintf(`INSERT INTO observations (Tenant, Profile, RecordId, EventTime, ReceivedAt, ContentHash, CountedFeature, CountedBin, Counted)
			VALUES ('acme', '%s', '%s', fromUnixTimestamp64Nano(%d), fromUnixTimestamp64Nano(%d), %d, %d, %d, %d)`,
			uid, id, day*60e9+5, day*60e9+7, 1000+n, feature+1, bin, n)))
	}
	for range 2 { // delivered twice
		count("a", 0, 2, 112)
		count("b", 0, 2, 0)
		count("c", 1, 1, 7)
	}
	s := window.New(tenant, uid.String(), p, nil)
	require.NoError(t, recompute(t.Context(), db, s, []int64{day}))
	want := expected(p, values)
	records := want["0/0"][len(want["0/0"])-1] + 3
	for _, counts := range want {
		counts[len(counts)-1] = records
	}
	want["0/0"][2] += 112
	want["0/1"][1] += 7
	require.Equal(t, want, cells(t, db))

	steps, err := store.NewCells(db).Steps(t.Context(), store.Range{Tenant: tenant, Profile: uid.String(), Start: day, End: day + 1}, p, 60)
	require.NoError(t, err)
	require.Len(t, steps, len(p.Features))
	for _, one := range steps {
		require.Equal(t, want[fmt.Sprintf("0/%d", one.Feature)][:len(p.Features[one.Feature].Bins)], one.Counts)
		if known := p.Features[one.Feature].Kind == profile.Numeric && one.Feature > 1; known {
			total := uint64(0)
			for _, n := range one.Counts {
				total += n
			}
			require.Equal(t, total, one.Number)
		} else {
			require.Zero(t, one.Number, "of what came counted no mean is known")
		}
	}
}
