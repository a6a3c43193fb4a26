package report

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/driftmesh/driftmesh/cmd/driftmesh/internal/plot"
	driftv1 "github.com/driftmesh/driftmesh/proto/driftmesh/drift/v1"
)

// The histogram's place on its sheet, in units of the SVG.
const (
	plotLeft   = 44
	plotRight  = 552
	plotTop    = 18
	plotBottom = 158
	labelLine  = 174
	stateGap   = 14 // between bins and states
	letter     = 5.6
)

// histogram is a pair of them: reference and current.
type histogram struct {
	Title      string
	Grid       []gridLine
	Was        string // path of the reference's sheet
	WasLine    string // and of its upper edge
	Is         string // path of the current bars
	Labels     []label
	Values     []label // shares above the bars that moved
	Strip      []strip
	Rows       []binRow
	More       int
	StripNote  string
	WasN, IsN  string
	Left, Base int
}

type gridLine struct {
	Y     string
	Label string
}

type label struct{ X, Y, Text, Class string }

// strip are the bins of one shade of what they add to the statistic.
type strip struct{ Class, Path string }

type binRow struct{ Label, Was, Is, Count, Adds string }

// shown are the bins of a score that fit, those that add most among them, and how
// many are left out.
func shown(s *driftv1.Score) (bins []*driftv1.BinScore, states, more int) {
	bins = s.GetBins()
	if len(bins) > mostBins {
		places := make([]int, len(bins))
		for i := range places {
			places[i] = i
		}
		slices.SortStableFunc(places, func(a, b int) int {
			return cmp.Or(cmp.Compare(bins[b].GetContribution(), bins[a].GetContribution()), cmp.Compare(bins[b].GetObserved(), bins[a].GetObserved()))
		})
		keep := places[:mostBins]
		slices.Sort(keep)
		kept := make([]*driftv1.BinScore, mostBins)
		for i, place := range keep {
			kept[i] = bins[place]
		}
		more, bins = len(bins)-mostBins, kept
	}
	bins = slices.Clone(bins)
	for _, b := range s.GetStates() {
		if b.GetExpected() > 0 || b.GetObserved() > 0 {
			bins = append(bins, b)
			states++
		}
	}
	return bins, states, more
}

func histogramOf(s *driftv1.Score) *histogram {
	bins, states, more := shown(s)
	if len(bins) == 0 {
		return nil
	}
	h := &histogram{
		Title: fmt.Sprintf("Shares of %s by bin: the reference (%s values) and the current ones (%s)", s.GetFeature(), grouped(s.GetReference()), grouped(s.GetSample())),
		More:  more, WasN: grouped(s.GetReference()), IsN: grouped(s.GetSample()), Left: plotLeft, Base: plotBottom,
		StripNote: fmt.Sprintf("what each bin adds to %s, in all %s", s.GetDetector(), optional(s.Value)),
	}
	most, strongest := 0.0, 0.0
	for _, b := range bins {
		most = max(most, b.GetExpected(), b.GetObserved())
		strongest = max(strongest, math.Abs(b.GetContribution()))
	}
	step := niceStep(most)
	top := step * math.Ceil(most/step)
	y := func(share float64) float64 { return plotBottom - share/max(top, step)*(plotBottom-plotTop) }
	for share := 0.0; share <= top+step/2; share += step {
		h.Grid = append(h.Grid, gridLine{units(y(share)), fmt.Sprintf("%.3g %%", 100*share)})
	}
	width := float64(plotRight-plotLeft-min(states, 1)*stateGap) / float64(len(bins))
	h.draw(bins, states, width, y)
	loudest := 0 // orange is for what moved
	if s.GetVerdict() == driftv1.Verdict_VERDICT_DRIFT {
		loudest = shades
	}
	for i, b := range bins {
		x := place(i, len(bins)-states, width)
		h.shade(stripClass(b, strongest, loudest), fmt.Sprintf("M%s 184h%sv14h-%sz", units(x+1), units(width-2), units(width-2)))
		h.Rows = append(h.Rows, binRow{plot.Short(b.GetLabel()), percent(b.GetExpected()), percent(b.GetObserved()), grouped(b.GetCount()), number(b.GetContribution())})
	}
	return h
}

// shade adds a cell to the strip of its shade.
func (h *histogram) shade(class, cell string) {
	for i := range h.Strip {
		if h.Strip[i].Class == class {
			h.Strip[i].Path += cell
			return
		}
	}
	h.Strip = append(h.Strip, strip{class, cell})
}

// place is where bin i begins; states stand apart.
func place(i, regular int, width float64) float64 {
	x := plotLeft + float64(i)*width
	if i >= regular {
		x += stateGap
	}
	return x
}

// draw draws the sheet of the reference, the bars in front of it, and labels.
func (h *histogram) draw(bins []*driftv1.BinScore, states int, width float64, y func(float64) float64) {
	var was, line, is strings.Builder
	regular := len(bins) - states
	every := max(int(math.Ceil(leastLabel/width)), 1)
	moved := -1
	for i, b := range bins {
		if b.GetContribution() > 0 && (moved < 0 || b.GetContribution() > bins[moved].GetContribution()) {
			moved = i
		}
	}
	for i, b := range bins {
		x := place(i, regular, width)
		fmt.Fprintf(&was, "M%s %dV%sH%sV%d", units(x), plotBottom, units(y(b.GetExpected())), units(x+width), plotBottom)
		if i == 0 || i >= regular {
			fmt.Fprintf(&line, "M%s %d", units(x), plotBottom)
		}
		fmt.Fprintf(&line, "V%sH%s", units(y(b.GetExpected())), units(x+width))
		if i == regular-1 || i >= regular {
			fmt.Fprintf(&line, "V%d", plotBottom)
		}
		fmt.Fprintf(&is, "M%s %dV%sH%sV%dZ", units(x+0.2*width), plotBottom, units(y(b.GetObserved())), units(x+0.8*width), plotBottom)
		if i%every == 0 || i >= regular {
			h.Labels = append(h.Labels, label{X: units(x + width/2), Y: units(labelLine), Text: axisLabel(b.GetLabel(), width*float64(every))})
		}
		if i == moved {
			h.Values = append(h.Values, label{X: units(x + width/2), Y: units(y(b.GetObserved()) - 4), Text: percent(b.GetObserved())})
		}
	}
	h.Was, h.WasLine, h.Is = was.String(), line.String(), is.String()
}

// leastLabel is the room that a label under a bin wants.
const leastLabel = 38

// axisLabel names a bin in the room of a column: an interval by its upper edge.
func axisLabel(text string, room float64) string {
	text = plot.Short(text)
	if strings.HasPrefix(text, "(") && strings.HasSuffix(text, "]") {
		if _, upper, ok := strings.Cut(strings.TrimSuffix(text, "]"), ", "); ok {
			text = upper
		}
	}
	letters := []rune(text)
	if most := max(int(room/letter), 3); len(letters) > most {
		return string(letters[:most-1]) + "…"
	}
	return text
}

// shades are how many there are of what a bin adds, in each direction.
const shades = 3

// stripClass is the colour of what a bin adds: by its size beside the largest, and
// by whether the bin gained or lost.
func stripClass(b *driftv1.BinScore, strongest float64, loudest int) string {
	if strongest == 0 {
		return "d0"
	}
	size := min(int(math.Ceil(shades*math.Abs(b.GetContribution())/strongest)), loudest)
	switch {
	case size == 0 || b.GetObserved() == b.GetExpected():
		return "d0"
	case b.GetObserved() > b.GetExpected():
		return fmt.Sprintf("p%d", size)
	}
	return fmt.Sprintf("n%d", size)
}

// niceStep divides most into two to five parts of a round size.
func niceStep(most float64) float64 {
	if most <= 0 {
		return 1
	}
	step := math.Pow(10, math.Floor(math.Log10(most)))
	for _, part := range []float64{0.2, 0.25, 0.5, 1} {
		if most/(step*part) <= 5 {
			return step * part
		}
	}
	return step * 2
}

// units is a length in the units of an SVG.
func units(v float64) string {
	return strings.TrimSuffix(strings.TrimRight(fmt.Sprintf("%.1f", v), "0"), ".")
}
