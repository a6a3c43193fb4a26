package query_test

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	tracev1 "go.opentelemetry.io/proto/otlp/trace/v1"

	"github.com/driftmesh/driftmesh/internal/event"
	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/internal/telemetry"
	"github.com/driftmesh/driftmesh/services/trace-store/internal/query"
	"github.com/driftmesh/driftmesh/services/trace-store/internal/store"
)

const (
	asProducer = tracev1.Span_SPAN_KIND_PRODUCER
	asConsumer = tracev1.Span_SPAN_KIND_CONSUMER
)

// graphSpan is a span as a test sent it, the last time; of the mesh itself where it
// is about a tenant.
type graphSpan struct {
	service string
	mesh    bool
	*tracev1.Span
}

func (s graphSpan) attribute(key string) string {
	for _, a := range s.GetAttributes() {
		if a.GetKey() == key {
			if d := a.GetValue().GetDoubleValue(); d != 0 {
				return strconv.FormatFloat(d, 'g', -1, 64)
			}
			return a.GetValue().GetStringValue()
		}
	}
	return ""
}

func (s graphSpan) topic() string {
	return cmp.Or(s.attribute("messaging.destination.name"), s.attribute("messaging.destination"))
}

func (s graphSpan) place() query.GraphPlace {
	return query.GraphPlace{Name: cmp.Or(s.service, query.MissingService), Mesh: s.mesh}
}

// slowGraph is the plain meaning of a Graph: for every node and edge, look at
// every span.
func slowGraph(of query.Range, all []graphSpan) *query.Graph {
	parent := func(s graphSpan) *graphSpan {
		for i, p := range all {
			if string(p.TraceId) == string(s.TraceId) && string(p.SpanId) == string(s.ParentSpanId) {
				return &all[i]
			}
		}
		return nil
	}
	within := func(s graphSpan) bool {
		at := time.Unix(0, int64(s.StartTimeUnixNano))
		return !at.Before(of.Start) && at.Before(of.End)
	}
	type sums struct {
		durations, waits []float64
		errors, again    uint64
	}
	nodes, edges := map[query.GraphPlace]*sums{}, map[[2]query.GraphPlace]*sums{}
	node := func(p query.GraphPlace) *sums {
		if nodes[p] == nil {
			nodes[p] = &sums{}
		}
		return nodes[p]
	}
	edge := func(from, to query.GraphPlace) *sums {
		if edges[[2]query.GraphPlace{from, to}] == nil {
			edges[[2]query.GraphPlace{from, to}] = &sums{}
		}
		return edges[[2]query.GraphPlace{from, to}]
	}
	g := &query.Graph{OneIn: 1}
	for _, s := range all {
		if !within(s) {
			continue
		}
		g.Spans++
		me, p := s.place(), parent(s)
		topic := query.GraphPlace{Topic: true, Name: s.topic(), Mesh: s.mesh}
		span := func(to ...*sums) {
			for _, sum := range to {
				sum.durations = append(sum.durations, float64(s.EndTimeUnixNano-s.StartTimeUnixNano))
				if s.GetStatus().GetCode() == tracev1.Status_STATUS_CODE_ERROR {
					sum.errors++
				}
			}
		}
		wait := func(nanos float64) {
			node(me)
			for _, sum := range []*sums{edge(topic, me), node(topic)} {
				sum.waits = append(sum.waits, nanos)
				if n, _ := strconv.Atoi(s.attribute("driftmesh.broker.attempt")); n > 1 {
					sum.again++
				}
			}
		}
		told, tells := s.attribute("driftmesh.broker.dwell"), false
		if seconds, err := strconv.ParseFloat(told, 64); err == nil && topic.Name != "" {
			wait(seconds * 1e9)
			tells = true
		}
		sends, takes := s.Kind == asProducer && topic.Name != "", s.Kind == asConsumer && topic.Name != ""
		switch {
		case tells && !takes:
			continue
		case p != nil && (sends || takes) && p.Kind == s.Kind && p.topic() == s.topic() && p.place() == me:
			node(me)
			continue
		case takes:
			node(topic)
			span(edge(topic, me), node(me))
			if p != nil && p.Kind == asProducer && !tells {
				said := slices.ContainsFunc(all, func(c graphSpan) bool {
					return string(c.TraceId) == string(p.TraceId) && string(c.ParentSpanId) == string(p.SpanId) && c.attribute("driftmesh.broker.dwell") != ""
				})
				if s.StartTimeUnixNano > p.EndTimeUnixNano && !said {
					wait(float64(s.StartTimeUnixNano - p.EndTimeUnixNano))
				}
			}
			continue
		case sends:
			span(edge(me, topic), node(topic))
		}
		switch {
		case p == nil:
			span(node(me))
		case p.place() != me:
			span(edge(p.place(), me), node(me))
		default:
			node(me)
		}
	}
	figures := func(s *sums) query.Figures {
		f := query.Figures{Calls: uint64(len(s.durations)), Errors: s.errors}
		if f.Calls > 0 {
			f.P50, f.P95, f.P99 = slowQuantile(s.durations, 0.5), slowQuantile(s.durations, 0.95), slowQuantile(s.durations, 0.99)
		}
		return f
	}
	dwell := func(s *sums) query.Dwell {
		d := query.Dwell{Count: uint64(len(s.waits)), Redelivered: s.again}
		if d.Count > 0 {
			d.P50, d.P95 = slowQuantile(s.waits, 0.5), slowQuantile(s.waits, 0.95)
		}
		return d
	}
	for p, s := range nodes {
		n := query.GraphNode{Place: p, Figures: figures(s), Dwell: dwell(s)}
		if p.Topic {
			n.System = "kafka"
		}
		g.Nodes = append(g.Nodes, n)
	}
	for ends, s := range edges {
		g.Edges = append(g.Edges, query.GraphEdge{From: ends[0], To: ends[1], Figures: figures(s), Dwell: dwell(s)})
	}
	return g
}

func placeKey(p query.GraphPlace) string { return fmt.Sprintf("%t %q %t", p.Topic, p.Name, p.Mesh) }

func requireGraph(t *testing.T, want, got *query.Graph) {
	t.Helper()
	byPlace := func(a, b query.GraphNode) int { return cmp.Compare(placeKey(a.Place), placeKey(b.Place)) }
	byPlaces := func(a, b query.GraphEdge) int {
		return cmp.Or(cmp.Compare(placeKey(a.From), placeKey(b.From)), cmp.Compare(placeKey(a.To), placeKey(b.To)))
	}
	slices.SortFunc(want.Nodes, byPlace)
	slices.SortFunc(want.Edges, byPlaces)
	nodes, edges := slices.SortedFunc(slices.Values(got.Nodes), byPlace), slices.SortedFunc(slices.Values(got.Edges), byPlaces)
	for i, n := range want.Nodes {
		require.Equal(t, n, nodes[i])
	}
	require.Len(t, nodes, len(want.Nodes))
	for i, e := range want.Edges {
		require.Equal(t, e, edges[i])
	}
	require.Len(t, edges, len(want.Edges))
	require.Equal(t, want.Spans, got.Spans)
	require.Equal(t, want.OneIn, got.OneIn)
	require.False(t, got.Truncated)
}

// randomSpan hangs below an earlier span of its trace, or none, or one that is not
// there, and may be about a message.
func randomSpan(r *rand.Rand, i int, before []graphSpan) graphSpan {
	trace := r.IntN(20)
	s := newSpan(fmt.Sprintf("span%04d", i), "", fmt.Sprintf("op %d", r.IntN(3)), tracev1.Span_SpanKind(r.IntN(6)), 0)
	s.TraceId = fmt.Appendf(nil, "trace %010d", trace)
	s.StartTimeUnixNano += r.Uint64N(20 * uint64(time.Minute))
	s.EndTimeUnixNano = s.StartTimeUnixNano + 1 + r.Uint64N(1e9)
	s.Status = &tracev1.Status{Code: tracev1.Status_StatusCode(r.IntN(3))}
	out := graphSpan{service: oddNames[r.IntN(len(oddNames))], Span: s}
	for range 6 {
		if p := r.IntN(len(before) + 1); p < len(before) && string(before[p].TraceId) == string(s.TraceId) {
			s.ParentSpanId = before[p].SpanId
			if r.IntN(2) == 0 {
				out.service = before[p].service
			}
			if r.IntN(2) == 0 && before[p].Kind == asProducer {
				s.Kind = asConsumer
			}
			break
		}
	}
	if r.IntN(20) == 0 {
		s.ParentSpanId = []byte("nowhere!")
	}
	if r.IntN(2) == 0 {
		name := "messaging.destination.name"
		if r.IntN(4) == 0 {
			name = "messaging.destination" // of older conventions
		}
		s.Attributes = append(s.Attributes, text(name, []string{"orders", "it's", "größe {x:String}"}[r.IntN(3)]), text("messaging.system", "kafka"))
		if r.IntN(4) == 0 {
			s.Attributes = append(s.Attributes, text("driftmesh.broker.dwell", fmt.Sprintf("%d.5", r.IntN(3))), text("driftmesh.broker.attempt", strconv.Itoa(1+r.IntN(2))))
		}
	}
	return out
}

// TestGraph: every number is that of the plain meaning, for calls, messages and
// waits among several services, with spans that come twice and come again
// otherwise, at several times; with the mesh's own hops, and without.
func TestGraph(t *testing.T) {
	f := setup(t, query.Limits{})
	r := rand.New(rand.NewPCG(11, 5))
	for _, table := range []string{"spans", "span_index"} {
		require.NoError(t, f.db.Exec(t.Context(), "SYSTEM STOP MERGES "+table))
	}
	var own, hops []graphSpan
	for i := range 250 {
		own = append(own, randomSpan(r, i, own))
	}
	for i := range 40 {
		s := randomSpan(r, 1000+i, append(slices.Clone(own), hops...))
		s.mesh = true
		s.Attributes = append(s.Attributes, text(telemetry.AttrTenant, "acme"))
		hops = append(hops, s)
	}
	write := func(tenant string, spans []graphSpan) {
		msgs := make([]store.Message, len(spans))
		for i, s := range spans {
			msgs[i] = f.message(tenant, spansOf(s.service, s.Span))
		}
		f.write(msgs...)
	}
	var first []graphSpan
	for _, s := range own[:60] { // as they were sent at first
		first = append(first, graphSpan{service: s.service, Span: &tracev1.Span{
			TraceId: s.TraceId, SpanId: s.SpanId, Name: "before", Kind: s.Kind, StartTimeUnixNano: s.StartTimeUnixNano + 3e11, EndTimeUnixNano: s.StartTimeUnixNano + 4e11,
		}})
	}
	write("acme", first)
	write("acme", own)
	write("acme", own[:100])
	write(event.Mesh, hops)
	foreign := randomSpan(r, 5000, nil)
	foreign.mesh, foreign.Attributes = true, append(foreign.Attributes, text(telemetry.AttrTenant, "other"))
	write(event.Mesh, []graphSpan{foreign})
	write("other", []graphSpan{{service: "foreign", Span: newSpan("foreign1", "", "foreign", asServer, 0)}})

	at := func(minutes int) time.Time { return time.Unix(0, scaleBase).Add(time.Duration(minutes) * time.Minute) }
	for name, of := range map[string]query.Range{
		"all": {Start: at(-1), End: at(30)}, "the first half": {Start: at(-10), End: at(10)}, "a minute": {Start: at(7), End: at(8)}, "nothing": {Start: at(100), End: at(200)},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := f.reader.Graph(t.Context(), "acme", query.GraphQuestion{Range: of})
			require.NoError(t, err)
			want := slowGraph(of, own)
			require.Equal(t, name != "nothing", len(want.Edges) > 0)
			requireGraph(t, want, got)

			// Hops belong to traces that are looked at for a span of the tenant's own.
			looked := map[string]bool{}
			for _, s := range own {
				if start := time.Unix(0, int64(s.StartTimeUnixNano)); !start.Before(of.Start) && start.Before(of.End) {
					looked[string(s.TraceId)] = true
				}
			}
			for _, s := range first {
				if start := time.Unix(0, int64(s.StartTimeUnixNano)); !start.Before(of.Start) && start.Before(of.End) {
					looked[string(s.TraceId)] = true
				}
			}
			all := slices.Clone(own)
			for _, s := range hops {
				if looked[string(s.TraceId)] {
					all = append(all, s)
				}
			}
			got, err = f.reader.Graph(t.Context(), "acme", query.GraphQuestion{Range: of, WithMesh: true})
			require.NoError(t, err)
			requireGraph(t, slowGraph(of, all), got)
		})
	}
}

// TestGraphOfAMessage: the figures of one order, by hand.
func TestGraphOfAMessage(t *testing.T) {
	f := setup(t, query.Limits{})
	kafka := func(s *tracev1.Span) *tracev1.Span {
		s.Attributes = append(s.Attributes, text("messaging.destination.name", "orders"), text("messaging.system", "kafka"))
		return s
	}
	f.write(
		f.message("acme", spansOf("shop", newSpan("request1", "", "POST /orders", asServer, 0), kafka(newSpan("publish1", "request1", "send orders", asProducer, 10)))),
		f.message("acme", spansOf("mailer", kafka(newSpan("process1", "publish1", "process orders", asConsumer, 111)), newSpan("inside01", "process1", "render", asInternal, 112))),
		f.message("acme", spansOf("billing", kafka(newSpan("process2", "publish1", "process orders", asConsumer, 31)))),
	)
	got, err := f.reader.Graph(t.Context(), "acme", query.GraphQuestion{Range: query.Range{Start: time.Unix(0, scaleBase), End: time.Unix(0, scaleBase+1e9)}})
	require.NoError(t, err)
	shop, mailer, billing := query.GraphPlace{Name: "shop"}, query.GraphPlace{Name: "mailer"}, query.GraphPlace{Name: "billing"}
	orders := query.GraphPlace{Topic: true, Name: "orders"}
	once := query.Figures{Calls: 1, P50: 1e6, P95: 1e6, P99: 1e6}
	require.Equal(t, []query.GraphNode{
		{Place: billing, Figures: once}, {Place: mailer, Figures: once}, {Place: shop, Figures: once},
		{Place: orders, System: "kafka", Figures: once, Dwell: query.Dwell{Count: 2, P50: 60e6, P95: 96e6}},
	}, got.Nodes)
	require.Equal(t, []query.GraphEdge{
		{From: shop, To: orders, Figures: once},
		{From: orders, To: billing, Figures: once, Dwell: query.Dwell{Count: 1, P50: 20e6, P95: 20e6}},
		{From: orders, To: mailer, Figures: once, Dwell: query.Dwell{Count: 1, P50: 100e6, P95: 100e6}},
	}, got.Edges)
	require.Equal(t, uint64(5), got.Spans)
}

// TestGraphBounds: where there are more spans than are looked at, whole traces are,
// and it is said how many; what is too much is refused, or cut and said.
func TestGraphBounds(t *testing.T) {
	f := setup(t, query.Limits{})
	during := query.Range{Start: time.Unix(0, scaleBase), End: time.Unix(0, scaleBase+1e9)}
	data := spansOf("shop")
	for i := range 3000 {
		s := newSpan(fmt.Sprintf("%08d", i), "", "many", asServer, 0)
		s.TraceId = fmt.Appendf(nil, "trace %010d", i/2)
		if i%2 == 1 {
			s.ParentSpanId = fmt.Appendf(nil, "%08d", i-1)
		}
		data.ResourceSpans[0].ScopeSpans[0].Spans = append(data.ResourceSpans[0].ScopeSpans[0].Spans, s)
	}
	f.write(f.message("acme", data))
	some := query.New(f.db, query.Limits{GraphSpans: 1000})
	got, err := some.Graph(t.Context(), "acme", query.GraphQuestion{Range: during})
	require.NoError(t, err)
	require.Equal(t, uint64(3), got.OneIn)
	require.InDelta(t, 1000, got.Spans, 150)
	require.Equal(t, got.Spans/2, got.Nodes[0].Calls, "the traces are whole")

	many := spansOf("")
	for i := range 1100 {
		many.ResourceSpans = append(many.ResourceSpans, spansOf(fmt.Sprintf("service %04d", i), newSpan(fmt.Sprintf("%08d", i), "", "one", asServer, 0)).ResourceSpans[0])
	}
	f.write(f.message("wide", many))
	got, err = f.reader.Graph(t.Context(), "wide", query.GraphQuestion{Range: during})
	require.NoError(t, err)
	require.Len(t, got.Nodes, 1000)
	require.True(t, got.Truncated)

	small := query.New(f.db, query.Limits{MeasureMemory: 1 << 18})
	_, err = small.Graph(t.Context(), "acme", query.GraphQuestion{Range: during})
	require.ErrorIs(t, err, fault.Exhausted)
	require.ErrorContains(t, err, "ask for a shorter time")
	for says, r := range map[string]query.Range{
		"before start_time": {Start: during.End, End: during.Start}, "366 days": {Start: during.Start, End: during.Start.AddDate(2, 0, 0)},
	} {
		_, err = f.reader.Graph(t.Context(), "acme", query.GraphQuestion{Range: r})
		require.ErrorIs(t, err, fault.Invalid)
		require.ErrorContains(t, err, says)
	}
}
