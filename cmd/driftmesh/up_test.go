package main

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/internal/settings"
)

func TestOneSettingMovesAService(t *testing.T) {
	t.Parallel()
	var u upCmd
	require.NoError(t, settings.Defaults(&u.Mesh))
	usual := u.Mesh.TraceStore
	u.Auth.Listen, u.Drift.Listen, u.TraceStore.Listen, u.IngestWorker.Listen = "0.0.0.0:7001", "127.0.0.1:7002", usual, "[::]:7004"
	u.Mesh.Drift = "drift.example.com:9000"
	require.NoError(t, u.followListeners())
	require.Equal(t, "127.0.0.1:7001", u.Mesh.Auth)
	require.Equal(t, "drift.example.com:9000", u.Mesh.Drift, "what was given stands")
	require.Equal(t, usual, u.Mesh.TraceStore)
	require.Equal(t, "127.0.0.1:7004", u.Mesh.IngestWorker)
}
