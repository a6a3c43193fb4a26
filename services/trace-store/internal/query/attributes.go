package query

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/driftmesh/driftmesh/services/trace-store/internal/store"
)

// aliases are other names of what has one in the index.
var aliases = map[string]string{
	"otel.scope.name": store.ScopeName, "otel.library.name": store.ScopeName,
	"otel.scope.version": store.ScopeVersion, "otel.library.version": store.ScopeVersion,
	"otel.status_code": spanStatus,
}

const spanStatus = "span.status"

// columnCondition is what an attribute stands for beside itself among the
// columns that spans and span_index both have, "" for nothing.
func columnCondition(key, text string) string {
	switch key {
	case "error":
		if text == "true" {
			return "StatusCode = 2"
		}
	case "span.kind":
		if i := slices.Index(kinds, strings.ToLower(text)); i >= 0 {
			return fmt.Sprintf("SpanKind = %d", i)
		}
	case spanStatus:
		if i := slices.Index(statuses, strings.ToLower(text)); i >= 0 {
			return fmt.Sprintf("StatusCode = %d", i)
		}
	}
	return ""
}

// noError reports whether the filter asks for spans without error.
func noError(key, text string) bool { return key == "error" && text == "false" }

// name is the key under which the index has an attribute.
func name(key string) string {
	if alias, ok := aliases[key]; ok {
		return alias
	}
	return key
}

// indexAttributes adds what the rows of span_index must have that could be of
// spans with the attributes.
func (s *Search) indexAttributes(w *where) { s.attributes(w, indexCondition) }

// spanAttributes adds what a row of spans must have to have the attributes.
func (s *Search) spanAttributes(w *where) { s.attributes(w, spanCondition) }

// attributes adds the condition of every attribute, and that of one of Any at least.
func (s *Search) attributes(w *where, condition func(w *where, i int, a Attribute) string) {
	for i, key := range slices.Sorted(maps.Keys(s.Attributes)) {
		w.add(condition(w, i, Attribute{key, s.Attributes[key]}))
	}
	var either []string
	for i, a := range s.Any {
		either = append(either, condition(w, len(s.Attributes)+i, a))
	}
	if len(either) > 0 {
		w.add("(" + strings.Join(either, " OR ") + ")")
	}
}

func indexCondition(w *where, i int, a Attribute) string {
	if noError(a.Key, a.Text) {
		return "StatusCode != 2"
	}
	var either []string
	if c := columnCondition(name(a.Key), a.Text); c != "" {
		either = append(either, c)
	}
	for n, k := range slices.Compact([]string{a.Key, name(a.Key)}) {
		p := fmt.Sprintf("token%d_%d", i, n)
		either = append(either, "has(Tags, {"+p+":UInt32})")
		w.arg(p, store.Token(k, a.Text))
	}
	return "(" + strings.Join(either, " OR ") + ")"
}

func spanCondition(w *where, i int, a Attribute) string {
	k, v := "key"+strconv.Itoa(i), "text"+strconv.Itoa(i)
	w.arg(k, a.Key)
	if noError(a.Key, a.Text) {
		w.arg(v, "true")
		return "NOT (StatusCode = 2 OR " + attributeCondition(k, v) + ")"
	}
	w.arg(v, a.Text)
	// The cheap ones first: the others are then not computed.
	var either []string
	if c := columnCondition(name(a.Key), a.Text); c != "" {
		either = append(either, c)
	}
	switch name(a.Key) {
	case store.ScopeName:
		either = append(either, "ScopeName = {"+v+":String}")
	case store.ScopeVersion:
		either = append(either, "ScopeVersion = {"+v+":String}")
	case store.EventName:
		either = append(either, "has(`Events.Name`, {"+v+":String})")
	}
	return "(" + strings.Join(append(either, attributeCondition(k, v)), " OR ") + ")"
}

// attributeCondition is true of a row of spans that has the attribute, given as
// names of parameters, anywhere.
func attributeCondition(key, text string) string {
	pair := "({" + key + ":String}, {" + text + ":String})"
	within := func(m string) string {
		return "arrayExists((k, v) -> k = {" + key + ":String} AND v = {" + text + ":String}, mapKeys(" + m + "), mapValues(" + m + "))"
	}
	return within("SpanAttributes") +
		" OR has(JSONExtract(ResourceAttributes, 'Array(Tuple(String, String))'), " + pair + ")" +
		" OR has(JSONExtract(ScopeAttributes, 'Array(Tuple(String, String))'), " + pair + ")" +
		" OR arrayExists(m -> " + within("m") + ", `Events.Attributes`)" +
		" OR arrayExists(m -> " + within("m") + ", `Links.Attributes`)"
}
