package account

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/internal/fault"
)

// line puts callers in line, one after the other, and says in which order their
// turn came.
type line struct {
	t     *testing.T
	turns *turns
	order chan string
}

func (l line) join(ctx context.Context, name string, place Place) {
	go func() {
		leave, err := l.turns.enter(ctx, place)
		if err != nil {
			l.order <- name + ": " + fault.KindOf(err).Error()
			return
		}
		l.order <- name
		leave()
	}()
	synctest.Wait()
}

func TestSourcesTakeTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := line{t, newTurns(1), make(chan string, 100)}
		leave, err := l.turns.enter(t.Context(), Place{})
		require.NoError(t, err)
		for i := range 6 {
			l.join(t.Context(), fmt.Sprint("flood ", i), Place{Source: "flood"})
		}
		require.Equal(t, "flood 4: exhausted", <-l.order)
		require.Equal(t, "flood 5: exhausted", <-l.order)
		l.join(t.Context(), "other", Place{Source: "other"})
		l.join(t.Context(), "owner", Place{Source: "owner", Known: true})
		gone, cancel := context.WithCancel(t.Context())
		l.join(gone, "gone", Place{Source: "gone"})
		cancel()
		synctest.Wait()
		require.Equal(t, "gone: canceled", <-l.order)
		leave()
		for _, want := range []string{"flood 0", "owner", "other", "flood 1", "flood 2", "flood 3"} {
			require.Equal(t, want, <-l.order)
		}
		synctest.Wait()
		require.Zero(t, l.turns.waiting())
		require.Equal(t, 1, l.turns.free)
	})
}

// Whoever fills the lane of strangers pushes out its own, and fills no other.
func TestAFullLaneMakesRoomForThoseWhoWantLess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := line{t, newTurns(1), make(chan string, 1000)}
		leave, err := l.turns.enter(t.Context(), Place{})
		require.NoError(t, err)
		for i := range laneSize {
			l.join(t.Context(), "flood", Place{Source: fmt.Sprint("flood ", i/queueSize)})
		}
		require.Equal(t, laneSize, l.turns.waiting())
		l.join(t.Context(), "other", Place{Source: "other"})
		require.Equal(t, "flood: exhausted", <-l.order)
		l.join(t.Context(), "owner", Place{Source: "owner", Known: true})
		require.Equal(t, laneSize+1, l.turns.waiting())
		leave()
		seen := map[string]int{}
		for range laneSize + 1 {
			seen[<-l.order]++
		}
		require.Equal(t, map[string]int{"flood": laneSize - 1, "other": 1, "owner": 1}, seen)
		synctest.Wait()
	})
}

func TestStrangersOfManySourcesAreSentAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := line{t, newTurns(1), make(chan string, 1000)}
		leave, err := l.turns.enter(t.Context(), Place{})
		require.NoError(t, err)
		for i := range laneSize {
			l.join(t.Context(), "bot", Place{Source: fmt.Sprint(i)})
		}
		l.join(t.Context(), "late", Place{Source: "late"})
		require.Equal(t, "late: exhausted", <-l.order)
		l.join(t.Context(), "owner", Place{Source: "owner", Known: true})
		leave()
		require.Contains(t, []string{<-l.order, <-l.order}, "owner", "the known wait for one stranger at most")
		for range laneSize - 1 {
			<-l.order
		}
		synctest.Wait()
	})
}
