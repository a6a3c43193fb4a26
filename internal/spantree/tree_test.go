package spantree_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/internal/spantree"
)

const (
	internal = 1
	server   = 2
	client   = 3
)

func id(s string) (out spantree.ID) {
	copy(out[:], s)
	return out
}

// draw is the tree as text: a line a span, indented, with what is odd.
func draw(spans []spantree.Span) string {
	t := spantree.Build(spans)
	var b strings.Builder
	t.Walk(func(i, depth int) {
		fmt.Fprintf(&b, "%s%s/%d", strings.Repeat("  ", depth), spans[i].Service, spans[i].Kind)
		for _, o := range t.Nodes[i].Oddities {
			fmt.Fprintf(&b, " !%s", o)
		}
		b.WriteByte('\n')
	})
	return b.String()
}

func TestTree(t *testing.T) {
	t.Parallel()
	s := func(name, parent, service string, kind int32, start uint64) spantree.Span {
		return spantree.Span{ID: id(name), Parent: id(parent), Service: service, Kind: kind, Start: start, End: start + 10}
	}
	shared := "6100000000000000"
	for name, tt := range map[string]struct {
		spans []spantree.Span
		want  string
	}{
		"nothing": {nil, ""},
		"a tree, children by start": {
			[]spantree.Span{s("c", "a", "three", internal, 30), s("a", "", "one", internal, 10), s("b", "a", "two", internal, 20)},
			"one/1\n  two/1\n  three/1\n",
		},
		"an orphan": {
			[]spantree.Span{s("b", "a", "two", internal, 20)},
			"two/1 !its parent " + shared + " is not in the trace\n",
		},
		"client and server share an id: the server is the client's child, its children its own": {
			[]spantree.Span{
				s("r", "", "front", internal, 5), s("a", "r", "front", client, 10), s("a", "r", "back", server, 12),
				s("b", "a", "back", internal, 13), s("c", "a", "front", internal, 11), s("d", "a", "third", server, 14),
			},
			"front/1\n" +
				"  front/3 !another span has its id " + shared + " too\n" +
				"    front/1\n" +
				"    back/2 !another span has its id " + shared + " too\n" +
				"      back/1\n" +
				"      third/2\n",
		},
		"two that are no call share an id: both are kept, side by side": {
			[]spantree.Span{s("a", "", "one", internal, 10), s("a", "", "two", internal, 20)},
			"one/1 !another span has its id " + shared + " too\ntwo/1 !another span has its id " + shared + " too\n",
		},
		"clocks differ": {
			[]spantree.Span{s("a", "", "one", client, 3_000_000), s("b", "a", "two", server, 1_000_000), s("c", "a", "one", internal, 2_000_000)},
			"one/3\n" +
				"  two/2 !it starts 2ms before its parent, which is of another service: their clocks differ\n" +
				"  one/1\n",
		},
		"ends before it starts": {
			[]spantree.Span{{ID: id("a"), Service: "one", Start: 5_000_000_000, End: 2_000_000_000}},
			"one/0 !it ends 3s before it starts\n",
		},
		"no end at all": {
			[]spantree.Span{{ID: id("a"), Service: "one", Start: 1 << 63}},
			"one/0 !it ends 2562047h47m16.854775807s before it starts\n",
		},
		"its own parent": {
			[]spantree.Span{s("a", "a", "one", internal, 10)},
			"one/1 !it is its own ancestor\n",
		},
		"a cycle is cut at its first span": {
			[]spantree.Span{s("b", "a", "two", internal, 20), s("a", "c", "one", internal, 10), s("c", "b", "three", internal, 30), s("d", "b", "four", internal, 40)},
			"one/1 !it is its own ancestor\n  two/1\n    three/1\n    four/1\n",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, tt.want, draw(tt.spans))
		})
	}
}

// TestAnyOrder: the tree does not depend on the order of the spans, every span
// is in it once, and no two nodes have one id.
func TestAnyOrder(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		spans := make([]spantree.Span, 1+r.IntN(30))
		for i := range spans {
			start := uint64(1000*i + 1)
			spans[i] = spantree.Span{
				ID: id(string(rune('a' + r.IntN(12)))), Parent: id(string(rune('`' + r.IntN(14)))),
				Service: string(rune('A' + r.IntN(3))), Kind: int32(r.IntN(6)), Start: start, End: start + r.Uint64N(5),
			}
		}
		want := draw(spans)
		require.Equal(t, len(spans), strings.Count(want, "\n"))
		seen := map[spantree.ID]bool{}
		for _, n := range spantree.Build(spans).Nodes {
			require.False(t, seen[n.ID])
			seen[n.ID] = true
		}
		r.Shuffle(len(spans), func(i, j int) { spans[i], spans[j] = spans[j], spans[i] })
		require.Equal(t, want, draw(spans))
	}
}

// TestLongChain: depth costs no stack.
func TestLongChain(t *testing.T) {
	t.Parallel()
	spans := make([]spantree.Span, 100_000)
	for i := range spans {
		spans[i].ID = id(fmt.Sprintf("%08d", i+1))
		if i > 0 {
			spans[i].Parent = spans[i-1].ID
		}
	}
	deepest := 0
	spantree.Build(spans).Walk(func(_, depth int) { deepest = max(deepest, depth) })
	require.Equal(t, len(spans)-1, deepest)
}

func TestOddityBy(t *testing.T) {
	t.Parallel()
	tree := spantree.Build([]spantree.Span{{ID: id("a"), Service: "one", Start: 9, End: 2}})
	require.Equal(t, []spantree.Oddity{{Kind: spantree.EndBeforeStart, By: 7 * time.Nanosecond}}, tree.Nodes[0].Oddities)
}
