package otlpdoor

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/driftmesh/driftmesh/internal/otlp"
	"github.com/driftmesh/driftmesh/internal/rpc"
)

// unkept is a signal of OTLP that SDKs send beside traces and that the mesh has
// no use for. A refusal would be an error in the log of every application,
// every few seconds, for ever. So it is taken and let go of, and that is said
// once an hour to each tenant: a partial success that refuses all. It is said
// in metrics too, always. It is safe for concurrent use.
type unkept struct {
	name     string // metrics
	service  string // gRPC
	rejected string // the field of the answer in JSON
	asks     asks
	count    func(request []byte) int
	countOf  func(json []byte) int
	requests prometheus.Counter
	bytes    prometheus.Counter

	mu   sync.Mutex
	told map[string]time.Time // by tenant
}

// How often a tenant is told, and how many tenants are remembered for that.
const (
	tellEvery  = time.Hour
	maxTenants = 4096
)

func newUnkept(requests, bytes *prometheus.CounterVec) []*unkept {
	return []*unkept{
		{
			name: "metrics", service: "opentelemetry.proto.collector.metrics.v1.MetricsService", rejected: "rejectedDataPoints",
			count: otlp.CountMetrics, countOf: countJSONMetrics,
			asks:     asksOf("opentelemetry.proto.collector.metrics.v1.MetricsService", "metrics"),
			requests: requests.WithLabelValues("metrics"), bytes: bytes.WithLabelValues("metrics"), told: map[string]time.Time{},
		},
		{
			name: "logs", service: "opentelemetry.proto.collector.logs.v1.LogsService", rejected: "rejectedLogRecords",
			count: otlp.CountLogs, countOf: countJSONLogs,
			asks:     asksOf("opentelemetry.proto.collector.logs.v1.LogsService", "logs"),
			requests: requests.WithLabelValues("logs"), bytes: bytes.WithLabelValues("logs"), told: map[string]time.Time{},
		},
	}
}

// take lets go of a request and returns how many items the answer calls
// refused: none when the tenant was told lately.
func (u *unkept) take(tenant string, now time.Time, body []byte, isJSON bool) int {
	u.requests.Inc()
	u.bytes.Add(float64(len(body)))
	if !u.due(tenant, now) {
		return 0
	}
	if isJSON {
		return u.countOf(body)
	}
	return u.count(body)
}

func (u *unkept) due(tenant string, now time.Time) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	if last, ok := u.told[tenant]; ok && now.Sub(last) < tellEvery {
		return false
	}
	if len(u.told) >= maxTenants { // better to tell somebody twice than to remember everybody
		clear(u.told)
	}
	u.told[tenant] = now
	return true
}

func (u *unkept) message() string {
	return fmt.Sprintf("driftmesh keeps traces and no %s: turn the %s exporter off. This is said once an hour", u.name, u.name)
}

// protobuf is the answer: the responses of both signals have the same fields.
func (u *unkept) protobuf(rejected int) []byte {
	if rejected == 0 {
		return nil
	}
	return partialSuccess(rejected, u.message())
}

func (u *unkept) json(rejected int) []byte {
	if rejected == 0 {
		return []byte("{}")
	}
	return fmt.Appendf(nil, `{"partialSuccess":{"%s":"%d","errorMessage":%q}}`, u.rejected, rejected, u.message())
}

// partialSuccess is an Export…ServiceResponse: all have the same fields.
func partialSuccess(rejected int, message string) []byte {
	var partial []byte
	partial = protowire.AppendTag(partial, partialRejectedSpans, protowire.VarintType)
	partial = protowire.AppendVarint(partial, uint64(rejected))
	partial = protowire.AppendTag(partial, partialErrorMessage, protowire.BytesType)
	partial = protowire.AppendString(partial, message)
	return protowire.AppendBytes(protowire.AppendTag(nil, responsePartialSuccess, protowire.BytesType), partial)
}

// desc is the gRPC service of the signal.
func (d *Door) desc(u *unkept) *grpc.ServiceDesc {
	method := "/" + u.service + "/Export"
	counted := d.deps.Calls.Method(rpc.Unary, method)
	return &grpc.ServiceDesc{ServiceName: u.service, HandlerType: (*any)(nil), Methods: []grpc.MethodDesc{{
		MethodName: "Export",
		Handler: func(_ any, ctx context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
			r := &request{started: d.now(), lease: d.deps.Budget.Lease(), call: counted.Begin()}
			defer r.lease.Free()
			ctx = rpc.Named(ctx)
			rejected, err := d.letGoGRPC(ctx, u, r, decode)
			if err != nil {
				d.refused(r, err)
				code, err := d.refuse(ctx, method, err)
				r.call.End(code, trace.SpanContext{})
				return nil, err
			}
			r.call.Sent()
			r.call.End(codes.OK, trace.SpanContext{})
			return rawAnswer(u.protobuf(rejected)), nil
		},
	}}}
}

func (d *Door) letGoGRPC(ctx context.Context, u *unkept, r *request, decode func(any) error) (int, error) {
	id, err := d.identifyGRPC(ctx, u.asks.overGRPC)
	if err != nil {
		return 0, err
	}
	if err := d.enter(r, id); err != nil {
		return 0, err
	}
	if !r.lease.Grow(streamWindow) {
		return 0, r.lease.Why(errBusy())
	}
	in := rawRequest{pool: d.buffers}
	if err := rpc.WithinTime(ctx, d.cfg.ReadTimeout, decode, &in); err != nil {
		return 0, err
	}
	defer in.free()
	r.call.Received()
	body := in.bytes()
	if len(body) > 0 && body[0] == packedMark {
		out, err := d.gzip.inflate(body[1:], &r.lease)
		if err != nil {
			return 0, err
		}
		defer d.buffers.Put(out)
		body = *out
	}
	return d.letGoOf(u, r, body, false), nil
}

// letGoOf lets go of a request: it counts against the tenant's rate as if it were
// kept.
func (d *Door) letGoOf(u *unkept, r *request, body []byte, isJSON bool) int {
	if r.owner != nil {
		r.owner.Charge(r.started, len(body), 0)
	}
	return u.take(r.tenant, r.started, body, isJSON)
}

// letGo answers POST /v1/metrics and /v1/logs.
func (d *Door) letGo(u *unkept) http.HandlerFunc {
	return func(w http.ResponseWriter, req *http.Request) {
		if req.Method != http.MethodPost {
			w.Header().Set("Allow", http.MethodPost)
			d.answerStatus(w, req, http.StatusMethodNotAllowed, status.New(codes.Unimplemented, "only POST is allowed"))
			return
		}
		isJSON, err := format(req)
		if err != nil {
			d.answerStatus(w, req, http.StatusUnsupportedMediaType, status.New(codes.InvalidArgument, err.Error()))
			return
		}
		r := &request{started: d.now(), lease: d.deps.Budget.Lease()}
		defer r.lease.Free()
		rejected, err := d.letGoHTTP(req, u, r, isJSON)
		switch {
		case err != nil:
			d.refused(r, err)
			d.answerError(w, req, err)
		case isJSON:
			answer(w, http.StatusOK, typeJSON, u.json(rejected))
		default:
			answer(w, http.StatusOK, typeProto, u.protobuf(rejected))
		}
	}
}

func (d *Door) letGoHTTP(req *http.Request, u *unkept, r *request, isJSON bool) (int, error) {
	id, err := d.identifyHTTP(req, u.asks.overHTTP)
	if err != nil {
		return 0, err
	}
	if err := d.enter(r, id); err != nil {
		return 0, err
	}
	in, err := d.readBody(req, r)
	if err != nil {
		return 0, err
	}
	defer d.buffers.Put(in)
	body := *in
	if req.Header.Get("Content-Encoding") == "gzip" && len(body) > 0 {
		out, err := d.gzip.inflate(body, &r.lease)
		if err != nil {
			return 0, err
		}
		defer d.buffers.Put(out)
		body = *out
	}
	return d.letGoOf(u, r, body, isJSON), nil
}

// items are things to count and nothing else.
type items []struct{}

func countJSONLogs(body []byte) int {
	var request struct {
		ResourceLogs []struct {
			ScopeLogs []struct{ LogRecords items }
		}
	}
	_ = json.Unmarshal(body, &request) // what cannot be read is let go of all the same
	n := 0
	for _, r := range request.ResourceLogs {
		for _, s := range r.ScopeLogs {
			n += len(s.LogRecords)
		}
	}
	return n
}

func countJSONMetrics(body []byte) int {
	type data struct{ DataPoints items }
	var request struct {
		ResourceMetrics []struct {
			ScopeMetrics []struct {
				Metrics []struct{ Gauge, Sum, Histogram, ExponentialHistogram, Summary data }
			}
		}
	}
	_ = json.Unmarshal(body, &request) // what cannot be read is let go of all the same
	n := 0
	for _, r := range request.ResourceMetrics {
		for _, s := range r.ScopeMetrics {
			for _, m := range s.Metrics {
				n += len(m.Gauge.DataPoints) + len(m.Sum.DataPoints) + len(m.Histogram.DataPoints) +
					len(m.ExponentialHistogram.DataPoints) + len(m.Summary.DataPoints)
			}
		}
	}
	return n
}
