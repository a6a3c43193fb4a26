// Package send makes records of the rows of a table, as a profile wants them.
package send

import (
	"fmt"
	"slices"
	"strings"

	"github.com/driftmesh/driftmesh/cmd/driftmesh/internal/table"
	"github.com/driftmesh/driftmesh/internal/fault"
	driftv1 "github.com/driftmesh/driftmesh/proto/driftmesh/drift/v1"
	"github.com/driftmesh/driftmesh/sdk/profile/wire"
)

// Columns say what the columns of a table are to records; empty names are of
// columns that there are not.
type Columns struct {
	// Time, ID, Trace, Span and Parent name the columns of event times, of record
	// ids, of the ids of traces and spans in hex, and of W3C traceparents.
	Time, ID, Trace, Span, Parent string
	// TimeFormat reads event times.
	TimeFormat *table.TimeFormat
	// IDPrefix begins the id of each record, which ends in the number of its row
	// from 0. Empty leaves ids to the server.
	IDPrefix string
	// Labels says that the values are labels of records that were sent before.
	Labels bool
	// Features are the columns to send; none means all that the profile has.
	Features []string
	// Ignore are columns to leave out, and IgnoreOthers says so of all that are
	// neither features of the profile nor named here.
	Ignore       []string
	IgnoreOthers bool
}

// role is what a column is to a record.
type role int

const (
	feature role = iota
	eventTime
	recordID
	traceID
	spanID
	traceparent
)

// Plan is how records are made of rows. It is for one goroutine.
type Plan struct {
	profile string
	columns Columns
	roles   []role
	names   []string // of the table's columns that are read, as roles
	kinds   []kind   // of features, as roles
	// tolerant are the features of which values of another type are sent as they are,
	// for a monitor counts them.
	tolerant []bool
	// Absent are features of the profile that the table does not have: they count
	// as missing.
	Absent []string
}

// Names are the columns to read, in the order in which [Plan.Record] wants them.
func (p *Plan) Names() []string { return p.names }

// named are the columns that are something else than a feature.
func (c *Columns) named() map[string]role {
	roles := map[string]role{c.Time: eventTime, c.ID: recordID, c.Trace: traceID, c.Span: spanID, c.Parent: traceparent}
	delete(roles, "")
	return roles
}

// NewPlan plans how the table's rows become records of a profile: of this version,
// whatever its name stands for a moment later. It is fault.Invalid, with the columns at fault, where that cannot be.
func NewPlan(t table.Table, p *driftv1.Profile, columns Columns) (*Plan, error) {
	fields := t.Fields()
	if err := columns.check(fields); err != nil {
		return nil, err
	}
	of := make(map[string]kind, len(p.GetFeatures()))
	for _, f := range p.GetFeatures() {
		of[f.GetName()] = kindOf(f)
	}
	plan := &Plan{profile: p.GetUid(), columns: columns}
	title := p.GetSpace() + "/" + p.GetName() + "/" + p.GetVersion()
	roles, unknown := columns.named(), []string(nil)
	for _, f := range fields {
		as, named := roles[f.Name]
		k, known := of[f.Name]
		switch {
		case named:
		case slices.Contains(columns.Ignore, f.Name), len(columns.Features) > 0 && !slices.Contains(columns.Features, f.Name):
			continue
		case !known:
			unknown = append(unknown, f.Name)
			continue
		}
		if err := f.Problem; err != nil {
			return nil, err
		}
		if f.Time && as == feature {
			return nil, f.Feature()
		}
		plan.names, plan.roles, plan.kinds = append(plan.names, f.Name), append(plan.roles, as), append(plan.kinds, k)
		plan.tolerant = append(plan.tolerant, !columns.Labels && wire.Tolerates(p, f.Name))
	}
	if len(unknown) > 0 && (!columns.IgnoreOthers || len(columns.Features) > 0) {
		return nil, fault.Invalid.New("profile %s has no feature %s: leave out what is none with --ignore %s, or with --ignore-others",
			title, quoted(unknown), strings.Join(unknown, ","))
	}
	if !slices.Contains(plan.roles, feature) {
		return nil, fault.Invalid.New("no column is a feature of profile %s, which has %s", title, quoted(featureNames(p)))
	}
	for _, f := range p.GetFeatures() {
		if !columns.Labels && !slices.Contains(plan.names, f.GetName()) {
			plan.Absent = append(plan.Absent, f.GetName())
		}
	}
	return plan, nil
}

// check holds the names that were given against the columns that there are.
func (c *Columns) check(fields []table.Field) error {
	if (c.Trace == "") != (c.Span == "") || c.Trace != "" && c.Parent != "" {
		return fault.Invalid.New("a trace needs its span: name a column for both, or one of traceparents for neither")
	}
	if c.Labels && c.ID == "" && c.IDPrefix == "" {
		return fault.Invalid.New("labels need the ids of the records that they are of")
	}
	for _, name := range slices.Concat([]string{c.Time, c.ID, c.Trace, c.Span, c.Parent}, c.Features, c.Ignore) {
		if name != "" && !slices.ContainsFunc(fields, func(f table.Field) bool { return f.Name == name }) {
			return table.NoColumn(fields, name)
		}
	}
	return nil
}

func featureNames(p *driftv1.Profile) (names []string) {
	for _, f := range p.GetFeatures() {
		names = append(names, f.GetName())
	}
	return names
}

// namesShown bounds how many names an error lists.
const namesShown = 10

func quoted(names []string) string {
	var b strings.Builder
	for i, name := range names[:min(len(names), namesShown)] {
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "%q", name)
	}
	if more := len(names) - namesShown; more > 0 {
		fmt.Fprintf(&b, " and %d more", more)
	}
	return b.String()
}
