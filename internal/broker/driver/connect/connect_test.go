package connect_test

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/internal/broker"
	"github.com/driftmesh/driftmesh/internal/broker/driver/connect"
	"github.com/driftmesh/driftmesh/test/server"
)

func TestLossesAreToldAndNoneIsNothing(t *testing.T) {
	t.Parallel()
	var told []int64
	cfg := connect.Config{Lost: func(topic, group string, n int64) {
		require.Equal(t, "spans store", topic+" "+group)
		told = append(told, n)
	}}.WithDefaults()
	require.Equal(t, "driftmesh", cfg.Name)
	for _, n := range []int64{0, 3, -1, 4} {
		cfg.Losses("spans", "store", n)
	}
	require.Equal(t, []int64{3, 4}, told)
	connect.Config{Name: "mine", Log: slog.New(slog.DiscardHandler)}.WithDefaults().Losses("spans", "store", 1)
}

func TestCutUser(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]struct{ user, rest string }{
		"a:1,b:2":             {"", "a:1,b:2"},
		"u@a":                 {"u", "a"},
		"u:p%40ss%2F@a:1,b:2": {"u:p%40ss%2F", "a:1,b:2"},
		":p@a":                {":p", "a"},
	} {
		user, rest, err := connect.CutUser(in)
		require.NoError(t, err, in)
		require.Equal(t, want.rest, rest, in)
		require.Equal(t, want.user, user.String(), in)
	}
	for _, torn := range []string{"u:hush%zz@a", "u:hu/sh@a", "u:hu#sh@a", "u:hu?sh@a", "u:hu sh@a"} {
		_, rest, err := connect.CutUser(torn)
		require.Error(t, err, "%q gave %q", torn, rest)
		require.NotContains(t, err.Error(), "hu", "an error must not show a password")
	}
}

func TestParams(t *testing.T) {
	t.Parallel()
	var got []string
	set := func(name, value string) error {
		got = append(got, name+"="+value)
		return nil
	}
	require.NoError(t, connect.Params("", set))
	require.NoError(t, connect.Params("b=2&a=x%20y&a=late", set))
	require.Equal(t, []string{"a=x y", "b=2"}, got, "in one order, the first of each")

	boom := errors.New("boom")
	err := connect.Params("a=1&b=2", func(name, _ string) error {
		if name == "b" {
			return boom
		}
		return nil
	})
	require.ErrorIs(t, err, boom)
	require.ErrorContains(t, err, "broker URL parameter b")
	err = connect.Params("token=hush%zz", set)
	require.Error(t, err)
	require.NotContains(t, err.Error(), "hush")
}

func TestNumberAndDuration(t *testing.T) {
	t.Parallel()
	n, err := connect.Number("7", 1, 9)
	require.NoError(t, err)
	require.Equal(t, 7, n)
	for _, bad := range []string{"", "0", "10", "-1", "1.5", "x"} {
		_, err := connect.Number(bad, 1, 9)
		require.Error(t, err, bad)
	}
	d, err := connect.Duration("1m30s", time.Second)
	require.NoError(t, err)
	require.Equal(t, 90*time.Second, d)
	for _, bad := range []string{"", "5", "999ms", "-1s", "soon"} {
		_, err := connect.Duration(bad, time.Second)
		require.Error(t, err, bad)
	}
}

func TestSecret(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "token")
	require.NoError(t, os.WriteFile(path, []byte(" s3cret\n"), 0o600))
	got, err := connect.Secret(path)
	require.NoError(t, err)
	require.Equal(t, "s3cret", got)
	_, err = connect.Secret(path + "x")
	require.ErrorIs(t, err, os.ErrNotExist)
}

// The files of a URL make a connection both sides of which trust the other.
func TestFiles(t *testing.T) {
	t.Parallel()
	cert := server.NewCertificate(t)
	var files connect.Files
	for name, value := range map[string]string{"ca": cert.CertFile, "cert": cert.CertFile, "key": cert.KeyFile} {
		require.True(t, files.Set(name, value))
	}
	require.False(t, files.Set("prefix", "x"))
	base := &tls.Config{ServerName: "localhost"}
	client, err := files.Over(base)
	require.NoError(t, err)
	require.Equal(t, "localhost", client.ServerName)
	require.EqualValues(t, tls.VersionTLS12, client.MinVersion)
	require.Nil(t, base.RootCAs, "the caller's is not changed")

	mutual := cert.Server.Clone()
	mutual.ClientAuth, mutual.ClientCAs = tls.RequireAndVerifyClientCert, cert.Client.RootCAs
	here, there := net.Pipe()
	defer here.Close()
	done := make(chan error, 1)
	go func() {
		defer there.Close()
		done <- tls.Server(there, mutual).HandshakeContext(t.Context())
	}()
	require.NoError(t, tls.Client(here, client).HandshakeContext(t.Context()))
	require.NoError(t, <-done)

	// What is renewed is shown by the next connection.
	shown := func() *tls.Certificate {
		got, err := client.GetClientCertificate(&tls.CertificateRequestInfo{})
		require.NoError(t, err)
		return got
	}
	before := shown()
	renewed := server.NewCertificate(t)
	require.NoError(t, os.Rename(renewed.KeyFile, cert.KeyFile))
	require.NoError(t, os.Rename(renewed.CertFile, cert.CertFile))
	require.NotEqual(t, before.Certificate, shown().Certificate)

	plain, err := connect.Files{}.Over(nil)
	require.NoError(t, err)
	require.Nil(t, plain.RootCAs, "without a CA the system's count")
	for _, bad := range []connect.Files{
		{CA: cert.CertFile + "x"}, {CA: cert.KeyFile}, {Cert: cert.CertFile}, {Key: cert.KeyFile}, {Cert: cert.KeyFile, Key: cert.CertFile},
	} {
		_, err := bad.Over(nil)
		require.Error(t, err, "%+v", bad)
	}
}

// child closes as it is told to, and says so.
type child struct {
	name string
	err  error
	log  *[]string
}

func (c *child) Close(context.Context) error {
	*c.log = append(*c.log, c.name)
	return c.err
}

func TestChildrenCloseOnceTheNewestFirst(t *testing.T) {
	t.Parallel()
	var (
		all connect.Children
		log []string
	)
	a := &child{"a", io.ErrUnexpectedEOF, &log}
	b := &child{"b", nil, &log}
	c := &child{"c", io.ErrShortWrite, &log}
	for _, one := range []*child{a, b, c} {
		require.NoError(t, all.Add(one))
	}
	all.Remove(b)
	all.Remove(b)
	require.Equal(t, []connect.Child{a, c}, all.All())
	first, err := all.Close(t.Context())
	require.True(t, first)
	require.ErrorIs(t, err, io.ErrShortWrite, "the first error, though all were closed")
	require.Equal(t, []string{"c", "a"}, log)
	first, err = all.Close(t.Context())
	require.False(t, first)
	require.NoError(t, err)
	require.ErrorIs(t, all.Add(b), broker.ErrClosed)
	require.Equal(t, []string{"c", "a"}, log)
}
