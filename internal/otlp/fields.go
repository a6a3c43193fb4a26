package otlp

// Field numbers of ExportTraceServiceRequest and all it holds, named message
// then field, as opentelemetry-proto 1.11 has them.
const (
	RequestResourceSpans = 1

	ResourceSpansResource   = 1
	ResourceSpansScopeSpans = 2
	ResourceSpansSchemaURL  = 3

	ResourceAttributes             = 1
	ResourceDroppedAttributesCount = 2
	ResourceEntityRefs             = 3

	EntityRefSchemaURL       = 1
	EntityRefType            = 2
	EntityRefIDKeys          = 3
	EntityRefDescriptionKeys = 4

	ScopeSpansScope     = 1
	ScopeSpansSpans     = 2
	ScopeSpansSchemaURL = 3

	ScopeName                   = 1
	ScopeVersion                = 2
	ScopeAttributes             = 3
	ScopeDroppedAttributesCount = 4

	SpanTraceID                = 1
	SpanSpanID                 = 2
	SpanTraceState             = 3
	SpanParentSpanID           = 4
	SpanName                   = 5
	SpanKind                   = 6
	SpanStartTimeUnixNano      = 7
	SpanEndTimeUnixNano        = 8
	SpanAttributes             = 9
	SpanDroppedAttributesCount = 10
	SpanEvents                 = 11
	SpanDroppedEventsCount     = 12
	SpanLinks                  = 13
	SpanDroppedLinksCount      = 14
	SpanStatus                 = 15
	SpanFlags                  = 16

	StatusMessage = 2
	StatusCode    = 3

	EventTimeUnixNano           = 1
	EventName                   = 2
	EventAttributes             = 3
	EventDroppedAttributesCount = 4

	LinkTraceID                = 1
	LinkSpanID                 = 2
	LinkTraceState             = 3
	LinkAttributes             = 4
	LinkDroppedAttributesCount = 5
	LinkFlags                  = 6

	KeyValueKey         = 1
	KeyValueValue       = 2
	KeyValueKeyStrindex = 3

	AnyValueString         = 1
	AnyValueBool           = 2
	AnyValueInt            = 3
	AnyValueDouble         = 4
	AnyValueArray          = 5
	AnyValueKvlist         = 6
	AnyValueBytes          = 7
	AnyValueStringStrindex = 8

	ArrayValueValues   = 1
	KeyValueListValues = 1
)

// Lengths of the ids, in bytes.
const (
	TraceIDSize = 16
	SpanIDSize  = 8
)
