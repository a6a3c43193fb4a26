package door

import (
	"strconv"
	"sync"
)

// maxVoids bounds the void numbers that one message tells of: about 1 KiB of
// header.
const maxVoids = 128

// Sequence numbers the messages that one process publishes to one topic, so
// that a reader of the topic can tell an acknowledged message that is lost from
// one that never was. Make it with NewSequence. It is safe for concurrent use.
//
// A sequence has lanes, "<process>/<lane>", as many as messages were ever
// published at once, and each lane counts from 1. A lane gives out a number
// only when the fate of the one before is known: so whenever number n of a lane
// is in the store, those below it were acknowledged or are void, also when the
// process was killed in between, and a gap is a loss.
//
// A number whose message is certainly not stored is given out again. One whose
// message may or may not be stored is void, and the lane's next message says
// so: nobody was told that it is safe, so its absence is no loss.
type Sequence struct {
	process string

	mu    sync.Mutex
	idle  []*lane
	lanes int
}

// lane belongs to whoever holds a ticket of it.
type lane struct {
	name string
	last uint64   // given out for good
	void []uint64 // to be told
}

// NewSequence makes the sequence of a process for one topic. The name of the
// process must be new at every start and hold no slash or colon.
func NewSequence(process string) *Sequence { return &Sequence{process: process} }

// Ticket is the number of one message. Give it back with exactly one of
// Published, Failed and Unknown.
type Ticket struct{ lane *lane }

// Take gives out a number, and the void numbers to tell with it.
func (s *Sequence) Take() Ticket {
	s.mu.Lock()
	defer s.mu.Unlock()
	if i := len(s.idle) - 1; i >= 0 { // the last used, so that few are in use
		l := s.idle[i]
		s.idle = s.idle[:i]
		return Ticket{l}
	}
	s.lanes++
	return Ticket{&lane{name: s.process + "/" + strconv.Itoa(s.lanes)}}
}

// Seq is the value of the header driftmesh-seq.
func (t Ticket) Seq() string {
	return t.lane.name + ":" + strconv.FormatUint(t.lane.last+1, 10)
}

// Void is the value of the header driftmesh-void, "" when there is none.
func (t Ticket) Void() string {
	if len(t.lane.void) == 0 {
		return ""
	}
	b := make([]byte, 0, 8*len(t.lane.void))
	for i, n := range t.lane.void {
		if i > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendUint(b, n, 10)
	}
	return string(b)
}

// Published gives back the ticket of a message that is durable.
func (s *Sequence) Published(t Ticket) {
	t.lane.last++
	t.lane.void = nil
	s.free(t.lane)
}

// Failed gives back the ticket of a message that is certainly not stored.
func (s *Sequence) Failed(t Ticket) { s.free(t.lane) }

// Unknown gives back the ticket of a message that may or may not be stored.
func (s *Sequence) Unknown(t Ticket) {
	// When too much is untold the number is given out again, which hides
	// nothing: it was acknowledged to nobody.
	if len(t.lane.void) < maxVoids {
		t.lane.last++
		t.lane.void = append(t.lane.void, t.lane.last)
	}
	s.free(t.lane)
}

func (s *Sequence) free(l *lane) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.idle = append(s.idle, l)
}
