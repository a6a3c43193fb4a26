// Package scouter_test lets Scouter's published client speak to a mesh and read
// everything back. drive.py uses the client's public API alone.
package scouter_test

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	ledgerv1 "github.com/driftmesh/driftmesh/proto/driftmesh/ledger/v1"
	"github.com/driftmesh/driftmesh/test/mesh"
	"github.com/driftmesh/driftmesh/test/server"
)

// What the client sends over both transports at once is there when it asks, and in
// the ledger to the last record.
func TestThePublishedClient(t *testing.T) {
	python := filepath.Join(mesh.Root(t), ".bin/scouter/bin/python")
	if _, err := os.Stat(python); err != nil {
		server.Missing(t, "scouter", python+" is not there; scripts/setup.sh installs it")
	}
	m := mesh.Start(t, "--auth.scouter-accounts")
	sent := make(chan uint64, 2)
	t.Run("transports", func(t *testing.T) {
		for _, transport := range []string{"http", "grpc"} {
			t.Run(transport, func(t *testing.T) {
				t.Parallel()
				drive := exec.CommandContext(t.Context(), python, "drive.py", "--transport", transport, "--run", transport, "--http", "http://"+m.HTTP, "--grpc", m.GRPC,
					"--otlp-http", "http://"+m.OTLPHTTP, "--otlp-grpc", "http://"+m.OTLPGRPC, "--verify")
				var report, said bytes.Buffer
				drive.Stdout, drive.Stderr = &report, &said
				require.NoError(t, drive.Run(), said.String())
				var got struct{ Sent struct{ Records uint64 } }
				require.NoError(t, json.Unmarshal(report.Bytes(), &got))
				sent <- got.Sent.Records
				ask := exec.CommandContext(t.Context(), python, "ask.py", "--run", transport, "--http", "http://"+m.HTTP, "--otlp-http", "http://"+m.OTLPHTTP)
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
