package spantree

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"hash/fnv"
	"slices"
)

// ID is the id of a span; zero is none.
type ID [8]byte

// Kinds of OTLP that the tree knows.
const (
	kindServer   = 2
	kindClient   = 3
	kindProducer = 4
	kindConsumer = 5
)

// Span is what the tree looks at. Start and End are Unix nanoseconds, Kind is
// OTLP's number.
type Span struct {
	ID, Parent ID
	Service    string
	Kind       int32
	Start, End uint64
}

// calls reports whether the span is the side of a call that began it.
func (s *Span) calls() bool { return s.Kind == kindClient || s.Kind == kindProducer }

// serves reports whether the span is the side of a call that was called.
func (s *Span) serves() bool { return s.Kind == kindServer || s.Kind == kindConsumer }

// Node is the place of one span in the tree.
type Node struct {
	// ID is the span's own, or one made of it where another span has the same.
	ID ID
	// Parent is the index of the parent's node, -1 without one in the tree.
	Parent int
	// ParentID is the parent's Node.ID, or what the span says of a parent that
	// is not in the tree.
	ParentID ID
	// Children are the indexes of the children's nodes, by start.
	Children []int
	// Oddities are what is odd about the span.
	Oddities []Oddity
}

// Tree is what Build makes.
type Tree struct {
	// Nodes has a node for each span, with the same index.
	Nodes []Node
	// Roots are the indexes of the nodes without a parent, by start.
	Roots []int

	spans []Span
	byID  map[ID][]int // twins in their order
}

// Build puts spans into their tree. It keeps the slice and changes nothing in
// it.
func Build(spans []Span) *Tree {
	t := &Tree{Nodes: make([]Node, len(spans)), spans: spans, byID: make(map[ID][]int, len(spans))}
	for i := range spans {
		t.byID[spans[i].ID] = append(t.byID[spans[i].ID], i)
	}
	t.nameTwins()
	for i := range spans {
		t.Nodes[i].Parent = t.parent(i)
	}
	t.cutCycles()
	t.link()
	t.findOddities()
	return t
}

// Walk visits every node, parents before children and those by start.
func (t *Tree) Walk(visit func(index, depth int)) {
	type step struct{ index, depth int }
	stack := make([]step, 0, len(t.Roots))
	push := func(of []int, depth int) {
		for _, i := range slices.Backward(of) {
			stack = append(stack, step{i, depth})
		}
	}
	push(t.Roots, 0)
	for len(stack) > 0 {
		s := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		visit(s.index, s.depth)
		push(t.Nodes[s.index].Children, s.depth+1)
	}
}

// nameTwins gives each node an id of its own. Of spans that share one, the
// first keeps it: the caller, so that what others say of a parent stays true.
func (t *Tree) nameTwins() {
	for id, twins := range t.byID {
		slices.SortFunc(twins, func(a, b int) int { return t.compareTwins(a, b) })
		t.Nodes[twins[0]].ID = id
	}
	for id, twins := range t.byID {
		for n, i := range twins[1:] {
			t.Nodes[i].ID = t.idFor(id, i, n)
		}
	}
}

func (t *Tree) compareTwins(a, b int) int {
	x, y := &t.spans[a], &t.spans[b]
	return cmp.Or(
		cmp.Compare(rank(x), rank(y)), cmp.Compare(x.Service, y.Service), cmp.Compare(x.Kind, y.Kind),
		cmp.Compare(x.Start, y.Start), cmp.Compare(x.End, y.End), bytes.Compare(x.Parent[:], y.Parent[:]),
	)
}

func rank(s *Span) int {
	switch {
	case s.calls():
		return 0
	case s.serves():
		return 2
	}
	return 1
}

// idFor makes an id for a twin of what tells it apart, so that it is the same
// every time.
func (t *Tree) idFor(id ID, i, n int) ID {
	s := &t.spans[i]
	h := fnv.New64a()
	_, _ = h.Write(id[:])
	_, _ = h.Write([]byte(s.Service))
	_, _ = h.Write([]byte{0, byte(s.Kind), byte(n)})
	for sum := h.Sum64(); ; sum++ {
		var made ID
		binary.BigEndian.PutUint64(made[:], sum)
		if _, taken := t.byID[made]; !taken && made != (ID{}) {
			return made
		}
	}
}

// parent is the index of a span's parent, -1 without one.
func (t *Tree) parent(i int) int {
	s := &t.spans[i]
	if s.serves() {
		for _, twin := range t.byID[s.ID] {
			if t.spans[twin].calls() {
				return twin // the call that this span served
			}
		}
	}
	if s.Parent == (ID{}) {
		return -1
	}
	best := -1
	for _, p := range t.byID[s.Parent] {
		if p != i && (best < 0 || t.nearer(i, p, best)) {
			best = p
		}
	}
	return best
}

// nearer reports whether a is a likelier parent of child than b, of two that
// share an id: one of the child's own service, else the side that was called.
func (t *Tree) nearer(child, a, b int) bool {
	own := func(p int) bool { return t.spans[p].Service == t.spans[child].Service }
	if own(a) != own(b) {
		return own(a)
	}
	return t.spans[a].serves() && !t.spans[b].serves()
}

// cutCycles takes the parent from the first span of each cycle.
func (t *Tree) cutCycles() {
	const unseen, open, done = 0, 1, 2
	state := make([]uint8, len(t.Nodes))
	for i := range t.Nodes {
		var path []int
		at := i
		for ; at >= 0 && state[at] == unseen; at = t.Nodes[at].Parent {
			state[at] = open
			path = append(path, at)
		}
		if at >= 0 && state[at] == open {
			cycle := path[slices.Index(path, at):]
			first := slices.MinFunc(cycle, t.compare)
			t.Nodes[first].Parent = -1
			t.odd(first, Oddity{Kind: Cycle})
		}
		for _, n := range path {
			state[n] = done
		}
	}
	for i := range t.spans {
		if s := &t.spans[i]; s.Parent == s.ID && t.Nodes[i].Parent < 0 && len(t.Nodes[i].Oddities) == 0 {
			t.odd(i, Oddity{Kind: Cycle}) // its own parent
		}
	}
}

// compare orders by start; equal ones by what else they have.
func (t *Tree) compare(a, b int) int {
	x, y := &t.spans[a], &t.spans[b]
	return cmp.Or(cmp.Compare(x.Start, y.Start), bytes.Compare(t.Nodes[a].ID[:], t.Nodes[b].ID[:]))
}

// link fills in what follows from the parents.
func (t *Tree) link() {
	for i := range t.Nodes {
		n := &t.Nodes[i]
		if n.Parent < 0 {
			n.ParentID = t.spans[i].Parent
			t.Roots = append(t.Roots, i)
			continue
		}
		n.ParentID = t.Nodes[n.Parent].ID
		t.Nodes[n.Parent].Children = append(t.Nodes[n.Parent].Children, i)
	}
	slices.SortFunc(t.Roots, t.compare)
	for i := range t.Nodes {
		slices.SortFunc(t.Nodes[i].Children, t.compare)
	}
}
