package sdk_test

import (
	"context"
	"net"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"

	ingestv1 "github.com/driftmesh/driftmesh/proto/driftmesh/ingest/v1"
	"github.com/driftmesh/driftmesh/sdk"
)

// taking takes all records, by call or by stream, and keeps none.
type taking struct {
	ingestv1.UnimplementedIngestServiceServer
}

func (taking) PublishRecords(_ context.Context, req *ingestv1.PublishRecordsRequest) (*ingestv1.PublishRecordsResponse, error) {
	return &ingestv1.PublishRecordsResponse{Accepted: uint64(len(req.GetRecords()))}, nil
}

func (taking) ExchangeRecords(stream grpc.BidiStreamingServer[ingestv1.ExchangeRecordsRequest, ingestv1.ExchangeRecordsResponse]) error {
	for {
		req, err := stream.Recv()
		if err != nil {
			return err
		}
		if err := stream.Send(&ingestv1.ExchangeRecordsResponse{BatchId: req.GetBatchId(), Accepted: uint64(len(req.GetRecords()))}); err != nil {
			return err
		}
	}
}

func cpu() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkRecords sends records of 20 numbers through the queue, in batches of so many,
// until all are acknowledged; client and server are one process.
func BenchmarkRecords(b *testing.B) {
	for name, batch := range map[string]int{"1000": 1000, "20": 20} {
		b.Run("batch="+name, func(b *testing.B) {
			server := grpc.NewServer()
			ingestv1.RegisterIngestServiceServer(server, taking{})
			lis, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				b.Fatal(err)
			}
			go func() { _ = server.Serve(lis) }()
			defer server.Stop()
			client, err := sdk.New(lis.Addr().String(), sdk.WithBatch(batch, 1<<20, 50*time.Millisecond))
			if err != nil {
				b.Fatal(err)
			}
			values := make([]sdk.Value, 20)
			for i := range values {
				values[i] = sdk.Float("feature_"+string(rune('a'+i)), float64(i)*1.1)
			}
			record := sdk.Features("cellar/wine", values...)
			ctx := context.Background()
			b.ReportAllocs()
			began := cpu()
			b.ResetTimer()
			for range b.N { // not b.Loop: the flush counts too
				if err := client.Send(ctx, record); err != nil {
					b.Fatal(err)
				}
			}
			if err := client.Flush(ctx); err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(float64((cpu()-began).Nanoseconds())/float64(b.N), "cpu-ns/record")
			_ = client.Shutdown(ctx)
		})
	}
}
