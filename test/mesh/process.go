package mesh

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/test/server"
)

// Bounds of how long a program may take to be ready, the first fetch of the
// engine library not counted, and to stop.
const (
	startTimeout = 4 * time.Minute
	stopTimeout  = 40 * time.Second
)

// Process is a program of ours under test.
type Process struct {
	*server.Process
	t    server.T
	name string
}

// Run starts a program. When the test fails its log is printed.
func Run(t server.T, name, program string, args ...string) *Process {
	t.Helper()
	return RunEnv(t, nil, name, program, args...)
}

// RunEnv is Run with more environment.
func RunEnv(t server.T, env []string, name, program string, args ...string) *Process {
	t.Helper()
	cmd := exec.Command(program, args...)
	cmd.Env = append(os.Environ(), env...)
	return &Process{Process: server.Start(t, name, cmd), t: t, name: name}
}

// Kill sends SIGKILL to the process, not to its children, and waits.
func (p *Process) Kill() {
	p.signal(syscall.SIGKILL)
	<-p.Ended()
}

// signal reaches the process alone, and nobody when it has ended.
func (p *Process) signal(sig syscall.Signal) {
	select {
	case <-p.Ended():
	default:
		_ = syscall.Kill(p.PID(), sig)
	}
}

// Stop sends SIGTERM and waits; it is an error to exit otherwise than with 0.
func (p *Process) Stop() error {
	p.signal(syscall.SIGTERM)
	select {
	case <-p.Ended():
		return p.Err()
	case <-time.After(stopTimeout):
		p.signal(syscall.SIGQUIT) // the goroutines' stacks go to the log
		<-p.Ended()
		return errors.New(p.name + " did not stop in time")
	}
}

// WaitReady waits until the admin address, or its URL, reports ready.
func (p *Process) WaitReady(admin string) {
	p.t.Helper()
	if !strings.Contains(admin, "://") {
		admin = "http://" + admin
	}
	// Whether its certificate is good is for the test to ask.
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport}
	p.Await(startTimeout, func(ctx context.Context) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, admin+"/readyz?verbose", nil)
		if err != nil {
			return err
		}
		resp, err := client.Do(req)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err == nil && resp.StatusCode != http.StatusOK {
			err = fmt.Errorf("%s: %s", resp.Status, body)
		}
		return err
	})
}

// Await polls until ready returns nil, and fails the test with its last error
// when it does not within limit. ready runs in the goroutine of the test, so it
// may use require for what is not going to mend itself.
func Await(t server.T, limit time.Duration, ready func() error) {
	t.Helper()
	for deadline := time.Now().Add(limit); ; time.Sleep(100 * time.Millisecond) {
		err := ready()
		if err == nil {
			return
		}
		require.True(t, time.Now().Before(deadline), "not within %v: %v", limit, err)
	}
}
