package embedded

import (
	"context"
	"fmt"
	"time"

	"github.com/driftmesh/driftmesh/internal/clickhouse/sqltext"
)

// killTimeout bounds the order to stop a statement.
const killTimeout = 5 * time.Second

// killOnLeave marks the statement and has the engine stop it if the client
// goes away before done is called. The engine's interface can stop a statement
// only between two blocks, KILL QUERY also within one.
func (s *server) killOnLeave(ctx context.Context, req *request, serial uint64) (done func()) {
	mark := fmt.Sprintf("/* %s-%d */", s.run, serial)
	req.text += "\n" + mark
	finished := make(chan struct{})
	stopped := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(stopped)
		select {
		case <-finished:
		default:
			s.kill(mark, finished)
		}
	})
	return func() {
		close(finished)
		if !stop() {
			<-stopped // an order under way ends before the slot of the statement is free
		}
	}
}

// kill repeats its order until the statement is over, for a statement that has
// not quite begun cannot be found yet.
func (s *server) kill(mark string, finished <-chan struct{}) {
	sql := "KILL QUERY WHERE query LIKE " + sqltext.Quote("%"+mark) + " ASYNC"
	deadline := time.NewTimer(killTimeout)
	defer deadline.Stop()
	again := time.NewTicker(100 * time.Millisecond)
	defer again.Stop()
	for {
		session, err := s.pool.borrow(setup{})
		if err != nil {
			s.log.Warn("stop an abandoned statement", "err", err)
			return
		}
		_, _, err = session.Query(sql, "Null", nil)
		s.pool.giveBack(session, err == nil)
		select {
		case <-finished:
			return
		case <-deadline.C:
			s.log.Warn("an abandoned statement does not stop", "err", err)
			return
		case <-again.C:
		}
	}
}
