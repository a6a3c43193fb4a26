package otlp

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"
)

// Mend says what Split changes in a span, its resource or its scope to keep
// it: a span that breaks one of these rules is stored, with a mark.
type Mend uint8

// The mends. Their strings are stable: metrics count by them.
const (
	TextReplaced      Mend = iota // what is not UTF-8 in a string became U+FFFD
	AttributesDropped             // attributes beyond Limits.MaxAttributes left out, and counted as OTLP counts them
	AttributeCut                  // an attribute cut to Limits.MaxAttributeBytes, or to what a message holds
	NestingCut                    // arrays and maps deeper than MaxDepth left out
	LinkDropped                   // a link whose ids cannot be ids left out, and counted

	mendCount
)

var mendNames = [mendCount]string{
	TextReplaced:      "text_replaced",
	AttributesDropped: "attributes_dropped",
	AttributeCut:      "attribute_cut",
	NestingCut:        "nesting_cut",
	LinkDropped:       "link_dropped",
}

// String is the stable code of the mend.
func (m Mend) String() string {
	if m < mendCount {
		return mendNames[m]
	}
	return "unknown"
}

// Mends lists every mend, in order.
func Mends() []Mend {
	all := make([]Mend, mendCount)
	for i := range all {
		all[i] = Mend(i)
	}
	return all
}

// Marks are attributes of spans, resources and scopes that the mesh adds to
// what it had to change or to doubt. Jaeger's API gives them as warnings.
const (
	MarkPrefix = "driftmesh.warning"
	// MarkMended says in words what was cut or replaced, and how long it was.
	MarkMended = MarkPrefix
	// MarkTime says what is wrong with the times of a span.
	MarkTime = MarkPrefix + ".time"
)

// Bounds of a mark: it tells of some attributes by name, and of the others by
// number.
const (
	maxMarkNotes = 8
	maxMarkName  = 64
	maxMark      = 2 << 10 // more than the marks of a span take
)

// mender rewrites parts of a request, whose wire is known to be readable, so
// that they keep the rules.
type mender struct {
	lim   Limits
	most  int      // bytes that one attribute may take
	room  int      // bytes after which the result is of no use
	mends uint8    // what was mended since the last mark, a bit for each Mend
	told  uint8    // what marks say already
	notes []string // cut attributes, for the mark
	more  int      // those that notes have no room for
}

// carriers are the messages that can carry a mark, and where.
func carriers(m *message) (attributes int, ok bool) {
	switch m {
	case &schema.span:
		return SpanAttributes, true
	case &schema.resource:
		return ResourceAttributes, true
	case &schema.scope:
		return ScopeAttributes, true
	}
	return 0, false
}

// dropped are the fields in which OTLP counts what is not there.
func dropped(m *message, of *field) int {
	switch {
	case m == &schema.span && of.num == SpanLinks:
		return SpanDroppedLinksCount
	case m == &schema.span:
		return SpanDroppedAttributesCount
	case m == &schema.resource:
		return ResourceDroppedAttributesCount
	case m == &schema.scope:
		return ScopeDroppedAttributesCount
	case m == &schema.event:
		return EventDroppedAttributesCount
	case m == &schema.link:
		return LinkDroppedAttributesCount
	}
	return 0
}

// message appends the body b of m to dst, mended. It gives up, with too much,
// when there is no room.
func (w *mender) message(dst []byte, m *message, b []byte, depth int) []byte {
	if m == &schema.array || m == &schema.kvlist {
		depth++
	}
	base := len(dst)
	var seen, missing, counted [SpanFlags + 1]int
	for i := 0; i < len(b) && len(dst)-base <= w.room; {
		tag, next := readTag(b, i)
		end := skip(b, next, tag)
		framed := b[i:end]
		i = end
		f := m.lookup(tag)
		if f == nil {
			dst = append(dst, framed...)
			continue
		}
		if f.kind.wire() != wireBytes {
			if f.kind == kindUint32 {
				n, _ := readVarint(b, next)
				counted[f.num] = int(uint32(n))
			}
			dst = append(dst, framed...)
			continue
		}
		start, _ := readBytes(b, next)
		var keep bool
		if dst, keep = w.field(dst, f, b[start:end], seen[f.num], depth); !keep {
			missing[dropped(m, f)]++
		}
		seen[f.num]++
	}
	for num, n := range missing {
		if num > 0 && n > 0 { // the last of a field that occurs twice is what counts
			dst = protowire.AppendTag(dst, protowire.Number(num), protowire.VarintType)
			dst = protowire.AppendVarint(dst, uint64(uint32(counted[num]+n)))
		}
	}
	if attributes, ok := carriers(m); ok {
		dst = w.mark(dst, attributes)
	}
	return dst
}

// field appends a length-delimited field; false says that it was left out.
func (w *mender) field(dst []byte, f *field, v []byte, index, depth int) ([]byte, bool) {
	switch {
	case f.kind == kindString && !text(v):
		w.mends |= 1 << TextReplaced
		v = bytes.ToValidUTF8(v, []byte("\uFFFD"))
	case f.msg == &schema.keyValue:
		if w.lim.beyond(v, index) {
			w.mends |= 1 << AttributesDropped
			return dst, false
		}
		return w.attribute(dst, f, v, depth), true
	case f.msg == &schema.array || f.msg == &schema.kvlist:
		if depth >= MaxDepth {
			w.mends |= 1 << NestingCut
			return dst, false
		}
		return w.nested(dst, f, v, depth), true
	case f.msg == &schema.link && !goodLink(v):
		w.mends |= 1 << LinkDropped
		return dst, false
	case f.kind == kindMessage:
		return w.nested(dst, f, v, depth), true
	}
	return append(appendFrame(dst, f.num, len(v)), v...), true
}

func (w *mender) nested(dst []byte, f *field, v []byte, depth int) []byte {
	body := w.message(nil, f.msg, v, depth)
	return append(appendFrame(dst, f.num, len(body)), body...)
}

// attribute appends a KeyValue, cut when it is too large. It is cut before it
// is looked into, so that a huge one of many levels is not copied for each; and
// again when replacing text has made it grow.
func (w *mender) attribute(dst []byte, f *field, kv []byte, depth int) []byte {
	was := len(kv)
	if was <= w.most && plainAttribute(kv) {
		return append(appendFrame(dst, f.num, was), kv...)
	}
	kv = w.message(nil, &schema.keyValue, cutAttribute(kv, w.most), depth)
	kv = cutAttribute(kv, w.most)
	if was > w.most {
		w.mends |= 1 << AttributeCut
		w.note(kv, was)
	}
	return append(appendFrame(dst, f.num, len(kv)), kv...)
}

// note remembers for the mark that an attribute was cut.
func (w *mender) note(kv []byte, was int) {
	if len(w.notes) == maxMarkNotes {
		w.more++
		return
	}
	w.notes = append(w.notes, fmt.Sprintf("attribute %s cut from %d to %d bytes", clipText(keyOf(kv), maxMarkName), was, len(kv)))
}

// mark appends the attribute that says what was mended, and forgets it.
func (w *mender) mark(dst []byte, attributes int) []byte {
	if w.mends == 0 {
		return dst
	}
	said := w.notes
	if w.more > 0 {
		said = append(said, fmt.Sprintf("%d more attributes cut", w.more))
	}
	for m, text := range [mendCount]string{
		TextReplaced:      "text that is not UTF-8 replaced",
		AttributesDropped: fmt.Sprintf("attributes beyond %d dropped", w.lim.MaxAttributes),
		NestingCut:        fmt.Sprintf("values nested deeper than %d dropped", MaxDepth),
		LinkDropped:       "links without valid ids dropped",
	} {
		if text != "" && w.mends>>m&1 == 1 {
			said = append(said, text)
		}
	}
	w.told |= w.mends
	w.mends, w.notes, w.more = 0, nil, 0
	text := strings.Join(said, "; ")
	kv := appendText(nil, KeyValueKey, MarkMended)
	value := appendText(nil, AnyValueString, text)
	kv = append(appendFrame(kv, KeyValueValue, len(value)), value...)
	return append(appendFrame(dst, attributes, len(kv)), kv...)
}

func appendText[T ~string | ~[]byte](dst []byte, field int, text T) []byte {
	return append(appendFrame(dst, field, len(text)), text...)
}

// fit mends the body b of m so that it takes at most room bytes: attributes are
// cut harder until it does. It returns false when no cut is enough.
func (c *checker) fit(m *message, b []byte, room int) (out []byte, mends uint8, ok bool) {
	for most := int(c.lim.MaxAttributeBytes); ; most = max(most/4, minAttribute) {
		w := mender{lim: c.lim, most: most, room: room}
		if out = w.message(nil, m, b, 0); len(out) <= room {
			return slices.Clip(out), w.mends | w.told, true
		}
		if most <= minAttribute {
			return nil, 0, false
		}
	}
}

// minAttribute is where cutting ends: a span of which this little is left of
// each attribute and that is still too large is no span anybody could use.
const minAttribute = 256
