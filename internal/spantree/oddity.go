package spantree

import (
	"encoding/hex"
	"fmt"
	"time"
)

// OddityKind says what is odd.
type OddityKind int

// What can be odd about a span.
const (
	// Orphan: its parent is not among the spans.
	Orphan OddityKind = iota + 1
	// ClockSkew: it starts before its parent does, which is of another service.
	ClockSkew
	// EndBeforeStart: it ends before it starts.
	EndBeforeStart
	// SharedID: another span has the same id.
	SharedID
	// Cycle: it is its own ancestor. The tree has it without a parent.
	Cycle
)

// Oddity is one odd thing about one span.
type Oddity struct {
	Kind OddityKind
	// By is how far apart the times are, for ClockSkew and EndBeforeStart.
	By time.Duration
	// Of is the id in question: the missing parent's, or the shared one.
	Of ID
}

// String says it for people.
func (o Oddity) String() string {
	switch o.Kind {
	case Orphan:
		return "its parent " + hex.EncodeToString(o.Of[:]) + " is not in the trace"
	case ClockSkew:
		return fmt.Sprintf("it starts %s before its parent, which is of another service: their clocks differ", o.By)
	case EndBeforeStart:
		return fmt.Sprintf("it ends %s before it starts", o.By)
	case SharedID:
		return "another span has its id " + hex.EncodeToString(o.Of[:]) + " too"
	case Cycle:
		return "it is its own ancestor"
	}
	return "unknown"
}

func (t *Tree) odd(i int, o Oddity) { t.Nodes[i].Oddities = append(t.Nodes[i].Oddities, o) }

func (t *Tree) findOddities() {
	for i := range t.spans {
		s, n := &t.spans[i], &t.Nodes[i]
		if len(t.byID[s.ID]) > 1 {
			t.odd(i, Oddity{Kind: SharedID, Of: s.ID})
		}
		if n.Parent < 0 && s.Parent != (ID{}) && len(t.byID[s.Parent]) == 0 {
			t.odd(i, Oddity{Kind: Orphan, Of: s.Parent})
		}
		if s.End < s.Start {
			t.odd(i, Oddity{Kind: EndBeforeStart, By: span(s.End, s.Start)})
		}
		if n.Parent >= 0 {
			// A start of zero is no time that one could compare.
			if p := &t.spans[n.Parent]; p.Service != s.Service && s.Start != 0 && s.Start < p.Start {
				t.odd(i, Oddity{Kind: ClockSkew, By: span(s.Start, p.Start)})
			}
		}
	}
}

// span is the time from a to b, as far as a Duration goes.
func span(a, b uint64) time.Duration {
	return time.Duration(min(b-a, 1<<63-1)) //nolint:gosec // it is within
}
