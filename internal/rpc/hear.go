package rpc

import (
	"context"
	"time"

	"google.golang.org/grpc"
)

const (
	// hearSilence is how long a service may say nothing before it is asked anew,
	// another replica perhaps: it says something every second.
	hearSilence = 3 * time.Second
	// hearAgain is how soon it is asked anew.
	hearAgain = 200 * time.Millisecond
)

// Hear hears what a service tells of by a stream, until ctx ends. Where the stream
// ends, falls silent, or says what hear does not take, it is opened anew, from where
// hear has come to.
func Hear[M any](ctx context.Context, open func(ctx context.Context) (grpc.ServerStreamingClient[M], error), hear func(*M) error) {
	for ctx.Err() == nil {
		_ = hearOnce(ctx, open, hear) // asked again below
		select {
		case <-ctx.Done():
		case <-time.After(hearAgain):
		}
	}
}

// hearOnce hears until something is wrong.
func hearOnce[M any](ctx context.Context, open func(ctx context.Context) (grpc.ServerStreamingClient[M], error), hear func(*M) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	overdue := time.AfterFunc(hearSilence, cancel)
	defer overdue.Stop()
	stream, err := open(ctx)
	if err != nil {
		return err
	}
	for {
		message, err := stream.Recv()
		if err != nil {
			return err
		}
		overdue.Reset(hearSilence)
		if err := hear(message); err != nil {
			return err
		}
	}
}
