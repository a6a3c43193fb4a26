package report

import (
	"fmt"
	"math"
	"strings"

	driftv1 "github.com/driftmesh/driftmesh/proto/driftmesh/drift/v1"
)

// The chart's place on its sheet.
const (
	chartHeight = 170
	chartTop    = 14
	chartBottom = 138
	chartLabels = 156
	mark        = 4.5 // half a diamond
)

// chart is a statistic over time in its thresholds.
type chart struct {
	Title, Monitor, Detector string
	Grid                     []gridLine
	Band, BandLine           string // what is expected by chance
	Spread                   string // least and greatest of a point
	Line                     string
	Few                      []label // slots with too little, X and width in Y
	Marks                    string  // diamonds
	Dots                     []label
	Labels                   []label
	Last                     string
	LastClass                string
	Rows                     []pointRow
	Left, Right              int
	Top, Height              int
}

type pointRow struct {
	status
	Label, Value, Threshold, Sample string
}

// chartOf draws a series in at most so many points.
func chartOf(s Series, most int) *chart {
	points := squeezed(s.Points, most)
	low, high := scale(points)
	step := niceStep(high - low)
	low, high = step*math.Floor(low/step), step*math.Ceil(high/step)
	if high == low {
		high = low + step
	}
	c := &chart{
		Title:   fmt.Sprintf("%s of %s over time, by monitor %s", s.Detector, s.Feature, s.Monitor),
		Monitor: s.Monitor, Detector: s.Detector, Left: plotLeft, Right: plotRight, Top: chartTop, Height: chartBottom - chartTop,
	}
	y := func(v float64) float64 { return chartBottom - (v-low)/(high-low)*(chartBottom-chartTop) }
	for v := low; v <= high+step/2; v += step {
		c.Grid = append(c.Grid, gridLine{units(y(v)), fmt.Sprintf("%.3g", v+0)})
	}
	width := float64(plotRight-plotLeft) / float64(len(points))
	c.band(points, width, low, y)
	c.line(points, width, y)
	c.labels(points, width)
	for _, p := range points {
		c.Rows = append(c.Rows, pointRow{statusOf(p.Verdict), p.Label, optional(p.Value), limits(p), grouped(p.Sample)})
	}
	last := points[len(points)-1]
	c.Last, c.LastClass = fmt.Sprintf("%s: %s, %s", last.Label, optional(last.Value), statusOf(last.Verdict).Word), statusOf(last.Verdict).Class
	return c
}

func limits(p Point) string {
	if p.Lower == nil {
		return optional(p.Threshold)
	}
	return optional(p.Lower) + " to " + optional(p.Threshold)
}

// scale is the range of everything that is drawn, with 0 in it. A lower threshold
// below 0 is not, where the statistic never is.
func scale(points []Point) (low, high float64) {
	floor := 0.0
	for _, p := range points {
		for _, v := range []*float64{p.Low, p.Value, p.High, p.Threshold} {
			if v != nil {
				low, high = min(low, *v), max(high, *v)
			}
		}
		if p.Lower != nil {
			floor = min(floor, *p.Lower)
		}
	}
	if low < 0 {
		low = min(low, floor)
	}
	return low, high
}

// band draws the steps of the thresholds, and hatches what has too little.
func (c *chart) band(points []Point, width, low float64, y func(float64) float64) {
	var band, line strings.Builder
	for i := 0; i < len(points); {
		p, first := points[i], i
		for i++; i < len(points) && sameLimits(p, points[i]); i++ { // a step may be long
		}
		x, end := units(plotLeft+float64(first)*width), units(plotLeft+float64(i)*width)
		if p.Verdict == driftv1.Verdict_VERDICT_INSUFFICIENT {
			c.Few = append(c.Few, label{X: x, Y: units(float64(i-first) * width)})
			continue
		}
		if p.Threshold == nil {
			continue
		}
		floor := y(max(low, 0))
		if p.Lower != nil {
			floor = y(max(*p.Lower, low))
			if *p.Lower > low {
				fmt.Fprintf(&line, "M%s %sH%s", x, units(floor), end)
			}
		}
		top := units(y(*p.Threshold))
		fmt.Fprintf(&band, "M%s %sV%sH%sV%sZ", x, units(floor), top, end, units(floor))
		fmt.Fprintf(&line, "M%s %sH%s", x, top, end)
	}
	c.Band, c.BandLine = band.String(), line.String()
}

// sameLimits says of two points that one step shows both.
func sameLimits(a, b Point) bool {
	few := driftv1.Verdict_VERDICT_INSUFFICIENT
	return (a.Verdict == few) == (b.Verdict == few) && same(a.Threshold, b.Threshold) && same(a.Lower, b.Lower)
}

func same(a, b *float64) bool {
	if a == nil || b == nil {
		return a == b
	}
	return *a == *b
}

// line draws the values, which break where there is none or too little.
func (c *chart) line(points []Point, width float64, y func(float64) float64) {
	var line, spread, marks strings.Builder
	pen := "M"
	for i, p := range points {
		x := plotLeft + (float64(i)+0.5)*width
		if p.Value == nil || p.Verdict == driftv1.Verdict_VERDICT_INSUFFICIENT {
			pen = "M"
			continue
		}
		fmt.Fprintf(&line, "%s%s %s", pen, units(x), units(y(*p.Value)))
		pen = "L"
		if p.Low != nil && p.High != nil && *p.Low < *p.High {
			fmt.Fprintf(&spread, "M%s %sV%s", units(x), units(y(*p.Low)), units(y(*p.High)))
		}
		if p.Verdict == driftv1.Verdict_VERDICT_DRIFT {
			at := *p.Value
			if p.High != nil && p.Threshold != nil && *p.High > *p.Threshold {
				at = *p.High
			}
			fmt.Fprintf(&marks, "M%s %sl%v %vl%v %vl%v %vZ", units(x), units(y(at)-mark), mark, mark, -mark, mark, -mark, -mark)
			continue
		}
		if alone(points, i) {
			c.Dots = append(c.Dots, label{X: units(x), Y: units(y(*p.Value))})
		}
	}
	c.Line, c.Spread, c.Marks = line.String(), spread.String(), marks.String()
}

// alone says of a point that no line goes to it.
func alone(points []Point, i int) bool {
	drawn := func(k int) bool {
		return k >= 0 && k < len(points) && points[k].Value != nil && points[k].Verdict != driftv1.Verdict_VERDICT_INSUFFICIENT
	}
	return !drawn(i-1) && !drawn(i+1)
}

// axisLabels is how many times are named under a chart.
const axisLabels = 5

func (c *chart) labels(points []Point, width float64) {
	every := max((len(points)+axisLabels-1)/axisLabels, 1)
	for i := 0; i < len(points); i += every {
		anchor := "middle"
		if i == 0 {
			anchor = "start"
		}
		x := plotLeft + (float64(i)+0.5)*width
		if i == 0 {
			x = plotLeft
		}
		c.Labels = append(c.Labels, label{X: units(x), Y: units(chartLabels), Text: points[i].Label, Class: anchor})
	}
}

// squeezed is at most so many points, of which each sums up its part: the worst
// verdict, the least, the greatest and the mean of the values.
func squeezed(points []Point, most int) []Point {
	if len(points) <= most {
		return points
	}
	out := make([]Point, most)
	for i := range out {
		out[i] = together(points[i*len(points)/most : (i+1)*len(points)/most])
	}
	return out
}

func together(part []Point) Point {
	all := part[0]
	sum, n := 0.0, 0.0
	all.Low, all.High, all.Value, all.Sample = nil, nil, nil, 0
	for _, p := range part {
		if order(p.Verdict) < order(all.Verdict) {
			all.Verdict = p.Verdict
		}
		all.Sample += p.Sample
		all.Threshold, all.Lower = p.Threshold, p.Lower
		for _, v := range []*float64{p.Low, p.Value, p.High} {
			if v != nil && (all.Low == nil || *v < *all.Low) {
				all.Low = v
			}
			if v != nil && (all.High == nil || *v > *all.High) {
				all.High = v
			}
		}
		if p.Value != nil {
			sum, n = sum+*p.Value, n+1
		}
	}
	if n > 0 {
		mean := sum / n
		all.Value = &mean
	}
	return all
}
