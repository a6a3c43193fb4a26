package normalize

import (
	"bytes"
	"encoding/binary"
	"math"
	"time"

	"github.com/google/uuid"
)

// State is what is known of a value beside the value itself. The numbers are
// stored: never change them.
type State uint8

// The states. Categories are only Present, Missing or WrongType.
const (
	Present State = iota
	Missing
	NaN
	PosInf
	NegInf
	_ // there is no state, but a bin, of what the reference does not have
	WrongType
)

// Body says which of a row's parts are set.
type Body uint8

// What a record can be.
const (
	Features Body = iota // Numbers, Categories and their states
	Metrics              // Names and Values
	Context              // JSON
	Labels               // as Features; what is missing is not said
	Counted              // CountedFeature, CountedBin and Count
)

// Row is one record, normalized. It and everything it points to is valid until
// the next call of Batch.Rows or the end of the message's bytes; copy what must
// live longer.
type Row struct {
	Body      Body
	Profile   uuid.UUID
	ID        []byte // never empty
	EventTime int64  // Unix nanoseconds
	TraceID   [16]byte
	SpanID    [8]byte
	// Hash is over everything above except the identity (Profile, ID), and
	// over the values. Of two rows with one identity the higher hash wins.
	Hash uint64

	Numbers        []float64 // 0 where missing
	NumberStates   []State
	Categories     [][]byte // empty where missing
	CategoryStates []State

	Names  [][]byte // ascending
	Values []float64

	JSON []byte

	CountedFeature int // position in the profile
	CountedBin     int // position among the bins of the feature
	Count          uint64

	// Observed says that Metrics or a Context are an observation as well, and that
	// the fields of Features are set.
	Observed bool
	// Checked says that a Context is checked: its window changes.
	Checked bool
}

// Minute is the row's window: its event time in minutes since 1970, cut down.
func (r *Row) Minute() int64 { return r.EventTime / int64(time.Minute) }

// Origin is what a row takes from its message where its record is silent.
type Origin struct {
	MessageID string    // begins the id of records without one
	Accepted  time.Time // is the event time of records without one
}

// Lookup finds a profile by uid. It returns nil when the tenant has none.
type Lookup func(uid uuid.UUID) *Profile

// Sink takes what a batch holds, in its order. Exactly one of Row and Reject is
// called for each record.
type Sink interface {
	// Row takes a good record; the row is valid only during the call.
	Row(*Row)
	// Reject takes the place of a bad record in its batch, and the rule it broke.
	Reject(index int, reason Reason)
	// Full reports that the sink wants no more for now.
	Full() bool
}

// Profiles calls each with the uid of every profile that the readable records
// name, once in a row for equal neighbours; texts that are no uid are left out.
func (b *Batch) Profiles(each func(uuid.UUID)) {
	var last []byte
	for i := range b.records {
		r := &b.records[i]
		if r.reason != "" || last != nil && bytes.Equal(r.profile, last) {
			continue
		}
		last = r.profile
		if uid, ok := parseUID(r.profile); ok {
			each(uid)
		}
	}
}

// Rows hands the records of the decoded message, beginning with number from, to
// the sink until it is full. It returns the number to go on with; that is Len
// when there is no more. At least one record goes.
func (b *Batch) Rows(from int, o Origin, lookup Lookup, sink Sink) (next int) {
	var profile *Profile
	var last []byte
	for i := from; i < len(b.records); i++ {
		if i > from && sink.Full() {
			return i
		}
		r := &b.records[i]
		if r.reason != "" {
			sink.Reject(i, r.reason)
			continue
		}
		if last == nil || !bytes.Equal(r.profile, last) {
			last, profile = r.profile, nil
			if uid, ok := parseUID(r.profile); ok {
				profile = lookup(uid)
			}
		}
		if reason := b.fill(i, r, o, profile); reason != "" {
			sink.Reject(i, reason)
			continue
		}
		sink.Row(&b.row)
	}
	return len(b.records)
}

// parseUID reads the one spelling of a uid that profiles have: 36 characters.
func parseUID(text []byte) (uuid.UUID, bool) {
	if len(text) != 36 {
		return uuid.UUID{}, false
	}
	uid, err := uuid.ParseBytes(text)
	return uid, err == nil
}

// canonical appends the bytes that the hash covers. Texts carry their length,
// so that no two rows give the same bytes.
func (r *Row) canonical(b []byte, at int64) []byte {
	b = append(b, byte(r.Body))
	b = binary.LittleEndian.AppendUint64(b, uint64(at)) //nolint:gosec // its bits
	b = append(b, r.TraceID[:]...)
	b = append(b, r.SpanID[:]...)
	switch r.Body {
	case Features, Labels:
		for i, f := range r.Numbers {
			b = append(b, byte(r.NumberStates[i]))
			b = binary.LittleEndian.AppendUint64(b, math.Float64bits(f))
		}
		for i, text := range r.Categories {
			b = append(b, byte(r.CategoryStates[i]))
			b = appendText(b, text)
		}
	case Metrics:
		for i, name := range r.Names {
			b = appendText(b, name)
			b = binary.LittleEndian.AppendUint64(b, math.Float64bits(r.Values[i]))
		}
	case Context:
		b = append(b, r.JSON...)
	case Counted:
		for _, n := range []uint64{uint64(r.CountedFeature), uint64(r.CountedBin), r.Count} { //nolint:gosec // positions
			b = binary.LittleEndian.AppendUint64(b, n)
		}
	}
	return b
}

func appendText(b, text []byte) []byte {
	return append(binary.AppendUvarint(b, uint64(len(text))), text...)
}
