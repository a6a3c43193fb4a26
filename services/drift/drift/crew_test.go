package drift_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// One worker goes on with other profiles while it is held up in one, as many at a
// time as it may, and not with more.
func TestOneProfileDoesNotHoldUpOthers(t *testing.T) {
	m := newMesh(t)
	m.clock.step = time.Nanosecond
	direct, h := m.db, m.hold()
	m.db = h.db
	cfg := m.quick()
	cfg.Abreast = 2
	worker := m.runWith(cfg)
	m.db = direct
	t.Cleanup(func() {
		select {
		case <-h.released:
		default:
			close(h.released)
		}
	})
	profiles := []string{
		create(t, worker, "acme", wineProfile(t)).GetUid(), create(t, worker, "other", wineProfile(t)).GetUid(), create(t, worker, "third", wineProfile(t)).GetUid(),
	}
	m.clock.set(slotOf(1).Add(6 * time.Second))
	select {
	case <-h.reached:
	case <-time.After(patience):
		require.Fail(t, "nobody reads the cells")
	}
	done := func() (n int) {
		for _, p := range profiles {
			if worker.next(p).Equal(slotOf(2)) {
				n++
			}
		}
		return n
	}
	require.Eventually(t, func() bool { return done() == 2 }, patience, tick, "one is held up, and two others have their turns")
	close(h.released)
	require.Eventually(t, func() bool { return done() == 3 }, patience, tick)
}
