package otlpdoor

import (
	"context"
	"errors"
	"iter"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/driftmesh/driftmesh/internal/broker"
	"github.com/driftmesh/driftmesh/internal/envelope"
	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/internal/identity"
	"github.com/driftmesh/driftmesh/internal/otlp"
	"github.com/driftmesh/driftmesh/internal/policy"
	"github.com/driftmesh/driftmesh/internal/quota"
	"github.com/driftmesh/driftmesh/internal/requestid"
	"github.com/driftmesh/driftmesh/internal/rpc"
	"github.com/driftmesh/driftmesh/internal/settings"
	"github.com/driftmesh/driftmesh/internal/telemetry"
	"github.com/driftmesh/driftmesh/internal/tlsfiles"
	"github.com/driftmesh/driftmesh/services/gateway/internal/door"
	"github.com/driftmesh/driftmesh/services/gateway/internal/origin"
)

// Identify tells who calls from the values of the authorization and x-api-key
// headers, "" for a header not sent. The error is a fault.
type Identify func(ctx context.Context, authorization, apiKey string) (identity.Identity, error)

// Deps is what the door needs. Every field is required down to Traces.
type Deps struct {
	Intake     *door.Intake // of the topic spans
	Budget     *door.Budget // of the memory for requests
	MaxMessage func() int   // the broker's largest message (Message.Size), 0 when unknown; asked per request
	Identify   Identify
	Log        *slog.Logger
	Stats      prometheus.Registerer
	Calls      *rpc.Metrics // counts the gRPC calls
	Traces     trace.TracerProvider
	Server     []grpc.ServerOption
	TLS        *tlsfiles.Source     // nil for plain text
	Allowance  *telemetry.Allowance // of traces that callers ask for; nil is no bound
	Pages      *origin.Policy       // what web pages may do; nil is anything
	// Refused is told of who was refused: r is nil over gRPC, action the method or
	// route, and who it was stands in ctx where that is known. Optional.
	Refused func(ctx context.Context, r *http.Request, action string, err error)
}

// Door takes traces in. It is safe for concurrent use.
type Door struct {
	cfg     Config
	deps    Deps
	tracer  trace.Tracer
	metrics *metrics
	calls   calls
	asks    asks
	buffers *buffers
	gzip    *inflater
	now     func() time.Time
}

// New makes the door. It starts nothing.
func New(cfg Config, deps Deps) (*Door, error) {
	cfg = settings.Filled(cfg)
	d := &Door{
		cfg: cfg, deps: deps, now: time.Now,
		tracer:  deps.Traces.Tracer("github.com/driftmesh/driftmesh/services/gateway/internal/otlpdoor"),
		buffers: &buffers{}, asks: asksOf(traceService, "traces"),
		calls: calls{
			export:  deps.Calls.Method(rpc.Unary, exportMethod),
			unknown: deps.Calls.Method(rpc.BidiStream, ""), // what gRPC takes a call for that it does not know
		},
	}
	d.gzip = &inflater{buffers: d.buffers, limit: int(cfg.MaxRequest)}
	var err error
	d.metrics, err = newMetrics(deps.Stats)
	return d, err
}

// calls is what is counted of calls as every gRPC server counts them.
type calls struct{ export, unknown *rpc.Method }

// ask is a way in, by its method or route, and what it asks for by the policy.
type ask struct {
	action string
	needs  policy.Permission
}

// asks are the ways in of a signal.
type asks struct{ overGRPC, overHTTP ask }

func asksOf(service, signal string) asks {
	method, route := "/"+service+"/Export", http.MethodPost+" /v1/"+signal
	return asks{ask{method, policy.MethodOf(method).Permission}, ask{route, policy.RouteOf(policy.OTLPHTTP, route)}}
}

// Serve answers OTLP/gRPC on one listener and OTLP/HTTP on the other, either
// of which may be nil, until ctx ends. Calls in hand may then finish within
// the drain time. Serve closes the listeners and may be called once.
func (d *Door) Serve(ctx context.Context, overGRPC, overHTTP net.Listener) error {
	group, ctx := errgroup.WithContext(ctx)
	if overGRPC != nil {
		group.Go(func() error { return d.serveGRPC(ctx, overGRPC) })
	}
	if overHTTP != nil {
		group.Go(func() error { return d.serveHTTP(ctx, overHTTP) })
	}
	return group.Wait()
}

func (d *Door) serveGRPC(ctx context.Context, lis net.Listener) error {
	server := d.grpcServer()
	err := serve(ctx, func() error { return server.Serve(lis) }, func() {
		graceful := make(chan struct{})
		go func() {
			defer close(graceful)
			server.GracefulStop()
		}()
		timer := time.NewTimer(d.cfg.DrainTimeout)
		defer timer.Stop()
		select {
		case <-graceful:
		case <-timer.C:
			server.Stop()
			<-graceful
		}
	})
	if errors.Is(err, grpc.ErrServerStopped) { // stopped before it had begun
		return nil
	}
	return err
}

func (d *Door) serveHTTP(ctx context.Context, lis net.Listener) error {
	server := d.httpServer()
	if d.deps.TLS != nil {
		lis = d.deps.TLS.Listener(lis)
	}
	err := serve(ctx, func() error { return server.Serve(lis) }, func() {
		drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), d.cfg.DrainTimeout)
		defer cancel()
		if server.Shutdown(drain) != nil {
			_ = server.Close()
		}
	})
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// serve runs until ctx ends or run returns, and stops in the first case.
func serve(ctx context.Context, run func() error, stop func()) error {
	result := make(chan error, 1)
	go func() { result <- run() }()
	select {
	case err := <-result:
		return err
	case <-ctx.Done():
		stop()
		return <-result
	}
}

// request is one request in hand.
type request struct {
	tenant  string
	sender  string        // the principal who calls
	owner   *quota.Tenant // nil where nobody's limits count
	started time.Time
	span    trace.Span // nil unless sampled
	lease   door.Lease
	call    rpc.Call // over gRPC
}

// accept checks a request, has its good spans made durable and everything
// counted, and returns the report for the answer. body stays the caller's.
func (d *Door) accept(ctx context.Context, r *request, body []byte) (otlp.Report, error) {
	now := d.now()
	lim := d.cfg.limits(d.deps.MaxMessage())
	rep, err := otlp.Scan(body, lim)
	if err != nil {
		return rep, err
	}
	r.describe(&rep, len(body))
	var parcels []door.Parcel
	if n := rep.Accepted(); n > 0 {
		parcels = []door.Parcel{{Value: body, Count: n}}
		if !rep.Intact() || lim.MaxMessage > 0 && len(body) > lim.MaxMessage {
			if !r.lease.Grow(r.lease.Held() + rep.Growth(len(body))) {
				return rep, r.lease.Why(errBusy())
			}
			d.metrics.cut.Inc()
			parcels = parcels[:0]
			for p := range otlp.Split(body, lim, &rep) {
				parcels = append(parcels, door.Parcel{Value: p.Value, Count: p.Spans})
			}
		}
	}
	accepted, err := d.take(ctx, r, door.Load{
		Tenant: r.tenant, Sender: r.sender, Owner: r.owner, Bytes: len(body), Time: now, Parcels: parcels, Rejected: rejected(&rep),
	})
	d.metrics.accepted.Add(float64(accepted))
	if err != nil {
		return rep, publishError(err)
	}
	d.metrics.bytes.Add(float64(len(body)))
	for reason, n := range rep.ByReason {
		d.metrics.rejected[reason].Add(float64(n))
	}
	for mend, n := range rep.ByMend {
		d.metrics.mended[mend].Add(float64(n))
	}
	return rep, nil
}

// enter says whose the request is, and tells whether that tenant may send something
// now. Nothing of the request was read by then.
func (d *Door) enter(r *request, id identity.Identity) error {
	r.tenant, r.sender, r.owner = id.Tenant, id.Principal(), d.deps.Intake.Owner(id.Tenant)
	r.lease.For(r.owner)
	return d.deps.Intake.Enter(r.owner, r.started)
}

// refused counts a request that ended with an error: one for a limit, and one that
// could not be read, which has cost what a good one does, by what is held of it. Else
// whoever sends what nobody can read would send without a rate.
func (d *Door) refused(r *request, err error) {
	d.deps.Intake.Refused(r.owner, err)
	wire, f := errors.As(err, new(*otlp.MalformedError)), fault.Of(err)
	if r.owner != nil && (wire || f.Kind() == fault.Invalid || f.Reason() == reasonTooLarge) {
		r.owner.Charge(r.started, r.lease.Held(), 1)
	}
}

// take hands a load in, packed unless memory is short: that is less work than
// to carry and keep what it saves.
func (d *Door) take(ctx context.Context, r *request, load door.Load) (accepted int, err error) {
	var held []*[]byte
	defer func() {
		for _, buf := range held {
			d.buffers.Put(buf)
		}
	}()
	load.Pack = func(m *broker.Message) {
		room := envelope.PackRoom(len(m.Value))
		if room == 0 || !r.lease.Spare(room) {
			return
		}
		buf := d.buffers.Get(room)
		held = append(held, buf)
		envelope.Pack(m, *buf)
	}
	return d.deps.Intake.Take(ctx, &load)
}

// rejected is what the answer says is rejected, for the ledger.
func rejected(rep *otlp.Report) iter.Seq2[string, int] {
	return func(yield func(string, int) bool) {
		for reason, n := range rep.ByReason {
			if n > 0 && !yield(otlp.Reason(reason).String(), n) {
				return
			}
		}
	}
}

// refuse turns an error into what the caller learns, and logs what it may not.
func (d *Door) refuse(ctx context.Context, method string, err error) (codes.Code, error) {
	st := publicError(err, d.cfg.RetryDelay)
	if _, said := status.FromError(err); !said && st.Code() == codes.Internal {
		d.deps.Log.Error("call failed", slog.String(telemetry.KeyMethod, method),
			slog.String(telemetry.KeyRequestID, requestid.From(ctx)), telemetry.Err(err))
	}
	return st.Code(), rpc.WithRequest(st, requestid.From(ctx)).Err()
}
