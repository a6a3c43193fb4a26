package sdk_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/sdk"
)

func TestAnAddressSaysWhetherToSpeakTLS(t *testing.T) {
	t.Parallel()
	for addr, want := range map[string]struct {
		target string
		secure bool
	}{
		"mesh:50051": {"mesh:50051", false}, "grpcs://mesh:50051": {"mesh:50051", true}, "https://mesh:50051/": {"mesh:50051", true},
		"http://mesh:50051": {"mesh:50051", false}, "grpc://mesh:50051": {"mesh:50051", false}, "dns:///mesh:50051": {"dns:///mesh:50051", false},
	} {
		target, secure := sdk.ParseTarget(addr)
		require.Equal(t, want.target, target)
		require.Equal(t, want.secure, secure)
	}
}

func TestFilesThatAreNotThereAreNamed(t *testing.T) {
	t.Parallel()
	_, err := sdk.New("mesh:50051", sdk.WithCA("/nowhere/ca.pem"))
	require.ErrorContains(t, err, "/nowhere/ca.pem")
	_, err = sdk.New("mesh:50051", sdk.WithCertificate("/nowhere/c.pem", "/nowhere/c.key"))
	require.ErrorContains(t, err, "/nowhere/c.pem")
}
