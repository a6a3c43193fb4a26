package sdk

import (
	"context"
	"fmt"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"

	driftv1 "github.com/driftmesh/driftmesh/proto/driftmesh/drift/v1"
	ingestv1 "github.com/driftmesh/driftmesh/proto/driftmesh/ingest/v1"
)

// Client sends records to one mesh, and registers profiles there. It is safe for concurrent use; a program
// needs one.
type Client struct {
	cfg   config
	conn  *grpc.ClientConn
	api   ingestv1.IngestServiceClient
	drift driftv1.DriftServiceClient
	queue *queue
	stop  context.CancelFunc
	done  chan struct{} // closed when the sender has ended

	once   sync.Once
	closed error
}

// Stats counts records.
type Stats struct {
	Queued      int    // waiting, sent batches without an answer included
	QueuedBytes int    // about how much memory they take
	Accepted    uint64 // durable
	Rejected    uint64 // refused, one by one
	Unsent      uint64 // given up
	Retries     uint64 // batches the mesh asked to send again
}

// New makes a client for the mesh at addr: host:port, or any gRPC target, or
// grpcs://host:port or https://host:port to speak TLS. It does not wait for the mesh: records queue until it is there. The client must
// be closed.
func New(addr string, options ...Option) (*Client, error) {
	c := &Client{cfg: defaults(), done: make(chan struct{})}
	for _, o := range options {
		o(&c.cfg)
	}
	if err := c.cfg.check(); err != nil {
		return nil, fmt.Errorf("make driftmesh client: %w", err)
	}
	target, transport, err := c.cfg.reach(addr)
	if err != nil {
		return nil, fmt.Errorf("make driftmesh client: %w", err)
	}
	dial := append([]grpc.DialOption{
		grpc.WithTransportCredentials(transport),
		grpc.WithPerRPCCredentials(c.cfg.access),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 30 * time.Second, Timeout: 10 * time.Second}),
	}, c.cfg.dial...)
	conn, err := grpc.NewClient(target, dial...)
	if err != nil {
		return nil, fmt.Errorf("make driftmesh client: %w", err)
	}
	c.conn, c.queue = conn, newQueue(&c.cfg)
	c.api, c.drift = ingestv1.NewIngestServiceClient(conn), driftv1.NewDriftServiceClient(conn)
	ctx, cancel := context.WithCancel(context.Background())
	c.stop = cancel
	go func() {
		defer close(c.done)
		c.run(ctx)
	}()
	return c, nil
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
	return c.queue.put(ctx, m, wait)
}

// Flush waits until every record that was queued before the call is durable,
// refused or given up. It returns nil when all since the last Flush are
// durable, a *RejectedError or an *UnsentError when some are not, and the error
// of ctx when that ended first; then the records are still on their way.
func (c *Client) Flush(ctx context.Context) error { return c.queue.flush(ctx) }

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
	var rejected RejectedError
	for len(list) > 0 {
		n := c.fitting(list)
		resp, err := c.publish(ctx, list[:n])
		if err != nil {
			return err
		}
		rejected.add(resp.GetRejected(), rejectionsOf(resp.GetRejections()))
		list = list[n:]
	}
	if rejected.Count > 0 {
		return &rejected
	}
	return nil
}

// fitting is how many records make the next batch.
func (c *Client) fitting(list []*ingestv1.Record) int {
	bytes := 0
	for i, m := range list {
		if bytes += size(m); i > 0 && (bytes > c.cfg.batchBytes || i == c.cfg.batchRecords) {
			return i
		}
	}
	return len(list)
}

// publish makes one call until it gets an answer or ctx ends.
func (c *Client) publish(ctx context.Context, records []*ingestv1.Record) (resp *ingestv1.PublishRecordsResponse, err error) {
	err = c.retried(ctx, func(ctx context.Context) (err error) {
		resp, err = c.api.PublishRecords(ctx, &ingestv1.PublishRecordsRequest{Records: records})
		return err
	})
	return resp, err
}

// Stats counts what the client has sent through its queue so far.
func (c *Client) Stats() Stats { return c.queue.snapshot() }

// Close lets no more records in, flushes until ctx ends, and closes the
// connection. It returns what Flush returns, and an *UnsentError when ctx ended
// before everything had left. Later calls return the same.
func (c *Client) Close(ctx context.Context) error {
	c.once.Do(func() { c.closed = c.close(ctx) })
	return c.closed
}

func (c *Client) close(ctx context.Context) error {
	c.queue.close()
	err := c.queue.flush(ctx)
	c.stop()
	<-c.done
	if left := c.queue.snapshot().Queued; left > 0 {
		err = &UnsentError{Count: uint64(left), Cause: err}
	}
	if closeErr := c.conn.Close(); err == nil && closeErr != nil {
		err = fmt.Errorf("close connection: %w", closeErr)
	}
	return err
}
