// Package oidc runs a real OpenID provider for tests: oidc-provider, which is certified,
// under Node.js. It has forms of its own, which a Browser fills in.
package oidc

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/driftmesh/driftmesh/test/server"
)

// Suite is the name under which machines that lack it skip.
const Suite = "oidc"

// Client is what the provider knows of a client of it.
type Client struct {
	ID         string   `json:"client_id"`
	Secret     string   `json:"client_secret,omitempty"`
	AuthMethod string   `json:"token_endpoint_auth_method,omitempty"`
	Redirects  []string `json:"redirect_uris"`
	Responses  []string `json:"response_types"`
	Grants     []string `json:"grant_types"`
	// Kind is native for a program on the user's machine, whose ports are not known.
	Kind string `json:"application_type,omitempty"`
}

// DeviceGrant is the grant type of the device flow.
const DeviceGrant = "urn:ietf:params:oauth:grant-type:device_code"

// Options of a provider.
type Options struct {
	Clients []Client `json:"clients"`
	// Accounts are who logs in, and the claims of each.
	Accounts map[string]map[string]any `json:"accounts"`
	// Audience is that of the access tokens that clients get for themselves.
	Audience string `json:"audience"`
	Port     int    `json:"port"` // 0 is a free one
}

// Server is a running provider.
type Server struct {
	*server.Process
	Issuer string

	t    server.T
	opts Options
}

const starting = time.Minute

// Start runs a provider until the test ends, and waits until it answers.
func Start(t server.T, opts Options) *Server {
	t.Helper()
	if opts.Port == 0 {
		opts.Port = server.FreePort(t)
	}
	s := &Server{t: t, opts: opts, Issuer: fmt.Sprintf("http://127.0.0.1:%d", opts.Port)}
	s.Boot()
	return s
}

// Boot starts it again after Kill, with a new key.
func (s *Server) Boot() {
	s.t.Helper()
	_, here, _, _ := runtime.Caller(0)
	dir := filepath.Join(filepath.Dir(here), "node")
	node, err := exec.LookPath("node")
	if err != nil {
		server.Missing(s.t, Suite, err.Error())
	}
	if _, err := os.Stat(filepath.Join(dir, "node_modules", ".installed.json")); err != nil {
		server.Missing(s.t, Suite, "oidc-provider is not there; scripts/setup.sh installs it")
	}
	raw, err := json.Marshal(s.opts)
	if err != nil {
		s.t.Fatalf("oidc: %v", err)
	}
	s.Process = server.Start(s.t, "oidc-provider", exec.Command(node, filepath.Join(dir, "provider.mjs"), string(raw)))
	s.await(func() error { _, err := s.keys(); return err })
}

// Rotate makes it sign with a new key and publish no other.
func (s *Server) Rotate() {
	s.t.Helper()
	before, err := s.keys()
	if err != nil {
		s.t.Fatalf("oidc: %v", err)
	}
	s.Signal(syscall.SIGHUP)
	s.await(func() error {
		now, err := s.keys()
		if err == nil && now == before {
			err = fmt.Errorf("it still publishes the same keys")
		}
		return err
	})
}

// Token is an access token that a client gets for itself.
func (s *Server) Token(id, secret string) string {
	s.t.Helper()
	form := url.Values{"grant_type": {"client_credentials"}, "scope": {"ingest"}, "resource": {"urn:driftmesh"}}
	req, err := http.NewRequestWithContext(context.Background(), http.MethodPost, s.Issuer+"/token", strings.NewReader(form.Encode()))
	if err != nil {
		s.t.Fatalf("oidc: %v", err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.SetBasicAuth(id, secret)
	raw, err := fetch(req)
	var got struct {
		Token string `json:"access_token"`
	}
	if err == nil {
		err = json.Unmarshal(raw, &got)
	}
	if err != nil || got.Token == "" {
		s.t.Fatalf("oidc: token of %s: %v: %s", id, err, raw)
	}
	return got.Token
}

func (s *Server) keys() (string, error) {
	req, err := http.NewRequestWithContext(context.Background(), http.MethodGet, s.Issuer+"/jwks", nil)
	if err != nil {
		return "", err
	}
	raw, err := fetch(req)
	return string(raw), err
}

func fetch(req *http.Request) ([]byte, error) {
	ctx, cancel := context.WithTimeout(req.Context(), 10*time.Second)
	defer cancel()
	resp, err := http.DefaultClient.Do(req.WithContext(ctx))
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", resp.Status, raw)
	}
	return raw, err
}

func (s *Server) await(ready func() error) {
	s.t.Helper()
	for deadline := time.Now().Add(starting); ; time.Sleep(20 * time.Millisecond) {
		err := ready()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("oidc: not within %v: %v\n%s", starting, err, s.Log())
		}
	}
}
