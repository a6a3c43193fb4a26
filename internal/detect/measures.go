package detect

import (
	"math"

	"github.com/driftmesh/driftmesh/internal/chart"
	"github.com/driftmesh/driftmesh/internal/exact"
)

// Measures is what a side may have besides cells. A detector says in its Needs
// which of them it looks at; what is nil was not measured.
type Measures struct {
	// Moments are those of the finite values.
	Moments *exact.Moments
	// Deviations are those of |x − c|, with the median of the reference for c on
	// both sides.
	Deviations *exact.Moments
	// Rows are the complete rows of several features together.
	Rows *Rows
	// Points are windows in order, oldest first: those of the reference to take
	// limits from, and those of the sample since the chart was begun, of which
	// the last is judged.
	Points []Point
	// Performance is how predictions compare with labels.
	Performance *Performance
	// Duplicates counts rows that repeat another's content.
	Duplicates uint64
	// Seconds is the time the rows were counted over, and Silence the time
	// since the last of them.
	Seconds, Silence float64
}

// Point is a window of a series. One without rows is missing: it neither
// signals nor breaks a pattern.
type Point struct {
	N uint64
	// Mean and SD are those of the window's values.
	Mean, SD float64
	// Marked is how many of its rows are marked, or its count of events.
	Marked uint64
}

// Signal is a rule that a point completes; Index is that of the point.
type Signal = chart.Signal

// The needs of detectors that do not look at cells.
const (
	needMoments Need = 1 << (iota + 2)
	needDeviations
	needRows
	needPoints
	needConfusion
	needScores
	needErrors
	needTime
	needComponents
	needSampleMoments
)

// OfPerformance are the needs of detectors that hold predictions against what came
// true.
const OfPerformance = needConfusion | needScores | needErrors

// Measured are the needs of detectors that look at more of the sample than its
// counts and its outcomes.
const Measured = needMoments | needDeviations | needPoints | needTime | needSampleMoments

// OfRows reports whether the detector is of several features together.
func (d *Detector) OfRows() bool { return d.Needs&needRows != 0 }

// OfMoments reports whether the detector is of the moments of values.
func (d *Detector) OfMoments() bool { return d.Needs&needMoments != 0 }

// OfDeviations reports whether it is of those of distances to the median.
func (d *Detector) OfDeviations() bool { return d.Needs&needDeviations != 0 }

// OfPoints reports whether it is a chart of points.
func (d *Detector) OfPoints() bool { return d.Needs&needPoints != 0 }

// OfTime reports whether it is of rates.
func (d *Detector) OfTime() bool { return d.Needs&needTime != 0 }

// OfScores reports whether the detector is of predicted scores.
func (d *Detector) OfScores() bool { return d.Needs&needScores != 0 }

// OfErrors reports whether the detector is of errors of numbers.
func (d *Detector) OfErrors() bool { return d.Needs&needErrors != 0 }

// measured says whether both sides have what a detector needs.
func (in *Input) measured(needs Need) bool {
	for _, s := range []*Side{&in.Reference, &in.Current} {
		switch {
		case needs&needMoments != 0 && !ofOrder(s.Moments, 2),
			needs&needDeviations != 0 && !ofOrder(s.Deviations, 2),
			needs&needRows != 0 && s.Rows == nil,
			needs&needPoints != 0 && !finitePoints(s.Points),
			needs&needConfusion != 0 && (s.Performance == nil || s.Performance.Confusion == nil),
			needs&needScores != 0 && (s.Performance == nil || !scoresAscend(s.Performance.Scores)),
			needs&needErrors != 0 && (s.Performance == nil || !ofOrder(s.Performance.Absolute, 2) || !ofOrder(s.Performance.Squared, 2)),
			needs&needTime != 0 && !(s.Seconds > 0 && s.Silence >= 0 && s.Seconds+s.Silence <= math.MaxFloat64):
			return false
		}
	}
	if needs&needSampleMoments != 0 && !ofOrder(in.Current.Moments, 2) {
		return false
	}
	if needs&needRows == 0 {
		return true
	}
	features := len(in.Reference.Rows.Means)
	return in.Reference.Rows.wellFormed(features) && in.Current.Rows.wellFormed(features) &&
		(needs&needComponents == 0 || in.Components != nil && in.Components.wellFormed(features))
}

func ofOrder(m *exact.Moments, order int) bool { return m != nil && m.Order() >= order }

func finitePoints(points []Point) bool {
	for _, p := range points {
		if !(math.Abs(p.Mean) <= math.MaxFloat64 && p.SD >= 0 && p.SD <= math.MaxFloat64) {
			return false
		}
	}
	return len(points) > 0
}

func scoresAscend(bins []ScoreBin) bool {
	for i, b := range bins {
		if !(b.Score >= 0 && b.Score <= 1) || i > 0 && b.Score < bins[i-1].Score || b.Rows > maxTotal || b.Positive > maxTotal || b.Negative > maxTotal {
			return false
		}
	}
	return len(bins) > 0
}
