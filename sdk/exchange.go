package sdk

import (
	"context"
	"math/rand/v2"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	ingestv1 "github.com/driftmesh/driftmesh/proto/driftmesh/ingest/v1"
)

// run sends what is queued until ctx ends: one stream after the other, each
// until it breaks.
func (c *Client) run(ctx context.Context) {
	for attempt := 0; c.awaitWork(ctx); attempt++ {
		progress, err := c.exchange(ctx)
		if ctx.Err() != nil {
			return
		}
		if progress || c.queue.idle() {
			attempt = 0
		}
		wait, again := retryable(err)
		if !again {
			code := status.Code(err)
			all := code == codes.Unauthenticated || code == codes.PermissionDenied || code == codes.Unimplemented
			if given := c.queue.broken(err, all); given != nil {
				c.cfg.onUnsent(given)
			}
		}
		if !pause(ctx, max(wait, c.backoff(attempt))) {
			return
		}
	}
}

// awaitWork blocks until there are records; false when ctx ends first.
func (c *Client) awaitWork(ctx context.Context) bool {
	for c.queue.idle() {
		select {
		case <-c.queue.wake:
		case <-ctx.Done():
			return false
		}
	}
	return ctx.Err() == nil
}

// exchange opens a stream and sends batches over it, first those without an
// answer, in their order, until it breaks; it returns why, and whether the mesh
// answered anything.
func (c *Client) exchange(ctx context.Context) (progress bool, err error) {
	ctx, cancel := context.WithCancel(ctx)
	c.queue.restart()
	stream, err := c.api.ExchangeRecords(ctx)
	if err != nil {
		cancel()
		return false, err
	}
	ended := make(chan error, 1)
	go func() {
		var err error
		progress, err = c.receive(stream)
		ended <- err
	}()
	err = c.feed(ctx, stream, ended)
	cancel()
	if err == nil {
		err = <-ended
	}
	return progress, err
}

// feed sends batches until the stream ends. It returns nil when the reason is
// still to be read from ended.
func (c *Client) feed(ctx context.Context, stream exchangeStream, ended <-chan error) error {
	for {
		b, wait := c.queue.next(time.Now())
		if b != nil {
			if stream.Send(&ingestv1.ExchangeRecordsRequest{BatchId: b.id, Records: b.records}) == nil {
				continue
			}
			return nil // the receiver knows why
		}
		timer := time.NewTimer(wait)
		select {
		case err := <-ended:
			timer.Stop()
			return err
		case <-c.queue.wake:
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return nil
		}
		timer.Stop()
	}
}

type exchangeStream = grpc.BidiStreamingClient[ingestv1.ExchangeRecordsRequest, ingestv1.ExchangeRecordsResponse]

func (c *Client) receive(stream exchangeStream) (progress bool, err error) {
	for retries := 0; ; {
		resp, err := stream.Recv()
		if err != nil {
			return progress, err
		}
		var wait time.Duration
		if resp.GetRetryReason() != "" {
			wait = c.backoff(retries)
			retries++
		} else {
			progress, retries = true, 0
		}
		for _, r := range c.queue.answer(resp, wait) {
			c.cfg.onRejected(r)
		}
	}
}

// backoff is the wait before another attempt: it doubles, and half of it is
// left to chance so that many clients do not come back together.
func (c *Client) backoff(attempt int) time.Duration {
	d := c.cfg.maxWait
	if attempt < 16 {
		d = min(c.cfg.minWait<<attempt, d)
	}
	return d/2 + rand.N(d/2+1)
}

// pause waits; false when ctx ends first.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
