package identity

import (
	"context"
	"errors"
	"sync"
)

// flight makes concurrent calls for the same key share one run. Unlike
// x/sync/singleflight it starts no goroutine, and every caller obeys its own
// context: when the caller who runs gives up, one of those who wait runs anew.
type flight[K comparable, V any] struct {
	mu   sync.Mutex
	runs map[K]*run[V]
}

type run[V any] struct {
	done  chan struct{}
	value V
	err   error
}

func newFlight[K comparable, V any]() *flight[K, V] {
	return &flight[K, V]{runs: make(map[K]*run[V])}
}

func (f *flight[K, V]) do(ctx context.Context, key K, call func(context.Context) (V, error)) (V, error) {
	for {
		f.mu.Lock()
		r, running := f.runs[key]
		if !running {
			r = &run[V]{done: make(chan struct{})}
			f.runs[key] = r
			f.mu.Unlock()
			f.lead(ctx, key, r, call)
			return r.value, r.err
		}
		f.mu.Unlock()
		select {
		case <-ctx.Done():
			var none V
			return none, ctx.Err()
		case <-r.done:
		}
		if r.err != nil && errors.Is(r.err, errLeft) {
			continue
		}
		return r.value, r.err
	}
}

// errLeft marks the result of a run whose own caller went away.
var errLeft = errors.New("the caller went away")

func (f *flight[K, V]) lead(ctx context.Context, key K, r *run[V], call func(context.Context) (V, error)) {
	defer func() {
		// Also after a panic in call, or waiters would wait for ever.
		if ctx.Err() != nil {
			r.err = errors.Join(ctx.Err(), errLeft)
		}
		f.mu.Lock()
		delete(f.runs, key)
		f.mu.Unlock()
		close(r.done)
	}()
	r.err = errLeft
	r.value, r.err = call(ctx)
}
