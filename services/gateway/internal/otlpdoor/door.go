package otlpdoor

import (
	"context"
	"errors"
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
	"github.com/driftmesh/driftmesh/internal/event"
	"github.com/driftmesh/driftmesh/internal/identity"
	"github.com/driftmesh/driftmesh/internal/otlp"
	"github.com/driftmesh/driftmesh/services/gateway/internal/door"
)

// Identify tells who calls from the values of the authorization and x-api-key
// headers, "" for a header not sent. The error is a fault.
type Identify func(ctx context.Context, authorization, apiKey string) (identity.Identity, error)

// Deps is what the door needs. Every field is required but Server.
type Deps struct {
	Publisher  broker.Publisher
	MaxMessage func() int // the broker's largest message (Message.Size), 0 when unknown; asked per request
	Identify   Identify
	Counters   *door.Counters
	Sequence   *door.Sequence // of the topic spans
	Log        *slog.Logger
	Stats      prometheus.Registerer
	Traces     trace.TracerProvider
	Server     []grpc.ServerOption // for instance transport credentials
}

// Door takes traces in. It is safe for concurrent use.
type Door struct {
	cfg     Config
	deps    Deps
	tracer  trace.Tracer
	metrics *metrics
	budget  *budget
	buffers *buffers
	gzip    *inflater
	now     func() time.Time
}

// New makes the door. It starts nothing.
func New(cfg Config, deps Deps) (*Door, error) {
	cfg = cfg.withDefaults()
	d := &Door{
		cfg: cfg, deps: deps, now: time.Now,
		tracer:  deps.Traces.Tracer("github.com/driftmesh/driftmesh/services/gateway/internal/otlpdoor"),
		budget:  &budget{limit: int64(cfg.MaxInFlight)},
		buffers: &buffers{},
	}
	d.gzip = &inflater{buffers: d.buffers, limit: int(cfg.MaxRequest)}
	var err error
	d.metrics, err = newMetrics(deps.Stats, d.budget)
	return d, err
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
	started time.Time
	span    trace.Span // nil unless sampled
	lease   lease
}

// accept checks a request, publishes its good spans, counts what became of
// them, and returns the report for the answer. body stays the caller's.
func (d *Door) accept(ctx context.Context, r *request, body []byte) (otlp.Report, error) {
	now := d.now()
	lim := d.cfg.limits(d.deps.MaxMessage())
	rep, err := otlp.Scan(body, lim)
	if err != nil {
		return rep, err
	}
	r.describe(&rep, len(body))
	if n := rep.Accepted(); n > 0 {
		pieces := []otlp.Piece{{Value: body, Spans: n}}
		if !rep.Intact() || lim.MaxMessage > 0 && len(body) > lim.MaxMessage {
			if !r.lease.grow(int(r.lease.held) + rep.Growth(len(body))) {
				return rep, errBusy()
			}
			d.metrics.cut.Inc()
			pieces = pieces[:0]
			for p := range otlp.Split(body, lim, &rep) {
				pieces = append(pieces, p)
			}
		}
		if err := d.publish(ctx, r, now, pieces); err != nil {
			return rep, err
		}
	}
	d.metrics.bytes.Add(float64(len(body)))
	d.reject(r.tenant, &rep)
	return rep, nil
}

// publish makes the pieces durable, all or none as far as the caller is told:
// when one fails the whole request is to be sent again, and the store counts a
// span that it has already once. A caller that goes away does not stop it: the
// outcome would be unknown, to no use.
func (d *Door) publish(ctx context.Context, r *request, now time.Time, pieces []otlp.Piece) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), d.cfg.PublishTimeout)
	defer cancel()
	msgs := make([]broker.Message, len(pieces))
	tickets := make([]door.Ticket, len(pieces))
	for i, p := range pieces {
		tickets[i] = d.deps.Sequence.Take()
		msgs[i] = envelope.New(event.Spans, envelope.Stamp{
			Tenant: r.tenant, Type: event.TypeTraces, Count: p.Spans, Accepted: now,
			Seq: tickets[i].Seq(), Void: tickets[i].Void(),
		}, p.Value)
	}
	defer d.pack(r, msgs)()
	err := d.deps.Publisher.Publish(ctx, msgs)
	durable := d.settle(pieces, tickets, err)
	d.deps.Counters.Accept(r.tenant, event.SignalSpans, durable)
	d.metrics.accepted.Add(float64(durable))
	if err != nil {
		return publishError(err)
	}
	return nil
}

// pack compresses the messages, unless memory is short: that is less work than
// to carry and keep what it saves. The caller gives the memory back
// when nobody refers to the messages any more.
func (d *Door) pack(r *request, msgs []broker.Message) (free func()) {
	var held []*[]byte
	for i := range msgs {
		room := envelope.PackRoom(len(msgs[i].Value))
		if room == 0 || !r.lease.spare(room) {
			continue
		}
		buf := d.buffers.Get(room)
		held = append(held, buf)
		envelope.Pack(&msgs[i], *buf)
	}
	return func() {
		for _, buf := range held {
			d.buffers.Put(buf)
		}
	}
}

// settle gives the tickets back, each by the fate of its message, and returns
// how many spans are durable. That may be some although the caller is told to
// send all again: they are in the store, so the ledger has to know them.
func (d *Door) settle(pieces []otlp.Piece, tickets []door.Ticket, err error) (durable int) {
	var partly *broker.PublishError
	if err != nil && !errors.As(err, &partly) {
		for _, t := range tickets {
			d.deps.Sequence.Unknown(t)
		}
		return 0
	}
	var failed []broker.Failure
	if partly != nil {
		failed = partly.Failed
	}
	for i, t := range tickets {
		switch {
		case len(failed) == 0 || failed[0].Index != i:
			d.deps.Sequence.Published(t)
			durable += pieces[i].Spans
			continue
		case errors.Is(failed[0].Err, broker.ErrUnknownOutcome):
			d.deps.Sequence.Unknown(t)
		default:
			d.deps.Sequence.Failed(t)
		}
		failed = failed[1:]
	}
	return durable
}

// reject tells the ledger and the metrics what the answer says is rejected, and
// the metrics what was mended.
func (d *Door) reject(tenant string, rep *otlp.Report) {
	if rep.Mended > 0 {
		for mend, n := range rep.ByMend {
			d.metrics.mended[mend].Add(float64(n))
		}
	}
	if rep.Rejected == 0 {
		return
	}
	for reason, n := range rep.ByReason {
		if n > 0 {
			d.deps.Counters.Reject(tenant, event.SignalSpans, otlp.Reason(reason).String(), n)
			d.metrics.rejected[reason].Add(float64(n))
		}
	}
}

// refuse turns an error into what the caller learns, and logs what it may not.
func (d *Door) refuse(method string, err error) (codes.Code, error) {
	st := publicError(err, d.cfg.RetryDelay)
	if _, said := status.FromError(err); !said && st.Code() == codes.Internal {
		d.deps.Log.Error("call failed", slog.String("method", method), slog.String("err", err.Error()))
	}
	return st.Code(), st.Err()
}
