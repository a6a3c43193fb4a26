package tracestore

import (
	"context"
	"maps"
	"slices"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/driftmesh/driftmesh/internal/desk"
	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/internal/receipt"
	"github.com/driftmesh/driftmesh/internal/spantree"
	ledgerv1 "github.com/driftmesh/driftmesh/proto/driftmesh/ledger/v1"
	tracev1 "github.com/driftmesh/driftmesh/proto/driftmesh/trace/v1"
	"github.com/driftmesh/driftmesh/services/trace-store/internal/query"
	"github.com/driftmesh/driftmesh/services/trace-store/internal/sql"
)

// traces answers questions about the caller's traces.
type traces struct {
	tracev1.UnimplementedTraceServiceServer
	reader  *query.Reader
	sql     *sql.Runner
	metrics *metrics
	*desk.Desk
}

// GetTrace sends one trace in parts.
func (t *traces) GetTrace(req *tracev1.GetTraceRequest, stream grpc.ServerStreamingServer[tracev1.GetTraceResponse]) error {
	ctx, tenant, leave, err := t.Enter(stream.Context())
	if err != nil {
		return err
	}
	defer leave()
	id, err := query.ParseTraceID(req.GetTraceId())
	if err != nil {
		return err
	}
	// The times are a hint that we have no need of.
	return t.reader.Trace(ctx, tenant, id, func(p query.Part) error {
		t.count(p)
		return stream.Send(&tracev1.GetTraceResponse{OtlpTraces: p.Traces, Truncated: p.Truncated, Warnings: warnings(p.Warnings)})
	})
}

// oddities in the words of the API.
var oddities = map[spantree.OddityKind]tracev1.Oddity{
	spantree.Orphan: tracev1.Oddity_ODDITY_ORPHAN, spantree.ClockSkew: tracev1.Oddity_ODDITY_CLOCK_SKEW,
	spantree.EndBeforeStart: tracev1.Oddity_ODDITY_END_BEFORE_START, spantree.SharedID: tracev1.Oddity_ODDITY_SHARED_ID,
	spantree.Cycle: tracev1.Oddity_ODDITY_CYCLE,
}

func warnings(list []query.Warning) []*tracev1.SpanWarning {
	out := make([]*tracev1.SpanWarning, 0, len(list))
	for _, w := range list {
		out = append(out, &tracev1.SpanWarning{
			SpanId: w.SpanID, Service: w.Service, SpanKind: w.Kind, Oddity: oddities[w.Oddity.Kind], Message: w.Oddity.String(),
		})
	}
	return out
}

// FindTraces sends whole traces, the newest first.
func (t *traces) FindTraces(req *tracev1.FindTracesRequest, stream grpc.ServerStreamingServer[tracev1.FindTracesResponse]) error {
	ctx, tenant, leave, err := t.Enter(stream.Context())
	if err != nil {
		return err
	}
	defer leave()
	after, err := placeOf(req.GetAfter())
	if err != nil {
		return err
	}
	search, err := searchOf(req.GetQuery(), req.GetLimit(), after)
	if err != nil {
		return err
	}
	search.OldestFirst = req.GetOldestFirst()
	more, err := t.reader.Find(ctx, tenant, search, func(p query.Part) error {
		t.count(p)
		return stream.Send(&tracev1.FindTracesResponse{TraceId: p.TraceID.String(), OtlpTraces: p.Traces, Truncated: p.Truncated, Place: &tracev1.TracePlace{
			MatchTime: timestamppb.New(p.Place.At), TraceId: p.Place.ID.String(),
		}})
	})
	if err != nil || !more {
		return err
	}
	return stream.Send(&tracev1.FindTracesResponse{More: true})
}

// placeOf is a place as query.Search has it, "" for none.
func placeOf(p *tracev1.TracePlace) (string, error) {
	if p == nil {
		return "", nil
	}
	id, err := query.ParseTraceID(p.GetTraceId())
	if err != nil {
		return "", err
	}
	if err := p.GetMatchTime().CheckValid(); err != nil {
		return "", fault.Invalid.Wrap(err, "match_time is not a valid time")
	}
	return query.Place{At: p.GetMatchTime().AsTime(), ID: id}.Token(), nil
}

func (t *traces) count(p query.Part) {
	if p.Truncated {
		t.metrics.truncated.Inc()
	}
}

// SearchTraces gives a page of summaries.
func (t *traces) SearchTraces(ctx context.Context, req *tracev1.SearchTracesRequest) (*tracev1.SearchTracesResponse, error) {
	ctx, tenant, leave, err := t.Enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	search, err := searchOf(req.GetQuery(), req.GetPageSize(), req.GetPageToken())
	if err != nil {
		return nil, err
	}
	found, next, err := t.reader.Summaries(ctx, tenant, search)
	if err != nil {
		return nil, err
	}
	resp := &tracev1.SearchTracesResponse{NextPageToken: next}
	for _, s := range found {
		resp.Traces = append(resp.Traces, summary(&s))
	}
	return resp, nil
}

// LinkTraces finds traces by values of an attribute.
func (t *traces) LinkTraces(ctx context.Context, req *tracev1.LinkTracesRequest) (*tracev1.LinkTracesResponse, error) {
	ctx, tenant, leave, err := t.Enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	during, err := timeRange(req.GetStartTime(), req.GetEndTime())
	if err != nil {
		return nil, err
	}
	found, err := t.reader.Links(ctx, tenant, query.Values{Attribute: req.GetAttribute(), Texts: req.GetValues(), Range: during})
	if err != nil {
		return nil, err
	}
	resp := &tracev1.LinkTracesResponse{}
	for _, text := range slices.Sorted(maps.Keys(found)) {
		resp.Links = append(resp.Links, &tracev1.TraceLink{Value: text, TraceId: found[text].String()})
	}
	return resp, nil
}

func summary(s *query.Summary) *tracev1.TraceSummary {
	out := &tracev1.TraceSummary{
		TraceId: s.TraceID.String(), RootService: s.RootService, RootOperation: s.RootOperation, HasRoot: s.HasRoot,
		StartTime: timestamppb.New(s.Start), Duration: durationpb.New(s.Duration),
		Spans: uint32(s.Spans), Errors: uint32(s.Errors),
	}
	for _, c := range s.Services {
		out.Services = append(out.Services, c.Service)
		out.ServiceCounts = append(out.ServiceCounts, &tracev1.ServiceCount{
			Service: c.Service, Spans: uint32(c.Spans), Errors: uint32(c.Errors),
			Offset: durationpb.New(c.Start.Sub(s.Start)), Duration: durationpb.New(c.Duration),
		})
	}
	return out
}

// ListServices gives the tenant's services.
func (t *traces) ListServices(ctx context.Context, _ *tracev1.ListServicesRequest) (*tracev1.ListServicesResponse, error) {
	ctx, tenant, leave, err := t.Enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	names, truncated, err := t.reader.Services(ctx, tenant)
	if err != nil {
		return nil, err
	}
	return &tracev1.ListServicesResponse{Services: names, Truncated: truncated}, nil
}

// ListOperations gives the span names of a service.
func (t *traces) ListOperations(ctx context.Context, req *tracev1.ListOperationsRequest) (*tracev1.ListOperationsResponse, error) {
	ctx, tenant, leave, err := t.Enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	operations, truncated, err := t.reader.Operations(ctx, tenant, req.GetService(), req.GetSpanKind())
	if err != nil {
		return nil, err
	}
	resp := &tracev1.ListOperationsResponse{Truncated: truncated}
	for _, o := range operations {
		resp.Operations = append(resp.Operations, &tracev1.Operation{Name: o.Name, SpanKind: o.Kind})
	}
	return resp, nil
}

// dependencyRange is how far back dependencies are looked for unless told.
const dependencyRange = 24 * time.Hour

// ListDependencies counts the calls from service to service.
func (t *traces) ListDependencies(ctx context.Context, req *tracev1.ListDependenciesRequest) (*tracev1.ListDependenciesResponse, error) {
	ctx, tenant, leave, err := t.Enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	within, err := rangeOrLast(dependencyRange, req.GetStartTime(), req.GetEndTime())
	if err != nil {
		return nil, err
	}
	calls, truncated, err := t.reader.Dependencies(ctx, tenant, within)
	if err != nil {
		return nil, err
	}
	resp := &tracev1.ListDependenciesResponse{Truncated: truncated}
	for _, c := range calls {
		resp.Dependencies = append(resp.Dependencies, &tracev1.Dependency{Parent: c.Parent, Child: c.Child, Calls: c.Calls})
	}
	return resp, nil
}

// rangeOrLast is a range of time that ends now and lasts so long where a bound is not
// given.
func rangeOrLast(last time.Duration, start, end *timestamppb.Timestamp) (query.Range, error) {
	within, err := timeRange(start, end)
	if within.End.IsZero() {
		within.End = time.Now()
	}
	if within.Start.IsZero() {
		within.Start = within.End.Add(-last)
	}
	return within, err
}

func searchOf(q *tracev1.TraceQuery, limit uint32, after string) (query.Search, error) {
	within, err := timeRange(q.GetStartTime(), q.GetEndTime())
	if err != nil {
		return query.Search{}, err
	}
	shortest, err := duration(q.GetMinDuration(), "min_duration")
	if err != nil {
		return query.Search{}, err
	}
	longest, err := duration(q.GetMaxDuration(), "max_duration")
	if err != nil {
		return query.Search{}, err
	}
	var ids []query.TraceID
	for _, text := range q.GetTraceIds() {
		id, err := query.ParseTraceID(text)
		if err != nil {
			return query.Search{}, err
		}
		ids = append(ids, id)
	}
	var either []query.Attribute
	for _, a := range q.GetAnyAttribute() {
		either = append(either, query.Attribute{Key: a.GetKey(), Text: a.GetValue()})
	}
	return query.Search{
		Any: either, Traces: ids,
		Service: q.GetService(), Operation: q.GetOperation(), Attributes: q.GetAttributes(), Range: within,
		MinDuration: shortest, MaxDuration: longest, Limit: int(limit), After: after,
	}, nil
}

func timeRange(start, end *timestamppb.Timestamp) (query.Range, error) {
	var r query.Range
	for _, bound := range []struct {
		field string
		from  *timestamppb.Timestamp
		to    *time.Time
	}{{"start_time", start, &r.Start}, {"end_time", end, &r.End}} {
		if bound.from == nil {
			continue
		}
		if err := bound.from.CheckValid(); err != nil {
			return r, fault.Invalid.Wrap(err, "%s is not a valid time", bound.field)
		}
		*bound.to = bound.from.AsTime()
	}
	return r, nil
}

func duration(d *durationpb.Duration, field string) (time.Duration, error) {
	if d == nil {
		return 0, nil
	}
	if err := d.CheckValid(); err != nil || d.AsDuration() < 0 {
		return 0, fault.Invalid.New("%s is not a valid duration", field)
	}
	return d.AsDuration(), nil
}

// ledger answers the gateway, which adds the accounts up.
type ledger struct {
	ledgerv1.UnimplementedLedgerServiceServer
	reader *query.Reader
	book   *receipt.Book
	*desk.Desk
}

// GetSettled gives what became of the tenant's spans here. It is
// fault.Unavailable while the broker cannot say how many messages are pending.
func (l *ledger) GetSettled(ctx context.Context, _ *ledgerv1.GetSettledRequest) (*ledgerv1.GetSettledResponse, error) {
	ctx, tenant, leave, err := l.Enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	resp, err := l.book.Settled(ctx, tenant)
	if err != nil {
		return nil, err
	}
	// After what was settled: whatever was written is in the store by now.
	resp.Stored, err = l.reader.Stored(ctx, tenant, l.book.Since())
	return resp, err
}

// ListSenders tells who sent the spans of a trace.
func (l *ledger) ListSenders(ctx context.Context, req *ledgerv1.ListSendersRequest) (*ledgerv1.ListSendersResponse, error) {
	ctx, tenant, leave, err := l.Enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	id, err := query.ParseTraceID(req.GetTraceId())
	if err != nil {
		return nil, err
	}
	items, args := query.Sent(id)
	return l.book.Senders(ctx, tenant, items, args...)
}

// GetRetained gives how many bytes are kept of each tenant.
func (l *ledger) GetRetained(ctx context.Context, _ *ledgerv1.GetRetainedRequest) (*ledgerv1.GetRetainedResponse, error) {
	kept, err := l.book.Retained(ctx)
	return &ledgerv1.GetRetainedResponse{Bytes: kept}, err
}
