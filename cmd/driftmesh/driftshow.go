package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/driftmesh/driftmesh/cmd/driftmesh/internal/plot"
	driftv1 "github.com/driftmesh/driftmesh/proto/driftmesh/drift/v1"
)

type driftShowCmd struct {
	lookFlags
	Monitor string `help:"Only this monitor."`
	Feature string `help:"Only this feature, drifted or not."`
	All     bool   `help:"Draw every feature, and not only what drifted."`
}

// Run draws the histograms of what drifted, and how it came to that.
func (c driftShowCmd) Run(ctx context.Context, con console) error {
	s, err := c.look(ctx, con, c.Monitor, c.Feature)
	if err != nil {
		return err
	}
	style, out, drawn := terminalStyle(con.out), raw(con.out), 0
	e := s.evaluation
	fmt.Fprintf(con.out, "%s, %s, %d records, reference %d\n", e.GetProfileName(), s.when, e.GetRecords(), s.reference)
	var shown []string
	for _, score := range e.GetScores() {
		wanted := c.All || c.Feature != "" || isDrift(score)
		if !wanted || c.Feature != "" && c.Feature != score.GetFeature() || c.Monitor != "" && c.Monitor != score.GetMonitor() {
			continue
		}
		drawn++
		fmt.Fprintf(con.out, "\n%s: %s by %s: %s %s, threshold %s, adjusted p %s, %d values, reference %d\n", safe(score.GetFeature(), true),
			enumText(score.GetVerdict(), "VERDICT_"), score.GetMonitor(), score.GetDetector(), optional(score.Value), bounds(score),
			optional(score.AdjustedPValue), score.GetSample(), score.GetReference())
		drawSeries(con, style, s.series, score)
		if slices.Contains(shown, score.GetFeature()) { // by another monitor
			continue
		}
		shown = append(shown, score.GetFeature())
		if err := style.Histogram(out, score); err != nil {
			return err
		}
	}
	switch {
	case drawn > 0:
		return nil
	case c.Feature != "" || c.Monitor != "":
		return errors.New("nothing was judged that is of this monitor and feature")
	}
	fmt.Fprintln(con.out, "nothing drifted; --all draws every feature")
	return nil
}

// seriesColumns is how wide a line over time is at most.
const seriesColumns = 60

// drawSeries draws the line of a score's monitor and feature over time, if there
// is one.
func drawSeries(con console, style plot.Style, all []*driftv1.Series, score *driftv1.Score) {
	i := slices.IndexFunc(all, func(s *driftv1.Series) bool {
		return s.GetMonitor() == score.GetMonitor() && s.GetFeature() == score.GetFeature()
	})
	if i < 0 || len(all[i].GetPoints()) == 0 {
		return
	}
	series := all[i].GetPoints()
	line := make([]plot.Point, len(series))
	for k, p := range series {
		line[k] = plot.Point{
			Value: math.NaN(), Drift: p.GetVerdict() == driftv1.Verdict_VERDICT_DRIFT, Insufficient: p.GetVerdict() == driftv1.Verdict_VERDICT_INSUFFICIENT,
		}
		if p.Max != nil {
			line[k].Value = p.GetMax()
		}
	}
	fmt.Fprintf(raw(con.out), "  %s %s %s\n", stamp(series[0].GetFirstSlot()), style.Line(line, seriesColumns), stamp(series[len(series)-1].GetLastSlot()))
}
