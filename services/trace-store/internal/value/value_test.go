package value_test

import (
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	commonv1 "go.opentelemetry.io/proto/otlp/common/v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/services/trace-store/internal/value"
)

type anyValue = commonv1.AnyValue

func str(s string) *anyValue    { return &anyValue{Value: &commonv1.AnyValue_StringValue{StringValue: s}} }
func integer(n int64) *anyValue { return &anyValue{Value: &commonv1.AnyValue_IntValue{IntValue: n}} }
func double(f float64) *anyValue {
	return &anyValue{Value: &commonv1.AnyValue_DoubleValue{DoubleValue: f}}
}
func boolean(b bool) *anyValue { return &anyValue{Value: &commonv1.AnyValue_BoolValue{BoolValue: b}} }
func raw(b string) *anyValue {
	return &anyValue{Value: &commonv1.AnyValue_BytesValue{BytesValue: []byte(b)}}
}
func list(vs ...*anyValue) *anyValue {
	return &anyValue{Value: &commonv1.AnyValue_ArrayValue{ArrayValue: &commonv1.ArrayValue{Values: vs}}}
}
func kv(k string, v *anyValue) *commonv1.KeyValue { return &commonv1.KeyValue{Key: k, Value: v} }
func object(kvs ...*commonv1.KeyValue) *anyValue {
	return &anyValue{Value: &commonv1.AnyValue_KvlistValue{KvlistValue: &commonv1.KeyValueList{Values: kvs}}}
}

func nested(depth int) *anyValue {
	v := str("deep")
	for range depth {
		v = list(v)
	}
	return v
}

// read gives the value back that letter and text stand for.
func read(t testing.TB, letter byte, text string) *anyValue {
	t.Helper()
	msg, err := value.AppendKeyValue(nil, "key", letter, text)
	require.NoError(t, err)
	out := &commonv1.KeyValue{}
	require.NoError(t, proto.Unmarshal(msg, out))
	require.Equal(t, "key", out.Key)
	return out.Value
}

func TestEncode(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		v      *anyValue
		letter byte
		text   string
	}{
		"string":         {str("a \"quoted\" text"), 's', `a "quoted" text`},
		"empty string":   {str(""), 's', ""},
		"int":            {integer(-42), 'i', "-42"},
		"least int":      {integer(math.MinInt64), 'i', "-9223372036854775808"},
		"double":         {double(0.1), 'd', "0.1"},
		"whole double":   {double(1), 'd', "1"},
		"minus zero":     {double(math.Copysign(0, -1)), 'd', "-0"},
		"large double":   {double(1e300), 'd', "1e+300"},
		"NaN":            {double(math.NaN()), 'd', "NaN"},
		"infinity":       {double(math.Inf(-1)), 'd', "-Infinity"},
		"bool":           {boolean(true), 'b', "true"},
		"bytes":          {raw("\x00\xff"), 'y', "AP8="},
		"no bytes":       {raw(""), 'y', ""},
		"empty":          {&anyValue{}, 'n', ""},
		"empty array":    {list(), 'a', "[]"},
		"array":          {list(str("a"), integer(1), double(1), double(1.5), boolean(false), &anyValue{}, list()), 'a', `["a",1,1.0,1.5,false,null,[]]`},
		"object":         {object(kv("b", integer(1)), kv("a", str("x\n\t\"\\é")), kv("b", object())), 'k', `{"b":1,"a":"x\n\u0009\"\\é","b":{}}`},
		"bytes in array": {list(raw("a")), 'r', "KgUKAzoBYQ=="},
		"NaN in array":   {list(double(math.NaN())), 'r', "KgsKCSEBAAAAAAD4fw=="},
		"absent member":  {object(kv("a", nil)), 'r', "MgUKAwoBYQ=="},
		"too deep":       {nested(40), 'r', ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			wire, err := proto.Marshal(tt.v)
			require.NoError(t, err)
			letter, text, _, err := value.Encode(nil, wire)
			require.NoError(t, err)
			require.Equal(t, string(tt.letter), string(letter))
			if tt.text != "" {
				require.Equal(t, tt.text, string(text))
			}
			require.True(t, proto.Equal(tt.v, read(t, letter, string(text))))
		})
	}
}

func TestAbsent(t *testing.T) {
	t.Parallel()
	require.Nil(t, read(t, value.Absent, ""))
}

func TestInvalidUTF8IsReplaced(t *testing.T) {
	t.Parallel()
	letter, text, _, err := value.Encode(nil, []byte("\x0a\x04a\xff\xfeb"))
	require.NoError(t, err)
	require.Equal(t, "s a\uFFFD\uFFFDb", string(letter)+" "+string(text))
	wire := []byte("\x2a\x05\x0a\x03\x0a\x01\xff") // ["\xff"]
	letter, text, _, err = value.Encode(nil, wire)
	require.NoError(t, err)
	require.Equal(t, `a ["`+"\uFFFD"+`"]`, string(letter)+" "+string(text))
}

func TestMalformed(t *testing.T) {
	t.Parallel()
	deep := nested(300)
	wire, err := proto.Marshal(deep)
	require.NoError(t, err)
	for name, b := range map[string][]byte{
		"truncated": []byte("\x0a\x05ab"), "no field": []byte("\x00"), "truncated item": []byte("\x2a\x03\x0a\x05a"), "nested 300 deep": wire,
	} {
		_, _, _, err := value.Encode(nil, b)
		require.ErrorIs(t, err, fault.Invalid, name)
	}
	for letter, text := range map[byte]string{
		'i': "x", 'd': "x", 'y': "?", 'r': "?", 'a': "[1,", 'k': `{"a"}`, 'z': "",
	} {
		_, err := value.AppendKeyValue(nil, "k", letter, text)
		require.Error(t, err, string(letter))
	}
}

// FuzzEncode: whatever protobuf reads as an AnyValue comes back equal, and
// nothing makes the encoder or the decoder fall over.
func FuzzEncode(f *testing.F) {
	for _, v := range []*anyValue{
		str("a"), integer(1), double(1e21), boolean(true), raw("x"), list(str("a"), double(2)), object(kv("k", list(integer(1)))), {}, nested(40),
	} {
		wire, err := proto.Marshal(v)
		require.NoError(f, err)
		f.Add(wire)
	}
	f.Add([]byte("\x0a\x01a\x10\x01")) // two of a oneof
	f.Fuzz(func(t *testing.T, wire []byte) {
		letter, text, _, err := value.Encode(nil, wire)
		want := &anyValue{}
		if proto.Unmarshal(wire, want) != nil {
			return // that Encode may take more than protobuf is fine
		}
		if err != nil {
			require.Greater(t, strings.Count(string(wire), ""), 100, "only very deep nesting may be refused")
			return
		}
		want.ProtoReflect().SetUnknown(nil)
		got := read(t, letter, string(text))
		got.ProtoReflect().SetUnknown(nil)
		if hasUnknown(want.ProtoReflect()) {
			return // lost with the fields that JSON has no place for
		}
		require.True(t, proto.Equal(want, got), "want %v, got %v", want, got)
	})
}

func hasUnknown(m protoreflect.Message) bool {
	found := len(m.GetUnknown()) > 0
	m.Range(func(d protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case d.IsList() && d.Message() != nil:
			for i := range v.List().Len() {
				found = found || hasUnknown(v.List().Get(i).Message())
			}
		case d.Message() != nil:
			found = found || hasUnknown(v.Message())
		}
		return !found
	})
	return found
}

// FuzzText: no text can break the decoder.
func FuzzText(f *testing.F) {
	f.Add(byte('a'), `["a",1,1.5,{"k":null}]`)
	f.Add(byte('k'), `{"k":"\u0001"}`)
	f.Add(byte('r'), "KgUKAzoBYQ==")
	f.Fuzz(func(t *testing.T, letter byte, text string) {
		if msg, err := value.AppendKeyValue(nil, "key", letter, text); err == nil && letter != 'r' {
			_ = proto.Unmarshal(msg, &commonv1.KeyValue{})
		}
	})
}
