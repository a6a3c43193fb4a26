package otlp_test

import (
	"encoding/json"
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"
	collectorpb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/internal/otlp"
)

func wrap(span string) string {
	return `{"resourceSpans":[{"scopeSpans":[{"spans":[` + span + `]}]}]}`
}

func TestFromJSONRules(t *testing.T) {
	t.Parallel()
	b, err := otlp.FromJSON([]byte(` {"resourceSpans": [{
		"resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "caf\u00e9 \ud83d\ude00 \"\\\/\b\f\n\r\t \ud800"}}], "droppedAttributesCount": 3},
		"unknown": {"deep": [1, -2.5e+3, "x", null, true, {"y": []}]},
		"scopeSpans": [{"scope": {"name": "s", "version": null}, "spans": [{
			"traceId": "0AF7651916CD43DD8448EB211C80319C", "spanId": "b7ad6b7169203331", "parent_span_id": "ignored",
			"kind": 2, "startTimeUnixNano": 1789999999000000000, "endTimeUnixNano": "1789999999500000001",
			"status": {"code": 2}, "flags": 257,
			"attributes": [
				{"key": "s", "value": {"intValue": "-9223372036854775808"}}, {"key": "n", "value": {"intValue": 9223372036854775807}},
				{"key": "e", "value": {"intValue": 12e2}}, {"key": "g", "value": {"intValue": "-9.223372036854775808e+18"}}, {"key": "d", "value": {"doubleValue": 1}}, {"key": "q", "value": {"doubleValue": "1.5"}},
				{"key": "nan", "value": {"doubleValue": "NaN"}}, {"key": "inf", "value": {"doubleValue": "-Infinity"}},
				{"key": "f", "value": {"boolValue": false}}, {"key": "b", "value": {"bytesValue": "-_8"}},
				{"key": "a", "value": {"arrayValue": {"values": [{"stringValue": ""}, {}]}}},
				{"key": "m", "value": {"kvlistValue": {"values": [{"key": "k", "value": {"boolValue": true}}]}}}
			]}]}]}]} `))
	require.NoError(t, err)
	rs := decode(t, b).ResourceSpans[0]
	require.Equal(t, "café 😀 \"\\/\b\f\n\r\t \ufffd", rs.Resource.Attributes[0].Value.GetStringValue())
	require.Equal(t, uint32(3), rs.Resource.DroppedAttributesCount)
	span := rs.ScopeSpans[0].Spans[0]
	require.Equal(t, []byte{0x0a, 0xf7, 0x65, 0x19, 0x16, 0xcd, 0x43, 0xdd, 0x84, 0x48, 0xeb, 0x21, 0x1c, 0x80, 0x31, 0x9c}, span.TraceId)
	require.Len(t, span.SpanId, 8)
	require.Empty(t, span.ParentSpanId, "snake_case keys are unknown")
	require.EqualValues(t, 2, span.Kind)
	require.EqualValues(t, 1789999999000000000, span.StartTimeUnixNano)
	require.EqualValues(t, 1789999999500000001, span.EndTimeUnixNano)
	require.EqualValues(t, 2, span.Status.Code)
	require.EqualValues(t, 257, span.Flags)
	value := func(i int) *commonpb.AnyValue { return span.Attributes[i].Value }
	require.Equal(t, int64(math.MinInt64), value(0).GetIntValue())
	require.Equal(t, int64(math.MaxInt64), value(1).GetIntValue())
	require.Equal(t, int64(1200), value(2).GetIntValue())
	require.Equal(t, int64(math.MinInt64), value(3).GetIntValue())
	require.InDelta(t, 1.0, value(4).GetDoubleValue(), 0)
	require.InDelta(t, 1.5, value(5).GetDoubleValue(), 0)
	require.True(t, math.IsNaN(value(6).GetDoubleValue()))
	require.True(t, math.IsInf(value(7).GetDoubleValue(), -1))
	require.IsType(t, &commonpb.AnyValue_BoolValue{}, value(8).Value)
	require.Equal(t, []byte{0xfb, 0xff}, value(9).GetBytesValue())
	require.Len(t, value(10).GetArrayValue().Values, 2)
	require.True(t, value(11).GetKvlistValue().Values[0].Value.GetBoolValue())
	rep, err := otlp.Scan(b, otlp.Limits{})
	require.NoError(t, err)
	require.Zero(t, rep.Rejected, rep.Message())
}

func TestFromJSONErrorsNameTheField(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ in, want string }{
		{"", "ends where an object should be"},
		{"[]", "is not valid JSON at byte 0: want an object"},
		{"{}x", "is not valid JSON at byte 2: want the end"},
		{"{}\x00", "is not valid JSON at byte 2: want the end"},
		{`{"resourceSpans":{}}`, "resourceSpans: is not valid JSON at byte 17: want an array"},
		{`{"resourceSpans":[null]}`, "resourceSpans[0]: is not valid JSON at byte 18: want an object"},
		{wrap(`{"traceId":"xyz"}`), "spans[0].traceId: must be hex, has an odd number of digits"},
		{wrap(`{},{"traceId":"zz"}`), "resourceSpans[0].scopeSpans[0].spans[1].traceId: must be hex"},
		{wrap(`{"traceId":12}`), "spans[0].traceId: is not valid JSON"},
		{wrap(`{"kind":"SPAN_KIND_SERVER"}`), "spans[0].kind: must be an integer, is a string"},
		{wrap(`{"kind":1.5}`), "spans[0].kind: must be an integer"},
		{wrap(`{"kind":4294967296}`), "spans[0].kind: must be an integer from -2147483648 to 2147483647"},
		{wrap(`{"flags":-1}`), "spans[0].flags: must be an integer from 0 to 4294967295"},
		{wrap(`{"startTimeUnixNano":"18446744073709551616"}`), "spans[0].startTimeUnixNano: must be an integer from 0"},
		{wrap(`{"startTimeUnixNano":"soon"}`), "spans[0].startTimeUnixNano: must be an integer"},
		{wrap(`{"startTimeUnixNano":1e400}`), "spans[0].startTimeUnixNano: must be an integer"},
		{wrap(`{"startTimeUnixNano":1e1000000000}`), "spans[0].startTimeUnixNano: must be an integer"},
		{wrap(`{"startTimeUnixNano":"0x10"}`), "spans[0].startTimeUnixNano: must be an integer"},
		{wrap(`{"startTimeUnixNano":"1_0.0"}`), "spans[0].startTimeUnixNano: must be an integer"},
		{wrap(`{"startTimeUnixNano":1.00000000000000000000000000000000000001}`), "spans[0].startTimeUnixNano: must be an integer"},
		{wrap(`{"startTimeUnixNano":1` + strings.Repeat("0", 1_000_000) + `}`), "spans[0].startTimeUnixNano: must be an integer"},
		{wrap(`{"attributes":[{"key":"k"},{"value":{"boolValue":1}}]}`), "attributes[1].value.boolValue: must be true or false"},
		{wrap(`{"attributes":[{"value":{"doubleValue":"nan"}}]}`), "attributes[0].value.doubleValue: must be a number"},
		{wrap(`{"attributes":[{"value":{"doubleValue":"0x1p4"}}]}`), "attributes[0].value.doubleValue: must be a number"},
		{wrap(`{"attributes":[{"value":{"doubleValue":"+1"}}]}`), "attributes[0].value.doubleValue: must be a number"},
		{wrap(`{"attributes":[{"value":{"doubleValue":1e999}}]}`), "attributes[0].value.doubleValue: must be a number"},
		{wrap(`{"attributes":[{"value":{"bytesValue":"*"}}]}`), "attributes[0].value.bytesValue: must be base64"},
		{wrap(`{"events":[{"name":7}]}`), "events[0].name: is not valid JSON"},
		{wrap(`{"name":"\x"}`), "spans[0].name: is not valid JSON"},
		{wrap(`{"name":"` + "\x01" + `"}`), "spans[0].name: is not valid JSON"},
		{wrap(`{"name":"x"`), "is not valid JSON"},
		{wrap(`{"name":"x`)[:59], "spans[0].name: ends where"},
		{wrap(`{"other":01}`), "is not valid JSON"},
		{`{"a":` + strings.Repeat("[", 1_000_000), "is nested more than 256 deep"},
		{wrap(`{"attributes":[{"value":` + strings.Repeat(`{"arrayValue":{"values":[`, 10_000)), "is nested more than 256 deep"},
	} {
		_, err := otlp.FromJSON([]byte(tc.in))
		require.Error(t, err, "%.100s", tc.in)
		require.ErrorIs(t, err, fault.Invalid)
		require.Contains(t, err.Error(), tc.want)
		_, ok := errors.AsType[*otlp.MalformedError](err)
		require.True(t, ok)
	}
}

// TestJSONWrongIDsAreOneSpansProblem: neighbours of a span whose ids have the
// wrong length must survive in JSON as they do in protobuf.
func TestJSONWrongIDsAreOneSpansProblem(t *testing.T) {
	t.Parallel()
	good, err := otlp.ToJSON(encode(t, sample(4)))
	require.NoError(t, err)
	spoilt := strings.Replace(string(good), `"traceId":"`, `"traceId":"ab`, 1)
	b, err := otlp.FromJSON([]byte(spoilt))
	require.NoError(t, err)
	rep, err := otlp.Scan(b, otlp.Limits{})
	require.NoError(t, err)
	require.Equal(t, 1, rep.Rejected)
	require.Contains(t, rep.Message(), "trace_id: must be 16 bytes, is 17")
}

func TestJSONThereAndBack(t *testing.T) {
	t.Parallel()
	for name, req := range map[string]*collectorpb.ExportTraceServiceRequest{"sample": sample(40), "rich": rich(), "empty": {}} {
		t.Run(name, func(t *testing.T) {
			text, err := otlp.ToJSON(encode(t, req))
			require.NoError(t, err)
			require.True(t, json.Valid(text))
			back, err := otlp.FromJSON(text)
			require.NoError(t, err)
			require.True(t, proto.Equal(req, decode(t, back)))
		})
	}
}

// TestJSONAgreesWithTheCollector reads what the Collector writes and the other
// way round.
func TestJSONAgreesWithTheCollector(t *testing.T) {
	t.Parallel()
	req := sample(40)
	theirs := ptraceotlp.NewExportRequest()
	require.NoError(t, theirs.UnmarshalProto(encode(t, req)))
	text, err := theirs.MarshalJSON()
	require.NoError(t, err)
	b, err := otlp.FromJSON(text)
	require.NoError(t, err)
	require.True(t, proto.Equal(req, decode(t, b)))

	ours, err := otlp.ToJSON(encode(t, rich()))
	require.NoError(t, err)
	theirs = ptraceotlp.NewExportRequest()
	require.NoError(t, theirs.UnmarshalJSON(ours))
	b, err = theirs.MarshalProto()
	require.NoError(t, err)
	back := decode(t, b)
	require.Len(t, flat(back), len(flat(rich())))
	require.True(t, proto.Equal(rich().ResourceSpans[0].ScopeSpans[0].Spans[0].Events[0], back.ResourceSpans[0].ScopeSpans[0].Spans[0].Events[0]))
}

func TestValueJSON(t *testing.T) {
	t.Parallel()
	b := encode(t, array(str("", "a").Value, num("", -5).Value, &commonpb.AnyValue{}))
	text, err := otlp.AppendValueJSON([]byte("x="), b)
	require.NoError(t, err)
	require.Equal(t, `x={"arrayValue":{"values":[{"stringValue":"a"},{"intValue":"-5"},{}]}}`, string(text))
	back, err := otlp.ValueFromJSON(text[2:])
	require.NoError(t, err)
	require.Equal(t, b, back)
	_, err = otlp.AppendValueJSON(nil, []byte{0x0a, 9})
	require.ErrorIs(t, err, fault.Invalid)
}

// FuzzFromJSON: whatever is accepted is protobuf, Scan can read it, and it
// comes back the same; whatever the generated code would write is accepted.
func FuzzFromJSON(f *testing.F) {
	text, err := otlp.ToJSON(encode(f, rich()))
	require.NoError(f, err)
	f.Add(text)
	f.Add([]byte(wrap(`{"traceId":"0AF7651916CD43DD8448EB211C80319C","attributes":[{"key":"a","value":{"doubleValue":"NaN"}}]}`)))
	f.Fuzz(func(t *testing.T, in []byte) {
		b, err := otlp.FromJSON(in)
		if err != nil {
			require.ErrorIs(t, err, fault.Invalid)
			return
		}
		require.True(t, json.Valid(in), "accepted what is not JSON")
		_, err = otlp.Scan(b, otlp.Limits{})
		require.NoError(t, err)
		req := &collectorpb.ExportTraceServiceRequest{}
		if proto.Unmarshal(b, req) != nil {
			return // not UTF-8
		}
		again, err := otlp.ToJSON(b)
		require.NoError(t, err)
		back, err := otlp.FromJSON(again)
		require.NoError(t, err)
		require.Equal(t, encode(t, req), encode(t, decode(t, back)))
	})
}

// FuzzToJSON holds ToJSON against the generated decoder.
func FuzzToJSON(f *testing.F) {
	f.Add(encode(f, rich()))
	f.Fuzz(func(t *testing.T, b []byte) {
		text, err := otlp.ToJSON(b)
		req := &collectorpb.ExportTraceServiceRequest{}
		if proto.Unmarshal(b, req) != nil || err != nil {
			return
		}
		require.True(t, json.Valid(text))
		back, err := otlp.FromJSON(text)
		require.NoError(t, err)
		discardUnknown(req.ProtoReflect())
		require.Equal(t, encode(t, req), encode(t, decode(t, back)))
	})
}

// discardUnknown removes what JSON does not carry.
func discardUnknown(m protoreflect.Message) {
	m.SetUnknown(nil)
	m.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case f.Message() == nil:
		case f.IsList():
			for i := range v.List().Len() {
				discardUnknown(v.List().Get(i).Message())
			}
		default:
			discardUnknown(v.Message())
		}
		return true
	})
}
