package send

import (
	"math"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/driftmesh/driftmesh/cmd/driftmesh/internal/table"
	"github.com/driftmesh/driftmesh/internal/record"
	driftv1 "github.com/driftmesh/driftmesh/proto/driftmesh/drift/v1"
	ingestv1 "github.com/driftmesh/driftmesh/proto/driftmesh/ingest/v1"
	"github.com/driftmesh/driftmesh/sdk/profile"
)

// kind is what the values of a feature are.
type kind int

const (
	number kind = iota
	whole       // numbers that are categories
	text
	flag
)

var kindNames = [...]string{"a number", "a whole number", "a text", "true or false"}

func kindOf(f *driftv1.FeatureProfile) kind {
	switch {
	case f.GetType() == string(profile.Bool):
		return flag
	case f.GetType() == string(profile.String):
		return text
	case f.GetKind() == driftv1.FeatureKind_FEATURE_KIND_CATEGORY:
		return whole
	}
	return number
}

// Problem is why a value cannot be sent. Kind is the same for all values of one
// kind, whatever they are.
type Problem struct {
	Column string
	Kind   string
	Value  string
}

// Record makes a record of a row of the plan's columns; number is that of the row
// in the table, from 0.
func (p *Plan) Record(columns []table.Column, row, number int) (*ingestv1.Record, *Problem) {
	features := &ingestv1.Features{Values: make([]*ingestv1.Feature, 0, len(columns))}
	r := &ingestv1.Record{Profile: p.profile, Body: &ingestv1.Record_Features{Features: features}}
	if p.columns.Labels {
		r.Body = &ingestv1.Record_Labels{Labels: features}
	}
	if p.columns.IDPrefix != "" {
		r.Id = p.columns.IDPrefix + strconv.Itoa(number)
	}
	var trace, span string
	for i := range columns {
		c := &columns[i]
		var problem *Problem
		switch p.roles[i] {
		case feature:
			f := &ingestv1.Feature{Name: c.Name}
			if problem = value(f, c, row, p.kinds[i]); problem != nil && p.tolerant[i] {
				problem = nil
				asItIs(f, c, row)
			}
			if problem == nil {
				features.Values = append(features.Values, f)
			}
		case eventTime:
			r.EventTime, problem = p.time(c, row)
		case recordID:
			if r.Id = textOf(c, row); r.Id == "" {
				problem = &Problem{Column: c.Name, Kind: "holds no id"}
			}
		case traceID:
			trace, problem = hex(c, row, "a trace id of 32 hex digits", 32)
		case spanID:
			span, problem = hex(c, row, "a span id of 16 hex digits", 16)
		case traceparent:
			if r.Traceparent = textOf(c, row); r.Traceparent != "" {
				if _, ok := record.ParseParent(r.Traceparent); !ok {
					problem = &Problem{Column: c.Name, Kind: "is no W3C traceparent", Value: r.Traceparent}
				}
			}
		}
		if problem != nil {
			return nil, problem
		}
	}
	if trace != "" && span != "" {
		r.Traceparent = "00-" + trace + "-" + span + "-01"
	}
	return r, nil
}

func (p *Plan) time(c *table.Column, row int) (*timestamppb.Timestamp, *Problem) {
	nanos, none, err := p.columns.TimeFormat.Time(c, row)
	switch {
	case none:
		return nil, &Problem{Column: c.Name, Kind: "holds no time"}
	case err != nil:
		return nil, &Problem{Column: c.Name, Kind: "is no time of the format", Value: textOf(c, row)}
	}
	return timestamppb.New(time.Unix(0, nanos)), nil
}

// textOf is a value as a text; empty when it is missing.
func textOf(c *table.Column, row int) string {
	switch {
	case c.Missing != nil && c.Missing[row]:
		return ""
	case c.Type == "":
		return time.Unix(0, c.Times[row]).UTC().Format(time.RFC3339Nano)
	case c.Type == profile.Int:
		return strconv.FormatInt(int64(c.Numbers[row]), 10)
	case c.Type == profile.Float:
		return strconv.FormatFloat(c.Numbers[row], 'g', -1, 64)
	}
	return c.Texts[row]
}

func hex(c *table.Column, row int, what string, digits int) (string, *Problem) {
	id := strings.ToLower(textOf(c, row))
	wrong := func(r rune) bool { return (r < '0' || r > '9') && (r < 'a' || r > 'f') }
	if id != "" && (len(id) != digits || strings.ContainsFunc(id, wrong) || strings.Trim(id, "0") == "") {
		return "", &Problem{Column: c.Name, Kind: "is not " + what, Value: id}
	}
	return id, nil
}

// value sets the value of a feature from a row of its column.
func value(f *ingestv1.Feature, c *table.Column, row int, k kind) *Problem {
	if c.Missing != nil && c.Missing[row] {
		f.Value = &ingestv1.Feature_Missing{Missing: &ingestv1.Missing{}}
		return nil
	}
	var ok bool
	switch c.Type {
	case profile.Bool:
		f.Value, ok = &ingestv1.Feature_Bool{Bool: c.Texts[row] == "true"}, k == flag
	case profile.String:
		ok = setText(f, c.Texts[row], k)
	default:
		ok = setNumber(f, c.Numbers[row], c.Type == profile.Int, k)
	}
	if !ok {
		return &Problem{Column: c.Name, Kind: "is not " + kindNames[k], Value: textOf(c, row)}
	}
	return nil
}

// asItIs sets the value that the column holds, of whatever type.
func asItIs(f *ingestv1.Feature, c *table.Column, row int) {
	switch c.Type {
	case profile.Bool:
		f.Value = &ingestv1.Feature_Bool{Bool: c.Texts[row] == "true"}
	case profile.String:
		f.Value = &ingestv1.Feature_String_{String_: c.Texts[row]}
	default:
		f.Value = &ingestv1.Feature_Float{Float: c.Numbers[row]}
	}
}

// setNumber sets a number; the type of its column does not matter, for tools that
// know missing values only among floats make floats of ints.
func setNumber(f *ingestv1.Feature, v float64, isInt bool, k kind) bool {
	switch {
	case k == number && isInt:
		f.Value = &ingestv1.Feature_Int{Int: int64(v)}
	case k == number:
		f.Value = &ingestv1.Feature_Float{Float: v}
	case k == whole && math.IsNaN(v):
		f.Value = &ingestv1.Feature_Missing{Missing: &ingestv1.Missing{}}
	case k == whole && record.Whole(v):
		f.Value = &ingestv1.Feature_Int{Int: int64(v)}
	default:
		return false
	}
	return true
}

// setText sets what a text says, of the kind that is wanted.
func setText(f *ingestv1.Feature, s string, k kind) bool {
	switch k { //nolint:exhaustive // numbers follow
	case text:
		f.Value = &ingestv1.Feature_String_{String_: s}
		return true
	case flag:
		yes := strings.EqualFold(s, "true")
		f.Value = &ingestv1.Feature_Bool{Bool: yes}
		return yes || strings.EqualFold(s, "false")
	}
	if n, err := strconv.ParseInt(s, 10, 64); err == nil {
		f.Value = &ingestv1.Feature_Int{Int: n}
		return true
	}
	v, err := strconv.ParseFloat(s, 64)
	if err != nil || strings.ContainsAny(s, "xX_") { // Go's own ways to write numbers are none of data files
		return false
	}
	return setNumber(f, v, false, k)
}
