package jaeger

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"math"
	"strconv"
	"strings"

	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
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
		t.Type, t.Value = typeFloat64, plainFloat(v.DoubleValue)
	case *commonpb.AnyValue_BytesValue:
		t.Type, t.Value = typeBinary, append([]byte{}, v.BytesValue...)
	case *commonpb.AnyValue_ArrayValue, *commonpb.AnyValue_KvlistValue:
		t.Value = textOf(kv.GetValue())
	}
	return t
}

// plainFloat is a number JSON can carry; NaN and the infinities, which it can
// not, become their names.
func plainFloat(f float64) any {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return strconv.FormatFloat(f, 'g', -1, 64)
	}
	return f
}

func textTag(key, value string) jsonTag { return jsonTag{Key: key, Type: typeString, Value: value} }

// textOf is an attribute's value as text: itself when it is text, else as JSON.
func textOf(v *commonpb.AnyValue) string {
	switch x := v.GetValue().(type) {
	case nil:
		return ""
	case *commonpb.AnyValue_StringValue:
		return x.StringValue
	case *commonpb.AnyValue_BytesValue:
		return base64.StdEncoding.EncodeToString(x.BytesValue)
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(plain(v)); err != nil {
		return ""
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// plain is the value as encoding/json wants it.
func plain(v *commonpb.AnyValue) any {
	switch x := v.GetValue().(type) {
	case *commonpb.AnyValue_StringValue:
		return x.StringValue
	case *commonpb.AnyValue_BoolValue:
		return x.BoolValue
	case *commonpb.AnyValue_IntValue:
		return x.IntValue
	case *commonpb.AnyValue_DoubleValue:
		return plainFloat(x.DoubleValue)
	case *commonpb.AnyValue_BytesValue:
		return append([]byte{}, x.BytesValue...)
	case *commonpb.AnyValue_ArrayValue:
		list := make([]any, 0, len(x.ArrayValue.GetValues()))
		for _, e := range x.ArrayValue.GetValues() {
			list = append(list, plain(e))
		}
		return list
	case *commonpb.AnyValue_KvlistValue:
		m := make(map[string]any, len(x.KvlistValue.GetValues()))
		for _, kv := range x.KvlistValue.GetValues() {
			m[kv.GetKey()] = plain(kv.GetValue())
		}
		return m
	}
	return nil
}
