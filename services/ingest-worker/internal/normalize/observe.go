package normalize

import (
	"bytes"
	"encoding/json"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/driftmesh/driftmesh/sdk/profile"
)

// observeMetrics makes an observation of metrics, whose names are sorted.
func (r *Row) observeMetrics(p *Profile) {
	r.Observed = true
	r.size(p)
	for i, name := range r.Names {
		if at, ok := p.find(name, i); ok && p.slots[at].kind == Numeric {
			s := &p.slots[at]
			r.Numbers[s.at], r.NumberStates[s.at] = r.Values[i], Present
		}
	}
}

// observeContext makes an observation of a context, which is a JSON object.
func (r *Row) observeContext(p *Profile) {
	r.Observed = true
	r.size(p)
	d := json.NewDecoder(bytes.NewReader(r.JSON))
	d.UseNumber()
	var object map[string]any
	if d.Decode(&object) != nil {
		return // nested deeper than is read: everything is missing
	}
	for i := range p.slots {
		s := &p.slots[i]
		v, ok := member(object, s.name)
		if !ok {
			continue
		}
		if s.kind == Numeric {
			r.Numbers[s.at], r.NumberStates[s.at] = s.observe(v)
			continue
		}
		r.Categories[s.at], r.CategoryStates[s.at] = textOf(v), Present
	}
}

// observe is a member as a number: NaN when it is none, unless a monitor wants to
// know of those.
func (s *slot) observe(v any) (float64, State) {
	f := numberOf(v)
	if _, is := v.(json.Number); !is && s.tolerant {
		return 0, WrongType
	}
	if math.IsNaN(f) {
		return f, NaN
	}
	return f, Present
}

// member finds a plain value by its name, or by a path into objects; it is not ok
// for what is no plain value.
func member(object map[string]any, path string) (v any, ok bool) {
	if v, ok = object[path]; !ok {
		first, rest, deeper := strings.Cut(path, ".")
		inner, is := object[first].(map[string]any)
		if !deeper || !is {
			return nil, false
		}
		return member(inner, rest)
	}
	switch v.(type) {
	case string, json.Number, bool:
		return v, true
	}
	return nil, false
}

// numberOf is a value as a number, NaN when it is none or beyond what there is.
func numberOf(v any) float64 {
	n, is := v.(json.Number)
	f, err := strconv.ParseFloat(string(n), 64)
	if !is || err != nil {
		return math.NaN()
	}
	return f
}

// textOf is a value as a category, cut at what one may have.
func textOf(v any) []byte {
	var text string
	switch v := v.(type) {
	case string:
		text = v
	case json.Number:
		text = string(v)
	case bool:
		return boolText[map[bool]int{true: 1}[v]]
	}
	if len(text) > profile.MaxCategory {
		n := profile.MaxCategory
		for n > 0 && !utf8.RuneStart(text[n]) {
			n--
		}
		text = text[:n]
	}
	return []byte(text)
}
