package kafka

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"strings"
)

// state is what the metadata of a committed offset says about a partition: the
// offset itself is the frontier, before which everything is acknowledged.
type state struct {
	// open: whoever wrote it had the partition, and was not done with it.
	open bool
	// waiting is how many unsettled messages no worker had.
	waiting int
	// settled says, for each offset from the frontier to the newest delivery,
	// whether it is acknowledged.
	settled []bool
	// attempts are the deliveries so far of unsettled messages with more than
	// one, by their distance from the frontier.
	attempts map[int]int
}

// span bounds the distance of the newest delivery from the frontier.
const span = 16 << 10

// metadataMax is offset.metadata.max.bytes of a broker that nobody configured.
const metadataMax = 4096

const (
	stateMark = "driftmesh1:"
	flagOpen  = 1
	flagBits  = 2 // settled is a bitmap, and not lengths of runs
)

// encode writes the state. Where there is not room for all attempts, the later
// ones are left out.
func (s *state) encode() string {
	runs := appendRuns(nil, s.settled)
	bits := appendBits(nil, s.settled)
	var flags byte
	if s.open {
		flags |= flagOpen
	}
	if len(bits) < len(runs) {
		flags, runs = flags|flagBits, bits
	}
	b := binary.AppendUvarint([]byte{flags}, uint64(len(s.settled)))
	b = binary.AppendUvarint(b, uint64(s.waiting))
	b = append(b, runs...)
	room := base64.RawStdEncoding.DecodedLen(metadataMax-len(stateMark)) - len(b)
	b = append(b, s.attemptRuns(room)...)
	return stateMark + base64.RawStdEncoding.EncodeToString(b)
}

// attemptRuns writes runs of equal attempts: gap, length, attempts.
func (s *state) attemptRuns(room int) []byte {
	var b []byte
	last := 0
	for i := 0; i < len(s.settled) && len(s.attempts) > 0; i++ {
		n := s.attempts[i]
		if n <= 1 {
			continue
		}
		length := 1
		for s.attempts[i+length] == n {
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

// decodeState reads a state. An empty text, as other clients write, is the
// empty state.
func decodeState(text string) (s state, err error) {
	if text == "" {
		return s, nil
	}
	text, ok := strings.CutPrefix(text, stateMark)
	if !ok {
		return s, errState
	}
	b, err := base64.RawStdEncoding.DecodeString(text)
	if err != nil || len(b) == 0 {
		return s, errState
	}
	d := stateReader{b: b[1:]}
	n := d.number(span)
	waiting := d.number(n)
	settled := make([]bool, n)
	if b[0]&flagBits != 0 {
		d.bits(settled)
	} else {
		d.runs(settled)
	}
	attempts := d.attempts(n)
	if d.bad {
		return s, errState
	}
	return state{open: b[0]&flagOpen != 0, waiting: waiting, settled: settled, attempts: attempts}, nil
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
