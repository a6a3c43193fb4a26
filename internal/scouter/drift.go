package scouter

import (
	"math"
	"slices"
	"strings"
	"time"

	driftv1 "github.com/driftmesh/driftmesh/proto/driftmesh/drift/v1"
)

// intervals are the windows that drift is asked about, by name.
var intervals = map[string]time.Duration{
	"FifteenMinutes": 15 * time.Minute, "ThirtyMinutes": 30 * time.Minute, "OneHour": time.Hour, "FourHours": 4 * time.Hour, "SixHours": 6 * time.Hour,
	"TwelveHours": 12 * time.Hour, "TwentyFourHours": 24 * time.Hour, "SevenDays": 7 * 24 * time.Hour,
}

// DriftRequest is what drift is asked about.
type DriftRequest struct {
	Interval   string // FourHours when empty
	Points     int
	Start, End time.Time // of the interval Custom, or zero
}

// leastStep is what is counted apart at least.
const leastStep = time.Minute

// Window is the range that is asked about, and the step of its points. It gives
// fault.Invalid for what makes no range.
func (r DriftRequest) Window(now time.Time) (start, end time.Time, step time.Duration, err error) {
	if r.Points < 1 {
		return start, end, 0, errRequest("max_data_points must be at least 1")
	}
	if start, end = r.Start, r.End; start.IsZero() || end.IsZero() {
		name := r.Interval
		if name == "" {
			name = "FourHours"
		}
		back, ok := intervals[name]
		if !ok {
			return start, end, 0, errRequest("time_interval %.40q is not known, or start_custom_datetime and end_custom_datetime are missing", name)
		}
		start, end = now.Add(-back), now
	}
	if !start.Before(end) {
		return start, end, 0, errRequest("the range is empty")
	}
	step = end.Sub(start) / time.Duration(r.Points)
	return start, end, max(step.Round(time.Second), leastStep), nil
}

func errRequest(format string, args ...any) error { return errProfile(format, args...) }

// Answers about drift. Times and values are the newest first.
type (
	// SPCDrift is the answer about control charts.
	SPCDrift struct {
		Features map[string]*SPCSeries `json:"features"`
	}
	// SPCSeries is the mean of each step.
	SPCSeries struct {
		CreatedAt []time.Time `json:"created_at"`
		Values    []float64   `json:"values"`
	}
	// PSIDrift is the answer about the population stability index.
	PSIDrift struct {
		Features map[string]*PSISeries `json:"features"`
	}
	// PSISeries is the index of each step and of all of them together.
	PSISeries struct {
		CreatedAt []time.Time        `json:"created_at"`
		PSI       []float64          `json:"psi"`
		Overall   float64            `json:"overall_psi"`
		Bins      map[string]float64 `json:"bins"` // shares, all steps together
	}
	// MetricDrift is the answer about metrics.
	MetricDrift struct {
		Metrics map[string]*MetricSeries `json:"metrics"`
	}
	// MetricSeries is the mean of each step.
	MetricSeries struct {
		Metric    string       `json:"metric"`
		CreatedAt []time.Time  `json:"created_at"`
		Stats     []MetricStat `json:"stats"`
	}
	// MetricStat is a mean, and one standard deviation to either side of it.
	MetricStat struct {
		Avg   float64 `json:"avg"`
		Lower float64 `json:"lower_bound"`
		Upper float64 `json:"upper_bound"`
	}
)

// newestFirst calls each with every feature of every step.
func newestFirst(steps []*driftv1.StepSummary, each func(at time.Time, f *driftv1.FeatureSummary)) {
	for _, s := range slices.Backward(steps) {
		for _, f := range s.GetFeatures() {
			each(s.GetStartTime().AsTime(), f)
		}
	}
}

// SPCOf is the answer from what was counted.
func SPCOf(steps []*driftv1.StepSummary) SPCDrift {
	out := SPCDrift{Features: map[string]*SPCSeries{}}
	newestFirst(steps, func(at time.Time, f *driftv1.FeatureSummary) {
		if f.GetNumber() == 0 {
			return
		}
		s := out.Features[f.GetName()]
		if s == nil {
			s = &SPCSeries{}
			out.Features[f.GetName()] = s
		}
		s.CreatedAt, s.Values = append(s.CreatedAt, at), append(s.Values, f.GetMean())
	})
	return out
}

// MetricsOf is the answer from what was counted, about the metrics that name gives a
// name to.
func MetricsOf(steps []*driftv1.StepSummary, name func(feature string) (string, bool)) MetricDrift {
	out := MetricDrift{Metrics: map[string]*MetricSeries{}}
	newestFirst(steps, func(at time.Time, f *driftv1.FeatureSummary) {
		metric, ok := name(f.GetName())
		if !ok || f.GetNumber() == 0 {
			return
		}
		s := out.Metrics[metric]
		if s == nil {
			s = &MetricSeries{Metric: metric}
			out.Metrics[metric] = s
		}
		s.CreatedAt = append(s.CreatedAt, at)
		s.Stats = append(s.Stats, MetricStat{Avg: f.GetMean(), Lower: f.GetMean() - f.GetStdDev(), Upper: f.GetMean() + f.GetStdDev()})
	})
	return out
}

// AnyMetric names the metrics of custom profiles.
func AnyMetric(feature string) (string, bool) { return feature, true }

// OfWorkflow names that of workflows.
func OfWorkflow(feature string) (string, bool) { return feature, feature == WorkflowMetric }

// OfTask names those of tasks by the task's id.
func OfTask(feature string) (string, bool) { return strings.CutPrefix(feature, TaskMetric) }

const (
	// fewest values a step must exceed to have an index.
	fewest = 100
	// smoothing keeps shares off 0, as Scouter does.
	smoothing = 1e-10
)

// PSIOf is the answer from what was counted, against the profile's shares. Unlike
// Scouter's own, whose bins are those of some step, those of all steps together are
// true shares, and the overall index is theirs.
func PSIOf(p *driftv1.Profile, steps []*driftv1.StepSummary) PSIDrift {
	out := PSIDrift{Features: map[string]*PSISeries{}}
	totals := map[string][]uint64{}
	features := map[string]*driftv1.FeatureProfile{}
	for _, f := range p.GetFeatures() {
		features[f.GetName()] = f
	}
	newestFirst(steps, func(at time.Time, f *driftv1.FeatureSummary) {
		of := features[f.GetName()]
		if of == nil || sum(f.GetCounts()) <= fewest {
			return
		}
		s := out.Features[f.GetName()]
		if s == nil {
			s = &PSISeries{}
			out.Features[f.GetName()] = s
			totals[f.GetName()] = make([]uint64, len(f.GetCounts()))
		}
		for i, n := range f.GetCounts() {
			totals[f.GetName()][i] += n
		}
		s.CreatedAt, s.PSI = append(s.CreatedAt, at), append(s.PSI, psiOf(shares(of), f.GetCounts()))
	})
	for name, s := range out.Features {
		of, counts := features[name], totals[name]
		s.Overall, s.Bins = psiOf(shares(of), counts), map[string]float64{}
		for i, n := range counts {
			s.Bins[binName(of, i)] = float64(n) / float64(sum(counts))
		}
	}
	return out
}

func sum(counts []uint64) (total uint64) {
	for _, n := range counts {
		total += n
	}
	return total
}

// shares are those of the reference.
func shares(f *driftv1.FeatureProfile) []float64 {
	if total := sum(f.GetCounts()); total > 0 {
		out := make([]float64, len(f.GetCounts()))
		for i, n := range f.GetCounts() {
			out[i] = float64(n) / float64(total)
		}
		return out
	}
	return f.GetProportions()
}

func psiOf(reference []float64, counts []uint64) (index float64) {
	total := float64(sum(counts))
	for i, n := range counts {
		if i >= len(reference) {
			break
		}
		p, q := reference[i]+smoothing, float64(n)/total+smoothing
		index += (p - q) * math.Log(p/q)
	}
	return index
}
