package tracestore

import (
	"context"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	tracev1 "github.com/driftmesh/driftmesh/proto/driftmesh/trace/v1"
	"github.com/driftmesh/driftmesh/services/trace-store/internal/query"
)

// graphRange is how far back a graph goes unless told.
const graphRange = time.Hour

// GetServiceGraph gives who called whom, and what went over which topics.
func (t *traces) GetServiceGraph(ctx context.Context, req *tracev1.GetServiceGraphRequest) (*tracev1.GetServiceGraphResponse, error) {
	ctx, tenant, leave, err := t.Enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	within, err := rangeOrLast(graphRange, req.GetStartTime(), req.GetEndTime())
	if err != nil {
		return nil, err
	}
	g, err := t.reader.Graph(ctx, tenant, query.GraphQuestion{Range: within, WithMesh: req.GetWithMesh()})
	if err != nil {
		return nil, err
	}
	resp := &tracev1.GetServiceGraphResponse{OneIn: g.OneIn, Spans: g.Spans, Truncated: g.Truncated}
	for _, n := range g.Nodes {
		node := &tracev1.GraphNode{Place: graphPlace(n.Place), System: n.System, Figures: graphFigures(n.Figures)}
		if n.Place.Topic {
			node.Dwell = graphDwell(n.Dwell)
		}
		resp.Nodes = append(resp.Nodes, node)
	}
	for _, e := range g.Edges {
		edge := &tracev1.GraphEdge{From: graphPlace(e.From), To: graphPlace(e.To), Figures: graphFigures(e.Figures)}
		if e.From.Topic {
			edge.Dwell = graphDwell(e.Dwell)
		}
		resp.Edges = append(resp.Edges, edge)
	}
	return resp, nil
}

func graphPlace(p query.GraphPlace) *tracev1.GraphPlace {
	kind := tracev1.NodeKind_NODE_KIND_SERVICE
	if p.Topic {
		kind = tracev1.NodeKind_NODE_KIND_TOPIC
	}
	return &tracev1.GraphPlace{Kind: kind, Name: p.Name, Mesh: p.Mesh}
}

func graphFigures(f query.Figures) *tracev1.GraphFigures {
	out := &tracev1.GraphFigures{Calls: f.Calls, Errors: f.Errors}
	if f.Calls > 0 {
		out.P50, out.P95, out.P99 = nanoseconds(f.P50), nanoseconds(f.P95), nanoseconds(f.P99)
	}
	return out
}

func graphDwell(d query.Dwell) *tracev1.GraphDwell {
	out := &tracev1.GraphDwell{Count: d.Count, Redelivered: d.Redelivered}
	if d.Count > 0 {
		out.P50, out.P95 = nanoseconds(d.P50), nanoseconds(d.P95)
	}
	return out
}

func nanoseconds(n float64) *durationpb.Duration { return durationpb.New(time.Duration(n)) }
