package sdk

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	authv1 "github.com/driftmesh/driftmesh/proto/driftmesh/auth/v1"
	driftv1 "github.com/driftmesh/driftmesh/proto/driftmesh/drift/v1"
	ingestv1 "github.com/driftmesh/driftmesh/proto/driftmesh/ingest/v1"
)

// Client sends spans and records to one mesh, and registers profiles there. It is
// safe for concurrent use; a program needs one.
type Client struct {
	cfg       config
	transport Transport
	mesh      grpc.ClientConnInterface // to ask
	closes    []func(context.Context) error

	name    string // of this client, random: begins the names of its batches
	batches atomic.Uint64

	records *recordQueue
	spans   *spanQueue   // to the mesh
	others  []*spanQueue // to further exporters
	traces  *sdktrace.TracerProvider
	tracer  trace.Tracer // of the span helpers; nil where there are no spans
	// parentDecides: below a span that is not sampled none is.
	parentDecides bool
	lanes         sync.WaitGroup
	stop          context.CancelCauseFunc

	once     sync.Once
	shutdown error
}

// New makes a client for the mesh at addr: host:port or any gRPC target; with
// grpcs:// or https:// in front to speak TLS; see WithAddress. It does not wait for
// the mesh: what is sent queues until it is there. It reads no environment and
// registers nothing, see Init for that. The client must be shut down.
func New(addr string, options ...Option) (*Client, error) {
	cfg := defaults()
	cfg.address = addr
	for _, o := range options {
		o(&cfg)
	}
	return newClient(cfg)
}

func newClient(cfg config) (*Client, error) {
	if err := cfg.check(); err != nil {
		return nil, fmt.Errorf("make driftmesh client: %w", err)
	}
	c := &Client{cfg: cfg, name: rand.Text()[:10]}
	if l := cfg.login; l != nil {
		l.api = func() authv1.AuthServiceClient { return authv1.NewAuthServiceClient(c.mesh) }
		c.cfg.access.token = l.get
	}
	if err := c.open(); err != nil {
		return nil, fmt.Errorf("make driftmesh client: %w", errors.Join(err, c.closeAll(context.Background())))
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	c.stop = cancel
	c.records = newRecordQueue(&c.cfg, c.newPace(), c.transport.MaxBytes)
	c.records.carry = func(ctx context.Context, f *flight) {
		body, _ := f.load.([]byte)
		c.deliver(ctx, c.records.lane, Batch{ID: c.batchID(), Type: TypeRecords, Body: body, Items: f.items})
	}
	c.fly(ctx, c.records.lane)
	if err := errors.Join(c.openTraces(ctx), c.openMetrics()); err != nil {
		return nil, fmt.Errorf("make driftmesh client: %w", errors.Join(err, c.Shutdown(ctx)))
	}
	return c, nil
}

func (c *Client) newPace() *pace { return &pace{shortest: c.cfg.minWait, longest: c.cfg.maxWait} }

// fly runs a lane until the client stops.
func (c *Client) fly(ctx context.Context, l *lane) {
	c.lanes.Go(func() { l.run(ctx) })
}

// open opens the transport, and the way to ask the mesh.
func (c *Client) open() error {
	t, mesh, err := c.cfg.open(c.cfg.address)
	if err != nil {
		return err
	}
	c.transport, c.mesh = t, mesh
	c.closes = append(c.closes, t.Close)
	if c.mesh != nil {
		return nil
	}
	if c.cfg.mesh == "" {
		c.mesh = nowhere{}
		return nil
	}
	asked, mesh, err := (&c.cfg).openAddress(c.cfg.mesh)
	if err != nil {
		return err
	}
	c.closes = append(c.closes, asked.Close)
	if c.mesh = mesh; mesh == nil {
		return fmt.Errorf("%s is no address to ask a mesh at: it wants gRPC or HTTP", c.cfg.mesh)
	}
	return nil
}

func (c *Client) batchID() string {
	return c.name + "-" + strconv.FormatUint(c.batches.Add(1), 36)
}

// courier delivers over the client's transport, with a lane's account of attempts.
func (c *Client) courier(l *lane) courier {
	return courier{send: c.transport.Send, timeout: c.cfg.callTimeout, retried: func() { l.count(func(t *tally) { t.retries++ }) }}
}

// deliver sends a batch of a lane and keeps account of it.
func (c *Client) deliver(ctx context.Context, l *lane, b Batch) {
	answer, err := c.courier(l).deliver(ctx, l.pace, b)
	if err == nil {
		l.count(func(t *tally) { t.take(b.Items, answer) })
		if b.Type == TypeRecords {
			for _, r := range answer.Rejections {
				c.cfg.onRejected(r)
			}
		}
		return
	}
	reason := DroppedShutdown
	if refused, is := errors.AsType[*refusedError](err); is {
		reason, err = DroppedRefused, refused.cause
	}
	l.count(func(t *tally) { t.lose(reason, b.Items, err) })
	if reason == DroppedRefused {
		c.cfg.onUnsent(&UnsentError{Signal: l.tally.signal, Count: uint64(b.Items), Cause: err})
	}
}

// Send queues a record with the trace context of ctx. When the queue is full it
// waits for room until ctx ends. A nil error means that the record is queued,
// not that it is durable; see Flush.
func (c *Client) Send(ctx context.Context, r Record) error { return c.put(ctx, r, true) }

// TrySend is Send that never waits: it returns ErrFull instead.
func (c *Client) TrySend(ctx context.Context, r Record) error { return c.put(ctx, r, false) }

func (c *Client) put(ctx context.Context, r Record, wait bool) error {
	m, err := r.message(ctx, time.Now())
	if err != nil {
		return err
	}
	return c.records.put(ctx, m, wait)
}

// TracerProvider makes spans that go to the mesh, for libraries that know
// OpenTelemetry.
func (c *Client) TracerProvider() trace.TracerProvider {
	if c.traces == nil {
		return noTraces
	}
	return c.traces
}

// Flush waits until every record that was queued and every span that was ended
// before the call is durable, refused or given up. It returns nil when all since
// the last Flush are durable, a *RejectedError or an *UnsentError when some are not
// (both, joined, when it is both spans and records), and the error of ctx when that
// ended first; then they are still on their way.
func (c *Client) Flush(ctx context.Context) error {
	lanes := c.all()
	targets := make([]uint64, len(lanes))
	for i, l := range lanes {
		targets[i] = l.hurry()
	}
	var errs []error
	for i, l := range lanes {
		errs = append(errs, l.await(ctx, targets[i]))
	}
	return only(errs)
}

// only joins errors; one alone stays what it is.
func only(errs []error) error {
	var some []error
	for _, err := range errs {
		if err != nil {
			some = append(some, err)
		}
	}
	if len(some) == 1 {
		return some[0]
	}
	return errors.Join(some...)
}

// all is every lane, that of records first.
func (c *Client) all() []*lane {
	lanes := []*lane{c.records.lane}
	if c.spans != nil {
		lanes = append(lanes, c.spans.lane)
	}
	for _, o := range c.others {
		lanes = append(lanes, o.lane)
	}
	return lanes
}

// Publish sends records at once, past the queue, and returns nil when they are
// durable: either all of them, or all but those of a *RejectedError. While the
// mesh is away it tries again until ctx ends.
func (c *Client) Publish(ctx context.Context, records ...Record) error {
	now := time.Now()
	list := make([]*ingestv1.Record, len(records))
	for i, r := range records {
		m, err := r.message(ctx, now)
		if err != nil {
			return err
		}
		list[i] = m
	}
	rejected := RejectedError{Signal: "records"}
	p := c.newPace()
	by := c.courier(c.records.lane)
	for len(list) > 0 {
		n := c.fitting(list)
		body, err := proto.Marshal(&ingestv1.PublishRecordsRequest{Records: list[:n]})
		if err != nil {
			return fmt.Errorf("encode records: %w", err)
		}
		answer, err := by.deliver(ctx, p, Batch{ID: c.batchID(), Type: TypeRecords, Body: body, Items: n})
		if refused, is := errors.AsType[*refusedError](err); is {
			return refused.cause
		}
		if err != nil {
			return err
		}
		rejected.add(answer.Rejected, answer.Rejections)
		list = list[n:]
	}
	if rejected.Count > 0 {
		return &rejected
	}
	return nil
}

// fitting is how many records make the next batch.
func (c *Client) fitting(list []*ingestv1.Record) int {
	bytes, most := 0, min(c.cfg.batchBytes, c.transport.MaxBytes())
	for i, m := range list {
		if bytes += proto.Size(m) + frame; i > 0 && (bytes > most || i == c.cfg.batchRecords) {
			return i
		}
	}
	return len(list)
}

// Stats counts what the client has done so far, what went past the queue by Publish
// excepted.
func (c *Client) Stats() Stats {
	s := Stats{Records: c.records.snapshot()}
	s.Records.QueuedBytes = c.records.held()
	if c.spans != nil {
		s.Spans = c.spans.snapshot()
	}
	for _, o := range c.others {
		if s.Exporters == nil {
			s.Exporters = map[string]Counts{}
		}
		s.Exporters[o.tally.place] = o.snapshot()
	}
	return s
}

// Shutdown lets no more spans and records in, flushes until ctx ends, and closes
// everything. Its error is a *LossError when anything was lost in the client's life:
// how much of what, and why. Later calls return the same.
func (c *Client) Shutdown(ctx context.Context) error {
	c.once.Do(func() { c.shutdown = c.end(ctx) })
	return c.shutdown
}

func (c *Client) end(ctx context.Context) error {
	c.leave()
	lanes := c.all()
	for _, l := range lanes {
		l.close()
	}
	for _, l := range lanes {
		_ = l.await(ctx, l.hurry()) // what was lost is told below
	}
	c.stop(context.Cause(ctx))
	c.lanes.Wait()
	var losses []Loss
	for _, l := range lanes {
		l.abandon(context.Cause(ctx))
		l.count(func(t *tally) {
			if loss := t.loss(); loss != nil {
				losses = append(losses, *loss)
			}
		})
	}
	late, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
	defer cancel()
	if c.traces != nil {
		_ = c.traces.Shutdown(late) // no more spans; what it says of the queues is told already
	}
	err := c.closeAll(late)
	if len(losses) > 0 {
		return only([]error{&LossError{Losses: losses}, err})
	}
	return err
}

// closeTimeout bounds the closing of connections.
const closeTimeout = 5 * time.Second

// placeMesh is where most goes.
const placeMesh = "mesh"

func (c *Client) closeAll(ctx context.Context) error {
	var errs []error
	for _, closing := range c.closes {
		errs = append(errs, closing(ctx))
	}
	return errors.Join(errs...)
}

func (c *Client) drift() driftv1.DriftServiceClient { return driftv1.NewDriftServiceClient(c.mesh) }
