package scouter_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/test/mesh"
	"github.com/driftmesh/driftmesh/test/server"
)

// script is a Python program that uses the published client and runs beside a test.
type script struct {
	t     *testing.T
	cmd   *exec.Cmd
	stdin io.Closer
	said  bytes.Buffer // with the client's own log
	out   string       // the report's file
	ended chan error
}

// python is the interpreter that has the client.
func python(t *testing.T) string {
	t.Helper()
	path := filepath.Join(mesh.Root(t), ".bin/scouter/bin/python")
	if _, err := os.Stat(path); err != nil {
		server.Missing(t, "scouter", path+" is not there; scripts/setup.sh installs it")
	}
	return path
}

// begin starts a script, which writes its report into the file --out; its standard input
// is open until end.
func begin(t *testing.T, name string, args ...string) *script {
	t.Helper()
	s := &script{t: t, out: filepath.Join(t.TempDir(), "report.json"), ended: make(chan error, 1)}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	t.Cleanup(cancel)
	s.cmd = exec.CommandContext(ctx, python(t), append([]string{name, "--out", s.out}, args...)...)
	s.cmd.Stdout, s.cmd.Stderr = &s.said, &s.said
	var err error
	s.stdin, err = s.cmd.StdinPipe()
	require.NoError(t, err)
	require.NoError(t, s.cmd.Start())
	go func() { s.ended <- s.cmd.Wait() }()
	return s
}

// end closes the script's standard input, and reads its report.
func (s *script) end(report any) {
	s.t.Helper()
	_ = s.stdin.Close() // it may have ended by itself
	require.NoError(s.t, <-s.ended, s.said.String())
	raw, err := os.ReadFile(s.out)
	require.NoError(s.t, err)
	require.NoError(s.t, json.Unmarshal(raw, report), string(raw))
}

// caller calls Scouter's API as somebody who logged in.
type caller struct {
	t          *testing.T
	url, token string
}

func login(t *testing.T, web, username, password string) *caller {
	t.Helper()
	c := &caller{t: t, url: "http://" + web + "/scouter/"}
	var in struct{ Token string }
	require.Equal(t, http.StatusOK, c.call(http.MethodGet, "auth/login", nil, &in, "Username", username, "Password", password))
	c.token = in.Token
	return c
}

// call makes a request with more headers, and reads what is answered with 200.
func (c *caller) call(verb, path string, body []byte, answer any, headers ...string) int {
	c.t.Helper()
	status, raw := c.raw(verb, path, body, headers...)
	if status == http.StatusOK && answer != nil {
		require.NoError(c.t, json.Unmarshal([]byte(raw), answer), raw)
	}
	return status
}

// raw makes a request with more headers.
func (c *caller) raw(verb, path string, body []byte, headers ...string) (status int, answer string) {
	c.t.Helper()
	req, err := http.NewRequestWithContext(c.t.Context(), verb, c.url+path, bytes.NewReader(body))
	require.NoError(c.t, err)
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	if len(body) > 0 {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	require.NoError(c.t, err)
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	require.NoError(c.t, err)
	return resp.StatusCode, string(got)
}
