package jaeger

import "encoding/json"

// The JSON of Jaeger's own API, field for field.

type (
	jsonSpan struct {
		TraceID       string          `json:"traceID"`
		SpanID        string          `json:"spanID"`
		Flags         uint32          `json:"flags,omitempty"`
		OperationName string          `json:"operationName"`
		References    []jsonReference `json:"references"`
		StartTime     uint64          `json:"startTime"` // microseconds since 1970
		Duration      uint64          `json:"duration"`  // microseconds
		Tags          []jsonTag       `json:"tags"`
		Logs          []jsonLog       `json:"logs"`
		ProcessID     string          `json:"processID,omitempty"`
		Warnings      []string        `json:"warnings"`
	}

	jsonReference struct {
		RefType string `json:"refType"`
		TraceID string `json:"traceID"`
		SpanID  string `json:"spanID"`
	}

	jsonProcess struct {
		ServiceName string    `json:"serviceName"`
		Tags        []jsonTag `json:"tags"`
	}

	jsonLog struct {
		Timestamp uint64    `json:"timestamp"`
		Fields    []jsonTag `json:"fields"`
	}

	jsonTag struct {
		Key   string `json:"key"`
		Type  string `json:"type,omitempty"`
		Value any    `json:"value"`
	}

	jsonOperation struct {
		Name     string `json:"name"`
		SpanKind string `json:"spanKind"`
	}

	jsonError struct {
		Code    int    `json:"code,omitempty"`
		Msg     string `json:"msg"`
		TraceID string `json:"traceID,omitempty"`
	}

	// envelope is what every answer of the legacy API is wrapped in.
	envelope struct {
		Data   any         `json:"data"`
		Total  int         `json:"total"`
		Limit  int         `json:"limit"`
		Offset int         `json:"offset"`
		Errors []jsonError `json:"errors"`
		More   bool        `json:"more,omitempty"` // ours: there are more than these
	}

	jsonDependency struct {
		Parent    string `json:"parent"`
		Child     string `json:"child"`
		CallCount uint64 `json:"callCount"`
	}
)

// Reference types.
const (
	childOf     = "CHILD_OF"
	followsFrom = "FOLLOWS_FROM"
)

// Types of tags.
const (
	typeString  = "string"
	typeBool    = "bool"
	typeInt64   = "int64"
	typeFloat64 = "float64"
	typeBinary  = "binary"
)

// processTable gives equal processes one key: p1, p2, … in order of first use.
type processTable struct {
	keys map[string]string // JSON of a process → its key
	list []json.RawMessage // list[i] is the JSON of p(i+1)
}

func newProcessTable() *processTable { return &processTable{keys: map[string]string{}} }
