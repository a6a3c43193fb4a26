package pki_test

import (
	"crypto/x509"
	"errors"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/internal/pki"
)

func plan() pki.Plan {
	return pki.Plan{
		Domain: "mesh.example", Services: []string{"auth", "drift"}, DNS: []string{"localhost"}, IPs: []net.IP{net.IPv4(127, 0, 0, 1)},
		Life: 90 * 24 * time.Hour, CALife: 10 * 365 * 24 * time.Hour,
	}
}

// content is every file of a directory.
func content(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	list, err := os.ReadDir(dir)
	require.NoError(t, err)
	for _, f := range list {
		raw, err := os.ReadFile(filepath.Join(dir, f.Name()))
		require.NoError(t, err)
		files[f.Name()] = string(raw)
	}
	return files
}

func verify(t *testing.T, dir string, c *x509.Certificate, at time.Time, host string) error {
	t.Helper()
	roots := x509.NewCertPool()
	raw, err := os.ReadFile(filepath.Join(dir, "ca.pem"))
	require.NoError(t, err)
	require.True(t, roots.AppendCertsFromPEM(raw))
	_, err = c.Verify(x509.VerifyOptions{Roots: roots, DNSName: host, CurrentTime: at, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	return err
}

func TestMakeMakesWhatIsMissingAndTouchesNothingElse(t *testing.T) {
	t.Parallel()
	dir, now := t.TempDir(), time.Now()
	d := pki.NewDir(dir, func() time.Time { return now })
	made, err := d.Make(plan())
	require.NoError(t, err)
	require.Len(t, made, 3)
	for _, m := range made[1:] {
		require.True(t, m.Fresh)
		for _, host := range []string{"localhost", "127.0.0.1", m.Cert.Subject.CommonName} {
			require.NoError(t, verify(t, dir, m.Cert, now, host))
		}
		require.ErrorContains(t, verify(t, dir, m.Cert, now, "elsewhere"), "certificate is valid for "+m.Cert.Subject.CommonName+", localhost, not elsewhere")
		require.Len(t, m.Cert.URIs, 1, "SPIFFE wants one")
		require.Equal(t, "spiffe://mesh.example/"+m.Cert.Subject.CommonName, m.Cert.URIs[0].String())
	}
	before := content(t, dir)
	for name := range before {
		info, err := os.Stat(filepath.Join(dir, name))
		require.NoError(t, err)
		want := os.FileMode(0o644)
		if filepath.Ext(name) == ".key" {
			want = 0o600
		}
		require.Equal(t, want, info.Mode().Perm(), name)
	}

	again, err := pki.NewDir(dir, time.Now).Make(plan())
	require.NoError(t, err)
	for _, m := range again {
		require.False(t, m.Fresh)
	}
	require.Equal(t, before, content(t, dir))

	more := plan()
	more.Services = append(more.Services, "gateway")
	_, err = pki.NewDir(dir, time.Now).Make(more)
	require.NoError(t, err)
	after := content(t, dir)
	require.Contains(t, after, "gateway.pem")
	for name := range before {
		require.Equal(t, before[name], after[name], name)
	}
}

func TestHalfAnAuthorityIsNotReplaced(t *testing.T) {
	t.Parallel()
	for _, gone := range []string{"ca.key", "ca.pem"} {
		dir := t.TempDir()
		_, err := pki.NewDir(dir, time.Now).Make(plan())
		require.NoError(t, err)
		require.NoError(t, os.Remove(filepath.Join(dir, gone)))
		before := content(t, dir)
		_, err = pki.NewDir(dir, time.Now).Make(plan())
		require.ErrorContains(t, err, gone)
		require.Equal(t, before, content(t, dir))
	}
}

func TestRenewIssuesAnewWhatExpiresSoon(t *testing.T) {
	t.Parallel()
	dir, start := t.TempDir(), time.Now()
	now := start
	d := pki.NewDir(dir, func() time.Time { return now })
	made, err := d.Make(plan())
	require.NoError(t, err)

	now = start.Add(59 * 24 * time.Hour)
	found, err := d.Renew(0)
	require.NoError(t, err)
	for _, m := range found {
		require.False(t, m.Fresh, "a third of its life is left")
	}

	now = start.Add(61 * 24 * time.Hour)
	found, err = d.Renew(0)
	require.NoError(t, err)
	require.False(t, found[0].Fresh, "the authority is not ours to replace unasked")
	for i, m := range found[1:] {
		require.True(t, m.Fresh)
		require.Equal(t, made[i+1].Cert.URIs, m.Cert.URIs)
		require.Equal(t, made[i+1].Cert.DNSNames, m.Cert.DNSNames)
		require.WithinDuration(t, now.Add(90*24*time.Hour), m.Cert.NotAfter, time.Minute)
		require.NoError(t, verify(t, dir, m.Cert, now, "127.0.0.1"))
		require.NotEqual(t, made[i+1].Cert.PublicKey, m.Cert.PublicKey)
	}
}

// What the old authority issued is believed until everybody has the new.
func TestANewAuthorityIsMadeWhenAskedFor(t *testing.T) {
	t.Parallel()
	dir, now := t.TempDir(), time.Now()
	d := pki.NewDir(dir, func() time.Time { return now })
	old, err := d.Make(plan())
	require.NoError(t, err)
	p := plan()
	p.ReplaceCA = true
	fresh, err := d.Make(p)
	require.NoError(t, err)
	for i := range fresh {
		require.True(t, fresh[i].Fresh)
		require.NotEqual(t, old[i].Cert.Raw, fresh[i].Cert.Raw)
	}
	require.NoError(t, verify(t, dir, old[1].Cert, now, "auth"))
	require.NoError(t, verify(t, dir, fresh[1].Cert, now, "auth"))
	require.NoError(t, fresh[1].Cert.CheckSignatureFrom(fresh[0].Cert))
}

// A new authority is believed before anybody shows a certificate of it.
func TestANewAuthoritySpreadsBeforeItIsUsed(t *testing.T) {
	t.Parallel()
	dir, now := t.TempDir(), time.Now()
	d := pki.NewDir(dir, func() time.Time { return now })
	p := plan()
	p.ReplaceCA, p.Spread = true, func() error {
		t.Error("there is nothing that an authority would take the place of")
		return nil
	}
	_, err := d.Make(p)
	require.NoError(t, err)
	before := content(t, dir)

	stopped := errors.New("stopped")
	p.Spread = func() error { return stopped }
	_, err = d.Make(p)
	require.ErrorIs(t, err, stopped)
	between := content(t, dir)
	require.NotEqual(t, before["ca.pem"], between["ca.pem"])
	require.Equal(t, before["auth.pem"], between["auth.pem"])

	found, err := d.Renew(0)
	require.NoError(t, err)
	for _, m := range found {
		require.NoError(t, verify(t, dir, m.Cert, now, ""), m.File)
		require.Equal(t, !m.Cert.IsCA, m.Fresh, m.File)
	}
}

func TestNamesThatAreNoFilesAreRefused(t *testing.T) {
	t.Parallel()
	for _, service := range []string{"", "../x", "a/b", "ca", "A"} {
		p := plan()
		p.Services = []string{service}
		_, err := pki.NewDir(t.TempDir(), time.Now).Make(p)
		require.ErrorContains(t, err, "service")
	}
}
