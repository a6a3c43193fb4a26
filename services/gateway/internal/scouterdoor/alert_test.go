package scouterdoor

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/internal/scouter"
)

// Pages of any size give every alert once, forth and back, also when the one that a
// cursor names is gone.
func TestPagesOfAlerts(t *testing.T) {
	t.Parallel()
	noon := time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)
	var all []scouter.AlertItem
	for i := range 10 {
		all = append(all, scouter.AlertItem{CreatedAt: noon.Add(-time.Duration(i/3) * time.Minute), ID: int32(100 - i)}) //nolint:gosec // ten
	}
	ids := func(items []scouter.AlertItem) (out []int32) {
		for _, i := range items {
			out = append(out, i.ID)
		}
		return out
	}
	walk := func(limit int, direction string, from *scouter.AlertItem) (got []int32) {
		req := alertRequest{Limit: &limit, Direction: &direction}
		for {
			if from != nil {
				req.CursorStart, req.CursorID = &from.CreatedAt, &from.ID
			}
			first, last := req.page(all)
			if first == last {
				return got
			}
			page := slices.Clone(all[first:last])
			if direction == "previous" {
				from = &page[0]
				got = append(ids(page), got...)
				continue
			}
			from = &page[len(page)-1]
			got = append(got, ids(page)...)
		}
	}
	for limit := 1; limit <= 11; limit++ {
		require.Equal(t, ids(all), walk(limit, "next", nil), limit)
		require.Equal(t, ids(all[:9]), walk(limit, "previous", &all[9]), limit)
		gone := scouter.AlertItem{CreatedAt: all[4].CreatedAt.Add(-time.Nanosecond), ID: 7} // between the sixth and the seventh
		require.Equal(t, ids(all[6:]), walk(limit, "next", &gone), limit)
		require.Equal(t, ids(all[:6]), walk(limit, "previous", &gone), limit)
	}
}
