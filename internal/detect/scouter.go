package detect

import (
	"strconv"
	"strings"

	"github.com/driftmesh/driftmesh/internal/chart"
)

// Scouter is what a Scouter SPC profile says of a feature.
type Scouter struct {
	Limits chart.ScouterLimits
	Rule   chart.ScouterRule
}

// scouterSample is the size of Scouter's samples unless it is told another.
const scouterSample = 25

// scouterZones is how many zones Scouter's rule has.
const scouterZones = 4

// digitOf and zoneOf are the names of the parameters of the rule.
func digitOf(kind string, zone int) string { return kind + "_" + strconv.Itoa(zone) }

// scouterParams are the eight digits of Scouter's rule, by what they count, and
// which zones are told.
func scouterParams() (all []Param) {
	digits := strings.Fields(chart.DefaultScouterRule)
	for zone := 1; zone <= scouterZones; zone++ {
		for i, kind := range []string{"consecutive", "alternating"} {
			n, _ := strconv.ParseFloat(digits[2*(zone-1)+i], 64) // our own constant
			all = append(all, Param{Name: digitOf(kind, zone), Help: kind + " points in zone " + strconv.Itoa(zone) + "; 0: not looked for", Default: n, Max: 1e6})
		}
	}
	for zone := 1; zone <= scouterZones; zone++ {
		all = append(all, Param{Name: digitOf("zone", zone), Help: "1: zone " + strconv.Itoa(zone) + " is told", Default: 1, Max: 1})
	}
	return append(all, sampleSizeParam(scouterSample), minutesParam())
}

// ScouterRuleOf is the rule of a monitor's parameters.
func ScouterRuleOf(given map[string]float64) chart.ScouterRule {
	p, _ := scouterSPC.values(given)
	var digits, monitored []string
	for zone := 1; zone <= scouterZones; zone++ {
		for _, kind := range []string{"consecutive", "alternating"} {
			digits = append(digits, strconv.FormatInt(int64(p[digitOf(kind, zone)]), 10))
		}
		if p[digitOf("zone", zone)] >= 0.5 {
			monitored = append(monitored, chart.ScouterZones()[zone-1])
		}
	}
	rule, _ := chart.ParseScouterRule(strings.Join(digits, " "), monitored) // it is well formed
	return rule
}

// scouterSPC is Scouter's control chart, to the digit: the windows' means since
// the last evaluation, oldest first, mapped to zones and searched for the
// patterns of the profile's rule. It answers for all of them and not only the
// last; Judged is the number of different alerts.
var scouterSPC = &Detector{
	Name: "scouter_spc", Help: "Scouter's control chart with its eight digits", Params: scouterParams(),
	judge: func(in *Input, _ params) Result {
		r := rowsOf(in)
		if in.Scouter == nil {
			r.Caveats |= Unsuited
			return r
		}
		values := means(in.Current.Points)
		zones := make([]float64, len(values))
		for i, v := range values {
			zones[i] = in.Scouter.Limits.Zone(v)
		}
		for _, a := range in.Scouter.Rule.Check(zones) {
			r.Signals = append(r.Signals, Signal{Index: len(values) - 1, Rule: a.Zone + " " + string(a.Kind)})
		}
		r.Judged, r.HasThreshold, r.Sufficient = float64(len(r.Signals)), true, len(values) > 0
		r.Statistic = r.Judged
		return r
	},
}
