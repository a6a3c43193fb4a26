package kafka

import (
	"context"
	"errors"
	"fmt"
	"time"

	kafkago "github.com/segmentio/kafka-go"

	"github.com/driftmesh/driftmesh/internal/broker"
	"github.com/driftmesh/driftmesh/internal/broker/driver/kafka/frontier"
)

// lazily is how long the record of a delivery may wait for an acknowledgement
// to take it along.
const lazily = 100 * time.Millisecond

// touch has what changed committed soon; consumer.mu is held.
func (s *session) touch() {
	if s.armed || s.ended {
		return
	}
	s.armed = true
	time.AfterFunc(lazily, s.now)
}

// now has what changed committed at once.
func (s *session) now() {
	select {
	case s.kick <- struct{}{}:
	default:
	}
}

// committed waits until everything that has changed so far is committed. While
// the coordinator is away it tries on until ctx ends.
func (s *session) committed(ctx context.Context) error {
	for {
		err := s.round(ctx)
		if err == nil || is(err, fencedCodes) || errors.Is(err, broker.ErrLeaseLost) {
			return classify(err)
		}
		if ctx.Err() != nil || !pause(ctx, lazily) {
			return classify(err)
		}
	}
}

// round waits for one commit that begins after it was called.
func (s *session) round(ctx context.Context) error {
	w := make(chan error, 1)
	s.k.mu.Lock()
	if s.ended || s.fenced {
		s.k.mu.Unlock()
		return broker.ErrLeaseLost
	}
	s.waiters = append(s.waiters, w)
	s.k.mu.Unlock()
	s.now()
	select {
	case err := <-w:
		return err
	case <-ctx.Done():
		if err := s.k.conn.link.err(); err != nil {
			return err
		}
		return fmt.Errorf("%w: %w", broker.ErrUnavailable, ctx.Err())
	}
}

// gather is how long a commit waits for more to take along: a worker that takes
// a batch acknowledges another at about the same time, and a commit takes longer
// than this by far.
const gather = 150 * time.Microsecond

// keep commits until the session ends, and then once more.
func (s *session) keep(finish <-chan struct{}) {
	for {
		select {
		case <-s.kick:
			select {
			case <-time.After(gather):
			case <-finish:
			}
			s.flush(true)
		case <-finish:
			s.k.mu.Lock()
			for _, pt := range s.parts {
				pt.books.Touch()
			}
			s.k.mu.Unlock()
			s.flush(false)
			s.k.mu.Lock()
			s.ended = true // whoever began to wait since that commit is told here, and nobody begins any more
			waiters := s.waiters
			s.waiters = nil
			s.k.mu.Unlock()
			answer(waiters, broker.ErrLeaseLost)
			return
		}
	}
}

// snapshot is what one commit says about a partition.
type snapshot struct {
	part  *partition
	acked []*frontier.Message
}

// flush commits what has changed.
func (s *session) flush(open bool) {
	s.k.mu.Lock()
	s.armed = false
	waiters := s.waiters
	s.waiters = nil
	var list []kafkago.OffsetCommit
	var taken []snapshot
	for _, pt := range s.parts {
		if !pt.books.Changed() {
			continue
		}
		offset, st, acked := pt.books.Snapshot()
		st.Open, st.Topic, st.Behind = open, s.topic, pt.end-pt.books.Next()
		c := kafkago.OffsetCommit{Partition: pt.id, Offset: offset}
		if !s.plain {
			c.Metadata = st.Encode()
		}
		list, taken = append(list, c), append(taken, snapshot{pt, acked})
	}
	fenced := s.fenced
	s.k.mu.Unlock()
	err := error(broker.ErrLeaseLost)
	if !fenced {
		err = s.commit(list)
	}
	s.settle(taken, err)
	answer(waiters, err)
}

// answer tells waiters, which were taken off the session's list: each is told
// once, and has room for that.
func answer(waiters []chan error, err error) {
	for _, w := range waiters {
		w <- err
	}
}

// settle notes what became of a commit.
func (s *session) settle(taken []snapshot, err error) {
	if is(err, fencedCodes) {
		s.lose()
	}
	s.k.mu.Lock()
	defer s.k.mu.Unlock()
	if err == nil {
		for _, t := range taken {
			t.part.books.Committed(t.acked)
		}
		s.k.signal()
		return
	}
	for _, t := range taken {
		t.part.books.Touch()
	}
	if errors.Is(err, kafkago.OffsetMetadataTooLarge) {
		s.plain = true
		s.k.conn.cfg.Log.Error("broker takes too little metadata with offsets: messages may come again after a crash",
			"topic", s.k.cfg.Topic, "group", s.k.cfg.Group, "setting", "offset.metadata.max.bytes")
	}
	if !s.fenced {
		s.touch()
	}
}

// commit sends offsets with their metadata, as a member of this generation.
func (s *session) commit(list []kafkago.OffsetCommit) error {
	if len(list) == 0 {
		return nil
	}
	c := s.k.conn
	if err := c.link.err(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), requestTimeout)
	defer cancel()
	err := c.commitOffsets(ctx, &kafkago.OffsetCommitRequest{
		GroupID: s.gen.GroupID, GenerationID: int(s.gen.ID), MemberID: s.gen.MemberID,
		Topics: map[string][]kafkago.OffsetCommit{c.target.name(s.k.cfg.Topic): list},
	})
	c.link.doubt(err)
	return err
}
