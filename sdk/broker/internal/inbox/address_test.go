package inbox_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/sdk/broker/internal/inbox"
)

func TestParse(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "password")
	require.NoError(t, os.WriteFile(file, []byte("from a file\n"), 0o600))
	a, err := inbox.Parse("nats://us%40er:p%2Fw%40@a,b:1,[::1]:2/some%20where?prefix=mesh&publish-timeout=3s&wait=2", "4222")
	require.NoError(t, err)
	require.Equal(t, "us@er", a.User)
	require.Equal(t, "p/w@", a.Password)
	require.Equal(t, "a:4222,b:1,[::1]:2", a.String())
	require.Equal(t, "some where", a.Path)
	require.Equal(t, "mesh", a.Prefix)
	require.Equal(t, 3*time.Second, a.Timeout)
	require.ErrorContains(t, a.Done(), "unknown parameter wait; there are ca, cert, key, password-file, prefix, publish-timeout")
	n, err := a.Number("wait", 0, 0, 5)
	require.NoError(t, err)
	require.Equal(t, 2, n)
	require.NoError(t, a.Done())

	a, err = inbox.Parse("redis://user@a?password-file="+file, "6379")
	require.NoError(t, err)
	require.Equal(t, "from a file", a.Password)
	require.Equal(t, "driftmesh", a.Prefix)
	require.Equal(t, 10*time.Second, a.Timeout)
}

// What is wrong with a URL is said without showing it: it may hold a password, whole
// or torn.
func TestBadAddressesShowNoSecret(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]string{
		"s3cret":                           "no scheme",
		"nats://":                          "bad host",
		"nats://user:s3cret#1@host":        "",
		"nats://user:s3/cret@host":         "",
		"nats://user:s3cret%zz@host":       "bad user or password",
		"nats://user:pass@ho st":           "bad host",
		"nats://a?publish-timeout=s":       `publish-timeout: "s" is no positive duration`,
		"nats://a?publish-timeout=-1s":     "no positive duration",
		"nats://a?prefix=a b":              "prefix cannot begin a name",
		"nats://a?password-file=/no/where": "password-file: open /no/where",
		"nats://a?x=%zz":                   "bad parameters",
		"nats://a/%zz":                     "bad path",
	} {
		_, err := inbox.Parse(address, "1")
		if want == "" && err == nil {
			continue // a URL, if not the one that was meant
		}
		require.ErrorContains(t, err, want, address)
		require.NotContains(t, err.Error(), "s3", address)
	}
}

func FuzzParse(f *testing.F) {
	f.Add("nats://user:password@host:1,other/path?prefix=x&ca=y")
	f.Add("redis+sentinel://@:@/")
	f.Fuzz(func(t *testing.T, address string) {
		a, err := inbox.Parse(address, "1")
		if err == nil {
			require.NotEmpty(t, a.Hosts)
		}
	})
}
