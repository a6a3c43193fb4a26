package admit

import (
	"bytes"
	"mime"

	"github.com/driftmesh/driftmesh/internal/broker"
	"github.com/driftmesh/driftmesh/internal/event"
	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/internal/scouter"
)

// TypeOf is what the value of a message is: one of the types that the topic
// takes. It is what the header driftmesh-type says; without it the content type
// tells JSON from protobuf, and without that the value's first byte does, as
// plain exporters of OTLP send no headers. It gives fault.Unsupported for a type
// that the topic does not take.
func TypeOf(m *broker.Message) (string, error) {
	switch said := m.Header(event.HeaderType); said {
	case event.TypeTraces, event.TypeTracesJSON, event.TypeRecords, event.TypeScouter:
		return said, nil
	case "":
	default:
		return "", fault.Unsupported.New("values of type %.100q are not taken: want %s, %s, %s or %s",
			said, event.TypeTraces, event.TypeTracesJSON, event.TypeRecords, event.TypeScouter)
	}
	if said := m.Header(event.HeaderContentType); said != "" {
		media, _, err := mime.ParseMediaType(said)
		if err == nil && media == "application/json" {
			return event.TypeTracesJSON, nil
		}
		return event.TypeTraces, nil
	}
	// No OTLP request in protobuf begins so: it would be field 15.
	if bytes.HasPrefix(bytes.TrimLeft(m.Value, " \t\r\n"), []byte("{")) {
		return event.TypeTracesJSON, nil
	}
	return event.TypeTraces, nil
}

// Items is how many spans or records a value holds, as far as that is told without
// asking anybody: a value that is not looked at counts as one.
func Items(valueType string, value []byte) int {
	if valueType != event.TypeScouter {
		return 1
	}
	m, err := scouter.Decode(value)
	if err != nil {
		return 1
	}
	return max(len(m.Records)+len(m.Refused), 1)
}

// SignalOf is what the ledger counts in a value of a type.
func SignalOf(valueType string) string {
	if valueType == event.TypeRecords || valueType == event.TypeScouter {
		return event.SignalRecords
	}
	return event.SignalSpans
}
