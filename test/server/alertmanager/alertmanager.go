// Package alertmanager runs Prometheus' Alertmanager for tests: the program of
// that name, or Debian's prometheus-alertmanager.
package alertmanager

import (
	"context"
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/driftmesh/driftmesh/test/server"
)

// Suite is the name of the tests that need it.
const Suite = "alertmanager"

const startTimeout = 2 * time.Minute

// Alertmanager is one at work.
type Alertmanager struct {
	t       server.T
	process *server.Process
	program string
	address string
	dir     string
}

// Start starts an Alertmanager whose resolve_timeout is a second, or skips the
// test when the program is not there.
func Start(t server.T) *Alertmanager {
	t.Helper()
	a := &Alertmanager{t: t, address: server.FreeAddress(t), dir: t.TempDir()}
	for _, name := range []string{"prometheus-alertmanager", "alertmanager"} {
		if path, err := exec.LookPath(name); err == nil {
			a.program = path
			break
		}
	}
	if a.program == "" {
		server.Missing(t, Suite, "the program is not installed (Debian: apt-get install prometheus-alertmanager)")
	}
	config := "global: {resolve_timeout: 1s}\nroute: {receiver: nobody}\nreceivers: [{name: nobody}]\n"
	if err := os.WriteFile(filepath.Join(a.dir, "config.yml"), []byte(config), 0o600); err != nil {
		t.Fatalf("write configuration: %v", err)
	}
	a.start()
	return a
}

func (a *Alertmanager) start() {
	a.t.Helper()
	cmd := exec.Command(a.program, "--config.file="+filepath.Join(a.dir, "config.yml"), "--storage.path="+filepath.Join(a.dir, "data"), //nolint:gosec // found on the path
		"--web.listen-address="+a.address, "--cluster.listen-address=")
	a.process = server.Start(a.t, "alertmanager", cmd)
	a.process.Await(startTimeout, server.Answers(a.URL()+"/-/ready"))
}

// URL is where it is.
func (a *Alertmanager) URL() string { return "http://" + a.address }

// Kill ends it with SIGKILL.
func (a *Alertmanager) Kill() { a.process.Kill() }

// Restart starts it again; alerts it kept in memory are gone.
func (a *Alertmanager) Restart() {
	a.t.Helper()
	a.start()
}

// Alert is one that is firing.
type Alert struct {
	Labels      map[string]string `json:"labels"`
	Annotations map[string]string `json:"annotations"`
	StartsAt    time.Time         `json:"startsAt"`
	EndsAt      time.Time         `json:"endsAt"`
}

// Alerts are those that are firing.
func (a *Alertmanager) Alerts(ctx context.Context) ([]Alert, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, a.URL()+"/api/v2/alerts", nil)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	var alerts []Alert
	return alerts, json.NewDecoder(resp.Body).Decode(&alerts)
}
