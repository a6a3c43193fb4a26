package sdk

import (
	"maps"
	"sync"
	"sync/atomic"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"
)

// SpanOption says something about one span: a value, and no function, so that what
// is said of a span that nobody records costs nothing.
type SpanOption struct {
	is  spanOption
	n   int
	kv  attribute.KeyValue
	any any
}

type spanOption uint8

// Up to isBaggage they are attributes, among other things.
const (
	isAttribute spanOption = iota + 1
	isTag
	isTraceTag
	isBaggage
	isKind
	isLink
	isInput
	isLimit
	isRedaction
	isRoot
	isProvider
	isLast
	isJoined
)

// attribute is what the option puts on the span.
func (o *SpanOption) attribute() attribute.KeyValue {
	switch o.is {
	case isTag, isTraceTag:
		return attribute.KeyValue{Key: tagKey(o.kv.Key), Value: o.kv.Value}
	case isBaggage:
		return attribute.KeyValue{Key: AttrBaggage + o.kv.Key, Value: o.kv.Value}
	default:
		return o.kv
	}
}

// maxTagKeys bounds the keys that are remembered; programs have few.
const maxTagKeys = 256

var tagKeys struct {
	sync.Mutex
	known atomic.Pointer[map[attribute.Key]attribute.Key]
}

// tagKey is the key of a tag as an attribute's, made once.
func tagKey(key attribute.Key) attribute.Key {
	known := tagKeys.known.Load()
	if known != nil {
		if made, ok := (*known)[key]; ok {
			return made
		}
	}
	made := AttrTag + key
	if known != nil && len(*known) >= maxTagKeys {
		return made
	}
	tagKeys.Lock()
	defer tagKeys.Unlock()
	more := map[attribute.Key]attribute.Key{key: made}
	if known = tagKeys.known.Load(); known != nil {
		maps.Copy(more, *known)
	}
	tagKeys.known.Store(&more)
	return made
}

// Names of what the helpers put on spans. All of it can be searched for.
const (
	// AttrTag is before the key of a tag.
	AttrTag = "driftmesh.tag."
	// AttrLabel is the label of a span: one word by which like spans are found.
	AttrLabel = "driftmesh.label"
	// AttrInput and AttrOutput are what went in and came out, as JSON.
	AttrInput  = "driftmesh.input"
	AttrOutput = "driftmesh.output"
	// AttrTruncated, behind one of these, says that it was cut.
	AttrTruncated = ".truncated"
	// AttrBaggage is before the key of a member of the baggage.
	AttrBaggage = "baggage."
	// AttrCanceled says why the context of the work had ended before it did:
	// "canceled" or "deadline exceeded"; AttrCancelCause is the cause that was given.
	AttrCanceled    = "driftmesh.canceled"
	AttrCancelCause = "driftmesh.cancel.cause"
	// AttrItems is how many items a stream had; AttrComplete is false when its
	// reader left before the end.
	AttrItems    = "driftmesh.stream.items"
	AttrComplete = "driftmesh.stream.complete"
	// AttrErrors is the tree of an error, as JSON: what it wraps and joins.
	AttrErrors = "driftmesh.error.tree"
	// AttrPayload is the payload of an event, as JSON.
	AttrPayload = "driftmesh.payload"
	// AttrProfile and AttrRecord, on an event, name a record that was inserted; see
	// EventInsert.
	AttrProfile = "driftmesh.profile"
	AttrRecord  = "driftmesh.record"
)

// Names of the events of the helpers.
const (
	// EventException is OpenTelemetry's event of an error or a panic.
	EventException = "exception"
	// EventInsert is a record inserted by a span's Insert.
	EventInsert = "driftmesh.record.inserted"
	// EventFirstItem is the first item of a stream.
	EventFirstItem = "driftmesh.stream.first_item"
)

// Tag names what the work is about, such as a customer or a model: an attribute of
// its own kind, driftmesh.tag.KEY, by which traces are looked for.
func Tag(key, value string) SpanOption {
	return SpanOption{is: isTag, kv: attribute.String(key, value)}
}

// TraceTag is a tag that all spans below have as well, those of other services
// included: it travels in the baggage. Spans get it where the client's provider
// makes them, or one with the processor [TraceTags].
func TraceTag(key, value string) SpanOption {
	return SpanOption{is: isTraceTag, kv: attribute.String(key, value)}
}

// Label gives the span a label, such as the variant of a model.
func Label(label string) SpanOption {
	return SpanOption{is: isAttribute, kv: attribute.KeyValue{Key: AttrLabel, Value: attribute.StringValue(label)}}
}

// Attr adds an attribute of OpenTelemetry: Attr(attribute.Int("rows", n)).
func Attr(kv attribute.KeyValue) SpanOption { return SpanOption{is: isAttribute, kv: kv} }

// Baggage puts a member into the baggage, which goes along to all that is called,
// and an attribute baggage.KEY on this span.
func Baggage(key, value string) SpanOption {
	return SpanOption{is: isBaggage, kv: attribute.String(key, value)}
}

// Kind says what kind of span it is; without it it is internal.
func Kind(kind trace.SpanKind) SpanOption { return SpanOption{is: isKind, n: int(kind)} }

// Link points to a span of another trace, such as that of a message in a batch.
func Link(to trace.SpanContext, attributes ...attribute.KeyValue) SpanOption {
	return SpanOption{is: isLink, any: trace.Link{SpanContext: to, Attributes: attributes}}
}

// Input captures what goes into the work. It is encoded at once, and only where the
// span is recorded.
func Input(value any) SpanOption { return SpanOption{is: isInput, any: value} }

// CaptureLimit cuts each thing captured for this span after so many characters.
func CaptureLimit(characters int) SpanOption { return SpanOption{is: isLimit, n: characters} }

// NoCapture captures nothing for this span, whatever else is said.
func NoCapture() SpanOption { return SpanOption{is: isLimit, n: 0} }

// Redact lets f see what is captured for this span, after the redaction that the
// client was given; see [Redaction].
func Redact(f Redaction) SpanOption { return SpanOption{is: isRedaction, any: f} }

// NewRoot begins a trace of its own, with a link to the span that was current.
func NewRoot() SpanOption { return SpanOption{is: isRoot} }

// InProvider makes the span with a provider of one's own, instead of that of the
// default client, see [Init], or OpenTelemetry's global one.
func InProvider(p trace.TracerProvider) SpanOption { return SpanOption{is: isProvider, any: p} }

// CaptureLast captures the last item of a stream as the output.
func CaptureLast() SpanOption { return SpanOption{is: isLast} }

// CaptureJoined captures all items of a stream as the output: texts one behind the
// other, other items as a list, up to the limit.
func CaptureJoined() SpanOption { return SpanOption{is: isJoined} }
