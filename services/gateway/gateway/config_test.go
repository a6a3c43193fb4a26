package gateway_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/services/gateway/gateway"
)

func TestNobodyListensToTheWorldByAccident(t *testing.T) {
	t.Parallel()
	local := gateway.Config{HTTP: "127.0.0.1:8000", GRPC: "[::1]:50051", OTLPGRPC: "localhost:4317", OTLPHTTP: "", Anonymous: true}
	require.NoError(t, local.Validate())
	for _, addr := range []string{":8000", "0.0.0.0:8000", "192.0.2.1:8000", "example.com:8000", "[::]:8000", "nonsense"} {
		public := local
		public.HTTP = addr
		err := public.Validate()
		require.ErrorContains(t, err, "gateway.http="+addr)
		require.ErrorContains(t, err, "--no-gateway.anonymous")
		require.ErrorContains(t, err, "--gateway.insecure")
		meant := public
		meant.Insecure = true
		require.NoError(t, meant.Validate())
		asking := public
		asking.Anonymous, asking.Plaintext = false, true
		require.NoError(t, asking.Validate())
	}
}

func TestBadSettingsAreAllNamed(t *testing.T) {
	t.Parallel()
	cfg := gateway.Config{MaxTails: -1}
	cfg.Records.Outstanding, cfg.Records.MaxAge = 5000, -time.Hour
	err := cfg.Validate()
	require.ErrorContains(t, err, "gateway.max-tails")
	require.ErrorContains(t, err, "gateway.records.max-age")
	require.ErrorContains(t, err, "gateway.records.outstanding")
}
