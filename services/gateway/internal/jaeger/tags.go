package jaeger

import (
	"strconv"

	commonpb "go.opentelemetry.io/proto/otlp/common/v1"

	"github.com/driftmesh/driftmesh/internal/plain"
)

// Whole numbers beyond these lose digits in JavaScript; Jaeger sends them as
// text, with the type unchanged.
const (
	maxSafe = int64(1)<<53 - 1
	minSafe = -maxSafe
)

func appendTags(dst []jsonTag, attrs []*commonpb.KeyValue) []jsonTag {
	for _, kv := range attrs {
		dst = append(dst, tagOf(kv))
	}
	return dst
}

func tagOf(kv *commonpb.KeyValue) jsonTag {
	t := jsonTag{Key: kv.GetKey(), Type: typeString, Value: ""}
	switch v := kv.GetValue().GetValue().(type) {
	case *commonpb.AnyValue_StringValue:
		t.Value = v.StringValue
	case *commonpb.AnyValue_BoolValue:
		t.Type, t.Value = typeBool, v.BoolValue
	case *commonpb.AnyValue_IntValue:
		t.Type, t.Value = typeInt64, v.IntValue
		if v.IntValue > maxSafe || v.IntValue < minSafe {
			t.Value = strconv.FormatInt(v.IntValue, 10)
		}
	case *commonpb.AnyValue_DoubleValue:
		t.Type, t.Value = typeFloat64, plain.Float(v.DoubleValue)
	case *commonpb.AnyValue_BytesValue:
		t.Type, t.Value = typeBinary, append([]byte{}, v.BytesValue...)
	case *commonpb.AnyValue_ArrayValue, *commonpb.AnyValue_KvlistValue:
		t.Value = plain.Text(kv.GetValue())
	}
	return t
}

func textTag(key, value string) jsonTag { return jsonTag{Key: key, Type: typeString, Value: value} }
