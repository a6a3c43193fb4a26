package kafka

import (
	"context"
	"errors"
	"sync"
	"time"

	kafkago "github.com/segmentio/kafka-go"

	"github.com/driftmesh/driftmesh/internal/broker/driver/kafka/frontier"
)

// session is one generation of the Kafka group: the time between two
// rebalances, in which some partitions are ours. Its fields are guarded by
// consumer.mu where they change; no request is made and nothing waited for under
// that.
type session struct {
	k      *consumer
	gen    *kafkago.Generation
	ctx    context.Context //nolint:containedctx // of its goroutines
	cancel context.CancelFunc
	topic  topicID // zero when the brokers do not tell
	parts  []*partition
	turn   int // the partition to begin the next batch with
	leases map[*lease]struct{}
	idle   chan struct{} // capacity 1: the last lease has ended; perhaps there is another by now (see free)
	redo   chan struct{} // capacity 1: something was given back

	fenced  bool          // the group has moved on without us
	gone    chan struct{} // closed when fenced is set
	kick    chan struct{} // capacity 1: commit now
	armed   bool          // commit soon
	waiters []chan error
	ended   bool // nothing is committed any more
	plain   bool // the broker takes no metadata
}

// drainTime is how long workers may go on after a rebalance began.
const drainTime = 30 * time.Second

func newSession(k *consumer, gen *kafkago.Generation) *session {
	s := &session{
		k: k, gen: gen, leases: map[*lease]struct{}{}, idle: make(chan struct{}, 1), redo: make(chan struct{}, 1),
		gone: make(chan struct{}), kick: make(chan struct{}, 1),
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	return s
}

// run is the session's life. over is done when the generation has ended, and
// quit when we leave the group.
func (s *session) run(over, quit context.Context) {
	defer s.cancel()
	either, stop := context.WithCancel(quit)
	defer stop()
	defer context.AfterFunc(over, stop)()
	if !s.load(either) {
		return
	}
	var readers, committer sync.WaitGroup
	finish := make(chan struct{})
	committer.Go(func() { s.keep(finish) }) //nolint:contextcheck // what was acknowledged is committed after it has ended
	if s.committed(either) == nil {         // that they are ours is on record
		for _, pt := range s.parts {
			readers.Go(func() { s.read(pt) }) //nolint:contextcheck // the session has one of its own
		}
		readers.Go(s.redeliver)
		s.begin()
		<-either.Done()
	}
	// In this order: no delivery is made while workers end what they have, what
	// they did not end is given back before the last commit, and that commit says
	// so to whoever has the partitions next. Only then does the generation end.
	s.cancel() // nothing is read any more
	s.stop()
	if quit.Err() == nil {
		s.drain(over, quit)
	}
	s.end()
	close(finish)
	committer.Wait()
	readers.Wait()
}

// load reads where the last owners of our partitions stood. It returns false when
// the session has ended before.
func (s *session) load(ctx context.Context) bool {
	k := s.k
	var ids []int
	for _, a := range s.gen.Assignments[k.conn.target.name(k.cfg.Topic)] {
		ids = append(ids, a.ID)
	}
	if len(ids) == 0 {
		return true
	}
	for wait := backoff(0); ; wait = wait.next() {
		err := k.conn.persist(ctx, k.conn.sub, func(ctx context.Context) error { return s.restore(ctx, ids) })
		if err == nil {
			return true
		}
		k.conn.cfg.Log.Warn("cannot read the group's offsets, trying on", "topic", k.cfg.Topic, "group", k.cfg.Group, "err", err)
		if !pause(ctx, wait.duration()) {
			return false
		}
	}
}

// restore opens the books of partitions where their last owners closed them.
func (s *session) restore(ctx context.Context, ids []int) error {
	k := s.k
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	topic, err := k.conn.identify(ctx, k.cfg.Topic)
	if err != nil {
		return err
	}
	marks, err := k.conn.marks(ctx, k.gid, k.cfg.Topic, ids)
	if err != nil {
		return err
	}
	var where map[int]bounds
	lost := map[int]int64{}
	now := time.Now()
	parts := make([]*partition, 0, len(ids))
	for _, id := range ids {
		m := marks[id]
		st, err := frontier.Decode(m.metadata)
		if err != nil {
			k.conn.cfg.Log.Warn("offset was committed by somebody else", "topic", k.cfg.Topic, "group", k.cfg.Group, "lane", id)
		}
		if st.Topic != (topicID{}) && topic != (topicID{}) && st.Topic != topic {
			lost[id] = st.Unsettled() + st.Behind
			m.offset, st = -1, frontier.State{}
		}
		if m.offset < 0 { // also a partition added after the group was made
			if where == nil {
				if where, err = k.conn.offsets(ctx, k.cfg.Topic, ids); err != nil {
					return err
				}
			}
			m.offset = where[id].first
		}
		pt := newPartition(id, frontier.Restore(m.offset, st, now))
		if st.Open {
			pt.suspect = m.offset + frontier.Span
		}
		parts = append(parts, pt)
	}
	s.topic, s.parts = topic, parts
	for id, n := range lost {
		s.lost(id, n, errAnew)
	}
	return nil
}

// begin lets Receive see the partitions.
func (s *session) begin() {
	s.k.mu.Lock()
	defer s.k.mu.Unlock()
	if !s.fenced {
		s.k.session = s
	}
	s.k.signal()
}

// stop hides the partitions from Receive.
func (s *session) stop() {
	s.k.mu.Lock()
	defer s.k.mu.Unlock()
	if s.k.session == s {
		s.reset()
		s.k.session = nil
	}
	if len(s.leases) == 0 {
		s.rest()
	}
}

// reset drops what was fetched and not delivered; consumer.mu is held.
func (s *session) reset() {
	k := s.k
	for i := range k.draft {
		if it := &k.draft[i]; it.msg != nil {
			it.part.books.Lose(it.msg)
		}
	}
	k.draft, k.drafted = nil, 0
	for _, pt := range s.parts {
		pt.reset()
	}
	s.wake()
}

// drain waits until the workers have ended what they have, and tells the
// coordinator meanwhile that we live. While it does not answer they keep what
// they have: it would refuse what they commit if others had it.
func (s *session) drain(over, quit context.Context) {
	t := time.NewTimer(drainTime)
	defer t.Stop()
	beat := time.NewTicker(heartbeat(s.k.conn.target.session))
	defer beat.Stop()
	for {
		select {
		case <-s.idle:
			if s.free() {
				return
			}
		case <-beat.C:
			err := s.heartbeat(quit)
			if is(err, fencedCodes) && !errors.Is(err, kafkago.RebalanceInProgress) {
				s.lose()
				return
			}
		case <-s.gone:
			return
		case <-t.C:
			s.k.conn.cfg.Log.Warn("workers did not end in time for a rebalance", "topic", s.k.cfg.Topic, "group", s.k.cfg.Group)
			return
		case <-quit.Done():
			return
		}
	}
}

// free reports whether no worker has anything.
func (s *session) free() bool {
	s.k.mu.Lock()
	defer s.k.mu.Unlock()
	return len(s.leases) == 0
}

func (s *session) heartbeat(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	res, err := s.k.conn.sub.Heartbeat(ctx, &kafkago.HeartbeatRequest{
		GroupID: s.gen.GroupID, GenerationID: s.gen.ID, MemberID: s.gen.MemberID,
	})
	if err == nil {
		err = res.Error
	}
	return err
}

// heartbeat is how often a member says that it lives.
func heartbeat(session time.Duration) time.Duration {
	return min(session/5, 3*time.Second)
}

// end takes all leases back.
func (s *session) end() {
	s.k.mu.Lock()
	defer s.k.mu.Unlock()
	now := time.Now()
	for le := range s.leases {
		le.lose(now, (*frontier.Lane).Return)
	}
}

// lose is called when the group has moved on without us: others have our
// messages.
func (s *session) lose() {
	s.k.mu.Lock()
	defer s.k.mu.Unlock()
	if s.fenced {
		return
	}
	s.fenced = true
	close(s.gone)
	if s.k.session == s {
		s.reset()
		s.k.session = nil
	}
	now := time.Now()
	for le := range s.leases {
		le.lose(now, (*frontier.Lane).Return)
	}
}

// rest notes that no lease is left.
func (s *session) rest() {
	select {
	case s.idle <- struct{}{}:
	default:
	}
}

// wake lets the goroutines that deliver again, and Receive, look again;
// consumer.mu is held.
func (s *session) wake() {
	s.more()
	s.touch()
	s.k.signal()
}

// more lets what delivers again look again.
func (s *session) more() {
	select {
	case s.redo <- struct{}{}:
	default:
	}
}

// pause waits; it returns false when ctx ends before.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
