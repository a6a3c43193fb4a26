package query

import (
	"cmp"
	"encoding/binary"
	"math"
	"slices"
	"strings"

	"github.com/cespare/xxhash/v2"

	"github.com/driftmesh/driftmesh/internal/spantree"
)

// graphSpan is what a graph needs of a span, besides what the tree does.
type graphSpan struct {
	topic                       string // it sent to, or processed from; "" for none
	waited                      float64
	within, failed, mesh, again bool
}

// graphSpanSize is the two ids; the hashes of service and topic, start, duration
// and seconds of waiting, each of 8 bytes; the kind, and a byte of flags.
const graphSpanSize = 8 + 8 + 5*8 + 1 + 1

// Kinds of OTLP that are about messages.
const kindProducer, kindConsumer = 4, 5

// graphBuilder makes a graph from trace to trace.
type graphBuilder struct {
	names   map[uint64]string // of services and topics, by hash
	systems map[string]string // by topic
	nodes   map[GraphPlace]*graphSums
	edges   map[[2]GraphPlace]*graphSums
	spans   uint64

	// of the trace at hand
	tree []spantree.Span
	more []graphSpan
}

// graphSums are those of a node or an edge.
type graphSums struct {
	errors, again    uint64
	durations, waits []uint64
}

func newGraphBuilder() *graphBuilder {
	return &graphBuilder{
		names: map[uint64]string{}, systems: map[string]string{},
		nodes: map[GraphPlace]*graphSums{}, edges: map[[2]GraphPlace]*graphSums{},
	}
}

func (b *graphBuilder) trace(spans string, services, topics []string) {
	for _, s := range services {
		b.names[xxhash.Sum64String(s)] = s
	}
	for _, t := range topics {
		topic, system, _ := strings.Cut(t, "\x00")
		b.names[xxhash.Sum64String(topic)] = topic
		if have := b.systems[topic]; system != "" && (have == "" || system < have) {
			b.systems[topic] = system
		}
	}
	b.tree, b.more = b.tree[:0], b.more[:0]
	for raw := []byte(spans); len(raw) >= graphSpanSize; raw = raw[graphSpanSize:] {
		number := func(i int) uint64 { return binary.LittleEndian.Uint64(raw[16+8*i:]) }
		s := spantree.Span{Service: cmp.Or(b.names[number(0)], MissingService), Kind: int32(raw[56]), Start: number(2)}
		s.End = s.Start + number(3)
		copy(s.ID[:], raw)
		copy(s.Parent[:], raw[8:])
		b.tree = append(b.tree, s)
		flags := raw[57]
		b.more = append(b.more, graphSpan{
			topic: b.names[number(1)], waited: math.Float64frombits(number(4)),
			within: flags&1 != 0, failed: flags&2 != 0, mesh: flags&4 != 0, again: flags&8 != 0,
		})
	}
	b.count(spantree.Build(b.tree).Nodes)
}

// count adds the spans of the trace at hand.
func (b *graphBuilder) count(nodes []spantree.Node) {
	told := map[int]bool{} // senders of which a child says how long the message waited
	for i, n := range nodes {
		if n.Parent >= 0 && b.more[i].waited >= 0 {
			told[n.Parent] = true
		}
	}
	for i, n := range nodes {
		s, m := &b.tree[i], &b.more[i]
		if !m.within {
			continue
		}
		b.spans++
		me := GraphPlace{Name: s.Service, Mesh: m.mesh}
		topic := GraphPlace{Topic: true, Name: m.topic, Mesh: m.mesh}
		if m.topic != "" && m.waited >= 0 {
			b.waited(topic, me, m, nanosOf(m.waited))
			if s.Kind != kindConsumer {
				continue // it tells of the waiting and of nothing else
			}
		}
		if b.sameMessage(i, n.Parent) {
			b.node(me)
			continue
		}
		switch {
		case m.topic != "" && s.Kind == kindProducer:
			b.edge(me, topic).add(s, m)
			b.node(topic).add(s, m)
		case m.topic != "" && s.Kind == kindConsumer:
			b.node(topic) // it is there, also if nobody is known to send to it
			b.edge(topic, me).add(s, m)
			b.node(me).add(s, m)
			if p := n.Parent; m.waited < 0 && p >= 0 && b.tree[p].Kind == kindProducer && !told[p] && s.Start > b.tree[p].End {
				b.waited(topic, me, m, s.Start-b.tree[p].End)
			}
			continue
		}
		if n.Parent < 0 {
			b.node(me).add(s, m)
		} else if from := b.place(n.Parent); from != me {
			b.edge(from, me).add(s, m)
			b.node(me).add(s, m)
		} else {
			b.node(me) // it is there, however it was entered
		}
	}
}

func (b *graphBuilder) place(i int) GraphPlace {
	return GraphPlace{Name: b.tree[i].Service, Mesh: b.more[i].mesh}
}

// sameMessage reports whether a span and its parent are about the same sending, or
// processing: those who make a message and send it, or receive one and process it,
// may have a span for each.
func (b *graphBuilder) sameMessage(i, parent int) bool {
	return parent >= 0 && b.more[i].topic != "" && b.more[i].topic == b.more[parent].topic &&
		b.tree[i].Kind == b.tree[parent].Kind && b.place(i) == b.place(parent)
}

func (b *graphBuilder) waited(topic, by GraphPlace, m *graphSpan, nanos uint64) {
	for _, s := range []*graphSums{b.edge(topic, by), b.node(topic)} {
		s.waits = append(s.waits, nanos)
		if m.again {
			s.again++
		}
	}
	b.node(by)
}

func (b *graphBuilder) node(p GraphPlace) *graphSums { return sumsOf(b.nodes, p) }

func (b *graphBuilder) edge(from, to GraphPlace) *graphSums {
	return sumsOf(b.edges, [2]GraphPlace{from, to})
}

func sumsOf[K comparable](all map[K]*graphSums, key K) *graphSums {
	s := all[key]
	if s == nil {
		s = &graphSums{}
		all[key] = s
	}
	return s
}

func (g *graphSums) add(s *spantree.Span, m *graphSpan) {
	g.durations = append(g.durations, s.End-s.Start)
	if m.failed {
		g.errors++
	}
}

// nanosOf is a number of seconds in nanoseconds, as far as there is room for them.
func nanosOf(seconds float64) uint64 {
	if n := seconds * 1e9; n < math.MaxInt64 {
		return uint64(math.Round(n))
	}
	return math.MaxInt64
}

func (g *graphSums) figures() Figures {
	slices.Sort(g.durations)
	return Figures{
		Calls: uint64(len(g.durations)), Errors: g.errors,
		P50: quantileOf(g.durations, 0.5), P95: quantileOf(g.durations, 0.95), P99: quantileOf(g.durations, 0.99),
	}
}

func (g *graphSums) dwell() Dwell {
	slices.Sort(g.waits)
	return Dwell{Count: uint64(len(g.waits)), Redelivered: g.again, P50: quantileOf(g.waits, 0.5), P95: quantileOf(g.waits, 0.95)}
}

// quantileOf is the q-th quantile of sorted values, interpolated as those of a
// Measure are; 0 of none.
func quantileOf(sorted []uint64, q float64) float64 {
	if len(sorted) == 0 {
		return 0
	}
	below, part := math.Modf(q * float64(len(sorted)-1))
	v := float64(sorted[int(below)])
	if part > 0 {
		v += part * (float64(sorted[int(below)+1]) - v)
	}
	return v
}

// finish gives the graph, of those called most where there are too many.
func (b *graphBuilder) finish() *Graph {
	g := &Graph{Spans: b.spans}
	for p, s := range b.nodes {
		n := GraphNode{Place: p, Figures: s.figures(), Dwell: s.dwell()}
		if p.Topic {
			n.System = b.systems[p.Name]
		}
		g.Nodes = append(g.Nodes, n)
	}
	g.Nodes = g.most(g.Nodes)
	kept := make(map[GraphPlace]bool, len(g.Nodes))
	for _, n := range g.Nodes {
		kept[n.Place] = true
	}
	for ends, s := range b.edges {
		if kept[ends[0]] && kept[ends[1]] {
			g.Edges = append(g.Edges, GraphEdge{From: ends[0], To: ends[1], Figures: s.figures(), Dwell: s.dwell()})
		}
	}
	if len(g.Edges) > maxEdges {
		g.Truncated = true
		slices.SortFunc(g.Edges, func(a, b GraphEdge) int { return cmp.Or(cmp.Compare(b.weight(), a.weight()), a.compare(b)) })
		g.Edges = g.Edges[:maxEdges]
	}
	slices.SortFunc(g.Edges, GraphEdge.compare)
	return g
}

// most leaves those called most, sorted by place.
func (g *Graph) most(nodes []GraphNode) []GraphNode {
	if len(nodes) > maxNodes {
		g.Truncated = true
		slices.SortFunc(nodes, func(a, b GraphNode) int {
			return cmp.Or(cmp.Compare(b.Calls+b.Dwell.Count, a.Calls+a.Dwell.Count), a.Place.compare(b.Place))
		})
		nodes = nodes[:maxNodes]
	}
	slices.SortFunc(nodes, func(a, b GraphNode) int { return a.Place.compare(b.Place) })
	return nodes
}

func (e GraphEdge) weight() uint64 { return max(e.Calls, e.Dwell.Count) }

func (e GraphEdge) compare(o GraphEdge) int {
	return cmp.Or(e.From.compare(o.From), e.To.compare(o.To))
}

// compare has services before topics, and those of tenants before the mesh's.
func (p GraphPlace) compare(o GraphPlace) int {
	return cmp.Or(compareBool(p.Topic, o.Topic), cmp.Compare(p.Name, o.Name), compareBool(p.Mesh, o.Mesh))
}

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}
