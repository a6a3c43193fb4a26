package score

import (
	"math"
	"time"

	"github.com/driftmesh/driftmesh/internal/chart"
	"github.com/driftmesh/driftmesh/internal/detect"
	"github.com/driftmesh/driftmesh/internal/exact"
	"github.com/driftmesh/driftmesh/sdk/profile"
)

// Measures are what was measured of a feature besides its bins; nil what is not
// known, because it was counted before it was measured.
type Measures struct {
	// Moments are those of the finite values, Deviations those of their distances
	// to the reference's median.
	Moments, Deviations *exact.Moments
	// Reach is how many values are beyond the reference's range.
	Reach *Reach
	// Windows are the minutes with records, ascending; where no chart watches the
	// feature there are none.
	Windows []Window
}

// Reach counts values beyond the range of the reference.
type Reach struct{ Below, Above uint64 }

// Window is a minute of a feature, for charts.
type Window struct {
	// Minute is since 1970.
	Minute  int64
	Moments *exact.Moments
	Counts  []uint64
	// Groups are its sub-groups in order, where a chart wants them.
	Groups []detect.Point
}

// Timing is when records were counted, and when the last of them was.
type Timing struct {
	// Start and End are the range.
	Start, End time.Time
	// Last is the latest event time; zero without records.
	Last time.Time
	// Known says whether Last covers all of the range.
	Known bool
}

// silence is the time from the last record to the end.
func (t *Timing) silence() float64 {
	if t.Last.IsZero() {
		return t.End.Sub(t.Start).Seconds()
	}
	return max(0, t.End.Sub(t.Last).Seconds())
}

// Want is what the monitors of a profile need to know of a feature besides its
// bins.
type Want struct {
	// Measures: the moments and the range.
	Measures bool
	// Deviations, too.
	Deviations bool
	// Windows: one by one.
	Windows bool
	// Sample is the size of their sub-groups; 0 when none are wanted.
	Sample int
	// Products: what the groups have that the feature is in.
	Products bool
	// Bins is how many regular bins the feature has.
	Bins int
}

// Wants says what the monitors of a valid profile need of each feature; nil when
// counts are all, which they are for most.
func Wants(p *profile.Profile) []Want {
	var wants []Want
	for k := range p.Monitors {
		m := &p.Monitors[k]
		d := find(m.Detector)
		if d == nil || !looksBeyond(d) && d.Name != constant && !d.OfRows() {
			continue
		}
		if wants == nil {
			wants = make([]Want, len(p.Features))
		}
		if m.Together() {
			for _, name := range p.Members(m) {
				i := p.Feature(name)
				wants[i].Measures, wants[i].Products, wants[i].Bins = true, true, len(p.Features[i].Bins)
			}
			continue
		}
		for i := range p.Features {
			if !m.Watches(p.Features[i].Name) {
				continue
			}
			w := &wants[i]
			w.Measures, w.Bins = true, len(p.Features[i].Bins)
			if p.Features[i].Kind == profile.Numeric {
				w.Deviations = w.Deviations || d.OfDeviations()
			}
		}
	}
	for i := range wants {
		c := ChartOf(&p.Features[i], p.Monitors)
		wants[i].Windows, wants[i].Sample = c.Wanted, c.Sample
	}
	return wants
}

// looksBeyond reports whether a detector looks at more than counts and outcomes.
func looksBeyond(d *detect.Detector) bool {
	return d.Needs&detect.Measured != 0 || charted(d) || d.Name == outOfRange
}

// Names of detectors that stand out.
const (
	outOfRange = "out_of_range"
	scouterSPC = "scouter_spc"
	pChart     = "p_chart"
	cChart     = "c_chart"
	// constant looks at moments where there are any.
	constant = "constant"
)

// charted reports whether a detector goes by points.
func charted(d *detect.Detector) bool { return d.OfPoints() || d.Name == scouterSPC }

// Chart says what charts want to know of a feature.
type Chart struct {
	// Wanted: there is one. Sample is how many records make a point; 0 for minutes.
	Wanted bool
	Sample int
}

// ChartOf is what the charts among monitors want of a feature.
func ChartOf(f *profile.Feature, monitors []profile.Monitor) (c Chart) {
	for k := range monitors {
		m := &monitors[k]
		if d := find(m.Detector); d != nil && charted(d) && m.Watches(f.Name) {
			c.Wanted = true
			if f.Kind == profile.Numeric {
				c.Sample = max(c.Sample, sampleSize(m, d))
			}
		}
	}
	return c
}

// parameter is a monitor's own or its detector's default.
func parameter(m *profile.Monitor, d *detect.Detector, name string) float64 {
	if v, ok := m.Parameters[name]; ok {
		return v
	}
	for _, spec := range d.Params {
		if spec.Name == name {
			return spec.Default
		}
	}
	return 0
}

// OfWindows reports whether a detector judges windows one after the other, or
// rates.
func OfWindows(name string) bool {
	d := find(name)
	return d != nil && (charted(d) || d.OfTime())
}

func sampleSize(m *profile.Monitor, d *detect.Detector) int {
	return int(parameter(m, d, detect.SampleSize))
}

// measure adds to an input what was measured.
func measure(in *detect.Input, p *profile.Profile, f *profile.Feature, sample *Sample, i int) {
	in.Reference.Seconds = p.ReferenceSpan.Seconds()
	if t := sample.Timing; t != nil && t.Known {
		in.Current.Seconds, in.Current.Silence = t.End.Sub(t.Start).Seconds(), t.silence()
	}
	in.Reference.Moments, in.Reference.Deviations = momentsOf(f.Baseline.Moments), momentsOf(f.Baseline.Deviations)
	if i >= len(sample.Measures) {
		return
	}
	now := &sample.Measures[i]
	in.Current.Moments, in.Current.Deviations = now.Moments, now.Deviations
	if now.Reach != nil {
		in.Current.States.Below, in.Current.States.Above = now.Reach.Below, now.Reach.Above
	}
}

// momentsOf reads what a profile holds; nil when that is nothing. Check has seen
// that it can be read.
func momentsOf(raw []byte) *exact.Moments {
	m := new(exact.Moments)
	if len(raw) == 0 || m.UnmarshalBinary(raw) != nil {
		return nil
	}
	return m
}

// measured reports whether everything that a detector looks at is known of the
// sample.
func measured(d *detect.Detector, sample *Sample, i int) bool {
	if !looksBeyond(d) {
		return true
	}
	if d.OfTime() {
		return sample.Timing != nil && sample.Timing.Known
	}
	return i < len(sample.Measures) && sample.Measures[i].Reach != nil && (!d.OfDeviations() || sample.Measures[i].Deviations != nil)
}

// lay puts the points of a chart into an input: those of the sample by the
// monitor's parameters, and those of the reference.
func lay(in *detect.Input, m *profile.Monitor, d *detect.Detector, p *profile.Profile, i int, sample *Sample) {
	f := &p.Features[i]
	var windows []Window
	if i < len(sample.Measures) {
		windows = sample.Measures[i].Windows
	}
	minutes := max(int64(parameter(m, d, detect.Minutes)), 1)
	switch {
	case d.Name == pChart || d.Name == cChart:
		cell := int(parameter(m, d, detect.Cell))
		if cell >= len(f.Bins) || sample.Timing == nil {
			return
		}
		in.Current.Points = pointsOf(windows, sample.Timing.End, minutes, &mark{cell, len(f.Bins)})
		in.Reference.Points = markedPoints(in, m, d, cell, minutes)
		return
	case sampleSize(m, d) > 0:
		for _, w := range windows {
			in.Current.Points = append(in.Current.Points, w.Groups...)
		}
	case sample.Timing != nil:
		in.Current.Points = pointsOf(windows, sample.Timing.End, minutes, nil)
	}
	if g := f.Baseline.Subgroups; g != nil {
		for k, mean := range g.Means {
			in.Reference.Points = append(in.Reference.Points, detect.Point{N: uint64(max(g.Size, 0)), Mean: mean, SD: g.StdDevs[k]}) //nolint:gosec // not negative
		}
	}
	if l := f.Baseline.Scouter; l != nil && d.Name == scouterSPC {
		in.Scouter = &detect.Scouter{Limits: limitsOf(f.Type, l), Rule: detect.ScouterRuleOf(m.Parameters)}
	}
}

// mark is a marked cell among those of values.
type mark struct{ cell, bins int }

// pointsOf merges minutes into points of so many, counted back from the end, so
// that the last is whole; those without records are left out.
func pointsOf(windows []Window, end time.Time, minutes int64, marked *mark) (points []detect.Point) {
	last := end.Unix()/60 - 1
	for begin := 0; begin < len(windows); {
		number, next := (last-windows[begin].Minute)/minutes, begin
		of, counted := exact.NewMoments(2), detect.Point{}
		for ; next < len(windows) && (last-windows[next].Minute)/minutes == number; next++ {
			w := &windows[next]
			if w.Moments != nil {
				_ = of.Merge(w.Moments) // of one order
			}
			if marked != nil {
				marked.count(w.Counts, &counted)
			}
		}
		if marked == nil {
			counted = PointOf(of)
		}
		points, begin = append(points, counted), next
	}
	return points
}

// count adds the values of a window to a point.
func (m *mark) count(counts []uint64, to *detect.Point) {
	for k, n := range counts {
		if k < m.bins || k == m.bins+int(profile.Other) {
			to.N += n
		}
		if k == m.cell {
			to.Marked += n
		}
	}
}

// PointOf is the point of a sample of values.
func PointOf(of *exact.Moments) detect.Point {
	mean, sd := of.Summary()
	return detect.Point{N: of.N(), Mean: mean, SD: sd}
}

// markedPoints are the rows of the reference and those of the marked cell, as
// evenly as they go into the points that limits are wanted from: of those only
// the sum matters. For counts they are as many as the reference's time has; for
// shares its rows decide how many there are.
func markedPoints(in *detect.Input, m *profile.Monitor, d *detect.Detector, cell int, minutes int64) []detect.Point {
	rows, marked := in.Reference.Total(), in.Reference.Counts[cell]
	number := uint64(in.Reference.Seconds / 60 / float64(minutes))
	if d.Name == pChart {
		number = rows / leastRows
	}
	number = min(number, max(uint64(parameter(m, d, detect.Baseline)), 1), rows)
	if d.Name == cChart && number > 0 { // the sum must be that of all of the time
		scale := float64(number) * 60 * float64(minutes) / in.Reference.Seconds
		rows, marked = max(uint64(math.Round(float64(rows)*scale)), number), uint64(math.Round(float64(marked)*scale))
	}
	points := make([]detect.Point, number)
	for i := range points {
		k := uint64(i)
		points[i] = detect.Point{N: (k+1)*rows/number - k*rows/number, Marked: (k+1)*marked/number - k*marked/number}
	}
	return points
}

// leastRows is how many rows of the reference stand for a point of a share.
const leastRows = 25

// limitsOf are Scouter's limits in the width in which it holds the type.
func limitsOf(t profile.ValueType, l *profile.ScouterLimits) chart.ScouterLimits {
	if t == profile.Float {
		return around(l.Center, l.Sigma)
	}
	return around(float32(l.Center), float32(l.Sigma))
}

func around[F float32 | float64](center, sigma F) chart.ScouterLimits {
	return chart.ScouterLimits{
		Center: float64(center), Sigma: float64(sigma),
		OneUCL: float64(center + sigma), OneLCL: float64(center - sigma),
		TwoUCL: float64(center + 2*sigma), TwoLCL: float64(center - 2*sigma),
		ThreeUCL: float64(center + 3*sigma), ThreeLCL: float64(center - 3*sigma),
	}
}
