package scouter

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"reflect"
	"strings"
	"time"
)

// members gives the elements of a list or the members of an object, as they stand. The
// JSON must be valid.
func members(raw []byte) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		raw = bytes.TrimSpace(raw)
		depth, first, text := 0, 1, false
		for i := 1; i < len(raw); i++ {
			switch c := raw[i]; {
			case text && c == '\\':
				i++
			case c == '"':
				text = !text
			case text:
			case c == '[' || c == '{':
				depth++
			case depth == 0 && c == ',':
				if !yield(raw[first:i]) {
					return
				}
				first = i + 1
			case depth == 0 && (c == ']' || c == '}'):
				if last := raw[first:i]; len(bytes.TrimSpace(last)) > 0 {
					yield(last)
				}
				return
			case c == ']' || c == '}':
				depth--
			}
		}
	}
}

// mostMembers is how many members an object has at most whose members have a meaning.
const mostMembers = 64

// checkMembers refuses an object that says something twice: one of the two would be
// lost in silence. Case is nothing, as for who reads them.
func checkMembers(raw []byte) *Refusal {
	var seen []string
	for part := range members(raw) {
		name := nameOf(part)
		for _, other := range seen {
			if strings.EqualFold(name, other) {
				return malformed("has %.40q twice", name)
			}
		}
		if seen = append(seen, name); len(seen) > mostMembers {
			return malformed("has more than %d members", mostMembers)
		}
	}
	return nil
}

// nameOf is the name of a member, which stands first.
func nameOf(member []byte) string {
	member = bytes.TrimSpace(member)
	end := 1
	for ; end < len(member) && member[end] != '"'; end++ {
		if member[end] == '\\' {
			end++
		}
	}
	name := member[1:min(end, len(member))]
	if bytes.IndexByte(name, '\\') < 0 {
		return string(name)
	}
	var text string
	_ = json.Unmarshal(member[:end+1], &text) // valid, as all of it
	return text
}

func isObject(raw []byte) bool { return bytes.HasPrefix(bytes.TrimSpace(raw), []byte("{")) }

// wanted says in words what stands for a type.
func wanted(t reflect.Type) string {
	switch t.Kind() { //nolint:exhaustive // those of what is read
	case reflect.Float64:
		return "a number that a double can hold"
	case reflect.Uint64:
		return "a whole number of 64 bits that is not negative"
	case reflect.Int64, reflect.Int:
		return "a whole number of 64 bits"
	case reflect.Int32:
		return "a whole number of 32 bits"
	case reflect.Bool:
		return "true or false"
	case reflect.String:
		return "a text"
	case reflect.Slice:
		return "a list"
	}
	return "an object"
}

// Why says in words why JSON is not what it has to be.
func Why(err error) string {
	var unlike *json.UnmarshalTypeError
	var syntax *json.SyntaxError
	switch {
	case errors.As(err, &unlike) && unlike.Field != "":
		return fmt.Sprintf("%s: want %s, not %.60s", unlike.Field, wanted(unlike.Type), unlike.Value)
	case errors.As(err, &unlike):
		return fmt.Sprintf("want %s, not %.60s", wanted(unlike.Type), unlike.Value)
	case errors.As(err, &syntax):
		return fmt.Sprintf("it is no JSON at byte %d: %.100v", syntax.Offset, syntax)
	}
	return fmt.Sprintf("%.200v", err)
}

// stamp is a time as Scouter's clients write it. What is none is told by check, which
// knows its name.
type stamp struct {
	time.Time
	raw string // what it was read from
}

// UnmarshalJSON implements json.Unmarshaler.
func (s *stamp) UnmarshalJSON(raw []byte) error {
	if bytes.Equal(raw, []byte("null")) {
		return nil
	}
	s.raw = string(raw[:min(len(raw), mostStamp)])
	var text string
	if json.Unmarshal(raw, &text) == nil {
		s.Time, _ = time.Parse(time.RFC3339Nano, text) // else it stays zero
	}
	return nil
}

// mostStamp bytes of a time are told to who sent it.
const mostStamp = 60

// check refuses what is no time.
func (s *stamp) check() *Refusal {
	switch {
	case s.raw == "":
		return malformed("created_at is missing")
	case s.IsZero() && s.raw != zeroTime:
		return malformed("created_at: want a time as in RFC 3339, with its zone, not %s", s.raw)
	}
	return nil
}

// zeroTime is the one time that Go has for none.
const zeroTime = `"0001-01-01T00:00:00Z"`
