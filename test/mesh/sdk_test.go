package mesh_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/sdk"
	"github.com/driftmesh/driftmesh/sdk/profile"
	"github.com/driftmesh/driftmesh/test/mesh"
)

// requireSDKLosesNothing sends spans and records with the SDK, over gRPC and over HTTP,
// while the gateway and the broker are killed with -9 and started again. What the
// clients took in is stored, once, and they know of no loss. stored is how many spans
// are there already.
func requireSDKLosesNothing(t *testing.T, f *mesh.Five, stored int) {
	const spans, records = 3000, 600 // of each client
	reach := map[string]string{"grpc": f.GRPC, "http": "http://" + f.HTTP}
	clients := map[string]*sdk.Client{}
	for name, address := range reach {
		client, err := sdk.New(address, sdk.WithServiceName("sdk-"+name), sdk.WithSpanBatch(spans, 100, 50*time.Millisecond),
			sdk.WithBatch(50, 1<<20, 20*time.Millisecond), sdk.WithRetry(20*time.Millisecond, 500*time.Millisecond))
		require.NoError(t, err)
		clients[name] = client
	}
	p, err := profile.New([]profile.Column{{Name: "n", Type: profile.Int, Numbers: []float64{1, 2, 3, 4}}}, profile.Options{
		Space: "default", Name: "sdk", Binning: profile.Binning{Rule: profile.Manual, Bins: 2},
		Monitors: []profile.Monitor{{Name: "a", Detector: "psi", Threshold: profile.AtMost(1, 30)}},
	})
	require.NoError(t, err)
	_, err = clients["http"].Register(t.Context(), p)
	require.NoError(t, err)

	var senders sync.WaitGroup
	for name, client := range clients {
		senders.Go(func() {
			tracer := client.TracerProvider().Tracer("faults")
			for i := range spans {
				_, span := tracer.Start(context.Background(), fmt.Sprint(name, " ", i))
				span.End()
				if i%(spans/records) == 0 {
					if err := client.Send(t.Context(), sdk.Features("default/sdk", sdk.Int("n", int64(i))).WithID(fmt.Sprint(name, i))); err != nil {
						t.Error(err)
						return
					}
				}
				time.Sleep(time.Millisecond) // for the faults to come in between
			}
		})
	}
	for range 2 {
		time.Sleep(400 * time.Millisecond) // under load
		f.Kill("gateway")
		f.Restart("gateway")
	}
	f.Broker.Kill()
	f.Broker.Restart()
	senders.Wait()
	retries := uint64(0)
	for name, client := range clients {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		require.NoError(t, client.Shutdown(ctx), name)
		cancel()
		stats := client.Stats()
		require.Equal(t, uint64(spans), stats.Spans.Accepted, name)
		require.Equal(t, uint64(records), stats.Records.Accepted, name)
		retries += stats.Spans.Retries + stats.Records.Retries
	}
	require.Positive(t, retries, "the faults were felt")
	require.EqualValues(t, stored+2*spans, f.Settled(t, "spans").GetStored())
	require.EqualValues(t, 2*records, f.Settled(t, "records").GetStored())

	// The same door takes what the SDK writes as OTLP's JSON.
	client, err := sdk.New(f.GRPC, sdk.WithMeshSampleRatio(0), sdk.WithOTLP(sdk.OTLP{Protocol: sdk.OTLPJSON, Endpoint: "http://" + f.OTLPHTTP, Gzip: true}))
	require.NoError(t, err)
	for range 10 {
		_, span := client.TracerProvider().Tracer("faults").Start(t.Context(), "json")
		span.End()
	}
	require.NoError(t, client.Shutdown(t.Context()))
	require.EqualValues(t, stored+2*spans+10, f.Settled(t, "spans").GetStored())
}
