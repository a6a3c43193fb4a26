package tlsfiles_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// What is told of certificates is what is in force: the own, the authorities, and who
// has been met, at both ends.
func TestWhatIsKnownOfCertificates(t *testing.T) {
	dir := certs(t, "driftmesh", time.Hour, "auth", "gateway")
	auth, gateway := mutual(t, dir, "auth", &log{}), mutual(t, dir, "gateway", &log{})
	_, address := serve(t, auth)
	require.Empty(t, gateway.Peers())
	require.NoError(t, check(t, address, gateway.Client("auth")))

	own := auth.Own()
	require.Contains(t, own.Names, "spiffe://driftmesh/auth")
	require.WithinDuration(t, time.Now().Add(time.Hour), own.NotAfter, time.Minute)
	require.Equal(t, filepath.Join(dir, "auth.pem"), own.File)
	require.Empty(t, own.Problem)
	require.Len(t, auth.Authorities(), 1)
	require.Equal(t, own.Issuer, auth.Authorities()[0].Subject)

	seen := gateway.Peers()
	require.Len(t, seen, 1)
	require.Equal(t, own.Serial, seen["auth"].Serial)
	require.Equal(t, gateway.Own().Serial, auth.Peers()["gateway"].Serial)
	require.Empty(t, seen["auth"].File)

	require.ErrorContains(t, check(t, address, gateway.Client("drift")), "valid for auth")
	require.NotContains(t, gateway.Peers(), "drift", "who is refused is not met")

	require.NoError(t, os.WriteFile(filepath.Join(dir, "ca.pem"), []byte("broken"), 0o600))
	require.Contains(t, auth.Own().Problem, "cannot be used")
	require.Len(t, auth.Authorities(), 1)
}
