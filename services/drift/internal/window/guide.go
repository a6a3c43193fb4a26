package window

import (
	"math"
	"math/bits"
)

// guide finds bins by arithmetic: it cuts the line into equal steps, each of which
// has one edge at most, so that one comparison tells. Which step a value is in is
// rounded, but never against the order of values, so the bin is exact.
type guide struct {
	origin, scale, top float64
	below              []uint16 // how many edges are in earlier steps
	edges              []uint64 // ordered, and one that nothing is above
}

// Steps of a guide: more would leave the caches of the processor.
const (
	leastSteps = 16
	mostSteps  = 1024
)

// newGuide returns the guide for edges that ascend, nil if they are too uneven for
// one, or too few to need it.
func newGuide(edges []float64) *guide {
	if len(edges) < 2 {
		return nil
	}
	first, last := edges[0], edges[len(edges)-1]
	width := last - first
	for steps := leastSteps; steps <= mostSteps; steps *= 2 {
		// Half as much again on either side: of values beyond there are few.
		g := &guide{origin: first - width/2, scale: float64(steps) / (2 * width), top: float64(steps - 1), below: make([]uint16, steps)}
		if !(g.scale > 0) || math.IsInf(g.scale, 0) || math.IsInf(g.origin, 0) {
			return nil
		}
		if g.fill(edges) {
			return g
		}
	}
	return nil
}

// fill is false when there is more than one edge in a step.
func (g *guide) fill(edges []float64) bool {
	last := -1
	for i, e := range edges {
		step := g.step(e)
		if step == last {
			return false
		}
		for k := last + 1; k <= step; k++ {
			g.below[k] = uint16(i) //nolint:gosec // a profile bounds its bins
		}
		last = step
		g.edges = append(g.edges, ordered(e))
	}
	for k := last + 1; k < len(g.below); k++ {
		g.below[k] = uint16(len(edges)) //nolint:gosec // as above
	}
	g.edges = append(g.edges, math.MaxUint64)
	return true
}

// step is the step of a finite value.
func (g *guide) step(v float64) int {
	at := (v - g.origin) * g.scale
	if at < 0 {
		return 0
	}
	if at > g.top {
		return len(g.below) - 1
	}
	return int(at)
}

// bin is how many edges are below a finite value.
func (g *guide) bin(v float64) int {
	below := int(g.below[g.step(v)])
	_, one := bits.Sub64(g.edges[below], ordered(v), 0)
	return below + int(one)
}
