package record

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"time"
	"unicode/utf8"

	"github.com/driftmesh/driftmesh/internal/salvage"
	ingestv1 "github.com/driftmesh/driftmesh/proto/driftmesh/ingest/v1"
)

// Reasons for which a record is refused. They are labels of metrics and keys
// of the ledger: a closed set.
const (
	ReasonTooMany         = "too_many_records"
	ReasonID              = "invalid_id"
	ReasonDuplicateID     = "duplicate_id"
	ReasonEventTime       = "event_time_out_of_range"
	ReasonProfile         = "unknown_profile"
	ReasonTooManyProfiles = "too_many_profiles"
	ReasonEmpty           = "empty_record"
	ReasonUnknownFeature  = "unknown_feature"
	ReasonUnknownBin      = "unknown_bin"
	ReasonDuplicate       = "duplicate_name"
	ReasonType            = "type_mismatch"
	ReasonNotFinite       = "not_finite"
	ReasonTooLarge        = "too_large"
	ReasonContext         = "invalid_context"
	ReasonTraceContext    = "invalid_trace_context"
	ReasonUTF8            = salvage.RuleUTF8
	ReasonMalformed       = salvage.RuleMalformed
)

const (
	maxID      = 128
	maxProfile = 512
)

// refusal is why one record was refused: field, rule and the rule in words.
type refusal struct{ field, reason, message string }

func refuse(field, reason, format string, args ...any) *refusal {
	return &refusal{field, reason, fmt.Sprintf(format, args...)}
}

// checker holds what the rules depend on, for one batch.
type checker struct {
	limits    Limits
	now       time.Time
	maxRecord int // bytes
	newID     func(i int) string
	names     map[string]struct{} // scratch: of the record being checked
}

// header checks everything but the body. It needs no profile.
func (c checker) header(r *ingestv1.Record) *refusal {
	if bad, is := salvage.Badness(r); is {
		return &refusal{bad.Field, bad.Rule, bad.Message}
	}
	if len(r.GetId()) > maxID {
		return refuse("id", ReasonID, "has %d bytes, at most %d are allowed", len(r.GetId()), maxID)
	}
	if !utf8.ValidString(r.GetId()) {
		return refuse("id", ReasonUTF8, "the text is not valid UTF-8")
	}
	if no := c.eventTime(r); no != nil {
		return no
	}
	switch p := r.GetProfile(); {
	case p == "":
		return refuse("profile", ReasonProfile, "is required")
	case len(p) > maxProfile:
		return refuse("profile", ReasonProfile, "has %d bytes, at most %d are allowed", len(p), maxProfile)
	}
	if tp := r.GetTraceparent(); tp != "" {
		if _, ok := ParseParent(tp); !ok {
			return refuse("traceparent", ReasonTraceContext, "is not a W3C traceparent")
		}
	}
	if !validState(r.GetTracestate()) {
		return refuse("tracestate", ReasonTraceContext, "is not a W3C tracestate of at most %d bytes", maxTraceState)
	}
	return nil
}

func (c checker) eventTime(r *ingestv1.Record) *refusal {
	if r.GetEventTime() == nil {
		return nil
	}
	if r.GetEventTime().CheckValid() != nil {
		return refuse("event_time", ReasonEventTime, "is not a valid time")
	}
	t := r.GetEventTime().AsTime()
	if t.Before(c.now.Add(-c.limits.MaxAge)) {
		return refuse("event_time", ReasonEventTime, "lies more than %s back", days(c.limits.MaxAge))
	}
	if t.After(c.now.Add(c.limits.MaxAhead)) {
		return refuse("event_time", ReasonEventTime, "lies more than %s ahead", days(c.limits.MaxAhead))
	}
	return nil
}

func days(d time.Duration) string {
	if d >= 48*time.Hour {
		return fmt.Sprintf("%d days", d/(24*time.Hour))
	}
	return d.String()
}

// body checks the body against the profile.
func (c checker) body(r *ingestv1.Record, p *Profile) *refusal {
	switch b := r.GetBody().(type) {
	case *ingestv1.Record_Features:
		return c.features(features, b.Features, p)
	case *ingestv1.Record_Metrics:
		return c.metrics(b.Metrics)
	case *ingestv1.Record_Context:
		return c.context(b.Context)
	case *ingestv1.Record_Counted:
		return counted(b.Counted, p)
	case *ingestv1.Record_Labels:
		if r.GetId() == "" {
			return refuse("id", ReasonID, "is required: it names the record that the labels are of")
		}
		return c.features("labels", b.Labels, p)
	}
	return refuse("", ReasonEmpty, "has neither features nor metrics nor context nor counts nor labels")
}

// features is the list of a record's values: what labels say in its stead must be of
// the feature's type.
const features = "features"

func (c checker) features(list string, f *ingestv1.Features, p *Profile) *refusal {
	if len(f.GetValues()) == 0 {
		return refuse(list+".values", ReasonEmpty, "is empty")
	}
	clear(c.names)
	for i, v := range f.GetValues() {
		kind, known := p.Features[v.GetName()]
		if !known {
			return refuse(at(list, i, "name"), ReasonUnknownFeature, "the profile has no feature %q", clip(v.GetName()))
		}
		if _, twice := c.names[v.GetName()]; twice {
			return refuse(at(list, i, "name"), ReasonDuplicate, "the feature %q stands twice", v.GetName())
		}
		c.names[v.GetName()] = struct{}{}
		no := c.value(list, i, v, kind)
		if no != nil && (no.reason != ReasonType || list != features || !p.Tolerant[v.GetName()]) {
			return no
		}
	}
	return nil
}

// value checks one value; NaN and the infinities are values of their own, and
// no value at all is a missing one.
func (c checker) value(list string, i int, v *ingestv1.Feature, kind Kind) *refusal {
	var got string
	var fits bool
	switch x := v.GetValue().(type) {
	case nil, *ingestv1.Feature_Missing:
		return nil
	case *ingestv1.Feature_Int:
		got, fits = "int", kind == Int || kind == Float || kind == Number
	case *ingestv1.Feature_Float:
		// Tools that know missing values only among floats make floats of ints.
		got, fits = "float", kind == Float || kind == Number || kind == Int && Whole(x.Float)
	case *ingestv1.Feature_Bool:
		got, fits = "bool", kind == Bool || kind == Category
	case *ingestv1.Feature_String_:
		got, fits = "string", kind == Text || kind == Category
		if len(x.String_) > maxText {
			return refuse(at(list, i, got), ReasonTooLarge, "has %d bytes, at most %d are allowed", len(x.String_), maxText)
		}
	}
	if !fits {
		return refuse(at(list, i, got), ReasonType, "the profile's feature %q is of type %s", v.GetName(), kind)
	}
	return nil
}

// Whole reports whether a float stands for an int, or, as NaN, for one that is
// missing: the rule of a category of ints.
func Whole(f float64) bool {
	return math.IsNaN(f) || f == math.Trunc(f) && math.Abs(f) <= 1<<53
}

func (c checker) metrics(m *ingestv1.Metrics) *refusal {
	switch n := len(m.GetValues()); {
	case n == 0:
		return refuse("metrics.values", ReasonEmpty, "is empty")
	case n > maxMetrics:
		return refuse("metrics.values", ReasonTooLarge, "has %d values, at most %d are allowed", n, maxMetrics)
	}
	clear(c.names)
	for i, v := range m.GetValues() {
		switch {
		case v.GetName() == "":
			return refuse(at("metrics", i, "name"), ReasonEmpty, "is empty")
		case len(v.GetName()) > maxID:
			return refuse(at("metrics", i, "name"), ReasonTooLarge, "has %d bytes, at most %d are allowed", len(v.GetName()), maxID)
		case math.IsNaN(v.GetValue()) || math.IsInf(v.GetValue(), 0):
			return refuse(at("metrics", i, "value"), ReasonNotFinite, "must be finite")
		}
		if _, twice := c.names[v.GetName()]; twice {
			return refuse(at("metrics", i, "name"), ReasonDuplicate, "the metric %q stands twice", v.GetName())
		}
		c.names[v.GetName()] = struct{}{}
	}
	return nil
}

// MaxCount is the most values that one record may have counted: sums of many stay
// whole numbers that everything can hold.
const MaxCount = 1 << 40

// counted checks how many values fell into a bin.
func counted(x *ingestv1.Counted, p *Profile) *refusal {
	_, known := p.Features[x.GetFeature()]
	switch {
	case !known:
		return refuse("counted.feature", ReasonUnknownFeature, "the profile has no feature %q", clip(x.GetFeature()))
	case x.GetCount() > MaxCount:
		return refuse("counted.count", ReasonTooLarge, "is %d, at most %d are allowed", x.GetCount(), uint64(MaxCount))
	}
	if _, ok := p.Bins[x.GetFeature()].Position(x.GetBin()); !ok {
		return refuse("counted.bin", ReasonUnknownBin, "the profile's feature %q has no bin %d", clip(x.GetFeature()), x.GetBin())
	}
	return nil
}

func (c checker) context(x *ingestv1.Context) *refusal {
	raw := []byte(x.GetJson())
	if most := int(c.limits.MaxContext); len(raw) > most {
		return refuse("context.json", ReasonTooLarge, "has %d bytes, at most %d are allowed", len(raw), most)
	}
	if !utf8.Valid(raw) {
		return refuse("context.json", ReasonUTF8, "the text is not valid UTF-8")
	}
	if !bytes.HasPrefix(bytes.TrimLeft(raw, " \t\r\n"), []byte("{")) || !json.Valid(raw) {
		return refuse("context.json", ReasonContext, "is not a JSON object")
	}
	return nil
}

func at(list string, i int, field string) string {
	return fmt.Sprintf("%s.values[%d].%s", list, i, field)
}

// clip bounds what of the caller's text is repeated to it.
func clip(s string) string {
	const most = 64
	if len(s) <= most {
		return s
	}
	n := most
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n] + "…"
}
