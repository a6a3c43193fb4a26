// Package plain writes what is in a span for people and for JSON: kinds by their
// names, values of attributes as text. It is the one home of these words.
package plain

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"math"
	"strconv"
	"strings"

	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
)

// Kinds are the names of the kinds of spans, in the order of their numbers.
var Kinds = []string{"unspecified", "internal", "server", "client", "producer", "consumer"}

// Kind is the name of a kind, "" for one that says nothing.
func Kind(k tracepb.Span_SpanKind) string {
	if k <= tracepb.Span_SPAN_KIND_UNSPECIFIED || int(k) >= len(Kinds) {
		return ""
	}
	return Kinds[k]
}

// Float is a number JSON can carry; NaN and the infinities, which it can
// not, become their names.
func Float(f float64) any {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return strconv.FormatFloat(f, 'g', -1, 64)
	}
	return f
}

// Text is an attribute's value as text: itself when it is text, else as JSON.
func Text(v *commonpb.AnyValue) string {
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
	if err := enc.Encode(Value(v)); err != nil {
		return ""
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// Value is an attribute's value as encoding/json wants it.
func Value(v *commonpb.AnyValue) any {
	switch x := v.GetValue().(type) {
	case *commonpb.AnyValue_StringValue:
		return x.StringValue
	case *commonpb.AnyValue_BoolValue:
		return x.BoolValue
	case *commonpb.AnyValue_IntValue:
		return x.IntValue
	case *commonpb.AnyValue_DoubleValue:
		return Float(x.DoubleValue)
	case *commonpb.AnyValue_BytesValue:
		return append([]byte{}, x.BytesValue...)
	case *commonpb.AnyValue_ArrayValue:
		list := make([]any, 0, len(x.ArrayValue.GetValues()))
		for _, e := range x.ArrayValue.GetValues() {
			list = append(list, Value(e))
		}
		return list
	case *commonpb.AnyValue_KvlistValue:
		m := make(map[string]any, len(x.KvlistValue.GetValues()))
		for _, kv := range x.KvlistValue.GetValues() {
			m[kv.GetKey()] = Value(kv.GetValue())
		}
		return m
	}
	return nil
}
