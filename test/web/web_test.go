// Package web_test looks at a mesh with a browser, as people do. What they see is
// checked by the *.test.mjs, with Playwright in Debian's Chromium.
package web_test

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/metadata"

	"github.com/driftmesh/driftmesh/internal/pki"
	"github.com/driftmesh/driftmesh/internal/process"
	authv1 "github.com/driftmesh/driftmesh/proto/driftmesh/auth/v1"
	driftv1 "github.com/driftmesh/driftmesh/proto/driftmesh/drift/v1"
	"github.com/driftmesh/driftmesh/test/mesh"
	"github.com/driftmesh/driftmesh/test/server"
)

const suite = "web"

// world is what lib.mjs is told.
type world struct {
	Empty   string `json:"empty"` // addresses of meshes: one where nothing has arrived
	OTLP    string `json:"otlp"`  // of the empty one
	Demo    string `json:"demo"`  // one whose data drifted
	Tenant  string `json:"tenant"`
	Viewer  string `json:"viewer"` // users of the tenant in the empty mesh
	Admin   string `json:"admin"`
	Secret  string `json:"secret"`
	Planted string `json:"planted"` // a secret in the settings of the empty mesh
	Issuer  string `json:"issuer"`  // of a provider at which its users may log in, which is not there
	Shots   string `json:"shots"`   // where pictures go; "" for nowhere
	Browser string `json:"browser"`
}

// People look at an empty mesh, and at one in which an alert is open.
func TestWhatPeopleSee(t *testing.T) {
	modules := filepath.Join(mesh.Root(t), "test/web/node_modules")
	browser, err := exec.LookPath("chromium-headless-shell")
	if err != nil {
		browser, err = exec.LookPath("chromium")
	}
	if err != nil {
		server.Missing(t, suite, "chromium is not there; scripts/setup.sh installs it")
	}
	if _, err := os.Stat(filepath.Join(modules, "playwright-core")); err != nil {
		server.Missing(t, suite, "playwright-core is not there; scripts/setup.sh installs it")
	}
	mesh.Plain()
	demo := mesh.StartDemo(t, "--demo.calm", "5s", "--demo.history", "5m")
	issuer, planted := "http://"+server.FreeAddress(t), rand.Text()
	empty := mesh.Start(t, append(administered(t, issuer, planted), "--auth.bootstrap-password", mesh.AdminPassword)...)
	acme := empty.Tenant(t, "acme")
	auth := authv1.NewAuthServiceClient(empty.Conn(t))
	as := metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer "+acme.Token)
	_, err = auth.CreateUser(as, &authv1.CreateUserRequest{Tenant: "acme", Username: "vera", Password: mesh.AdminPassword, Role: "viewer"})
	require.NoError(t, err)
	drift := driftv1.NewDriftServiceClient(demo.Conn(t))
	require.Eventually(t, func() bool {
		alerts, err := drift.ListAlerts(t.Context(), &driftv1.ListAlertsRequest{OpenOnly: true})
		return err == nil && len(alerts.GetAlerts()) > 0
	}, 3*time.Minute, 500*time.Millisecond, "no alert")

	in, err := json.Marshal(world{
		Empty: "http://" + empty.HTTP, OTLP: "http://" + empty.OTLPHTTP, Demo: "http://" + demo.HTTP, Tenant: "acme", Viewer: "vera", Admin: "ann",
		Secret: mesh.AdminPassword, Planted: planted, Issuer: issuer, Shots: os.Getenv("DRIFTMESH_SCREENSHOTS"), Browser: browser,
	})
	require.NoError(t, err)
	files, err := filepath.Glob("*.test.mjs")
	require.NoError(t, err)
	look := exec.CommandContext(t.Context(), "node", append([]string{"--test", "--test-reporter=spec", "--test-concurrency=1"}, files...)...)
	look.Env = append(os.Environ(), "WORLD="+string(in))
	var said bytes.Buffer
	look.Stdout, look.Stderr = &said, &said
	err = look.Run()
	t.Log(said.String())
	require.NoError(t, err)
}

// administered are flags of a mesh with something to administer: certificates among its
// services, a provider of OpenID, and a secret in two places.
func administered(t *testing.T, issuer, planted string) []string {
	dir := t.TempDir()
	_, err := pki.NewDir(dir, time.Now).Make(pki.Plan{Domain: "driftmesh", Services: process.Sections, Life: 90 * 24 * time.Hour, CALife: 1000 * 24 * time.Hour})
	require.NoError(t, err)
	oidc := filepath.Join(dir, "oidc.yaml")
	require.NoError(t, os.WriteFile(oidc, fmt.Appendf(nil, `
corp:
  issuer: %s
  client-id: mesh
  client-secret: %s
  redirect: http://127.0.0.1/login/callback
  rules:
    - {claim: sub, value: ann, tenant: acme, role: viewer}
`, issuer, planted), 0o600))
	return []string{
		"--mesh.tls.cert", filepath.Join(dir, "{service}.pem"), "--mesh.tls.key", filepath.Join(dir, "{service}.key"), "--mesh.tls.ca", filepath.Join(dir, "ca.pem"),
		"--auth.oidc", "file:" + oidc, "--nats.producer-password", planted,
	}
}
