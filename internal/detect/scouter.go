package detect

import "github.com/driftmesh/driftmesh/internal/chart"

// Scouter is what a Scouter SPC profile says of a feature.
type Scouter struct {
	Limits chart.ScouterLimits
	Rule   chart.ScouterRule
}

// scouterSPC is Scouter's control chart, to the digit: the windows' means since
// the last evaluation, oldest first, mapped to zones and searched for the
// patterns of the profile's rule. It answers for all of them and not only the
// last; Judged is the number of different alerts.
var scouterSPC = &Detector{
	Name: "scouter_spc", Help: "Scouter's control chart with its eight digits",
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
