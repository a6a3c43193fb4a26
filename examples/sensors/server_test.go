package main

import (
	"context"
	"io"
	"math"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	healthgrpc "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/driftmesh/driftmesh/examples/sensors/sensorpb"
	"github.com/driftmesh/driftmesh/sdk/profile"
	servertest "github.com/driftmesh/driftmesh/test/server"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// seen are the readings that a server told of.
type seen struct {
	sync.Mutex
	ids []string
}

func (s *seen) observe(_ context.Context, id string, _ Reading) {
	s.Lock()
	defer s.Unlock()
	s.ids = append(s.ids, id)
}

func (s *seen) count() int {
	s.Lock()
	defer s.Unlock()
	return len(s.ids)
}

func dial(t *testing.T) (sensorpb.SensorServiceClient, *seen) {
	t.Helper()
	observed := &seen{}
	clock := func() time.Time { return noon }
	lis := bufconn.Listen(1 << 16)
	server := grpc.NewServer()
	sensorpb.RegisterSensorServiceServer(server, NewServer(NewHistory(clock), observed.observe, clock))
	served := make(chan error, 1)
	go func() { served <- server.Serve(lis) }()
	conn, err := grpc.NewClient("passthrough:sensors", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return lis.DialContext(ctx) }))
	require.NoError(t, err)
	t.Cleanup(func() {
		require.NoError(t, conn.Close())
		server.Stop()
		require.NoError(t, <-served)
	})
	return sensorpb.NewSensorServiceClient(conn), observed
}

func reading(id string, temperature float64) *sensorpb.SensorReading {
	return &sensorpb.SensorReading{SensorId: id, Temperature: temperature, Timestamp: timestamppb.New(noon)}
}

func TestTheFourKindsOfCalls(t *testing.T) {
	t.Parallel()
	api, observed := dial(t)
	ack, err := api.SendSingleReading(t.Context(), &sensorpb.SensorReading{SensorId: "attic", Temperature: 20})
	require.NoError(t, err)
	require.Equal(t, "attic reads 20.0 °C; on average 20.0 °C in all 1 readings, 20.0 °C in 1 of the last minute", ack.GetMessage())

	up, err := api.StreamSensorReadings(t.Context())
	require.NoError(t, err)
	for _, temperature := range []float64{22, 24} {
		require.NoError(t, up.Send(reading("attic", temperature)))
	}
	ack, err = up.CloseAndRecv()
	require.NoError(t, err)
	require.Equal(t, "took 2 readings", ack.GetMessage())

	down, err := api.GetSensorReadings(t.Context(), &sensorpb.SensorRequest{SensorId: "attic"})
	require.NoError(t, err)
	for _, temperature := range []float64{20, 22, 24} {
		got, err := down.Recv()
		require.NoError(t, err)
		require.InDelta(t, temperature, got.GetTemperature(), 0)
		require.Equal(t, noon, got.GetTimestamp().AsTime(), "where none was given, that of the arrival")
	}
	_, err = down.Recv()
	require.ErrorIs(t, err, io.EOF)

	chat, err := api.SensorChat(t.Context())
	require.NoError(t, err)
	for _, want := range []string{"34.0 °C; on average 25.0 °C in all 4", "25.0 °C; on average 25.0 °C in all 5"} { // each is told before the next is sent
		temperature := 34.0
		if strings.HasPrefix(want, "25") {
			temperature = 25
		}
		require.NoError(t, chat.Send(reading("attic", temperature)))
		got, err := chat.Recv()
		require.NoError(t, err)
		require.Contains(t, got.GetMessage(), want)
		require.Equal(t, noon, got.GetServerTime().AsTime())
	}
	require.NoError(t, chat.CloseSend())
	_, err = chat.Recv()
	require.ErrorIs(t, err, io.EOF)
	require.Equal(t, 5, observed.count())
}

func TestWhatIsNoReadingIsRefused(t *testing.T) {
	t.Parallel()
	api, observed := dial(t)
	for name, bad := range map[string]*sensorpb.SensorReading{
		"nobody's":     reading("", 1),
		"a long name":  reading(strings.Repeat("x", maxID+1), 1),
		"no number":    reading("attic", math.NaN()),
		"infinite":     reading("attic", math.Inf(1)),
		"below zero K": reading("attic", -273.2),
		"no time":      {SensorId: "attic", Timestamp: &timestamppb.Timestamp{Nanos: -1}},
	} {
		_, err := api.SendSingleReading(t.Context(), bad)
		require.Equal(t, codes.InvalidArgument, status.Code(err), name)
	}
	require.Zero(t, observed.count())
	down, err := api.GetSensorReadings(t.Context(), &sensorpb.SensorRequest{SensorId: "attic"})
	require.NoError(t, err)
	_, err = down.Recv()
	require.Equal(t, codes.NotFound, status.Code(err))

	up, err := api.StreamSensorReadings(t.Context())
	require.NoError(t, err)
	require.NoError(t, up.Send(reading("attic", 1)))
	require.NoError(t, up.Send(reading("", 1)))
	_, err = up.CloseAndRecv()
	require.Equal(t, codes.InvalidArgument, status.Code(err))
	require.Equal(t, 1, observed.count(), "those before it are kept")
}

// Each client makes its calls, each in a span that ends, and the same seed makes
// the same readings.
func TestClients(t *testing.T) {
	t.Parallel()
	for kind := range kinds {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			api, observed := dial(t)
			for _, place := range house {
				_, err := api.SendSingleReading(t.Context(), reading(place.id, place.mean))
				require.NoError(t, err)
			}
			before := observed.count()
			var told []string
			var mu sync.Mutex
			c := &Caller{API: api, House: NewHouse(7, Fault{}), Every: time.Millisecond,
				Tell: func(s string) { mu.Lock(); told = append(told, s); mu.Unlock() },
			}
			require.NoError(t, c.once(t.Context(), kind))
			require.NotEmpty(t, told)
			switch sent := observed.count() - before; kind {
			case "get":
				require.Zero(t, sent)
				require.Contains(t, told[0], "readings are kept")
			case "single":
				require.Equal(t, 1, sent)
			default:
				require.GreaterOrEqual(t, sent, shortest)
				require.LessOrEqual(t, sent, longest)
			}
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			require.NoError(t, c.Run(ctx, kind), "told to end")
		})
	}
}

// Clients talk to a server whose certificate is of their authority, and to nobody else.
func TestClientsVerifyTheServer(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cert, key, ca, other := filepath.Join(dir, "cert"), filepath.Join(dir, "key"), filepath.Join(dir, "ca"), filepath.Join(dir, "other")
	authority := servertest.NewAuthority(t, "ours")
	authority.Issue(time.Now().Add(time.Hour), nil).Write(t, cert, key)
	require.NoError(t, os.WriteFile(ca, authority.PEM(), 0o600))
	require.NoError(t, os.WriteFile(other, servertest.NewAuthority(t, "theirs").PEM(), 0o600))
	transport, err := credentials.NewServerTLSFromFile(cert, key)
	require.NoError(t, err)
	server := grpc.NewServer(grpc.Creds(transport))
	state := health.NewServer()
	healthgrpc.RegisterHealthServer(server, state)
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	served := make(chan error, 1)
	go func() { served <- server.Serve(lis) }()
	t.Cleanup(func() {
		server.Stop()
		require.NoError(t, <-served)
	})
	ask := func(ca string) error { return probe(t.Context(), options{address: lis.Addr().String(), ca: ca}) }
	require.Equal(t, codes.NotFound, status.Code(ask(ca)), "it does not know the service yet")
	state.SetServingStatus(sensorpb.SensorService_ServiceDesc.ServiceName, healthgrpc.HealthCheckResponse_SERVING)
	require.NoError(t, ask(ca))
	require.ErrorContains(t, ask(other), "certificate signed by unknown authority")
	require.ErrorContains(t, ask(cert+"x"), "no such file")
	state.Shutdown()
	require.ErrorContains(t, ask(ca), "NOT_SERVING")
}

func TestFlagsAndVariables(t *testing.T) {
	t.Setenv("SENSORS_SEED", "7")
	t.Setenv("SENSORS_CA", "from-variable")
	o, err := parse("client", []string{"-ca", "from-flag", "-every", "2s"})
	require.NoError(t, err)
	require.Equal(t, []any{uint64(7), "from-flag", 2 * time.Second, "attic"}, []any{o.seed, o.ca, o.every, o.faulty})
	t.Setenv("SENSORS_SEED", "many")
	_, err = parse("client", nil)
	require.ErrorContains(t, err, `SENSORS_SEED: "many"`)
	require.ErrorContains(t, run(t.Context(), []string{"client", "shout"}), "single, stream, get or chat")
	require.ErrorContains(t, run(t.Context(), nil), "usage")
}

// A minute in order is no alert, however the dice fall; one in which the attic is wrong
// always is.
func TestOnlyAWrongSensorIsDrift(t *testing.T) {
	t.Parallel()
	p, err := readings()
	require.NoError(t, err)
	f := p.Features[p.Feature("temperature")]
	index := func(h *House) (psi float64) {
		counts := make([]uint64, f.Cells())
		for range minSample {
			_, r := h.Read(noon)
			counts[f.NumberCell(r.Temperature)]++
		}
		for k, expected := range f.Proportions() {
			p, q := expected+1e-3, profile.Share(counts[k], minSample)+1e-3
			psi += (p - q) * math.Log(p/q)
		}
		return psi
	}
	for seed := range uint64(300) {
		require.Less(t, index(NewHouse(seed, Fault{})), threshold, "seed %d", seed)
		require.Greater(t, index(NewHouse(seed, Fault{Sensor: "attic", By: 6, From: noon})), 1.5*threshold, "seed %d", seed)
	}
}

func TestAHouseReadsAsItsSeedSays(t *testing.T) {
	t.Parallel()
	fault := Fault{Sensor: "attic", By: 9, From: noon}
	one, same, other := NewHouse(1, fault), NewHouse(1, Fault{}), NewHouse(2, Fault{})
	differ := 0
	for i := range 600 {
		at := noon.Add(time.Duration(i-300) * time.Second)
		id, r := one.Read(at)
		sameID, sameR := same.Read(at)
		require.Equal(t, id, sameID)
		want := sameR.Temperature
		if id == "attic" && !at.Before(noon) {
			want += 9
		}
		require.InDelta(t, want, r.Temperature, 1e-9)
		if otherID, _ := other.Read(at); otherID != id {
			differ++
		}
	}
	require.Greater(t, differ, 100)
}
