package sdk

import (
	"bytes"
	"cmp"
	"encoding"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// maxDepth bounds how deep values are followed, and so ends those that contain
// themselves.
const maxDepth = 32

// encodeJSON writes a value as JSON of at most so many characters, then cuts it and
// says so. It differs from encoding/json where that would fail or never end: it stops
// as soon as the limit is reached, so that a large value costs no more than a small
// one; what JSON does not have (a channel, a function, NaN) is a text that names it,
// and whatever goes wrong in a value's own methods stands in its place.
func encodeJSON(v any, limit int, keys map[string]struct{}) (text string, cut bool) {
	e, _ := jsonEncoders.Get().(*jsonEncoder)
	defer jsonEncoders.Put(e)
	*e = jsonEncoder{buf: e.buf[:0], limit: limit, keys: keys}
	e.value(reflect.ValueOf(v), 0)
	text = string(e.buf)
	if cap(e.buf) > maxJSONKept {
		e.buf = nil
	}
	return cutText(text, limit)
}

// maxJSONKept is the largest buffer that is used again.
const maxJSONKept = 1 << 20

var jsonEncoders = sync.Pool{New: func() any { return new(jsonEncoder) }}

type jsonEncoder struct {
	buf   []byte
	limit int
	keys  map[string]struct{}
	done  bool
}

// full tells whether there is no need to go on. Characters are counted only when
// there are enough bytes, as most are one.
func (e *jsonEncoder) full() bool {
	if !e.done && len(e.buf) > e.limit {
		e.done = len(e.buf) > 4*e.limit || utf8.RuneCount(e.buf) > e.limit
	}
	return e.done
}

func (e *jsonEncoder) value(v reflect.Value, depth int) {
	switch {
	case e.full():
		return
	case !v.IsValid():
		e.buf = append(e.buf, "null"...)
		return
	case depth > maxDepth:
		e.text("[too deep]")
		return
	}
	if v.CanInterface() && e.own(v) {
		return
	}
	switch v.Kind() {
	case reflect.Bool:
		e.buf = strconv.AppendBool(e.buf, v.Bool())
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		e.buf = strconv.AppendInt(e.buf, v.Int(), 10)
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		e.buf = strconv.AppendUint(e.buf, v.Uint(), 10)
	case reflect.Float32:
		e.float(v.Float(), 32)
	case reflect.Float64:
		e.float(v.Float(), 64)
	case reflect.String:
		if v.Type() == numberType && json.Valid([]byte(v.String())) {
			e.buf = append(e.buf, v.String()...)
			return
		}
		e.text(v.String())
	case reflect.Interface, reflect.Pointer:
		if v.IsNil() {
			e.buf = append(e.buf, "null"...)
			return
		}
		e.value(v.Elem(), depth+1)
	case reflect.Struct:
		e.object(v, depth)
	case reflect.Map:
		e.mapping(v, depth)
	case reflect.Slice, reflect.Array:
		e.list(v, depth)
	default:
		e.text("[" + v.Type().String() + "]")
	}
}

var (
	marshalerType = reflect.TypeFor[json.Marshaler]()
	textType      = reflect.TypeFor[encoding.TextMarshaler]()
	failureType   = reflect.TypeFor[error]()
	numberType    = reflect.TypeFor[json.Number]()
	protoType     = reflect.TypeFor[proto.Message]()
)

// own writes a value by what its type says of itself; false if it says nothing.
func (e *jsonEncoder) own(v reflect.Value) bool {
	t := v.Type()
	if k := v.Kind(); t.PkgPath() == "" && k != reflect.Pointer && k != reflect.Struct {
		return false // string, []float64 and their like have no methods
	}
	if !saysSomething(t) || v.Kind() == reflect.Pointer && v.IsNil() {
		return false
	}
	from := len(e.buf)
	err := e.marshal(v.Interface())
	if err != nil {
		e.buf = e.buf[:from]
		e.text("[" + t.String() + ": " + err.Error() + "]")
	}
	return true
}

// sayings remembers which types have methods that encode them.
var sayings sync.Map // reflect.Type to bool

func saysSomething(t reflect.Type) bool {
	if known, ok := sayings.Load(t); ok {
		says, _ := known.(bool)
		return says
	}
	says := t.Kind() != reflect.Interface &&
		(t.Implements(protoType) || t.Implements(marshalerType) || t.Implements(textType) || t.Implements(failureType))
	sayings.Store(t, says)
	return says
}

// marshal lets a value encode itself. An error is what it says, or what it panics
// with.
func (e *jsonEncoder) marshal(v any) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("panic: %s", panicText(r))
		}
	}()
	switch v := v.(type) {
	case proto.Message:
		if size := proto.Size(v); size > 16*e.limit {
			return fmt.Errorf("%d bytes", size) // encoding all of it would cost more than it is worth
		}
		raw, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(v)
		if err != nil {
			return err
		}
		return e.raw(raw)
	case json.Marshaler:
		raw, err := v.MarshalJSON()
		if err != nil {
			return err
		}
		return e.raw(raw)
	case encoding.TextMarshaler:
		raw, err := v.MarshalText()
		if err != nil {
			return err
		}
		e.text(string(raw))
	case error:
		e.text(v.Error())
	}
	return nil
}

// raw takes what is JSON already, with names to leave out looked for.
func (e *jsonEncoder) raw(raw []byte) error {
	if len(e.keys) > 0 {
		var tree any
		d := json.NewDecoder(bytes.NewReader(raw))
		d.UseNumber()
		if err := d.Decode(&tree); err != nil {
			return err
		}
		e.value(reflect.ValueOf(tree), 1)
		return nil
	}
	if !json.Valid(raw) {
		return fmt.Errorf("not JSON")
	}
	e.buf = append(e.buf, raw...)
	return nil
}

func (e *jsonEncoder) float(f float64, bits int) {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		e.text(strconv.FormatFloat(f, 'g', -1, bits))
		return
	}
	format := byte('f')
	if abs := math.Abs(f); abs != 0 && (abs < 1e-6 || abs >= 1e21) {
		format = 'e'
	}
	e.buf = strconv.AppendFloat(e.buf, f, format, -1, bits)
}

const hexDigits = "0123456789abcdef"

// text writes a string, no more of it than there is room for.
func (e *jsonEncoder) text(s string) {
	if most := 4 * (e.limit + 1); len(s) > most {
		for most > 0 && !utf8.RuneStart(s[most]) {
			most--
		}
		s = s[:most]
	}
	e.buf = append(e.buf, '"')
	from := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c < utf8.RuneSelf {
			if c >= ' ' && c != '"' && c != '\\' {
				i++
				continue
			}
			e.buf = append(e.buf, s[from:i]...)
			switch c {
			case '"', '\\':
				e.buf = append(e.buf, '\\', c)
			case '\n':
				e.buf = append(e.buf, '\\', 'n')
			case '\r':
				e.buf = append(e.buf, '\\', 'r')
			case '\t':
				e.buf = append(e.buf, '\\', 't')
			default:
				e.buf = append(e.buf, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
			}
			i++
			from = i
			continue
		}
		r, n := utf8.DecodeRuneInString(s[i:])
		if r == utf8.RuneError && n == 1 {
			e.buf = append(append(e.buf, s[from:i]...), "\uFFFD"...)
			from = i + n
		}
		i += n
	}
	e.buf = append(append(e.buf, s[from:]...), '"')
}

// field is one field of a struct as it is written.
type field struct {
	index     []int
	name      string
	omitEmpty bool
	omitZero  bool
	redact    bool
}

var structs sync.Map // reflect.Type to []field

// fieldsOf are the fields of a struct as encoding/json names them.
func fieldsOf(t reflect.Type) []field {
	if known, ok := structs.Load(t); ok {
		fields, _ := known.([]field)
		return fields
	}
	var out []field
	seen := map[string]bool{}
	for _, f := range reflect.VisibleFields(t) {
		tag, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		ours := f.Tag.Get("driftmesh")
		if !f.IsExported() || f.Tag.Get("json") == "-" || ours == "-" || f.Anonymous && tag == "" && pointed(f.Type).Kind() == reflect.Struct || left(t, f.Index) {
			continue
		}
		name := cmp.Or(tag, f.Name)
		if seen[name] {
			continue
		}
		seen[name] = true
		list := strings.Split(options, ",")
		out = append(out, field{
			index: f.Index, name: name, redact: ours == "redact",
			omitEmpty: slices.Contains(list, "omitempty"), omitZero: slices.Contains(list, "omitzero"),
		})
	}
	structs.Store(t, out)
	return out
}

// left tells whether a field is inside an embedded struct that is left out, or that
// is a member by its own name.
func left(t reflect.Type, index []int) bool {
	for i := 1; i < len(index); i++ {
		f := t.FieldByIndex(index[:i])
		tag, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if tag != "" || f.Tag.Get("driftmesh") != "" {
			return true
		}
	}
	return false
}

func pointed(t reflect.Type) reflect.Type {
	if t.Kind() == reflect.Pointer {
		return t.Elem()
	}
	return t
}

func (e *jsonEncoder) object(v reflect.Value, depth int) {
	e.buf = append(e.buf, '{')
	first := true
	for _, f := range fieldsOf(v.Type()) {
		value, ok := fieldOf(v, f.index)
		if !ok || f.omitEmpty && empty(value) || f.omitZero && value.IsZero() {
			continue
		}
		if !first {
			e.buf = append(e.buf, ',')
		}
		first = false
		e.member(f.name, value, f.redact, depth)
		if e.full() {
			return
		}
	}
	e.buf = append(e.buf, '}')
}

// fieldOf finds a field; not ok is one inside an embedded pointer that is nil.
func fieldOf(v reflect.Value, index []int) (field reflect.Value, ok bool) {
	if len(index) == 1 {
		return v.Field(index[0]), true
	}
	field, err := v.FieldByIndexErr(index)
	return field, err == nil
}

func (e *jsonEncoder) member(name string, value reflect.Value, redact bool, depth int) {
	e.text(name)
	e.buf = append(e.buf, ':')
	if len(e.keys) > 0 && !redact {
		_, redact = e.keys[strings.ToLower(name)]
	}
	if redact {
		e.text(redacted)
		return
	}
	e.value(value, depth+1)
}

func empty(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Slice, reflect.Map, reflect.Array, reflect.String:
		return v.Len() == 0
	case reflect.Struct:
		return false
	default:
		return v.IsZero()
	}
}

// mapping writes a map, sorted by its keys where it is small enough to be written
// whole.
func (e *jsonEncoder) mapping(v reflect.Value, depth int) {
	if v.IsNil() {
		e.buf = append(e.buf, "null"...)
		return
	}
	type entry struct {
		key   string
		value reflect.Value
	}
	entries := make([]entry, 0, min(v.Len(), e.limit))
	for iter := v.MapRange(); iter.Next() && len(entries) < e.limit; {
		entries = append(entries, entry{mapKey(iter.Key()), iter.Value()})
	}
	slices.SortFunc(entries, func(a, b entry) int { return cmp.Compare(a.key, b.key) })
	e.buf = append(e.buf, '{')
	for i, one := range entries {
		if i > 0 {
			e.buf = append(e.buf, ',')
		}
		e.member(one.key, one.value, false, depth)
		if e.full() {
			return
		}
	}
	e.buf = append(e.buf, '}')
}

// mapKey is a key as text.
func mapKey(k reflect.Value) (text string) {
	defer func() {
		if r := recover(); r != nil {
			text = "[" + k.Type().String() + "]"
		}
	}()
	if k.Kind() == reflect.String {
		return k.String()
	}
	if k.CanInterface() {
		if m, ok := k.Interface().(encoding.TextMarshaler); ok {
			raw, err := m.MarshalText()
			if err == nil {
				return string(raw)
			}
		}
		return fmt.Sprint(k.Interface())
	}
	return "[" + k.Type().String() + "]"
}

func (e *jsonEncoder) list(v reflect.Value, depth int) {
	if v.Kind() == reflect.Slice && v.IsNil() {
		e.buf = append(e.buf, "null"...)
		return
	}
	if v.Kind() == reflect.Slice && v.Type().Elem().Kind() == reflect.Uint8 {
		raw := v.Bytes()
		raw = raw[:min(len(raw), e.limit)] // base64 is longer, so it is cut in any case
		e.buf = append(base64.StdEncoding.AppendEncode(append(e.buf, '"'), raw), '"')
		return
	}
	e.buf = append(e.buf, '[')
	for i := range v.Len() {
		if i > 0 {
			e.buf = append(e.buf, ',')
		}
		e.value(v.Index(i), depth+1)
		if e.full() {
			return
		}
	}
	e.buf = append(e.buf, ']')
}
