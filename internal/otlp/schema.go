package otlp

// kind is how a field's value looks on the wire and in JSON.
type kind uint8

const (
	kindString kind = iota
	kindBytes       // base64 in JSON
	kindID          // hex in JSON
	kindMessage
	kindBool
	kindInt64  // string or number in JSON
	kindInt32  // also enums: OTLP/JSON has them as integers only
	kindUint32 // varint
	kindFixed64
	kindFixed32
	kindDouble
)

// wire is the wire type of a kind.
func (k kind) wire() uint64 {
	switch k {
	case kindString, kindBytes, kindID, kindMessage:
		return wireBytes
	case kindFixed64, kindDouble:
		return wireFixed64
	case kindFixed32:
		return wireFixed32
	default:
		return wireVarint
	}
}

// field describes one field of a message.
type field struct {
	num      int
	name     string // snake_case, as messages to people name it
	json     string // lowerCamelCase
	kind     kind
	repeated bool
	oneof    bool // written although zero
	msg      *message
}

// message describes a message; fields are found by number and by JSON name.
type message struct {
	fields []field
	byNum  [SpanFlags + 1]*field
}

func (m *message) add(fields ...field) {
	m.fields = fields
	for i := range fields {
		f := &fields[i]
		f.name = snake(f.json)
		m.byNum[f.num] = f
	}
}

// lookup is the field of a tag, or nil if the tag is unknown or of another
// wire type than the field's, which protobuf treats as unknown too.
func (m *message) lookup(tag uint64) *field {
	num := tag >> 3
	if num >= uint64(len(m.byNum)) {
		return nil
	}
	f := m.byNum[num]
	if f == nil || f.kind.wire() != tag&7 {
		return nil
	}
	return f
}

// named is the field of a JSON key, or nil. There are so few that looking at
// each is quicker than a map.
func (m *message) named(key []byte) *field {
	for i := range m.fields {
		if f := &m.fields[i]; f.json == string(key) {
			return f
		}
	}
	return nil
}

// snake turns lowerCamelCase into snake_case.
func snake(s string) string {
	out := make([]byte, 0, len(s)+4)
	for i := range len(s) {
		if c := s[i]; c >= 'A' && c <= 'Z' {
			out = append(out, '_', c+'a'-'A')
		} else {
			out = append(out, c)
		}
	}
	return string(out)
}

// tree is the whole of ExportTraceServiceRequest.
type tree struct {
	request, resourceSpans, resource, entityRef, scopeSpans, scope message
	span, event, link, status, keyValue, anyValue, array, kvlist   message
}

// schema is read only.
var schema = newTree()

func newTree() *tree {
	t := &tree{}
	t.addEnvelope()
	t.addSpan()
	t.addValues()
	return t
}

func (t *tree) addEnvelope() {
	t.request.add(
		field{num: RequestResourceSpans, json: "resourceSpans", kind: kindMessage, repeated: true, msg: &t.resourceSpans},
	)
	t.resourceSpans.add(
		field{num: ResourceSpansResource, json: "resource", kind: kindMessage, msg: &t.resource},
		field{num: ResourceSpansScopeSpans, json: "scopeSpans", kind: kindMessage, repeated: true, msg: &t.scopeSpans},
		field{num: ResourceSpansSchemaURL, json: "schemaUrl"},
	)
	t.resource.add(
		field{num: ResourceAttributes, json: "attributes", kind: kindMessage, repeated: true, msg: &t.keyValue},
		field{num: ResourceDroppedAttributesCount, json: "droppedAttributesCount", kind: kindUint32},
		field{num: ResourceEntityRefs, json: "entityRefs", kind: kindMessage, repeated: true, msg: &t.entityRef},
	)
	t.entityRef.add(
		field{num: EntityRefSchemaURL, json: "schemaUrl"},
		field{num: EntityRefType, json: "type"},
		field{num: EntityRefIDKeys, json: "idKeys", repeated: true},
		field{num: EntityRefDescriptionKeys, json: "descriptionKeys", repeated: true},
	)
	t.scopeSpans.add(
		field{num: ScopeSpansScope, json: "scope", kind: kindMessage, msg: &t.scope},
		field{num: ScopeSpansSpans, json: "spans", kind: kindMessage, repeated: true, msg: &t.span},
		field{num: ScopeSpansSchemaURL, json: "schemaUrl"},
	)
	t.scope.add(
		field{num: ScopeName, json: "name"},
		field{num: ScopeVersion, json: "version"},
		field{num: ScopeAttributes, json: "attributes", kind: kindMessage, repeated: true, msg: &t.keyValue},
		field{num: ScopeDroppedAttributesCount, json: "droppedAttributesCount", kind: kindUint32},
	)
}

func (t *tree) addSpan() {
	t.span.add(
		field{num: SpanTraceID, json: "traceId", kind: kindID},
		field{num: SpanSpanID, json: "spanId", kind: kindID},
		field{num: SpanTraceState, json: "traceState"},
		field{num: SpanParentSpanID, json: "parentSpanId", kind: kindID},
		field{num: SpanName, json: "name"},
		field{num: SpanKind, json: "kind", kind: kindInt32},
		field{num: SpanStartTimeUnixNano, json: "startTimeUnixNano", kind: kindFixed64},
		field{num: SpanEndTimeUnixNano, json: "endTimeUnixNano", kind: kindFixed64},
		field{num: SpanAttributes, json: "attributes", kind: kindMessage, repeated: true, msg: &t.keyValue},
		field{num: SpanDroppedAttributesCount, json: "droppedAttributesCount", kind: kindUint32},
		field{num: SpanEvents, json: "events", kind: kindMessage, repeated: true, msg: &t.event},
		field{num: SpanDroppedEventsCount, json: "droppedEventsCount", kind: kindUint32},
		field{num: SpanLinks, json: "links", kind: kindMessage, repeated: true, msg: &t.link},
		field{num: SpanDroppedLinksCount, json: "droppedLinksCount", kind: kindUint32},
		field{num: SpanStatus, json: "status", kind: kindMessage, msg: &t.status},
		field{num: SpanFlags, json: "flags", kind: kindFixed32},
	)
	t.status.add(
		field{num: StatusMessage, json: "message"},
		field{num: StatusCode, json: "code", kind: kindInt32},
	)
	t.event.add(
		field{num: EventTimeUnixNano, json: "timeUnixNano", kind: kindFixed64},
		field{num: EventName, json: "name"},
		field{num: EventAttributes, json: "attributes", kind: kindMessage, repeated: true, msg: &t.keyValue},
		field{num: EventDroppedAttributesCount, json: "droppedAttributesCount", kind: kindUint32},
	)
	t.link.add(
		field{num: LinkTraceID, json: "traceId", kind: kindID},
		field{num: LinkSpanID, json: "spanId", kind: kindID},
		field{num: LinkTraceState, json: "traceState"},
		field{num: LinkAttributes, json: "attributes", kind: kindMessage, repeated: true, msg: &t.keyValue},
		field{num: LinkDroppedAttributesCount, json: "droppedAttributesCount", kind: kindUint32},
		field{num: LinkFlags, json: "flags", kind: kindFixed32},
	)
}

func (t *tree) addValues() {
	t.keyValue.add(
		field{num: KeyValueKey, json: "key"},
		field{num: KeyValueValue, json: "value", kind: kindMessage, msg: &t.anyValue},
		field{num: KeyValueKeyStrindex, json: "keyStrindex", kind: kindInt32},
	)
	t.anyValue.add(
		field{num: AnyValueString, json: "stringValue", oneof: true},
		field{num: AnyValueBool, json: "boolValue", kind: kindBool, oneof: true},
		field{num: AnyValueInt, json: "intValue", kind: kindInt64, oneof: true},
		field{num: AnyValueDouble, json: "doubleValue", kind: kindDouble, oneof: true},
		field{num: AnyValueArray, json: "arrayValue", kind: kindMessage, oneof: true, msg: &t.array},
		field{num: AnyValueKvlist, json: "kvlistValue", kind: kindMessage, oneof: true, msg: &t.kvlist},
		field{num: AnyValueBytes, json: "bytesValue", kind: kindBytes, oneof: true},
		field{num: AnyValueStringStrindex, json: "stringValueStrindex", kind: kindInt32, oneof: true},
	)
	t.array.add(
		field{num: ArrayValueValues, json: "values", kind: kindMessage, repeated: true, msg: &t.anyValue},
	)
	t.kvlist.add(
		field{num: KeyValueListValues, json: "values", kind: kindMessage, repeated: true, msg: &t.keyValue},
	)
}
