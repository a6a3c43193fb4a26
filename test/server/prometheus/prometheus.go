// Package prometheus runs a real Prometheus for tests: on loopback, with its data
// in a directory of the test. It needs the distribution's package prometheus,
// whose own service is not touched.
package prometheus

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"time"

	"github.com/driftmesh/driftmesh/test/server"
)

const (
	suite    = "prometheus"
	starting = 3 * time.Minute
)

// Server is a running Prometheus.
type Server struct {
	t       server.T
	address string
}

// Start runs a Prometheus with this configuration, in YAML, and waits until it
// is ready. It keeps exemplars.
func Start(t server.T, config string) *Server {
	t.Helper()
	program, err := exec.LookPath("prometheus")
	if err != nil {
		server.Missing(t, suite, "prometheus is not there; scripts/setup.sh installs it")
	}
	return start(t, program, config, "--enable-feature=exemplar-storage", "--log.level=warn")
}

// StartOTLP runs a Prometheus of today, with a receiver for OTLP at ReceiverURL, and
// waits until it is ready. scripts/setup.sh builds it.
func StartOTLP(t server.T, config string) *Server {
	t.Helper()
	return start(t, WithOTLP(t), config, "--web.enable-otlp-receiver", "--log.level=warn")
}

// WithOTLP is the program of StartOTLP.
func WithOTLP(t server.T) (path string) {
	t.Helper()
	_, file, _, _ := runtime.Caller(0)
	path = filepath.Join(filepath.Dir(file), "..", "..", "..", ".bin", "prometheus")
	if _, err := os.Stat(path); err != nil {
		server.Missing(t, suite+"-otlp", "a Prometheus with an OTLP receiver is not there; scripts/setup.sh builds it")
	}
	return path
}

func start(t server.T, program, config string, flags ...string) *Server {
	t.Helper()
	dir := t.TempDir()
	path := filepath.Join(dir, "prometheus.yml")
	if err := os.WriteFile(path, []byte(config), 0o600); err != nil {
		t.Fatalf("write %s: %v", path, err)
	}
	s := &Server{t: t, address: server.FreeAddress(t)}
	flags = append(flags, "--config.file", path, "--storage.tsdb.path", filepath.Join(dir, "data"), "--web.listen-address", s.address)
	p := server.Start(t, "prometheus", exec.Command(program, flags...)) //nolint:gosec // found above
	p.Await(starting, server.Answers("http://"+s.address+"/-/ready"))
	return s
}

// ReceiverURL is the base of the OTLP receiver; the path of a signal follows it.
func (s *Server) ReceiverURL() string { return "http://" + s.address + "/api/v1/otlp" }

// Sample is one series of an answer, at the time of the question.
type Sample struct {
	Labels map[string]string
	Value  float64
}

// Query asks for the value of an expression now.
func (s *Server) Query(expression string) []Sample {
	s.t.Helper()
	var answer struct {
		Result []struct {
			Metric map[string]string
			Value  [2]any
		}
	}
	s.get("/api/v1/query?query="+url.QueryEscape(expression), &answer)
	samples := make([]Sample, len(answer.Result))
	for i, r := range answer.Result {
		text, _ := r.Value[1].(string)
		value, err := strconv.ParseFloat(text, 64)
		if err != nil {
			s.t.Fatalf("query %s: value %v: %v", expression, r.Value, err)
		}
		samples[i] = Sample{r.Metric, value}
	}
	return samples
}

// Exemplars are the labels of the exemplars that were kept of a selector's
// series in the last hour.
func (s *Server) Exemplars(selector string) []map[string]string {
	s.t.Helper()
	var answer []struct {
		Exemplars []struct{ Labels map[string]string }
	}
	now := time.Now()
	s.get(fmt.Sprintf("/api/v1/query_exemplars?query=%s&start=%d&end=%d", url.QueryEscape(selector),
		now.Add(-time.Hour).Unix(), now.Add(time.Minute).Unix()), &answer)
	var labels []map[string]string
	for _, series := range answer {
		for _, e := range series.Exemplars {
			labels = append(labels, e.Labels)
		}
	}
	return labels
}

// Failure is why the last scrape of a job's target failed; "" when it did not,
// or was not tried yet.
func (s *Server) Failure(job string) string {
	s.t.Helper()
	var answer struct {
		ActiveTargets []struct {
			Labels    map[string]string
			LastError string
		}
	}
	s.get("/api/v1/targets", &answer)
	for _, target := range answer.ActiveTargets {
		if target.Labels["job"] == job {
			return target.LastError
		}
	}
	return ""
}

func (s *Server) get(path string, data any) {
	s.t.Helper()
	resp, err := http.Get("http://" + s.address + path)
	if err != nil {
		s.t.Fatalf("ask prometheus: %v", err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		s.t.Fatalf("ask prometheus for %s: %s: %s: %v", path, resp.Status, raw, err)
	}
	answer := struct{ Data any }{data}
	if err := json.Unmarshal(raw, &answer); err != nil {
		s.t.Fatalf("read prometheus's answer %s: %v", raw, err)
	}
}
