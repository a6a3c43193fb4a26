package inbox

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/driftmesh/driftmesh/sdk"
)

// Flights bounds the batches that are on their way to the broker. Those that come
// meanwhile wait for one to arrive.
const Flights = 16

// Publisher is the client of one broker. Its methods are called concurrently.
type Publisher interface {
	// Publish makes one attempt and returns nil when the message is durable. ctx
	// ends with the publish timeout, or when the transport is closed; what is
	// behind m may be read until Publish has returned. An error that is no
	// *sdk.TransportError may pass.
	Publish(ctx context.Context, m *Message) error
	// MaxBytes is the largest Message.Body. It waits for nobody: who sends asks it first.
	MaxBytes() int
	// Close is called once, and ends what is still in Publish.
	Close() error
}

// Transport carries batches to the inbox through a Publisher.
type Transport struct {
	name      string // of the broker and where it is, for errors
	publisher Publisher
	timeout   time.Duration
	access    func(context.Context) (map[string]string, error)

	flights chan struct{}   // holds one for each batch on its way
	life    context.Context //nolint:containedctx // of the batches on their way
	end     context.CancelFunc

	mu     sync.Mutex
	closed bool
	flying sync.WaitGroup
}

var _ sdk.Transport = (*Transport)(nil)

// New makes a transport to the broker at a.
func New(broker string, a *Address, cfg sdk.TransportConfig, p Publisher) *Transport {
	t := &Transport{
		name: broker + " at " + a.String(), publisher: p, timeout: a.Timeout, access: cfg.Authorization,
		flights: make(chan struct{}, Flights),
	}
	t.life, t.end = context.WithCancel(context.Background())
	return t
}

// MaxBytes implements sdk.Transport.
func (t *Transport) MaxBytes() int { return t.publisher.MaxBytes() }

// Send implements sdk.Transport. What ctx ends is the wait: a message that is on
// its way may still arrive, and holds its place until its fate is known or the
// publish timeout ends.
func (t *Transport) Send(ctx context.Context, b sdk.Batch) (sdk.Answer, error) {
	if limit := t.MaxBytes(); len(b.Body) > limit {
		return sdk.Answer{}, t.named(TooLarge(len(b.Body), limit))
	}
	m, err := t.message(ctx, b)
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return sdk.Answer{}, t.named(err)
	}
	select {
	case t.flights <- struct{}{}:
	case <-ctx.Done():
		return sdk.Answer{}, t.named(fmt.Errorf("%d batches are on their way and none arrives: %w", Flights, ctx.Err()))
	}
	if !t.takeOff() {
		<-t.flights
		return sdk.Answer{}, errClosed
	}
	done := make(chan error, 1)
	go func() { //nolint:contextcheck // it outlives its caller, on purpose
		defer t.flying.Done()
		bound, cancel := context.WithTimeout(t.life, t.timeout)
		defer cancel()
		err := t.publisher.Publish(bound, m)
		<-t.flights
		done <- err
	}()
	select {
	case err := <-done:
		return sdk.Answer{}, t.named(t.late(err))
	case <-ctx.Done():
		return sdk.Answer{}, t.named(fmt.Errorf("%w: %w", errUnknown, ctx.Err()))
	}
}

// takeOff counts a batch that begins its way; false when the transport is closed.
func (t *Transport) takeOff() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.closed {
		t.flying.Add(1)
	}
	return !t.closed
}

// late says what the end of the attempt's own context means.
func (t *Transport) late(err error) error {
	switch {
	case t.life.Err() != nil && errors.Is(err, context.Canceled):
		return fmt.Errorf("%w: the transport was closed", errUnknown)
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("%w: no answer within %v; if that goes on: is it the right server, and does it want TLS?", errUnknown, t.timeout)
	}
	return err
}

// named puts the broker's name before an error.
func (t *Transport) named(err error) error {
	if err == nil {
		return nil
	}
	if known, ok := errors.AsType[*sdk.TransportError](err); ok {
		named := *known
		named.Cause = fmt.Errorf("%s: %w", t.name, known.Cause)
		return &named
	}
	return &sdk.TransportError{Cause: fmt.Errorf("%s: %w", t.name, err)}
}

// Close implements sdk.Transport: it waits for what is on its way until ctx ends,
// and says of how many batches nobody knows then whether they arrived.
func (t *Transport) Close(ctx context.Context) error {
	t.mu.Lock()
	first := !t.closed
	t.closed = true
	t.mu.Unlock()
	if !first {
		return nil
	}
	landed := make(chan struct{})
	go func() {
		t.flying.Wait()
		close(landed)
	}()
	var err error
	select {
	case <-landed:
	case <-ctx.Done():
		err = t.named(fmt.Errorf("%w: of %d batches: %w", errUnknown, len(t.flights), ctx.Err()))
	}
	t.end()
	err = errors.Join(err, t.publisher.Close())
	<-landed
	return err
}
