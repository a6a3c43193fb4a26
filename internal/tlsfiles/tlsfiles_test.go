package tlsfiles_test

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/driftmesh/driftmesh/internal/tlsfiles"
	"github.com/driftmesh/driftmesh/test/server"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// log is a log that can be read while it is written.
type log struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func (l *log) logger() *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }

func files(t *testing.T) tlsfiles.Files {
	dir := t.TempDir()
	return tlsfiles.Files{Cert: filepath.Join(dir, "tls.crt"), Key: filepath.Join(dir, "tls.key")}
}

// listening is a server whose certificate is in files.
type listening struct {
	t       *testing.T
	address string
	root    *server.Authority
}

func listen(t *testing.T, source *tlsfiles.Source, root *server.Authority) *listening {
	t.Helper()
	lis, err := tls.Listen("tcp", "127.0.0.1:0", source.Server())
	require.NoError(t, err)
	var all sync.WaitGroup
	all.Go(func() {
		for {
			c, err := lis.Accept()
			if err != nil {
				return
			}
			all.Go(func() {
				_, _ = io.Copy(c, c)
				_ = c.Close()
			})
		}
	})
	t.Cleanup(func() {
		require.NoError(t, lis.Close())
		all.Wait()
	})
	return &listening{t: t, address: lis.Addr().String(), root: root}
}

// dial shakes hands, and speaks with the server to be sure.
func (l *listening) dial() (*tls.Conn, *big.Int, error) {
	c, err := tls.Dial("tcp", l.address, &tls.Config{RootCAs: l.root.Pool(), ServerName: "localhost"})
	if err != nil {
		return nil, nil, err
	}
	l.t.Cleanup(func() { _ = c.Close() })
	return c, c.ConnectionState().PeerCertificates[0].SerialNumber, echo(c)
}

func echo(c net.Conn) error {
	if _, err := c.Write([]byte("hello")); err != nil {
		return err
	}
	back := make([]byte, 5)
	if _, err := io.ReadFull(c, back); err != nil {
		return err
	}
	if string(back) != "hello" {
		return errors.New("something else came back")
	}
	return nil
}

func TestANewCertificateIsTakenUpWithoutARestart(t *testing.T) {
	root := server.NewAuthority(t, "root")
	middle := root.Intermediate("middle")
	f, out := files(t), &log{}
	first := middle.Issue(time.Now().Add(time.Hour), []*server.Authority{middle})
	first.Write(t, f.Cert, f.Key)
	source, err := tlsfiles.Open(f, out.logger())
	require.NoError(t, err)
	l := listen(t, source, root)
	held, serial, err := l.dial()
	require.NoError(t, err)
	require.Equal(t, first.Serial, serial)

	second := middle.Issue(time.Now().Add(2*time.Hour), []*server.Authority{middle})
	second.Write(t, f.Cert, f.Key)
	_, serial, err = l.dial()
	require.NoError(t, err)
	require.Equal(t, second.Serial, serial)
	require.NoError(t, echo(held), "who was connected stays so")
	require.Contains(t, out.String(), `msg="a new certificate is in use" file=`+f.Cert)
}

// TestWhatDoesNotFitTogetherIsNotTakenUp: a renewal writes two files, one after
// the other.
func TestWhatDoesNotFitTogetherIsNotTakenUp(t *testing.T) {
	root := server.NewAuthority(t, "root")
	f, out := files(t), &log{}
	first, second := root.Issue(time.Now().Add(time.Hour), nil), root.Issue(time.Now().Add(time.Hour), nil)
	first.Write(t, f.Cert, f.Key)
	source, err := tlsfiles.Open(f, out.logger())
	require.NoError(t, err)
	l := listen(t, source, root)
	for _, broken := range []struct {
		cert []byte
		says string
	}{
		{second.Cert, "private key does not match public key"}, {second.Cert[:100], "has no PEM block CERTIFICATE"}, {nil, "no such file"},
	} {
		if broken.cert == nil {
			require.NoError(t, os.Remove(f.Cert))
		} else {
			require.NoError(t, os.WriteFile(f.Cert, broken.cert, 0o600))
		}
		for range 2 {
			_, serial, err := l.dial()
			require.NoError(t, err)
			require.Equal(t, first.Serial, serial)
		}
		require.Contains(t, out.String(), broken.says)
	}
	require.Equal(t, 3, bytes.Count([]byte(out.String()), []byte("the certificate that was there is kept")), "once for each state: %s", out)
	second.Write(t, f.Cert, f.Key)
	_, serial, err := l.dial()
	require.NoError(t, err)
	require.Equal(t, second.Serial, serial)
}

func TestAnExpiredCertificateIsServedWithAWarning(t *testing.T) {
	root := server.NewAuthority(t, "root")
	f, out := files(t), &log{}
	expired := time.Date(2026, 2, 3, 4, 5, 6, 0, time.UTC)
	root.Issue(expired, nil).Write(t, f.Cert, f.Key)
	source, err := tlsfiles.Open(f, out.logger())
	require.NoError(t, err)
	require.Contains(t, out.String(), `level=WARN msg="clients will refuse the certificate" file=`+f.Cert+` err="it expired on 2026-02-03T04:05:06Z"`)
	l := listen(t, source, root)
	for range 3 {
		_, _, err = l.dial()
		require.ErrorContains(t, err, "certificate has expired")
	}
	require.Equal(t, 1, bytes.Count([]byte(out.String()), []byte("it expired on")))
	root.Issue(time.Now().Add(time.Hour), nil).Write(t, f.Cert, f.Key)
	_, _, err = l.dial()
	require.NoError(t, err)
}

// TestExpiryWhileServingIsToldToo: nobody may look at a log of long ago.
func TestExpiryWhileServingIsToldToo(t *testing.T) {
	root := server.NewAuthority(t, "root")
	f, out := files(t), &log{}
	soon := time.Now().Add(2 * time.Second).Truncate(time.Second)
	root.Issue(soon, nil).Write(t, f.Cert, f.Key)
	source, err := tlsfiles.Open(f, out.logger())
	require.NoError(t, err)
	require.Empty(t, out.String())
	l := listen(t, source, root)
	require.Eventually(t, func() bool {
		_, _, _ = l.dial()
		return bytes.Contains([]byte(out.String()), []byte("it expired on "+soon.UTC().Format(time.RFC3339)))
	}, 10*time.Second, 50*time.Millisecond)
}

func TestErrorsNameTheFileAndWhatIsWrong(t *testing.T) {
	root := server.NewAuthority(t, "root")
	middle, other := root.Intermediate("middle"), root.Intermediate("other")
	impostor := server.NewAuthority(t, "root").Intermediate("middle")
	good := middle.Issue(time.Now().Add(time.Hour), nil)
	stranger := middle.Issue(time.Now().Add(time.Hour), nil)
	for name, row := range map[string]struct {
		cert, key []byte
		want      []string
	}{
		"no certificate": {nil, good.Key, []string{"certificate: stat ", "tls.crt: no such file or directory"}},
		"no key":         {good.Cert, nil, []string{"key: stat ", "tls.key: no such file or directory"}},
		"not a PEM file": {[]byte("hello"), good.Key, []string{"tls.crt: has no PEM block CERTIFICATE"}},
		"swapped":        {good.Key, good.Cert, []string{"tls.crt: has no PEM block CERTIFICATE"}},
		"no PEM key":     {good.Cert, []byte("hello"), []string{"tls.key: is not a PEM file"}},
		"another's key":  {good.Cert, stranger.Key, []string{"tls.key, of the certificate \"CN=driftmesh\" in ", "private key does not match public key"}},
		"wrong chain": {append(bytes.Clone(good.Cert), other.PEM()...), good.Key, []string{
			`tls.crt: number 1 of the file, "CN=driftmesh", was issued by "CN=middle", and number 2 is "CN=other"`,
		}},
		"wrong order": {append(append(bytes.Clone(good.Cert), root.PEM()...), middle.PEM()...), good.Key, []string{
			`was issued by "CN=middle", and number 2 is "CN=root"`,
		}},
		"same name, other key": {append(bytes.Clone(good.Cert), impostor.PEM()...), good.Key, []string{
			`number 1 of the file, "CN=driftmesh", was not signed by number 2, "CN=middle"`,
		}},
	} {
		t.Run(name, func(t *testing.T) {
			f := files(t)
			for path, raw := range map[string][]byte{f.Cert: row.cert, f.Key: row.key} {
				if raw != nil {
					require.NoError(t, os.WriteFile(path, raw, 0o600))
				}
			}
			_, err := tlsfiles.Open(f, slog.New(slog.DiscardHandler))
			for _, want := range row.want {
				require.ErrorContains(t, err, want)
			}
			require.NotContains(t, err.Error(), "PRIVATE")
		})
	}
}

func TestOneFileWithoutTheOtherIsRefused(t *testing.T) {
	require.NoError(t, tlsfiles.Files{}.Check("admin.tls."))
	require.ErrorContains(t, tlsfiles.Files{Cert: "c"}.Check("admin.tls."), "admin.tls.key: must be given with admin.tls.cert")
	require.ErrorContains(t, tlsfiles.Files{Key: "k"}.Check("admin.tls."), "admin.tls.cert: must be given with admin.tls.key")
}
