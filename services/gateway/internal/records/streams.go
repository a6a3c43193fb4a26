package records

import (
	"context"
	"errors"
	"io"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"github.com/driftmesh/driftmesh/internal/fault"
	ingestv1 "github.com/driftmesh/driftmesh/proto/driftmesh/ingest/v1"
)

func errStopping() error {
	return fault.Unavailable.New("the gateway is stopping").WithReason("STOPPING").WithRetryAfter(retryLater)
}

// read hands every message of a stream to do, until the caller has sent its
// last, the stream fails, or the service stops. The reader is a goroutine of
// its own because nothing but the stream's end makes it return; Wait waits for
// it.
func read[M any](ctx context.Context, s *Service, recv func() (M, error), do func(M) error) error {
	type item struct {
		m   M
		err error
	}
	items, gone := make(chan item), make(chan struct{})
	defer close(gone)
	s.readers.Go(func() {
		for {
			m, err := recv()
			select {
			case items <- item{m, err}:
			case <-gone:
				return
			}
			if err != nil {
				return
			}
		}
	})
	for {
		select {
		case <-s.stop:
			return errStopping()
		case <-ctx.Done():
			return fault.Of(ctx.Err())
		case i := <-items:
			if errors.Is(i.err, io.EOF) {
				return nil
			}
			if i.err != nil {
				return i.err
			}
			if err := do(i.m); err != nil {
				return err
			}
		}
	}
}

// StreamRecords takes batches until the caller is done, several at a time, and
// sums them up. The first batch that cannot be made durable ends the stream.
func (s *Service) StreamRecords(stream grpc.ClientStreamingServer[ingestv1.StreamRecordsRequest, ingestv1.StreamRecordsResponse]) error {
	var (
		mu      sync.Mutex
		sum     ingestv1.StreamRecordsResponse
		records uint32 // read so far
	)
	group, ctx := errgroup.WithContext(stream.Context())
	group.SetLimit(s.limits.Outstanding)
	err := read(ctx, s, stream.Recv, func(req *ingestv1.StreamRecordsRequest) error {
		first := records
		records += uint32(len(req.GetRecords()))
		sum.Batches++
		group.Go(func() error {
			r, err := s.take(ctx, proto.Size(req), req.GetRecords())
			if err != nil {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			sum.Accepted += uint64(r.Accepted)
			sum.Rejected += r.Rejected.Count
			sum.Rejections = mergeRejections(sum.GetRejections(), r.Rejected.Described, first)
			return nil
		})
		return nil
	})
	if failed := group.Wait(); failed != nil {
		return failed
	}
	if err != nil {
		return err
	}
	return stream.SendAndClose(&sum)
}

// maxDescribed is how many refused records of a stream its answer describes.
const maxDescribed = 100

// mergeRejections keeps the first hundred of the stream.
func mergeRejections(have, more []*ingestv1.Rejection, first uint32) []*ingestv1.Rejection {
	for _, r := range more {
		r.Index += first
	}
	have = append(have, more...)
	slices.SortFunc(have, func(a, b *ingestv1.Rejection) int { return int(a.GetIndex()) - int(b.GetIndex()) })
	return have[:min(len(have), maxDescribed)]
}

// ExchangeRecords takes batches and answers each as it becomes durable. A batch
// that cannot be made durable now is answered with the reason and does not end
// the exchange. While as many batches as allowed are unanswered, no further one
// is read: the caller feels it as flow control.
func (s *Service) ExchangeRecords(stream grpc.BidiStreamingServer[ingestv1.ExchangeRecordsRequest, ingestv1.ExchangeRecordsResponse]) error {
	var mu sync.Mutex // one Send at a time
	group, ctx := errgroup.WithContext(stream.Context())
	group.SetLimit(s.limits.Outstanding)
	err := read(ctx, s, stream.Recv, func(req *ingestv1.ExchangeRecordsRequest) error {
		group.Go(func() error {
			r, err := s.take(ctx, proto.Size(req), req.GetRecords())
			if err != nil && !fault.KindOf(err).Retryable() {
				return err
			}
			answer := &ingestv1.ExchangeRecordsResponse{
				BatchId: req.GetBatchId(), Accepted: uint64(r.Accepted),
				Rejected: r.Rejected.Count, Rejections: r.Rejected.Described,
			}
			if err != nil {
				answer.RetryReason = fault.Of(err).Message()
			}
			mu.Lock()
			defer mu.Unlock()
			return stream.Send(answer)
		})
		return nil
	})
	if failed := group.Wait(); failed != nil {
		return failed
	}
	return err
}
