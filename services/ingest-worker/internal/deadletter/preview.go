package deadletter

import (
	"encoding/json"
	"fmt"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/driftmesh/driftmesh/internal/event"
	"github.com/driftmesh/driftmesh/internal/otlp"
	eventv1 "github.com/driftmesh/driftmesh/proto/driftmesh/event/v1"
)

// Bounds of a preview: it is for people. JSON of a protobuf may be ten times as
// large as that.
const (
	maxPreview = 256 << 10 // bytes of a value that is shown whole
	maxRecords = 100       // shown of a larger batch
)

// preview is a value as JSON, as far as it can be decoded and is not too large;
// the note says what is wrong with it.
func preview(kind, topic string, value []byte) (text, note string) {
	switch kind {
	case event.TypeRecords:
		return recordsPreview(value)
	case event.TypeTraces:
		if len(value) > maxPreview {
			return "", tooLarge(value)
		}
		raw, err := otlp.ToJSON(value)
		if err != nil {
			return "", undecodable(kind, err)
		}
		return string(raw), ""
	case event.TypeTracesJSON, event.TypeScouter:
		switch {
		case len(value) > maxPreview:
			return "", tooLarge(value)
		case !json.Valid(value) || !utf8.Valid(value):
			return "", undecodable(kind, errNoJSON)
		}
		return string(value), ""
	case event.TypeWindows:
		return protoPreview(kind, value, new(eventv1.WindowsTouched))
	case event.TypeAlert:
		return protoPreview(kind, value, new(eventv1.AlertEvent))
	case "":
		return byTopic(topic, value)
	}
	return "", fmt.Sprintf("nothing is known of values of type %q", kind)
}

// byTopic takes a value without a type for the usual one of its topic. The topic
// inbox takes OTLP in both forms.
func byTopic(topic string, value []byte) (text, note string) {
	t, ok := event.Lookup(topic)
	if !ok {
		return "", "the message does not say what its value is"
	}
	kind := t.Values[0].Type
	if topic == event.Inbox && json.Valid(value) {
		kind = event.TypeTracesJSON
	}
	return preview(kind, "", value)
}

func recordsPreview(value []byte) (text, note string) {
	var batch eventv1.RecordBatch
	if err := proto.Unmarshal(value, &batch); err != nil {
		return "", undecodable(event.TypeRecords, err)
	}
	if all := len(batch.GetRecords()); all > maxRecords && len(value) > maxPreview {
		batch.Records = batch.Records[:maxRecords]
		note = fmt.Sprintf("the first %d of %d records", maxRecords, all)
	}
	if proto.Size(&batch) > maxPreview {
		return "", tooLarge(value)
	}
	text, failed := toJSON(event.TypeRecords, &batch)
	if failed != "" {
		note = failed
	}
	return text, note
}

func protoPreview(kind string, value []byte, m proto.Message) (text, note string) {
	if len(value) > maxPreview {
		return "", tooLarge(value)
	}
	if err := proto.Unmarshal(value, m); err != nil {
		return "", undecodable(kind, err)
	}
	return toJSON(kind, m)
}

func toJSON(kind string, m proto.Message) (text, note string) {
	raw, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(m)
	if err != nil {
		return "", undecodable(kind, err)
	}
	return string(raw), ""
}

// errNoJSON is of what should be JSON.
var errNoJSON = fmt.Errorf("it is not JSON")

func tooLarge(value []byte) string {
	return fmt.Sprintf("the value has %d bytes, too many for a preview", len(value))
}

func undecodable(kind string, err error) string {
	return fmt.Sprintf("the value is not %s: %s", kind, clean(err.Error()))
}

// clean makes an error's text fit for a string field: a library may quote the
// value.
func clean(text string) string {
	const most = 512
	if len(text) > most {
		text = text[:most]
	}
	out := make([]rune, 0, len(text))
	for _, r := range text {
		if r < ' ' || r == utf8.RuneError {
			r = ' '
		}
		out = append(out, r)
	}
	return string(out)
}
