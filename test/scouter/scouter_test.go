// Package scouter_test lets Scouter's published client speak to a mesh and read
// everything back. drive.py uses the client's public API alone.
package scouter_test

import (
	"os/exec"
	"testing"

	"github.com/stretchr/testify/require"

	ledgerv1 "github.com/driftmesh/driftmesh/proto/driftmesh/ledger/v1"
	"github.com/driftmesh/driftmesh/test/mesh"
)

// What the client sends over both transports at once is there when it asks, and in
// the ledger to the last record.
func TestThePublishedClient(t *testing.T) {
	interpreter := python(t)
	m := mesh.Start(t, "--auth.scouter-accounts")
	sent := make(chan uint64, 2)
	t.Run("transports", func(t *testing.T) {
		for _, transport := range []string{"http", "grpc"} {
			t.Run(transport, func(t *testing.T) {
				t.Parallel()
				var got report
				begin(t, "drive.py", "--transport", transport, "--run", transport, "--http", "http://"+m.HTTP, "--grpc", m.GRPC,
					"--otlp-http", "http://"+m.OTLPHTTP, "--otlp-grpc", "http://"+m.OTLPGRPC, "--verify").end(&got)
				sent <- got.Sent.Records
				ask := exec.CommandContext(t.Context(), interpreter, "ask.py", "--run", transport, "--http", "http://"+m.HTTP, "--otlp-http", "http://"+m.OTLPHTTP)
				out, err := ask.CombinedOutput()
				require.NoError(t, err, string(out))
			})
		}
	})
	both := <-sent + <-sent
	m.Account(t, "records", func(a *ledgerv1.Account) bool {
		return a.GetAccepted() == both && a.GetStored() == both-2 && a.GetRejected()["not_finite"] == 2 && a.GetBalanced()
	})
}
