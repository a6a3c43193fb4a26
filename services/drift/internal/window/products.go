package window

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/ClickHouse/ch-go/proto"
	"github.com/google/uuid"

	"github.com/driftmesh/driftmesh/sdk/profile"
)

// groupPlan is where the features of a group are among the numbers of a row, and what
// is counted of none.
type groupPlan struct {
	at   []int
	none *profile.Products
}

func newGroupPlans(p *profile.Profile) (plans []groupPlan) {
	places, numbers := map[string]int{}, 0
	for i := range p.Features {
		if p.Features[i].Kind == profile.Numeric {
			places[p.Features[i].Name] = numbers
			numbers++
		}
	}
	for i := range p.Groups {
		g := &p.Groups[i]
		made := groupPlan{none: profile.NewProducts(p, g)}
		for _, name := range g.Features {
			made.at = append(made.at, places[name])
		}
		plans = append(plans, made)
	}
	return plans
}

// addGroups counts a row in all groups. row is room for its values.
func (w *pane) addGroups(p *plan, row, values []float64, states []uint8) {
	for i := range p.groups {
		row = row[:0]
		for _, at := range p.groups[i].at {
			v := math.NaN()
			if at < len(values) && at < len(states) && states[at] == 0 {
				v = values[at]
			}
			row = append(row, v)
		}
		w.groups[i].Add(row)
	}
}

// Groups are what was counted of the groups in all windows.
func (t *Tally) Groups() []*profile.Products {
	all := make([]*profile.Products, len(t.of.plan.groups))
	for i := range all {
		all[i] = t.of.plan.groups[i].none.Like()
		for _, w := range t.panes {
			all[i].Merge(w.groups[i])
		}
	}
	return all
}

// Products are rows of table product_cells for all windows that had a row; nil when
// the profile has no groups.
func (t *Tally) Products() (proto.Input, error) {
	if len(t.of.plan.groups) == 0 {
		return nil, nil
	}
	uid, err := uuid.Parse(t.of.uid)
	if err != nil {
		return nil, fmt.Errorf("profile uid %q: %w", t.of.uid, err)
	}
	tenants, minutes := new(proto.ColStr).LowCardinality(), &proto.ColDateTime{Location: time.UTC}
	var profiles proto.ColUUID
	var numbers proto.ColUInt8
	var complete, incomplete proto.ColUInt64
	var versions proto.ColUInt128
	sums := new(proto.ColInt128).Array()
	for _, minute := range slices.Sorted(maps.Keys(t.panes)) {
		w := t.panes[minute]
		for i, g := range w.groups {
			tenants.Append(t.of.name)
			profiles.Append(uid)
			minutes.Append(time.Unix(minute*60, 0))
			numbers.Append(uint8(i)) //nolint:gosec // a few
			complete.Append(g.Rows)
			incomplete.Append(g.Incomplete)
			words := make([]proto.Int128, len(g.Sums))
			for k, n := range g.Sums {
				words[k] = proto.Int128{Low: n.Low, High: uint64(n.High)} //nolint:gosec // as bits
			}
			sums.Append(words)
			versions.Append(proto.UInt128{Low: w.version[0], High: w.version[1]})
		}
	}
	return proto.Input{
		{Name: "Tenant", Data: tenants}, {Name: "Profile", Data: &profiles}, {Name: "Minute", Data: minutes}, {Name: "Number", Data: &numbers},
		{Name: "Complete", Data: &complete}, {Name: "Incomplete", Data: &incomplete}, {Name: "Sums", Data: sums}, {Name: "Version", Data: &versions},
	}, nil
}
