package alert

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/driftmesh/driftmesh/services/drift/internal/score"
)

// Bounds of the pictures in an event: of so many features, the worst, and so
// many bars each.
const (
	MaxPictured = 5
	MaxBars     = 24
)

// Picture fills in the shares of the reference and the sample by bin. Where
// there are more bins than bars, neighbours are put together.
func (m *Moved) Picture(r *score.Report) {
	m.Bins, m.States = nil, nil
	per := max((len(r.Bins)+MaxBars-1)/MaxBars, 1)
	for group := range slices.Chunk(r.Bins, per) {
		share := Share{Label: group[0].Label}
		if last := group[len(group)-1].Label; len(group) > 1 {
			share.Label += " … " + last
		}
		for i := range group {
			share.Expected += group[i].Expected
			share.Observed += group[i].Observed
		}
		m.Bins = append(m.Bins, share)
	}
	for i := range r.States {
		if s := &r.States[i]; s.Expected > 0 || s.Observed > 0 {
			m.States = append(m.States, Share{s.Label, s.Expected, s.Observed})
		}
	}
}

// bars from the lowest to the highest; a share of nothing is a dot.
var bars = []rune("▁▂▃▄▅▆▇█")

const noBar = '·'

// Bars are the shares as two lines of bars of one scale: of the reference and of
// the sample.
func Bars(shares []Share) (reference, current string) {
	top := 0.0
	for _, s := range shares {
		top = max(top, s.Expected, s.Observed)
	}
	bar := func(v float64) rune {
		if v <= 0 || top <= 0 {
			return noBar
		}
		return bars[min(int(v/top*float64(len(bars))), len(bars)-1)]
	}
	var r, c strings.Builder
	for _, s := range shares {
		r.WriteRune(bar(s.Expected))
		c.WriteRune(bar(s.Observed))
	}
	return r.String(), c.String()
}

// Numbers is what the feature rests on, in one line.
func (m *Moved) Numbers(detector string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %.4g", detector, m.Value)
	if m.Threshold != nil {
		fmt.Fprintf(&b, " against %.4g", *m.Threshold)
	}
	if m.Adjusted != nil {
		fmt.Fprintf(&b, ", adjusted p %.2g", *m.Adjusted)
	}
	if m.Rate != nil {
		fmt.Fprintf(&b, " (false alarms %.3g%%)", 100**m.Rate)
	}
	fmt.Fprintf(&b, ", %d values", m.Sample)
	if m.Reference > 0 {
		fmt.Fprintf(&b, " against %d", m.Reference)
	}
	return b.String()
}

// Shift is the share that changed most, in words; "" without shares.
func (m *Moved) Shift() string {
	var most *Share
	for _, list := range [][]Share{m.Bins, m.States} {
		for i := range list {
			if s := &list[i]; most == nil || math.Abs(s.Observed-s.Expected) > math.Abs(most.Observed-most.Expected) {
				most = s
			}
		}
	}
	if most == nil {
		return ""
	}
	return fmt.Sprintf("%s: %.3g%% → %.3g%%", most.Label, 100*most.Expected, 100*most.Observed)
}

// Details are the features that moved, with a picture of each where there is
// one, for a fixed-width font.
func (e *Event) Details() string {
	var b strings.Builder
	for i := range e.Moved {
		m := &e.Moved[i]
		fmt.Fprintf(&b, "%s  %s\n", m.Feature, m.Numbers(e.Detector))
		if len(m.Bins) == 0 {
			continue
		}
		reference, current := Bars(m.Bins)
		fmt.Fprintf(&b, "  reference %s\n  current   %s  %s\n", reference, current, m.Shift())
	}
	if more := e.Count - len(e.Moved); more > 0 {
		fmt.Fprintf(&b, "and %d more\n", more)
	}
	return b.String()
}
