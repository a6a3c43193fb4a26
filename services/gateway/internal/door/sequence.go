package door

import (
	"strconv"
	"sync"
)

// maxVoids is how many void numbers one message tells of: about 1 KiB of
// header.
const maxVoids = 128

// maxPending bounds the void numbers that wait to be told. Beyond it they are
// given out again, which hides nothing: they were acknowledged to nobody.
const maxPending = 4096

// Sequence numbers the messages that one process publishes to one topic, from
// 1 without gaps, so that a reader can tell a lost message from one that never
// was. Make it with NewSequence. It is safe for concurrent use.
//
// A number whose message is certainly not stored is given out again. One whose
// message may or may not be stored is void: a later message says so. Void means
// that nobody was told the message is safe, so that its absence is no loss.
type Sequence struct {
	instance string

	mu   sync.Mutex
	last uint64
	free []uint64 // given back, to be given out again
	void []uint64 // to be told
}

// NewSequence makes the sequence of the process named instance for one topic.
func NewSequence(instance string) *Sequence { return &Sequence{instance: instance} }

// Ticket is the number of one message. Give it back with exactly one of
// Published, Failed and Unknown.
type Ticket struct {
	instance string
	n        uint64
	void     []uint64
}

// Seq is the value of the header driftmesh-seq.
func (t Ticket) Seq() string {
	b := make([]byte, 0, len(t.instance)+12)
	b = append(append(b, t.instance...), ':')
	return string(strconv.AppendUint(b, t.n, 10))
}

// Void is the value of the header driftmesh-void, "" when there is none.
func (t Ticket) Void() string {
	if len(t.void) == 0 {
		return ""
	}
	b := make([]byte, 0, 8*len(t.void))
	for i, n := range t.void {
		if i > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendUint(b, n, 10)
	}
	return string(b)
}

// Take gives out a number, and the void numbers to tell with it.
func (s *Sequence) Take() Ticket {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := Ticket{instance: s.instance}
	if i := len(s.free) - 1; i >= 0 {
		t.n, s.free = s.free[i], s.free[:i]
	} else {
		s.last++
		t.n = s.last
	}
	if n := min(len(s.void), maxVoids); n > 0 {
		rest := len(s.void) - n
		t.void = append([]uint64(nil), s.void[rest:]...)
		s.void = s.void[:rest]
	}
	return t
}

// Published gives back the ticket of a message that is durable.
func (s *Sequence) Published(Ticket) {}

// Failed gives back the ticket of a message that is certainly not stored.
func (s *Sequence) Failed(t Ticket) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.free = append(s.free, t.n)
	s.addVoids(t.void)
}

// Unknown gives back the ticket of a message that may or may not be stored.
func (s *Sequence) Unknown(t Ticket) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.addVoids(append(t.void, t.n))
}

func (s *Sequence) addVoids(voids []uint64) {
	room := min(max(maxPending-len(s.void), 0), len(voids))
	s.void = append(s.void, voids[:room]...)
	s.free = append(s.free, voids[room:]...)
}
