package window

import (
	_ "embed"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/driftmesh/driftmesh/internal/clickhouse/sqltext"
	"github.com/driftmesh/driftmesh/sdk/profile"
)

var (
	//go:embed gather.sql
	gatherSQL string
	//go:embed missing.sql
	missingSQL string
	//go:embed arrived.sql
	arrivedSQL string
	//go:embed checked.sql
	checkedSQL string
)

// A span is the record of its two ids and of what tells twins apart.
const spanRecordSQL = "concat(lower(hex(TraceId)), '-', lower(hex(SpanId)), '-', lower(hex(Twin)))"

// source is how the spans of a profile become observations.
type source struct {
	gather, missing string // the statements, but for their minutes
}

// spanValue is a feature of spans: an expression, and one that says whether it is
// there.
type spanValue struct{ value, there string }

// newSource is nil when the profile's observations are not made of spans.
func newSource(p *profile.Profile) *source {
	if p.Source == nil || p.Source.Of != profile.Spans {
		return nil
	}
	var numbers, shown, others, texts, textShown []string
	attributes := len(p.Source.Attributes) > 0
	for i := range p.Features {
		f := &p.Features[i]
		v, own := spanFeature(f)
		attributes = attributes || own
		if f.Kind == profile.Numeric {
			numbers, shown = append(numbers, v.value), append(shown, v.there)
			others = append(others, strconv.Itoa(otherState(p, f)))
		} else {
			texts, textShown = append(texts, v.value), append(textShown, v.there)
		}
	}
	// The index has all but attributes, sorted by service and time.
	from, chosen := "span_index FINAL", chosenSpans(p.Source)
	if attributes {
		from = "spans FINAL"
		chosen += " AND (TraceId, SpanId) IN (SELECT TraceId, SpanId FROM span_index WHERE " + chosen + " AND $during)"
		asked := []string{chosen}
		for _, key := range slices.Sorted(maps.Keys(p.Source.Attributes)) {
			asked = append(asked, "SpanAttributes["+sqltext.Quote(key)+"] = "+sqltext.Quote(p.Source.Attributes[key]))
		}
		chosen = strings.Join(asked, " AND ")
	}
	list := func(all []string) string { return strings.Join(all, ", ") }
	words := strings.NewReplacer("$numbers", list(numbers), "$shown", list(shown), "$others", list(others), "$textShown", list(textShown), "$texts", list(texts),
		"$spans", from, "$chosen", chosen, "$id", spanRecordSQL)
	return &source{gather: words.Replace(gatherSQL), missing: words.Replace(missingSQL)}
}

// otherState is the state of a text where there should be a number: of another type
// where a monitor wants to know, NaN where none does.
func otherState(p *profile.Profile, f *profile.Feature) int {
	if p.Tolerates(f.Name) {
		return stateOf(profile.WrongType)
	}
	return stateOf(profile.NaN)
}

// stateOf is the state, as observations have it, of values in a special bin.
func stateOf(s profile.Special) int { return int(s) + 1 }

// chosenSpans is the condition of the spans, as far as the index can tell.
func chosenSpans(s *profile.Source) string {
	chosen := "Tenant = $tenant AND ServiceName = " + sqltext.Quote(s.Service)
	if s.Operation != "" {
		chosen += " AND SpanName = " + sqltext.Quote(s.Operation)
	}
	if s.Kind != "" {
		chosen += " AND SpanKind = " + strconv.Itoa(slices.Index(profile.SpanKinds, s.Kind))
	}
	return chosen
}

// spanFeature is where spans have a feature, and whether that is an attribute.
func spanFeature(f *profile.Feature) (v spanValue, attribute bool) {
	words := func(column string, all []string) string {
		list := make([]string, len(all))
		for i, word := range all {
			list[i] = sqltext.Quote(word)
		}
		return fmt.Sprintf("transform(%s, range(%d)::Array(Int32), [%s], '')", column, len(all), strings.Join(list, ", "))
	}
	switch f.Name {
	case profile.SpanDuration: // beyond half of what it can hold, it ends before it begins
		return spanValue{"if(Duration > 9223372036854775807, 0, Duration) / 1e6", "1"}, false
	case profile.SpanError:
		return spanValue{"if(StatusCode = 2, 'true', 'false')", "1"}, false
	case profile.SpanStatus:
		return spanValue{words("StatusCode", []string{"unset", "ok", "error"}), "1"}, false
	case profile.SpanName:
		return spanValue{"SpanName", "1"}, false
	case profile.SpanKind:
		return spanValue{words("SpanKind", profile.SpanKinds), "1"}, false
	}
	of, key := "SpanAttributes", f.Name
	if rest, is := strings.CutPrefix(f.Name, profile.ResourcePrefix); is {
		of, key = "CAST(JSONExtract(ResourceAttributes, 'Array(Tuple(String, String))'), 'Map(String, String)')", rest
	}
	at := of + "[" + sqltext.Quote(key) + "]"
	v = spanValue{at, "mapContains(" + of + ", " + sqltext.Quote(key) + ")"}
	if f.Kind == profile.Numeric {
		v.value = "toFloat64OrNull(" + at + ")"
	}
	return v, true
}

// during is the condition of spans that begin from second from to before second
// to, and in one of the minutes where there is a list of them.
func during(from, to int64, minutes bool) string {
	text := fmt.Sprintf("Timestamp >= fromUnixTimestamp64Nano(%d) AND Timestamp < fromUnixTimestamp64Nano(%d)", from*1e9, to*1e9)
	if minutes {
		text += " AND intDiv(toUnixTimestamp64Nano(Timestamp), 60000000000) * 60 IN ($minutes)"
	}
	return text
}

// Gather returns the statement that makes observations of the spans of the
// minutes, of which there must be one; "" when the profile has no source. Those
// that are there it leaves alone, so it may be done at any time, twice, or late.
func (s *Statements) Gather(minutes []int64) string {
	if s.source == nil {
		return ""
	}
	text := strings.ReplaceAll(s.source.gather, "$during", during(slices.Min(minutes)*60, slices.Max(minutes)*60+60, true))
	return s.fill(text, minutes, Slice{})
}

// GatherChecked returns the statement that makes observations of what the checks of
// contexts of the minutes came to; "" when the profile has none. It may be done at any
// time, twice, or late.
func (s *Statements) GatherChecked(minutes []int64) string {
	if !s.checked {
		return ""
	}
	return s.fill(checkedSQL, minutes, Slice{})
}

// Arrived returns the query for when the last span came of which there is an
// observation in the minutes: column Arrived DateTime64, 1970 when there is none; ""
// when the profile has no source.
func (s *Statements) Arrived(minutes []int64) string {
	if s.source == nil {
		return ""
	}
	return s.fill(arrivedSQL, minutes, Slice{})
}

// Missing returns the query for minutes first to before last with spans of which
// there are no observations: column Minute Int64, ascending; "" when the profile has
// no source.
func (s *Statements) Missing(first, last int64) string {
	if s.source == nil {
		return ""
	}
	text := strings.NewReplacer("$during", during(first*60, last*60, false),
		"$from", strconv.FormatInt(first*60, 10), "$to", strconv.FormatInt(last*60, 10)).Replace(s.source.missing)
	return s.fill(text, nil, Slice{})
}
