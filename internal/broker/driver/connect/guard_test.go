package connect_test

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/internal/broker"
	"github.com/driftmesh/driftmesh/internal/broker/driver/connect"
	"github.com/driftmesh/driftmesh/internal/fault"
)

// a server with one topic, "spans", whose backlog a test decides.
type backlogs struct {
	t     *testing.T
	mu    sync.Mutex
	away  bool
	found connect.Backlog
	err   error
	looks int
}

func (s *backlogs) gone() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.away
}

func (s *backlogs) look(ctx context.Context, topic string, seen *int) (connect.Backlog, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, bounded := ctx.Deadline()
	assert.True(s.t, bounded)
	assert.Equal(s.t, "spans", topic)
	s.looks++
	*seen++
	assert.Equal(s.t, s.looks, *seen, "what was seen of a topic is kept")
	return s.found, s.err
}

// next is how often a guard has looked one second after this was found.
func (s *backlogs) next(full bool, err error, away bool) int {
	s.mu.Lock()
	s.found, s.err, s.away = connect.Backlog{Full: full, Max: 100}, err, away
	s.mu.Unlock()
	time.Sleep(connect.GuardEvery) // fake time: synctest
	synctest.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.looks
}

func TestGuardLooksAtWhatIsPublishedTo(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &backlogs{t: t}
		g := connect.NewGuard(connect.GuardConfig[int]{Away: s.gone, Look: s.look, Log: slog.New(slog.DiscardHandler)})
		defer g.Close()
		require.Zero(t, s.next(true, nil, false), "nobody publishes")
		require.False(t, g.Full("spans"))
		require.False(t, g.Full("spans.dlq"))
		require.Equal(t, 1, s.next(true, nil, false))
		require.True(t, g.Full("spans"))
		require.False(t, g.Full("spans.dlq"), "dead letters go out of the back")
		require.Equal(t, 2, s.next(false, errors.New("no answer"), false))
		require.True(t, g.Full("spans"), "the last decision stands")
		require.Equal(t, 2, s.next(false, nil, true), "there is nobody to ask")
		require.True(t, g.Full("spans"))
		require.Equal(t, 3, s.next(false, nil, false))
		require.False(t, g.Full("spans"))
		require.Equal(t, 4, s.next(true, nil, false))
		require.Equal(t, 5, s.next(false, nil, false), "what is full is looked at though nobody publishes")
		require.Equal(t, 5, s.next(false, nil, false), "what is not is left alone")
	})
}

func TestFullIsBackpressure(t *testing.T) {
	t.Parallel()
	require.ErrorIs(t, connect.ErrFull, broker.ErrBackpressure)
	require.ErrorIs(t, connect.ErrFull, fault.Exhausted)
}
