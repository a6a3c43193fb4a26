package audit

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"time"
	"unicode/utf8"

	"github.com/driftmesh/driftmesh/internal/fault"
)

// Outcome is how an action ended.
type Outcome string

// The outcomes.
const (
	OK     Outcome = "ok"     // it was done
	Denied Outcome = "denied" // the caller may not
	Failed Outcome = "failed" // it was tried and did not work
)

// Entry is one thing that somebody did, or tried to do.
type Entry struct {
	// ID is the same whenever the same entry is told again.
	ID string `json:"id"`
	// Time is when it happened, in whole microseconds.
	Time time.Time `json:"time"`
	// Tenant owns what it was done to.
	Tenant string `json:"tenant"`
	// Actor and Kind are who did it (identity.Identity), and Home the actor's tenant.
	Actor string `json:"actor,omitempty"`
	Kind  string `json:"kind,omitempty"`
	Home  string `json:"home,omitempty"`
	// Source is where the call came from: host and port, or "local" for a command
	// on the server's own machine.
	Source string `json:"source,omitempty"`
	// Action is what it was: the method or route, or a name such as "login".
	Action string `json:"action"`
	// Object is what it was done to, as the caller named it.
	Object string `json:"object,omitempty"`
	// Outcome is how it ended, and Reason why it did not do well.
	Outcome Outcome `json:"outcome"`
	Reason  string  `json:"reason,omitempty"`
	// Count is how many like it this stands for, at least 1.
	Count uint64 `json:"count"`
	// Trace is the trace of the call in hex, where there is one.
	Trace string `json:"trace,omitempty"`
}

// End says how it ended, with the error that it ended with.
func (e *Entry) End(err error) {
	e.Outcome, e.Reason = OK, ""
	if err == nil {
		return
	}
	f := fault.Of(err)
	e.Outcome, e.Reason = Failed, cmp.Or(f.Reason(), f.Kind().Error())
	if Refused(err) {
		e.Outcome = Denied
	}
}

// Refused reports whether an error refuses somebody.
func Refused(err error) bool {
	return errors.Is(err, fault.Denied) || errors.Is(err, fault.Unauthenticated)
}

// maxText bounds each text of an entry, in bytes: callers choose some of them.
const maxText = 512

// Trim cuts texts that are too long, at a rune, drops what is not UTF-8, and makes
// the time whole microseconds in UTC: what is hashed is what can be stored and read
// back.
func (e *Entry) Trim() {
	for _, s := range []*string{&e.ID, &e.Tenant, &e.Actor, &e.Kind, &e.Home, &e.Source, &e.Action, &e.Object, &e.Reason, &e.Trace} {
		*s = trim(*s)
	}
	e.Time = e.Time.Truncate(time.Microsecond).UTC()
	e.Count = max(e.Count, 1)
}

func trim(s string) string {
	if len(s) > maxText {
		n := maxText
		for n > 0 && !utf8.RuneStart(s[n]) {
			n--
		}
		s = s[:n]
	}
	if utf8.ValidString(s) {
		return s
	}
	clean := make([]rune, 0, len(s))
	for _, r := range s { // what is no UTF-8 reads as U+FFFD
		clean = append(clean, r)
	}
	return string(clean)
}

// Check refuses an entry that says nothing.
func (e *Entry) Check() error {
	switch {
	case e.ID == "":
		return fault.Invalid.New("audit entry: id is missing")
	case e.Time.UnixMicro() <= 0: // of which a store makes no time
		return fault.Invalid.New("audit entry: time is missing")
	case e.Action == "":
		return fault.Invalid.New("audit entry: action is missing")
	case e.Outcome != OK && e.Outcome != Denied && e.Outcome != Failed:
		return fault.Invalid.New("audit entry: outcome %.20q is unknown", e.Outcome)
	}
	return nil
}

// Hash is that of an entry or, before the first one, of nothing: all zero.
type Hash [sha256.Size]byte

// String is the hash in hex.
func (h Hash) String() string { return hex.EncodeToString(h[:]) }

// MarshalText implements encoding.TextMarshaler.
func (h Hash) MarshalText() ([]byte, error) { return []byte(h.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (h *Hash) UnmarshalText(text []byte) error {
	if n, err := hex.Decode(h[:], text[:min(len(text), 2*len(h))]); err != nil || n != len(h) || len(text) != 2*len(h) {
		return fault.Invalid.New("audit hash: want %d hex digits", 2*len(h))
	}
	return nil
}

// chainVersion begins what is hashed: another way to encode is another version.
const chainVersion = "driftmesh audit entry v1"

// Sum is the hash of the entry with number seq that stands after one whose hash is
// before. Each part is preceded by its length, so that no two entries are the same
// bytes.
func (e *Entry) Sum(seq uint64, before Hash) Hash {
	b := make([]byte, 0, 512)
	b = append(b, chainVersion...)
	b = append(b, before[:]...)
	b = binary.BigEndian.AppendUint64(b, seq)
	b = binary.BigEndian.AppendUint64(b, uint64(e.Time.UnixMicro())) //nolint:gosec // two's complement
	b = binary.BigEndian.AppendUint64(b, e.Count)
	for _, s := range []string{e.ID, e.Tenant, e.Actor, e.Kind, e.Home, e.Source, e.Action, e.Object, string(e.Outcome), e.Reason, e.Trace} {
		b = binary.BigEndian.AppendUint32(b, uint32(len(s))) //nolint:gosec // bounded by Trim
		b = append(b, s...)
	}
	return sha256.Sum256(b)
}

// Link is an entry in its place.
type Link struct {
	Seq uint64 `json:"seq"` // from 1
	Entry
	Hash Hash `json:"hash"`
}

// Head is where a chain ends: the number and the hash of its last entry; the zero
// Head is an empty chain.
type Head struct {
	Seq  uint64 `json:"seq"`
	Hash Hash   `json:"hash"`
}

// Add puts an entry, trimmed before, at the end of the chain.
func (h *Head) Add(e Entry) Link {
	l := Link{Seq: h.Seq + 1, Entry: e, Hash: e.Sum(h.Seq+1, h.Hash)}
	h.Seq, h.Hash = l.Seq, l.Hash
	return l
}
