package normalize

import (
	"bytes"
	"encoding/json"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/cespare/xxhash/v2"

	rules "github.com/driftmesh/driftmesh/internal/record"
)

func (b *Batch) fill(index int, r *record, o Origin, p *Profile) Reason {
	row := &b.row
	row.reset()
	if p == nil {
		return UnknownProfile
	}
	row.Profile = p.uid
	if row.ID = r.id; len(r.id) == 0 {
		if r.body == bodyLabels { // of which record?
			return InvalidID
		}
		b.scratch = strconv.AppendInt(append(append(b.scratch[:0], o.MessageID...), '/'), int64(index), 10)
		row.ID = bytes.Clone(b.scratch)
	}
	if len(r.id) > MaxID {
		return InvalidID
	}
	if !row.setTime(r, o.Accepted) {
		return EventTimeRange
	}
	if len(r.traceParent) > 0 && !row.setTrace(r.traceParent) {
		return InvalidTraceContext
	}
	if reason := b.fillBody(r, p); reason != "" {
		return reason
	}
	at := row.EventTime
	if !r.timed {
		at = 0
	}
	b.scratch = row.canonical(b.scratch[:0], at)
	if row.Hash = xxhash.Sum64(b.scratch); !r.timed {
		row.Hash = earliest(row.Hash, row.EventTime)
	}
	return ""
}

// timeBits are as many as milliseconds of event times need.
const timeBits = 42

// earliest is the hash of a record that has no event time of its own, and that came
// at the given one: of equal records the one that came first has the greatest, and so
// is the one that counts, in whatever order they are stored. Unequal ones differ in
// the other bits, at random.
func earliest(hash uint64, at int64) uint64 {
	const mask = 1<<timeBits - 1
	return hash&^mask | mask - uint64(at/int64(time.Millisecond)) //nolint:gosec // between 1970 and 2106
}

func (b *Batch) fillBody(r *record, p *Profile) Reason {
	values := b.values[r.from:r.to]
	switch r.body {
	case bodyFeatures:
		b.row.Body = Features
		return b.fillFeatures(values, p)
	case bodyLabels:
		b.row.Body = Labels
		return b.fillFeatures(values, p)
	case bodyMetrics:
		b.row.Body = Metrics
		if reason := b.row.setMetrics(values); reason != "" || p.of != Metrics {
			return reason
		}
		b.row.observeMetrics(p)
		return ""
	case bodyCounted:
		b.row.Body = Counted
		return b.row.setCounted(&values[0], r.bin, p)
	case bodyContext:
		b.row.Body, b.row.Checked = Context, p.checked
		if reason := b.row.setContext(r.json); reason != "" || p.of != Context {
			return reason
		}
		b.row.observeContext(p)
		return ""
	default:
		return Empty
	}
}

func (b *Batch) fillFeatures(values []value, p *Profile) Reason {
	if len(values) == 0 {
		return Empty
	}
	b.row.size(p)
	if len(b.seen) < len(p.slots) {
		b.seen = make([]uint32, len(p.slots))
		b.stamp = 0
	}
	if b.stamp++; b.stamp == 0 { // wrapped around
		clear(b.seen)
		b.stamp = 1
	}
	for i := range values {
		at, ok := p.find(values[i].name, i)
		if !ok {
			return UnknownFeature
		}
		if b.seen[at] == b.stamp {
			return DuplicateName
		}
		b.seen[at] = b.stamp
		if s := &p.slots[at]; s.fits(&values[i]) {
			b.row.set(s, &values[i])
		} else if s.tolerant && b.row.Body == Features { // a label stands in another's place, or is none
			*b.row.state(s) = WrongType
		} else {
			return TypeMismatch
		}
	}
	return ""
}

// fits reports whether a value is of the type of the slot. Of a category of whole
// numbers it makes a float one.
func (s *slot) fits(v *value) bool {
	return s.takes[v.form] && (s.kind == Numeric || v.form != formFloat || v.whole())
}

// state is where the state of a slot's value is.
func (r *Row) state(s *slot) *State {
	if s.kind == Numeric {
		return &r.NumberStates[s.at]
	}
	return &r.CategoryStates[s.at]
}

func (r *Row) set(s *slot, v *value) {
	if s.kind == Numeric {
		r.Numbers[s.at], r.NumberStates[s.at] = number(v)
		return
	}
	r.Categories[s.at], r.CategoryStates[s.at] = category(v)
}

// number is a value as a float64. All NaNs become one, so that equal records
// have equal hashes.
func number(v *value) (float64, State) {
	switch v.form {
	case formInt:
		return float64(int64(v.bits)), Present
	case formFloat:
		f := math.Float64frombits(v.bits)
		switch {
		case math.IsNaN(f):
			return math.NaN(), NaN
		case math.IsInf(f, 1):
			return f, PosInf
		case math.IsInf(f, -1):
			return f, NegInf
		}
		return f, Present
	default:
		return 0, Missing
	}
}

var boolText = [2][]byte{[]byte("false"), []byte("true")}

// whole turns a float that is a whole number into an int, and NaN, which is how
// floats say it, into a missing value; false for any other float.
func (v *value) whole() bool {
	f := math.Float64frombits(v.bits)
	switch {
	case !rules.Whole(f):
		return false
	case math.IsNaN(f):
		v.form = formMissing
	default:
		v.form, v.bits = formInt, uint64(int64(f))
	}
	return true
}

func category(v *value) ([]byte, State) {
	switch v.form {
	case formString:
		return v.text, Present
	case formBool:
		return boolText[v.bits], Present
	case formInt:
		return strconv.AppendInt(nil, int64(v.bits), 10), Present
	default:
		return nil, Missing
	}
}

func (r *Row) reset() {
	*r = Row{
		Numbers: r.Numbers[:0], NumberStates: r.NumberStates[:0],
		Categories: r.Categories[:0], CategoryStates: r.CategoryStates[:0],
		Names: r.Names[:0], Values: r.Values[:0],
	}
}

// size makes room for the profile's features, all missing.
func (r *Row) size(p *Profile) {
	r.Numbers = slices.Grow(r.Numbers, p.numbers)[:p.numbers]
	r.NumberStates = slices.Grow(r.NumberStates, p.numbers)[:p.numbers]
	r.Categories = slices.Grow(r.Categories, p.category)[:p.category]
	r.CategoryStates = slices.Grow(r.CategoryStates, p.category)[:p.category]
	clear(r.Numbers)
	clear(r.Categories)
	for i := range r.NumberStates {
		r.NumberStates[i] = Missing
	}
	for i := range r.CategoryStates {
		r.CategoryStates[i] = Missing
	}
}

// The range of event times that the store can hold: its windows are seconds
// since 1970 in 32 bits.
const (
	minSeconds = 0
	maxSeconds = 4_291_747_200 // 2106-01-01T00:00:00Z
)

func (r *Row) setTime(rec *record, accepted time.Time) bool {
	seconds, nanos := rec.seconds, int64(rec.nanos)
	if !rec.timed {
		at := accepted.Truncate(time.Millisecond) // as much as its hash tells (earliest)
		seconds, nanos = at.Unix(), int64(at.Nanosecond())
	}
	if seconds < minSeconds || seconds >= maxSeconds || nanos < 0 || nanos >= int64(time.Second) {
		return false
	}
	r.EventTime = seconds*int64(time.Second) + nanos
	return true
}

func (r *Row) setMetrics(values []value) Reason {
	if len(values) == 0 {
		return Empty
	}
	slices.SortFunc(values, func(a, b value) int { return bytes.Compare(a.name, b.name) })
	for i := range values {
		v := &values[i]
		if len(v.name) == 0 {
			return Empty
		}
		if i > 0 && bytes.Equal(v.name, values[i-1].name) {
			return DuplicateName
		}
		f := math.Float64frombits(v.bits)
		if math.IsNaN(f) || math.IsInf(f, 0) {
			return NotFinite
		}
		r.Names = append(r.Names, v.name)
		r.Values = append(r.Values, f)
	}
	return ""
}

func (r *Row) setCounted(v *value, bin int64, p *Profile) Reason {
	at, ok := p.find(v.name, 0)
	if !ok {
		return UnknownFeature
	}
	if v.bits > rules.MaxCount {
		return TooLarge
	}
	cell, ok := p.slots[at].bins.Position(bin)
	if !ok {
		return UnknownBin
	}
	r.CountedFeature, r.CountedBin, r.Count = at, cell, v.bits
	return ""
}

func (r *Row) setContext(text []byte) Reason {
	if len(text) > MaxContext {
		return TooLarge
	}
	if trimmed := bytes.TrimLeft(text, " \t\r\n"); len(trimmed) == 0 || trimmed[0] != '{' || !json.Valid(text) {
		return InvalidContext
	}
	r.JSON = text
	return ""
}
