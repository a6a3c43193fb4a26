package detect

import (
	"math"
	"slices"
)

// Need is what a detector needs of an input, a set of bits.
type Need uint16

// The needs.
const (
	// Order: the cells are ordered.
	Order Need = 1 << iota
	// Bounds: the cells have finite bounds.
	Bounds
)

// Param is a parameter of a detector: a number in a range.
type Param struct {
	Name, Help        string
	Default, Min, Max float64
}

// Parameters that several detectors share.
const (
	// Alpha is the false-alarm rate of one evaluation.
	Alpha = "alpha"
	// Minimum is the sample, on each side, below which there is no verdict.
	Minimum = "minimum"
	// Replicates is the least number of Monte Carlo draws; there are always
	// enough for 20 of them to be beyond alpha.
	Replicates = "replicates"
	// DrawBelow is the sample, on either side, below which p-values are drawn.
	DrawBelow = "draw_below"
)

func alphaParam() Param {
	return Param{Name: Alpha, Help: "false-alarm rate of one evaluation", Default: 0.05, Min: 1e-9, Max: 0.5}
}

func minimumParam(rows float64) Param {
	return Param{Name: Minimum, Help: "rows, on each side, below which there is no verdict", Default: rows, Min: 1, Max: 1 << 53}
}

func replicatesParam() Param {
	return Param{Name: Replicates, Help: "draws of a Monte Carlo p-value, at least", Default: 999, Min: 99, Max: 1e6}
}

func drawBelowParam() Param {
	return Param{Name: DrawBelow, Help: "rows below which a p-value is drawn by Monte Carlo; 0: never, nor for rare cells", Default: 200, Max: 1e6}
}

// params are the values of a detector's parameters, defaults filled in.
type params map[string]float64

// Detector compares a sample to a reference.
type Detector struct {
	// Name is the standard word of the field, in snake case.
	Name string
	// Help is one line on what it sees.
	Help   string
	Needs  Need
	Params []Param
	// HasP says whether it gives a p-value.
	HasP  bool
	judge func(in *Input, p params) Result
}

// Judge compares. It never panics, and no number of the result is NaN or
// infinite: an input that the detector cannot judge has no verdict and says why
// in its caveats.
func (d *Detector) Judge(in *Input) Result {
	p, ok := d.values(in.Params)
	if !ok || !in.wellFormed() {
		return Result{Caveats: Malformed}
	}
	if d.Needs&Order != 0 && !in.Kind.Ordered() || d.Needs&Bounds != 0 && in.Bounds == nil || !in.measured(d.Needs) {
		return Result{Caveats: Unsuited}
	}
	r := d.judge(in, p)
	r.settle(p, d.HasP)
	return r
}

// values fills in the defaults; it is not ok when a parameter is unknown or out
// of its range.
func (d *Detector) values(given map[string]float64) (params, bool) {
	p := make(params, len(d.Params))
	for _, spec := range d.Params {
		p[spec.Name] = spec.Default
	}
	for name, v := range given {
		i := slices.IndexFunc(d.Params, func(s Param) bool { return s.Name == name })
		if i < 0 || !(v >= d.Params[i].Min && v <= d.Params[i].Max) {
			return nil, false
		}
		p[name] = v
	}
	return p, true
}

// Caveat is a set of things to know about a result.
type Caveat uint16

// The caveats.
const (
	// Malformed: the input contradicts itself, or a parameter is out of range.
	Malformed Caveat = 1 << iota
	// Unsuited: the detector needs something that the feature has not.
	Unsuited
	// Constant: all rows are in one cell, so there is nothing to compare.
	Constant
	// SmallReference: the reference has less than ten times the sample's rows.
	// The rate then holds on the average over references, and with this one all
	// windows may be quiet or all loud.
	SmallReference
	// Merged: rare cells were merged for the p-value; Judged is the statistic of
	// the merged cells.
	Merged
	// Sparse: cells are too rare for the p-value's approximation and too many
	// for Monte Carlo; it is approximate.
	Sparse
	// Skewed: the sample is too small for the skewness, the rate approximate.
	Skewed
	// Overflow: a number was beyond what a float64 holds and was cut off.
	Overflow
)

var caveatNames = []string{"malformed", "unsuited", "constant", "small_reference", "merged", "sparse", "skewed", "overflow"}

// Names lists the caveats of the set.
func (c Caveat) Names() []string {
	var names []string
	for i, name := range caveatNames {
		if c&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	return names
}

// Method says where a p-value comes from.
type Method string

// The methods.
const (
	// Asymptotic: the distribution that the statistic has in large samples.
	Asymptotic Method = "asymptotic"
	// Exact: the distribution at these very totals.
	Exact Method = "exact"
	// MonteCarlo: draws from it, conditional on the pooled counts.
	MonteCarlo Method = "monte_carlo"
)

// Result is what a detector found.
type Result struct {
	// Statistic is of all cells. It is 0 when there is nothing to compare.
	Statistic float64
	// Cells is what each cell adds to the statistic (to its square for a
	// distance that is a root; for a maximum, each cell's own value), and Unseen
	// what the unseen categories add.
	Cells  []float64
	Unseen float64
	// Signals are the patterns of a chart that points complete; those of the
	// last point alarm.
	Signals []Signal
	// Judged is the statistic that P and Threshold belong to: another than
	// Statistic when rare cells were merged.
	Judged float64
	// P is the p-value, when HasP.
	P    float64
	HasP bool
	// Threshold is what Judged must exceed for P to be alpha or less, when
	// HasThreshold.
	Threshold    float64
	HasThreshold bool
	Method       Method
	// Reference and Current are the rows that were compared.
	Reference, Current uint64
	Caveats            Caveat
	// Sufficient says whether the sample allows a verdict; without that there
	// is none, whatever the numbers.
	Sufficient bool
	// Alarm says that it is drift: P is at most alpha, or without a p-value,
	// that Judged is above Threshold.
	Alarm bool
}

// settle decides, and holds every number finite.
func (r *Result) settle(p params, hasP bool) {
	r.HasP = hasP && r.Method != ""
	if minimum, ok := p[Minimum]; ok {
		r.Sufficient = float64(min(r.Reference, r.Current)) >= minimum && r.Caveats&(Malformed|Unsuited) == 0
	}
	if r.Sufficient && r.Reference/10 < r.Current {
		r.Caveats |= SmallReference
	}
	for _, v := range []*float64{&r.Statistic, &r.Judged, &r.P, &r.Threshold, &r.Unseen} {
		r.hold(v)
	}
	for i := range r.Cells {
		r.hold(&r.Cells[i])
	}
	if r.HasP {
		r.Alarm = r.Sufficient && r.P <= p[Alpha]
	} else {
		r.Alarm = r.Sufficient && r.HasThreshold && r.Judged > r.Threshold
	}
}

func (r *Result) hold(v *float64) {
	switch {
	case math.IsNaN(*v):
		*v = 0
	case math.IsInf(*v, 0):
		*v = math.Copysign(math.MaxFloat64, *v)
	default:
		return
	}
	r.Caveats |= Overflow
	r.Sufficient = false
}
