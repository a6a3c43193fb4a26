package sdk

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/driftmesh/driftmesh/sdk/profile"
)

// Limits of what is inserted; the mesh has the same.
const (
	maxRecordID   = 128
	maxTextValue  = 64 << 10
	maxMetrics    = 1000
	maxMetricName = 128
	maxContext    = 1 << 20
)

// Rules that a value can break, by the names that the mesh has for them.
const (
	RuleUnknownFeature = "unknown_feature" // the profile has no such feature
	RuleDuplicateName  = "duplicate_name"  // one name twice
	RuleTypeMismatch   = "type_mismatch"   // a value of another type than the profile's
	RuleNotFinite      = "not_finite"      // a metric that is NaN or infinite
	RuleEmptyRecord    = "empty_record"    // no values
	RuleTooLarge       = "too_large"       // a text or a context that is too long
	RuleInvalidUTF8    = "invalid_utf8"    // a text that is not UTF-8
	RuleInvalidID      = "invalid_id"      // an id of no bytes, or too many
	RuleInvalidContext = "invalid_context" // a context that is no JSON object
	RuleOtherSource    = "other_source"    // the profile is made of something else
)

// ValueError says which rule of its profile a record breaks. Nothing of the record
// was queued.
type ValueError struct {
	Alias   string // of the queue
	Profile string // space/name/version
	Field   string // the feature or metric; empty when it is the record
	Rule    string // one of the rules above
	Detail  string // the rule in words
}

// Error names the profile, the field and the rule.
func (e *ValueError) Error() string {
	field := e.Field
	if field != "" {
		field = fmt.Sprintf("%.100q: ", field)
	}
	return fmt.Sprintf("insert into %s (%s): %s%s (%s)", e.Alias, e.Profile, field, e.Detail, e.Rule)
}

// Inserter takes the records of one profile. It is safe for concurrent use.
type Inserter struct {
	queue  *Queue
	alias  string
	title  string // of the profile
	ref    string // by which records name it
	of     profile.SourceKind
	slots  []featureSlot
	byName map[string]int
	below  threshold // what is kept of all records
	broken error     // of every insert

	inserted, refused, sampled atomic.Uint64
}

// featureSlot is what is known of a feature.
type featureSlot struct {
	name     string
	typ      profile.ValueType
	tolerant bool
}

// InserterStats counts records.
type InserterStats struct {
	Inserted   uint64 // queued, or captured
	Refused    uint64 // for a rule of the profile
	SampledOut uint64 // left out by the sample ratio
}

func newInserter(q *Queue, alias string, p *profile.Profile, ratio float64) *Inserter {
	in := &Inserter{queue: q, alias: alias, title: p.Space + "/" + p.Name, below: thresholdOf(ratio), byName: make(map[string]int, len(p.Features))}
	if p.Version != "" {
		in.title += "/" + p.Version
	}
	if in.ref = p.UID; in.ref == "" {
		in.ref = in.title
	}
	if p.Source != nil {
		in.of = p.Source.Of
		if in.of == "" {
			in.of = profile.Spans
		}
	}
	for i := range p.Features {
		f := &p.Features[i]
		in.slots = append(in.slots, featureSlot{name: f.Name, typ: f.Type, tolerant: p.Tolerates(f.Name)})
		in.byName[f.Name] = i
	}
	return in
}

// Profile is the profile as space/name/version.
func (in *Inserter) Profile() string { return in.title }

// Stats counts what was inserted so far.
func (in *Inserter) Stats() InserterStats {
	return InserterStats{Inserted: in.inserted.Load(), Refused: in.refused.Load(), SampledOut: in.sampled.Load()}
}

// Insert inserts values: of the profile's features, or where it is one of metrics,
// metrics. They are held against the profile at once: a *ValueError says what is
// wrong, and nothing is queued then. The record carries the trace of ctx. When the
// client's queue is full it waits until ctx ends; nil means queued.
//
// It costs less than a microsecond for a few values and allocates nothing; values in
// the profile's order are found without a look-up.
func (in *Inserter) Insert(ctx context.Context, values ...Value) error {
	return in.put(ctx, trace.SpanContextFromContext(ctx), body{wait: true}, values)
}

// TryInsert is Insert that never waits: it returns ErrFull instead.
func (in *Inserter) TryInsert(ctx context.Context, values ...Value) error {
	return in.put(ctx, trace.SpanContextFromContext(ctx), body{}, values)
}

// InsertAs is Insert for a record with an id of the caller's, by which it counts
// once however often it is inserted, and to which labels can come later. A zero time
// is now.
func (in *Inserter) InsertAs(ctx context.Context, id string, at time.Time, values ...Value) error {
	if id == "" {
		return in.refuse("", RuleInvalidID, "the id is empty")
	}
	return in.put(ctx, trace.SpanContextFromContext(ctx), body{id: id, at: at, wait: true}, values)
}

// Label says what became known later of the features record with that id; see
// [Labels].
func (in *Inserter) Label(ctx context.Context, id string, values ...Value) error {
	if id == "" {
		return in.refuse("", RuleInvalidID, "labels need the id of the record that they are of")
	}
	return in.put(ctx, trace.SpanContextFromContext(ctx), body{id: id, labels: true, wait: true}, values)
}

// InsertContext inserts anything that encodes as a JSON object; see [Context].
func (in *Inserter) InsertContext(ctx context.Context, value any) error {
	raw, err := json.Marshal(value)
	if err != nil {
		return in.refuse("", RuleInvalidContext, "does not encode: %v", err)
	}
	if len(raw) == 0 || raw[0] != '{' {
		return in.refuse("", RuleInvalidContext, "is not a JSON object")
	}
	if len(raw) > maxContext {
		return in.refuse("", RuleTooLarge, "has %d bytes, at most %d are allowed", len(raw), maxContext)
	}
	return in.put(ctx, trace.SpanContextFromContext(ctx), body{json: raw, wait: true}, nil)
}

// Insert inserts a record as Inserter.Insert does, into the queue that OpenQueue
// opened last, with the trace of this span, and notes it on the span as an event that
// names the profile and the record's id. It does not wait for room.
func (s Span) Insert(alias string, values ...Value) error {
	q := opened.Load()
	if q == nil {
		return ErrNoQueue
	}
	return s.InsertInto(q, alias, values...)
}

// InsertInto is Insert for a queue of one's own.
func (s Span) InsertInto(q *Queue, alias string, values ...Value) error {
	in := q.For(alias)
	b := body{}
	if s.IsRecording() {
		b.id = newID(time.Now()) // the event has to name it
	}
	if err := in.put(context.Background(), s.SpanContext(), b, values); err != nil {
		return err
	}
	if b.id != "" && in.kept(s.SpanContext(), b.id) {
		s.AddEvent(EventInsert, trace.WithAttributes(attribute.String(AttrProfile, in.ref), attribute.String(AttrRecord, b.id)))
	}
	return nil
}

// body is what a record is besides its values.
type body struct {
	id     string
	at     time.Time
	json   []byte // of a context
	labels bool
	wait   bool
}

// put checks and queues a record.
func (in *Inserter) put(ctx context.Context, sc trace.SpanContext, b body, values []Value) error {
	switch {
	case in.broken != nil:
		return in.broken
	case in.queue.closed.Load():
		return ErrClosed
	}
	w, _ := writers.Get().(*recordWriter)
	defer writers.Put(w)
	if err := in.check(w, &b, values); err != nil {
		return err
	}
	if in.below != keepAll && !in.kept(sc, b.id) {
		in.sampled.Add(1)
		return nil
	}
	w.write(in, sc, &b, values)
	if err := in.send(ctx, w.buf, b.wait); err != nil {
		return err
	}
	in.inserted.Add(1)
	return nil
}

func (in *Inserter) send(ctx context.Context, encoded []byte, wait bool) error {
	if in.queue.capture.Load() {
		return in.queue.keep(in.alias, encoded)
	}
	return in.queue.client.records.putEncoded(ctx, encoded, wait)
}

// kept tells whether a record is let in: by its trace, or its id, or by chance.
func (in *Inserter) kept(sc trace.SpanContext, id string) bool {
	switch {
	case in.below == keepAll:
		return true
	case sc.IsValid():
		return in.below.keeps(randomness(sc.TraceID(), readState(sc.TraceState())))
	case id != "":
		return in.below.keeps(hashed(id))
	}
	return in.below.keeps(rand.Uint64() & maxRandom)
}

// hashed is a number that an id always has: FNV-1a, mixed, as its high bits are poor.
func hashed(id string) uint64 {
	h := uint64(14695981039346656037)
	for i := range len(id) {
		h = (h ^ uint64(id[i])) * 1099511628211
	}
	h ^= h >> 33
	h *= 0xff51afd7ed558ccd
	h ^= h >> 33
	return h & maxRandom
}

func (in *Inserter) refuse(field, rule, format string, args ...any) error {
	if in.broken != nil {
		return in.broken
	}
	in.refused.Add(1)
	return &ValueError{Alias: in.alias, Profile: in.title, Field: field, Rule: rule, Detail: fmt.Sprintf(format, args...)}
}

// check holds a record against the profile.
func (in *Inserter) check(w *recordWriter, b *body, values []Value) error {
	if len(b.id) > maxRecordID {
		return in.refuse("", RuleInvalidID, "the id has %d bytes, at most %d are allowed", len(b.id), maxRecordID)
	}
	if !utf8.ValidString(b.id) {
		return in.refuse("", RuleInvalidUTF8, "the id is not UTF-8")
	}
	switch {
	case b.json != nil:
		if in.of != profile.ContextRecords && in.of != "" {
			return in.refuse("", RuleOtherSource, "the profile is made of %s", in.of)
		}
		return nil
	case len(values) == 0:
		return in.refuse("", RuleEmptyRecord, "there are no values")
	case in.of == profile.MetricRecords:
		return in.checkMetrics(values)
	case in.of != "":
		return in.refuse("", RuleOtherSource, "the profile is made of %s", in.of)
	}
	w.begin(len(in.slots))
	for i := range values {
		v := &values[i]
		at, known := i, i < len(in.slots) && in.slots[i].name == v.name
		if !known {
			if at, known = in.byName[v.name]; !known {
				return in.refuse(v.name, RuleUnknownFeature, "the profile has no such feature")
			}
		}
		if w.twice(at) {
			return in.refuse(v.name, RuleDuplicateName, "stands twice")
		}
		if err := in.checkValue(&in.slots[at], v, b.labels); err != nil {
			return err
		}
	}
	return nil
}

func (in *Inserter) checkValue(s *featureSlot, v *Value, label bool) error {
	fits := false
	switch v.is {
	case valueMissing:
		return nil
	case valueInt:
		fits = s.typ == profile.Int || s.typ == profile.Float
	case valueFloat:
		fits = s.typ == profile.Float || s.typ == profile.Int && whole(math.Float64frombits(v.bits))
	case valueBool:
		fits = s.typ == profile.Bool
	case valueString:
		if len(v.text) > maxTextValue {
			return in.refuse(v.name, RuleTooLarge, "the text has %d bytes, at most %d are allowed", len(v.text), maxTextValue)
		}
		if !utf8.ValidString(v.text) {
			return in.refuse(v.name, RuleInvalidUTF8, "the text is not UTF-8")
		}
		fits = s.typ == profile.String
	case noValue:
		return in.refuse(v.name, RuleTypeMismatch, "the value was not made by Float, Int, String, Bool or Missing")
	}
	if fits || s.tolerant && !label {
		return nil
	}
	return in.refuse(v.name, RuleTypeMismatch, "the value is %s, and the profile's feature of type %s", v.is, s.typ)
}

// whole reports whether a float stands for an int, or as NaN for one that is missing.
func whole(f float64) bool {
	return math.IsNaN(f) || f == math.Trunc(f) && math.Abs(f) <= 1<<53
}

func (in *Inserter) checkMetrics(values []Value) error {
	if len(values) > maxMetrics {
		return in.refuse("", RuleTooLarge, "there are %d metrics, at most %d are allowed", len(values), maxMetrics)
	}
	for i := range values {
		v := &values[i]
		switch {
		case v.is != valueFloat && v.is != valueInt:
			return in.refuse(v.name, RuleTypeMismatch, "a metric is a number, and not %s", v.is)
		case v.name == "":
			return in.refuse(v.name, RuleEmptyRecord, "a metric has no name")
		case len(v.name) > maxMetricName:
			return in.refuse(v.name, RuleTooLarge, "the name has %d bytes, at most %d are allowed", len(v.name), maxMetricName)
		case !utf8.ValidString(v.name):
			return in.refuse(v.name, RuleInvalidUTF8, "the name is not UTF-8")
		}
		if f := v.number(); math.IsNaN(f) || math.IsInf(f, 0) {
			return in.refuse(v.name, RuleNotFinite, "a metric must be finite")
		}
		for j := range i {
			if values[j].name == v.name {
				return in.refuse(v.name, RuleDuplicateName, "stands twice")
			}
		}
	}
	return nil
}

// number is an int or a float as a float.
func (v *Value) number() float64 {
	if v.is == valueInt {
		return float64(int64(v.bits)) //nolint:gosec // its bits
	}
	return math.Float64frombits(v.bits)
}

// String is the kind for people.
func (k valueKind) String() string {
	return [...]string{"nothing", "an int", "a float", "a string", "a bool", "missing"}[k]
}
