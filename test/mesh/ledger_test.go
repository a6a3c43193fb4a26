package mesh_test

import (
	"errors"
	"testing"

	natsgo "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	"github.com/driftmesh/driftmesh/bench/load"
	"github.com/driftmesh/driftmesh/internal/event"
	ledgerv1 "github.com/driftmesh/driftmesh/proto/driftmesh/ledger/v1"
	"github.com/driftmesh/driftmesh/test/mesh"
)

var errTooFew = errors.New("too few messages wait")

// messages of the tenant default that the stream of spans holds, by sequence.
func messages(t *testing.T, stream jetstream.Stream) []uint64 {
	t.Helper()
	info, err := stream.Info(t.Context())
	require.NoError(t, err)
	var found []uint64
	for seq := max(info.State.FirstSeq, 1); seq <= info.State.LastSeq; seq++ {
		m, err := stream.GetMsg(t.Context(), seq)
		if err == nil && m.Header.Get(event.HeaderTenant) == "default" {
			found = append(found, seq)
		}
	}
	return found
}

// lose makes the broker lose messages that it has acknowledged.
func lose(t *testing.T, stream jetstream.Stream, seqs []uint64) {
	t.Helper()
	for _, seq := range seqs {
		require.NoError(t, stream.DeleteMsg(t.Context(), seq))
	}
}

func spansStream(t *testing.T, url string) jetstream.Stream {
	t.Helper()
	conn, err := natsgo.Connect(url)
	require.NoError(t, err)
	t.Cleanup(conn.Close)
	js, err := jetstream.New(conn)
	require.NoError(t, err)
	stream, err := js.Stream(t.Context(), "driftmesh_spans")
	require.NoError(t, err)
	return stream
}

// Promise 4: what was acknowledged and lost at the tail of a topic is missing,
// to the span, whichever gateway is asked, also when the one that acknowledged
// it is gone.
func TestALossAtTheTailIsMissing(t *testing.T) {
	t.Parallel()
	f := mesh.StartFive(t)
	second, process := f.JoinGateway()
	stream := spansStream(t, f.Broker.URL())
	const before, after, lost = 10, 30, 20
	requireAllAcknowledged(t, <-loadInBackground(t, f.OTLPGRPC, before, 1), before)
	requireAllAcknowledged(t, <-loadInBackground(t, second.OTLPGRPC, before, 2), before)
	account := f.Settled(t, "spans")
	require.EqualValues(t, 2*before*load.SpansPerRequest, account.GetAccepted())
	require.Equal(t, account.GetAccepted(), account.GetStored())
	require.Truef(t, proto.Equal(account, second.Settled(t, "spans")), "%v", account)

	f.Kill("trace-store")
	requireAllAcknowledged(t, <-loadInBackground(t, second.OTLPGRPC, after, 3), after)
	held := messages(t, stream) // those that are settled too
	lose(t, stream, held[len(held)-lost:])
	process.Kill()
	f.Restart("trace-store")

	account = f.Account(t, "spans", mesh.AllSettled)
	require.EqualValues(t, (2*before+after)*load.SpansPerRequest, account.GetAccepted(), "%v", account)
	require.EqualValues(t, (2*before+after-lost)*load.SpansPerRequest, account.GetStored(), "%v", account)
	require.EqualValues(t, lost, account.GetMissingMessages(), "%v", account)
	require.EqualValues(t, lost*load.SpansPerRequest, account.GetMissing(), "%v", account)
	require.False(t, account.GetBalanced())
	third, _ := f.JoinGateway()
	require.Truef(t, proto.Equal(account, third.Account(t, "spans", mesh.AllSettled)), "%v", account)
	out, err := f.CLI(t, "ledger")
	require.Error(t, err, "a script sees it")
	require.Regexp(t, `MISSING: (2000 in 20|at least 1[0-9]) messages are lost`, out) // pending are the mesh's own, now and then
}

// A loss in the midst of steady traffic is found while the traffic goes on: at
// the least what is not pending, and never more than there is.
func TestALossUnderTrafficIsFoundUnderTraffic(t *testing.T) {
	t.Parallel()
	f := mesh.StartFive(t)
	stream := spansStream(t, f.Broker.URL())
	stop := steadySpans(t, f.OTLPGRPC, 4, &witness{})
	f.Kill("trace-store")
	const lost = 25
	before := len(messages(t, stream)) // those that are settled too
	var held []uint64
	mesh.Await(t, recoveryLimit*2, func() error {
		if held = messages(t, stream); len(held) < before+2*lost {
			return errTooFew
		}
		return nil
	})
	lose(t, stream, held[before+10:before+10+lost])
	f.Restart("trace-store")
	found := f.Account(t, "spans", func(a *ledgerv1.Account) bool {
		require.LessOrEqual(t, a.GetMissingMessages(), uint64(lost), "%v", a)
		return a.GetMissingMessages() > 0
	})
	t.Logf("under traffic: %v", found)
	r := stop()
	account := f.Account(t, "spans", mesh.AllSettled)
	require.EqualValues(t, lost, account.GetMissingMessages(), "%v", account)
	require.EqualValues(t, lost*load.SpansPerRequest, account.GetMissing(), "%v", account)
	require.EqualValues(t, r.Spans()-lost*load.SpansPerRequest, account.GetStored(), "%v", account)
}
