// Package plot draws drift in a terminal: pairs of histograms, and lines of a
// statistic over time, in characters of block elements.
package plot

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"

	driftv1 "github.com/driftmesh/driftmesh/proto/driftmesh/drift/v1"
)

// Style says how to draw.
type Style struct {
	// Width is the number of columns; 0 means [DefaultWidth].
	Width int
	// Color allows the colours of a terminal.
	Color bool
	// Safe makes a text of strangers harmless; nil leaves it as it is.
	Safe func(string) string
}

// DefaultWidth is that of a terminal of which nothing is known.
const DefaultWidth = 80

// The colours, by what they mean: what was, what is, what moved.
const (
	was   = "90"
	is    = "34"
	moved = "33"
)

func (s Style) paint(color, text string) string {
	if !s.Color || text == "" {
		return text
	}
	return "\x1b[" + color + "m" + text + "\x1b[0m"
}

func (s Style) safe(text string) string {
	if s.Safe == nil {
		return text
	}
	return s.Safe(text)
}

func (s Style) width() int {
	if s.Width <= 0 {
		return DefaultWidth
	}
	return max(s.Width, leastWidth)
}

// Columns of a histogram: a share takes shareWidth of them, a label up to
// mostLabel.
const (
	leastWidth = 40
	mostLabel  = 28
	shareWidth = 7
)

// eighths are blocks from one to eight eighths of a column.
var eighths = []rune("▏▎▍▌▋▊▉█")

// Histogram draws the bins of a score, two lines each: the share of the reference
// above that of the current values.
func (s Style) Histogram(out io.Writer, score *driftv1.Score) error {
	bins := slices.Concat(score.GetBins(), seen(score.GetStates()))
	most, label := 0.0, 0
	for _, b := range bins {
		most = max(most, b.GetExpected(), b.GetObserved())
		label = max(label, widthOf(s.safe(Short(b.GetLabel()))))
	}
	label = min(label, mostLabel, s.width()/3)
	room := s.width() - label - shareWidth - 4
	top := strongest(bins)
	for i, b := range bins {
		mark := " "
		if i == top && score.GetVerdict() == driftv1.Verdict_VERDICT_DRIFT {
			mark = s.paint(moved, "◆")
		}
		_, err := fmt.Fprintf(out, "%s %s %s %s\n%s %s %s\n",
			mark, fit(s.safe(Short(b.GetLabel())), label), share(b.GetExpected()), s.paint(was, bar(b.GetExpected(), most, room, true)),
			strings.Repeat(" ", label+2), share(b.GetObserved()), s.paint(is, bar(b.GetObserved(), most, room, false)))
		if err != nil {
			return err
		}
	}
	return nil
}

// Short is the label of a bin with few digits, where that is an interval.
func Short(label string) string {
	if len(label) < 2 || label[0] != '(' {
		return label
	}
	end := label[len(label)-1:]
	lower, upper, ok := strings.Cut(label[1:len(label)-1], ", ")
	low, errLow := strconv.ParseFloat(lower, 64)
	high, errHigh := strconv.ParseFloat(upper, 64)
	if !ok || errLow != nil || errHigh != nil || end != "]" && end != ")" {
		return label
	}
	switch {
	case math.IsInf(low, -1) && math.IsInf(high, 1):
		return "any"
	case math.IsInf(low, -1):
		return "≤ " + few(high)
	case math.IsInf(high, 1):
		return "> " + few(low)
	}
	return "(" + few(low) + ", " + few(high) + end
}

// fewDigits is how many digits of a number are enough to look at.
const fewDigits = 5

func few(v float64) string { return strconv.FormatFloat(v, 'g', fewDigits, 64) }

// seen are the states that there are values in, on either side.
func seen(states []*driftv1.BinScore) []*driftv1.BinScore {
	return slices.DeleteFunc(slices.Clone(states), func(b *driftv1.BinScore) bool { return b.GetExpected() == 0 && b.GetObserved() == 0 })
}

// strongest is the position of the bin that adds most; -1 when none adds.
func strongest(bins []*driftv1.BinScore) int {
	top := -1
	for i, b := range bins {
		if b.GetContribution() > 0 && (top < 0 || b.GetContribution() > bins[top].GetContribution()) {
			top = i
		}
	}
	return top
}

func share(v float64) string { return fmt.Sprintf("%*.1f%%", shareWidth-1, 100*v) }

// bar is a value as a bar of up to room columns. That of the reference is of
// another texture, so that it is told from the other without colour.
func bar(v, most float64, room int, reference bool) string {
	if most <= 0 {
		return ""
	}
	n := int(math.Round(v / most * float64(8*room)))
	if reference {
		return strings.Repeat("░", (n+4)/8)
	}
	text := strings.Repeat("█", n/8)
	if rest := n % 8; rest > 0 {
		text += string(eighths[rest-1])
	}
	return text
}

// levels are blocks from one to eight eighths of a line.
var levels = []rune("▁▂▃▄▅▆▇█")

// Point is one value of a line.
type Point struct {
	// Value of the statistic; NaN when there is none.
	Value float64
	// Drift says that it is beyond its threshold, Insufficient that there was too
	// little to judge by.
	Drift, Insufficient bool
}

// Line draws points from 0 up, each a column wide: those that moved in their
// colour, those without a verdict as a dot. Where there are more points than
// columns, a column is the worst of several.
func (s Style) Line(points []Point, columns int) string {
	points = squeezed(points, max(columns, 1))
	most := 0.0
	for _, p := range points {
		if !math.IsNaN(p.Value) {
			most = max(most, math.Abs(p.Value))
		}
	}
	var b strings.Builder
	for _, p := range points {
		switch {
		case math.IsNaN(p.Value):
			b.WriteByte(' ')
		case p.Insufficient:
			b.WriteString(s.paint(was, "·"))
		case p.Drift:
			b.WriteString(s.paint(moved, string(level(p.Value, most))))
		default:
			b.WriteString(s.paint(is, string(level(p.Value, most))))
		}
	}
	return b.String()
}

func level(v, most float64) rune {
	if most == 0 {
		return levels[0]
	}
	return levels[min(int(math.Abs(v)/most*float64(len(levels))), len(levels)-1)]
}

// squeezed is at most so many points, each the worst of its part.
func squeezed(points []Point, columns int) []Point {
	if len(points) <= columns {
		return points
	}
	out := make([]Point, columns)
	for i := range out {
		part := points[i*len(points)/columns : (i+1)*len(points)/columns]
		out[i] = slices.MaxFunc(part, func(a, b Point) int {
			switch {
			case a.Drift != b.Drift:
				return sign(a.Drift)
			case math.IsNaN(a.Value) || math.IsNaN(b.Value):
				return sign(math.IsNaN(b.Value))
			}
			return sign(math.Abs(a.Value) > math.Abs(b.Value))
		})
	}
	return out
}

func sign(more bool) int {
	if more {
		return 1
	}
	return -1
}

// fit is the text in exactly so many columns: filled up, or cut with an ellipsis.
func fit(text string, columns int) string {
	if n := widthOf(text); n <= columns {
		return text + strings.Repeat(" ", columns-n)
	}
	var b strings.Builder
	used := 0
	for _, r := range text {
		if used+runeWidth(r) > columns-1 {
			break
		}
		used += runeWidth(r)
		b.WriteRune(r)
	}
	return b.String() + "…" + strings.Repeat(" ", max(columns-1-used, 0))
}

func widthOf(text string) (n int) {
	for _, r := range text {
		n += runeWidth(r)
	}
	return n
}

// runeWidth is how many columns a terminal gives a character: two for the wide
// ones of East Asia and for emoji, none for what joins another (Unicode Standard
// Annex 11, in short).
func runeWidth(r rune) int {
	switch {
	case r >= 0x300 && r <= 0x36f, r >= 0x200b && r <= 0x200f, r >= 0xfe00 && r <= 0xfe0f:
		return 0
	case r >= 0x1100 && r <= 0x115f, r >= 0x2e80 && r <= 0xa4cf, r >= 0xac00 && r <= 0xd7a3, r >= 0xf900 && r <= 0xfaff,
		r >= 0xfe30 && r <= 0xfe6f, r >= 0xff00 && r <= 0xff60, r >= 0xffe0 && r <= 0xffe6, r >= 0x1f300 && r <= 0x1faff, r >= 0x20000 && r <= 0x3fffd:
		return 2
	}
	return 1
}
