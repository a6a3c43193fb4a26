package chart

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
)

// DefaultScouterRule is Scouter's rule unless a profile has another.
const DefaultScouterRule = "8 16 4 8 2 4 1 1"

const (
	zones = 4
	// trendLength is how many zones make Scouter's trend.
	trendLength = 7
)

// ScouterLimits are the limits of a feature as Scouter's SPC profiles have them.
type ScouterLimits struct {
	Center   float64
	Sigma    float64
	OneUCL   float64
	OneLCL   float64
	TwoUCL   float64
	TwoLCL   float64
	ThreeUCL float64
	ThreeLCL float64
}

// Zone is the number of the zone a value falls into: 0 at the centre, up to ±3
// within the limits, ±4 beyond. It is 0 exactly on the outermost limits too,
// and for NaN: the first comparison that holds wins, as in Scouter.
func (l ScouterLimits) Zone(v float64) float64 {
	switch {
	case v > l.ThreeUCL:
		return 4
	case v < l.ThreeLCL:
		return -4
	case l.TwoUCL <= v && v < l.ThreeUCL:
		return 3
	case l.OneUCL <= v && v < l.TwoUCL:
		return 2
	case l.Center < v && v < l.OneUCL:
		return 1
	case l.ThreeLCL < v && v <= l.TwoLCL:
		return -3
	case l.TwoLCL < v && v <= l.OneLCL:
		return -2
	case l.OneLCL < v && v < l.Center:
		return -1
	}
	return 0
}

// ScouterKind is what Scouter calls a pattern.
type ScouterKind string

// The kinds of alerts.
const (
	ScouterConsecutive ScouterKind = "Consecutive"
	ScouterAlternating ScouterKind = "Alternating"
	ScouterOutOfBounds ScouterKind = "OutOfBounds"
	ScouterTrend       ScouterKind = "Trend"
)

// ScouterNoZone is the zone of a trend. The others are Zone1 to Zone4.
const ScouterNoZone = "NotApplicable"

// ScouterAlert is a pattern that was found.
type ScouterAlert struct {
	Zone string      `json:"zone"`
	Kind ScouterKind `json:"kind"`
}

// ScouterRule is the rule of an SPC profile.
type ScouterRule struct {
	consecutive, alternating [zones]int
	monitored                [zones]bool
}

// ParseScouterRule reads eight integers with single spaces between them, a
// consecutive and an alternating count for each zone; a count that is not above
// 0 switches its check off. monitored names the zones to report, Zone1 to Zone4.
func ParseScouterRule(text string, monitored []string) (ScouterRule, error) {
	var r ScouterRule
	digits := strings.Split(text, " ")
	if len(digits) != 2*zones {
		return r, fmt.Errorf("rule %q has %d numbers, not %d", text, len(digits), 2*zones)
	}
	for i, d := range digits {
		n, err := strconv.ParseInt(d, 10, 32)
		if err != nil {
			return r, fmt.Errorf("rule %q: %q is not a number", text, d)
		}
		if i%2 == 0 {
			r.consecutive[i/2] = int(n)
		} else {
			r.alternating[i/2] = int(n)
		}
	}
	for _, name := range monitored {
		z := slices.IndexFunc(scouterZones[:], func(zone string) bool { return zone == name })
		if z < 0 {
			return r, fmt.Errorf("no such zone: %q", name)
		}
		r.monitored[z] = true
	}
	return r, nil
}

var scouterZones = [zones]string{"Zone1", "Zone2", "Zone3", "Zone4"}

// ScouterZones names all zones.
func ScouterZones() []string { return slices.Clone(scouterZones[:]) }

// Check returns the alerts of a series of zones, each once, by zone and kind. A
// zone's checks run at values that are exactly that zone or its negative. A
// trend of seven is always looked for and always reported.
func (r ScouterRule) Check(series []float64) []ScouterAlert {
	found := map[ScouterAlert]bool{}
	for i := range series {
		for z := range zones {
			if math.Abs(series[i]) != float64(z+1) || !r.monitored[z] {
				continue
			}
			for _, kind := range r.at(series[:i+1], z) {
				found[ScouterAlert{Zone: scouterZones[z], Kind: kind}] = true
			}
		}
		if i+1 >= trendLength {
			last := series[i+1-trendLength : i+1]
			if monotone(last, 1) || monotone(last, -1) {
				found[ScouterAlert{Zone: ScouterNoZone, Kind: ScouterTrend}] = true
			}
		}
	}
	return slices.SortedFunc(maps.Keys(found), func(a, b ScouterAlert) int {
		return cmp.Or(cmp.Compare(a.Zone, b.Zone), cmp.Compare(a.Kind, b.Kind))
	})
}

// at are the kinds that the last value of the series completes.
func (r ScouterRule) at(series []float64, z int) (kinds []ScouterKind) {
	level := float64(z + 1)
	name := func(kind ScouterKind) ScouterKind {
		if z == zones-1 {
			return ScouterOutOfBounds
		}
		return kind
	}
	if n := r.consecutive[z]; n > 0 && len(series) >= n && consecutive(series[len(series)-n:], level) {
		kinds = append(kinds, name(ScouterConsecutive))
	}
	if n := r.alternating[z]; n > 0 && len(series) >= n && alternating(series[len(series)-n:], level) {
		kinds = append(kinds, name(ScouterAlternating))
	}
	return kinds
}

// consecutive says whether all values are at the level or beyond, on one side.
func consecutive(window []float64, level float64) bool {
	notAbove := func(v float64) bool { return !(v >= level) }
	notBelow := func(v float64) bool { return !(v <= -level) }
	return !slices.ContainsFunc(window, notAbove) || !slices.ContainsFunc(window, notBelow)
}

// alternating says whether each value is at the level or beyond, on any side,
// and differs from the one before; 1, 2, 1, 2 alternates. A zero or a value that
// does not belong starts the count anew.
func alternating(window []float64, level float64) bool {
	var last float64
	count := 0
	for _, v := range window {
		if v == 0 || v == last || math.Abs(v) < level {
			last, count = 0, 0
			continue
		}
		last = v
		count++
		if count >= len(window) {
			return true
		}
	}
	return false
}
