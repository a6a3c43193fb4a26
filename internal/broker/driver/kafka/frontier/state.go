package frontier

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"strings"
)

// State is what the metadata of a committed offset says about a partition: the
// offset itself is the frontier, before which everything is acknowledged.
type State struct {
	// Open: whoever wrote it had the partition, and was not done with it.
	Open bool
	// Topic is the id of the topic that the offset is of, zero if not known.
	Topic [16]byte
	// Behind is how many messages the partition had that were never delivered,
	// as far as was known.
	Behind int64
	// Waiting is how many unsettled messages no worker had.
	Waiting int
	// Settled says, for each offset from the frontier to the newest delivery,
	// whether it is acknowledged.
	Settled []bool
	// Attempts are the deliveries so far of unsettled messages with more than
	// one, by their distance from the frontier.
	Attempts map[int]int
}

// Unsettled is how many messages were delivered and not settled.
func (s *State) Unsettled() (n int64) {
	for _, settled := range s.Settled {
		if !settled {
			n++
		}
	}
	return n
}

// MetadataMax is offset.metadata.max.bytes of a broker that nobody configured.
const MetadataMax = 4096

const (
	stateMark = "driftmesh2:"
	firstMark = "driftmesh1:" // of versions that knew no topics; they take ours for a stranger's
	flagOpen  = 1
	flagBits  = 2 // Settled is a bitmap, and not lengths of runs
	flagTopic = 4 // Topic and Behind are there
)

// Encode writes the state. Where there is not room for all attempts, the later
// ones are left out.
func (s *State) Encode() string {
	runs := appendRuns(nil, s.Settled)
	bits := appendBits(nil, s.Settled)
	var flags byte
	if s.Open {
		flags |= flagOpen
	}
	if len(bits) < len(runs) {
		flags, runs = flags|flagBits, bits
	}
	b := []byte{flags}
	if s.Topic != [16]byte{} {
		b[0] |= flagTopic
		b = append(b, s.Topic[:]...)
		b = binary.AppendUvarint(b, uint64(max(s.Behind, 0)))
	}
	b = binary.AppendUvarint(b, uint64(len(s.Settled)))
	b = binary.AppendUvarint(b, uint64(s.Waiting))
	b = append(b, runs...)
	room := base64.RawStdEncoding.DecodedLen(MetadataMax-len(stateMark)) - len(b)
	b = append(b, s.attemptRuns(room)...)
	return stateMark + base64.RawStdEncoding.EncodeToString(b)
}

// attemptRuns writes runs of equal attempts: gap, length, attempts.
func (s *State) attemptRuns(room int) []byte {
	var b []byte
	last := 0
	for i := 0; i < len(s.Settled) && len(s.Attempts) > 0; i++ {
		n := s.Attempts[i]
		if n <= 1 {
			continue
		}
		length := 1
		for s.Attempts[i+length] == n {
			length++
		}
		one := binary.AppendUvarint(nil, uint64(i-last))
		one = binary.AppendUvarint(one, uint64(length))
		one = binary.AppendUvarint(one, uint64(n))
		if len(b)+len(one) > room {
			break
		}
		b = append(b, one...)
		i += length - 1
		last = i + 1
	}
	return b
}

// appendRuns writes the lengths of runs, the first of unsettled ones.
func appendRuns(b []byte, settled []bool) []byte {
	value, length := false, 0
	for _, v := range settled {
		if v != value {
			b = binary.AppendUvarint(b, uint64(length))
			value, length = v, 0
		}
		length++
	}
	return binary.AppendUvarint(b, uint64(length))
}

func appendBits(b []byte, settled []bool) []byte {
	for i, v := range settled {
		if i%8 == 0 {
			b = append(b, 0)
		}
		if v {
			b[len(b)-1] |= 1 << (i % 8)
		}
	}
	return b
}

var errState = errors.New("the offset's metadata is not ours")

// Decode reads a state. An empty text, as other clients write, is the
// empty state.
func Decode(text string) (s State, err error) {
	if text == "" {
		return s, nil
	}
	packed, ok := strings.CutPrefix(text, stateMark)
	if !ok {
		packed, ok = strings.CutPrefix(text, firstMark)
	}
	if !ok {
		return s, errState
	}
	b, err := base64.RawStdEncoding.DecodeString(packed)
	if err != nil || len(b) == 0 {
		return s, errState
	}
	d := stateReader{b: b[1:]}
	s.Open = b[0]&flagOpen != 0
	if b[0]&flagTopic != 0 {
		d.topic(&s)
	}
	n := d.number(Span)
	s.Waiting = d.number(n)
	s.Settled = make([]bool, n)
	if b[0]&flagBits != 0 {
		d.bits(s.Settled)
	} else {
		d.runs(s.Settled)
	}
	s.Attempts = d.attempts(n)
	if d.bad {
		return State{}, errState
	}
	return s, nil
}

// stateReader reads what encode wrote; bad is sticky.
type stateReader struct {
	b   []byte
	bad bool
}

func (d *stateReader) number(most int) int {
	v, n := binary.Uvarint(d.b)
	if n <= 0 || v > uint64(most) {
		d.bad, d.b = true, nil
		return 0
	}
	d.b = d.b[n:]
	return int(v)
}

func (d *stateReader) topic(s *State) {
	if len(d.b) < len(s.Topic) {
		d.bad, d.b = true, nil
		return
	}
	copy(s.Topic[:], d.b)
	d.b = d.b[len(s.Topic):]
	s.Behind = int64(d.number(1 << 62))
}

func (d *stateReader) runs(settled []bool) {
	i, value := 0, false
	for !d.bad {
		n := d.number(len(settled) - i)
		for range n {
			settled[i] = value
			i++
		}
		if i == len(settled) {
			return
		}
		value = !value
	}
}

func (d *stateReader) bits(settled []bool) {
	n := (len(settled) + 7) / 8
	if len(d.b) < n {
		d.bad = true
		return
	}
	for i := range settled {
		settled[i] = d.b[i/8]&(1<<(i%8)) != 0
	}
	d.b = d.b[n:]
}

// maxAttempt bounds what is believed.
const maxAttempt = 1 << 20

func (d *stateReader) attempts(n int) map[int]int {
	out := map[int]int{}
	for at := 0; len(d.b) > 0 && !d.bad; {
		at += d.number(n - at)
		length := d.number(n - at)
		attempt := d.number(maxAttempt)
		for range length {
			out[at] = attempt
			at++
		}
	}
	return out
}
