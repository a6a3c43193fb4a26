package compose_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	natsgo "github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/driftmesh/driftmesh/deploy/monitoring"
	"github.com/driftmesh/driftmesh/internal/clickhouse/embedded"
	"github.com/driftmesh/driftmesh/test/interop"
	"github.com/driftmesh/driftmesh/test/mesh"
	"github.com/driftmesh/driftmesh/test/server"
	"github.com/driftmesh/driftmesh/test/server/prometheus"
)

const patience = 3 * time.Minute

// The whole stack but Grafana and Jaeger, whose programs are not to be had here: each
// program runs with the arguments, the environment and the files of the compose file.
// Then whatever a dashboard or a rule asks is asked, and has an answer.
func TestTheStackRuns(t *testing.T) {
	program := prometheus.WithOTLP(t)
	otelcol := filepath.Join(mesh.Root(t), ".bin/otelcol")
	if _, err := os.Stat(otelcol); err != nil {
		server.Missing(t, "collector", ".bin/otelcol is not there; scripts/setup.sh builds it")
	}
	alertmanager, err := exec.LookPath("prometheus-alertmanager")
	if err != nil {
		server.Missing(t, "alertmanager", err.Error())
	}
	w := newWorld(t, "SENSORS_AFTER=0s")
	jaeger := interop.NewReceiver(t)
	w.at["jaeger:4317"] = jaeger.GRPC
	engine := w.stores()
	for _, name := range meshServices {
		w.start(name, w.ours(name))
	}
	for _, name := range meshServices {
		probe := exec.Command(w.ours(name), w.p.Services[name].Healthcheck.Test[2:]...) //nolint:gosec // of the compose file
		probe.Env = w.environment(name)
		await(t, name, probe)
	}
	s := &running{world: w, engine: engine, jaeger: jaeger}
	s.replicas()
	s.makeKeys()
	for _, name := range []string{"alertmanager:9093", "prometheus:9090"} {
		w.args[strings.Split(name, ":")[0]] = []string{"--web.listen-address=" + w.at[name]}
	}
	s.start("alertmanager", alertmanager).Await(patience, server.Answers("http://"+w.at["alertmanager:9093"]+"/-/ready"))
	w.edits["prometheus"] = scrapeHere(w)
	s.start("prometheus", program).Await(patience, server.Answers("http://"+w.at["prometheus:9090"]+"/-/ready"))
	w.edits["otelcol"] = func(text string) string {
		host, port, _ := strings.Cut(w.at["otelcol:8888"], ":")
		return strings.ReplaceAll(text, "host: 0.0.0.0, port: 8888", "host: "+host+", port: "+port)
	}
	s.start("otelcol", otelcol)
	s.sensors()
	s.trouble()
	t.Run("traces by the Collector", s.throughTheCollector)
	t.Run("drift reaches Alertmanager", s.drifts)
	t.Run("dashboards", s.dashboards)
	t.Run("rules", s.rules)
}

// await runs a health check until it is content.
func await(t *testing.T, what string, like *exec.Cmd) {
	t.Helper()
	mesh.Await(t, patience, func() error {
		cmd := exec.Command(like.Path, like.Args[1:]...) //nolint:gosec // as above
		cmd.Env, cmd.Dir = like.Env, like.Dir
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w: %s", what, err, out)
		}
		return nil
	})
}

// scrapeHere tells Prometheus where the services are, instead of asking for their
// names, and to look more often.
func scrapeHere(w *world) func(string) string {
	return func(text string) string {
		targets := "static_configs:\n"
		for _, name := range meshServices {
			targets += fmt.Sprintf("      - {targets: [%q], labels: {__meta_dns_name: %s}}\n", w.at[name+":9464"], name)
		}
		targets += fmt.Sprintf("      - {targets: [%q], labels: {__meta_dns_name: gateway}}\n", w.at["legacy:9464"])
		text = regexp.MustCompile(`dns_sd_configs:\n.*\n`).ReplaceAllString(text, targets)
		return strings.NewReplacer("scrape_interval: 10s", "scrape_interval: 2s", "evaluation_interval: 10s", "evaluation_interval: 2s").Replace(text)
	}
}

// running is a world in which everything runs.
type running struct {
	*world
	engine *embedded.Engine
	jaeger *interop.Receiver
}

// replicas runs one more worker of each service that scales, as --scale does, and a
// gateway that gives its metrics older names.
func (s *running) replicas() {
	for _, name := range []string{"trace-store", "ingest-worker", "drift"} {
		admin := server.FreeAddress(s.t)
		listen := "DRIFTMESH_" + strings.ToUpper(strings.ReplaceAll(name, "-", "_")) + "_LISTEN=" + server.FreeAddress(s.t)
		s.run(name, s.ours(name), "DRIFTMESH_ADMIN_LISTEN="+admin, listen).Await(patience, server.Answers("http://"+admin+"/readyz"))
	}
	env := []string{"DRIFTMESH_METRICS_LEGACY=true"}
	for name, setting := range map[string]string{
		"9464": "ADMIN_LISTEN", "8000": "GATEWAY_HTTP", "16686": "GATEWAY_JAEGER", "50051": "GATEWAY_GRPC", "4317": "GATEWAY_OTLP_GRPC", "4318": "GATEWAY_OTLP_HTTP",
	} {
		s.port("legacy", name)
		env = append(env, "DRIFTMESH_"+setting+"="+s.at["legacy:"+name])
	}
	s.run("gateway", s.ours("gateway"), env...).Await(patience, server.Answers("http://"+s.at["legacy:9464"]+"/readyz"))
}

// makeKeys runs the script twice: the second time the keys stay.
func (s *running) makeKeys() {
	s.t.Helper()
	s.prepare("keys")
	volumes := filepath.Join(s.dir, "keys-here")
	require.NoError(s.t, os.MkdirAll(volumes, 0o700))
	for _, name := range []string{"grafana", "otelcol", "sensors"} {
		require.NoError(s.t, os.Symlink(filepath.Join(s.dir, "volumes", "keys-"+name), filepath.Join(volumes, name)))
	}
	for _, want := range []string{"grafana has a new key\notelcol has a new key\nsensors has a new key\n", "grafana has a key\notelcol has a key\nsensors has a key\n"} {
		cmd := exec.Command("sh", "stack/keys.sh")
		cmd.Env = s.environment("keys", "KEYS="+volumes, "ADMIN="+filepath.Join(s.dir, "keys", "run/secrets/admin"))
		var said bytes.Buffer
		cmd.Stderr = &said
		out, err := cmd.Output()
		require.NoError(s.t, err, said.String())
		require.True(s.t, strings.HasPrefix(string(out), want), "%s", out)
	}
}

// operate makes one more key, for whoever may have profiles evaluated.
func (s *running) operate() {
	s.t.Helper()
	raw, err := os.ReadFile(filepath.Join(s.secrets, "admin"))
	require.NoError(s.t, err)
	run := func(env, in string, args ...string) string {
		cmd := exec.Command(filepath.Join(s.bin, "driftmesh"), append(args, "--addr", s.at["gateway:50051"])...)
		cmd.Env, cmd.Stdin = []string{"HOME=" + s.dir, env}, strings.NewReader(in)
		out, err := cmd.Output()
		require.NoError(s.t, err)
		return strings.TrimSpace(string(out))
	}
	token := run("", string(raw)+"\n", "login", "admin", "--tenant", "driftmesh", "--password-stdin", "--print")
	made := run("DRIFTMESH_TOKEN="+token, "", "key", "create", "operator", "--tenant", "default", "--role", "operator")
	require.NoError(s.t, os.MkdirAll(filepath.Join(s.dir, "volumes", "keys-operator"), 0o700))
	require.NoError(s.t, os.WriteFile(filepath.Join(s.dir, "volumes", "keys-operator", "key"), []byte(made), 0o600))
}

func (s *running) key(of string) string {
	return "file:" + filepath.Join(s.dir, "volumes", "keys-"+of, "key")
}

// cli runs driftmesh against the gateway.
func (s *running) cli(key string, args ...string) (string, error) {
	cmd := exec.Command(filepath.Join(s.bin, "driftmesh"), append(args, "--addr", s.at["gateway:50051"], "--api-key", s.key(key))...)
	cmd.Env = []string{"HOME=" + s.dir, "PATH=" + os.Getenv("PATH")}
	var said bytes.Buffer
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		err = fmt.Errorf("%w: %s", err, said.String())
	}
	return string(out), err
}

// sensors starts the application: server, health check and the four clients.
func (s *running) sensors() {
	s.t.Helper()
	program := s.ours("sensors")
	s.start("sensors", program)
	probe := exec.Command(program, s.p.Services["sensors"].Healthcheck.Test[2:]...) //nolint:gosec // of the compose file
	probe.Env = s.environment("sensors")
	await(s.t, "sensors", probe)
	for _, kind := range []string{"single", "stream", "get", "chat"} {
		s.edits["sensor-"+kind] = func(text string) string { // a certificate of localhost and sensors
			return strings.ReplaceAll(text, "127.0.0.1:"+strings.Split(s.at["sensors:50071"], ":")[1], "localhost:"+strings.Split(s.at["sensors:50071"], ":")[1])
		}
		s.start("sensor-"+kind, program)
	}
}

// trouble makes what the panels about trouble show: a message that nobody can read, a
// caller whom nobody knows, and calls of the gateway with older names.
func (s *running) trouble() {
	s.t.Helper()
	raw, err := os.ReadFile(filepath.Join(s.secrets, "nats-producer.url"))
	require.NoError(s.t, err)
	u, err := url.Parse(strings.ReplaceAll(strings.TrimSpace(string(raw)), "nats:4222", s.at["nats:4222"]))
	require.NoError(s.t, err)
	u.RawQuery = ""
	conn, err := natsgo.Connect(u.String())
	require.NoError(s.t, err)
	defer conn.Close()
	_, err = conn.Request("driftmesh.inbox", []byte("{"), 10*time.Second)
	require.NoError(s.t, err)
	for _, addr := range []string{s.at["gateway:50051"], s.at["legacy:50051"]} {
		for _, key := range []string{"file:" + filepath.Join(s.secrets, "mesh"), s.key("grafana")} {
			who := exec.Command(filepath.Join(s.bin, "driftmesh"), "whoami", "--addr", addr, "--api-key", key)
			who.Env = []string{"HOME=" + s.dir, "PATH=" + os.Getenv("PATH")}
			out, err := who.CombinedOutput()
			require.Equal(s.t, key == s.key("grafana"), err == nil, string(out))
		}
	}
}

// throughTheCollector sends a span to the Collector, which gives it to the mesh, with
// its key, and to Jaeger.
func (s *running) throughTheCollector(t *testing.T) {
	exporter, err := otlptracegrpc.New(t.Context(), otlptracegrpc.WithEndpoint(s.at["otelcol:4317"]), otlptracegrpc.WithInsecure())
	require.NoError(t, err)
	provider := sdktrace.NewTracerProvider(sdktrace.WithSyncer(exporter),
		sdktrace.WithResource(resource.NewSchemaless(attribute.String("service.name", "by-collector"))))
	_, span := provider.Tracer("test").Start(t.Context(), "passes by")
	span.End()
	require.NoError(t, provider.Shutdown(t.Context()))
	id := span.SpanContext().TraceID().String()
	mesh.Await(t, patience, func() error {
		out, err := s.cli("grafana", "traces", "show", id)
		if err == nil && !strings.Contains(out, "passes by  by-collector") {
			err = errors.New(out)
		}
		return err
	})
	// That of the Collector is there, and the sensors send theirs by themselves.
	mesh.Await(t, patience, func() error {
		seen := map[string]bool{}
		for _, of := range s.jaeger.Spans().GetResourceSpans() {
			for _, a := range of.GetResource().GetAttributes() {
				seen[a.GetKey()+"="+a.GetValue().GetStringValue()] = true
			}
		}
		for _, service := range []string{"by-collector", "sensor-server", "sensor-single", "sensor-stream", "sensor-get", "sensor-chat"} {
			if !seen["service.name="+service] {
				return fmt.Errorf("Jaeger has no trace of %s", service)
			}
		}
		return nil
	})
}

// drifts asks for a verdict about the sensors, one of which is wrong from the start,
// and waits until Alertmanager knows of the alert.
func (s *running) drifts(t *testing.T) {
	s.operate()
	mesh.Await(t, patience, func() error {
		// Readings go on coming, so nobody waits until none is on its way.
		if out, err := s.cli("operator", "drift", "run", "sensors/readings", "--since", "2m", "--wait", "0s", "--alert"); err != nil {
			return err
		} else if !regexp.MustCompile(`(?m)^calibration .* drift `).MatchString(out) {
			return errors.New(out)
		}
		return nil
	})
	var alerts []struct{ Labels, Annotations map[string]string }
	mesh.Await(t, patience, func() error {
		if err := s.get("http://"+s.at["alertmanager:9093"]+"/api/v2/alerts", "", &alerts); err != nil {
			return err
		}
		for _, a := range alerts {
			if a.Labels["monitor"] == "calibration" {
				return nil
			}
		}
		return fmt.Errorf("Alertmanager knows of %v", alerts)
	})
}

func (s *running) get(address, key string, into any) error {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return err
	}
	if path, ok := strings.CutPrefix(key, "file:"); ok {
		raw, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		req.Header.Set("X-Api-Key", strings.TrimSpace(string(raw)))
	}
	raw, err := answer(req)
	if err != nil {
		return err
	}
	return json.Unmarshal(raw, into)
}

// answer is the body of one that is content.
func answer(req *http.Request) ([]byte, error) {
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s: %s: %w", req.URL.Path, resp.Status, raw, err)
	}
	return raw, nil
}

// count asks Prometheus how many series an expression has.
func (s *running) count(expression string) (int, error) {
	var answer struct {
		Data struct{ Result []any }
	}
	err := s.get("http://"+s.at["prometheus:9090"]+"/api/v1/query?query="+url.QueryEscape(expression), "", &answer)
	return len(answer.Data.Result), err
}

var (
	grafanas = strings.NewReplacer("$__rate_interval", "1m", "$service", ".*", "$grpc_service", ".*")
	metric   = regexp.MustCompile(`\b(driftmesh|grpc|sensors|process)[_:][a-z0-9_:]+`)
)

// dashboards asks whatever a panel asks, of the source that it asks it of. What has
// nothing to show while all is well must at least be documented.
func (s *running) dashboards(t *testing.T) {
	documented := read(t, "../../docs/metrics.md")
	asked := 0
	for _, d := range monitoring.Dashboards() {
		for _, row := range d.Rows {
			for _, p := range row.Panels {
				for _, q := range p.Queries {
					asked++
					mesh.Await(t, patience, func() error {
						n, err := s.ask(q)
						if err == nil && n == 0 && !q.Quiet {
							err = errors.New("no data")
						}
						if err != nil {
							return fmt.Errorf("%s, %s, %q: %s: %w", d.Title, row.Title, p.Title, q.Expr, err)
						}
						return nil
					})
					if q.Quiet {
						for _, name := range metric.FindAllString(q.Expr, -1) {
							plain := regexp.MustCompile(`_(count|sum|bucket)$`).ReplaceAllString(name, "")
							require.True(t, strings.Contains(documented, plain) || strings.HasPrefix(name, "driftmesh:"), "%s of %q is in no list", name, p.Title)
						}
					}
				}
			}
		}
		for _, v := range d.Variables {
			m := regexp.MustCompile(`^label_values\((.*), (\w+)\)$`).FindStringSubmatch(v.Query)
			require.NotNil(t, m, v.Query)
			n, err := s.count("count by (" + m[2] + ") (" + grafanas.Replace(m[1]) + ")")
			require.NoError(t, err)
			require.Positive(t, n, v.Query)
		}
	}
	t.Logf("%d queries", asked)
	require.Greater(t, asked, 80)
}

// ask gives how many series, rows or traces there are.
func (s *running) ask(q monitoring.Query) (int, error) {
	switch q.Source {
	case monitoring.ClickHouse:
		return s.sql(q.Expr)
	case monitoring.Jaeger:
		var found struct{ Data []any }
		err := s.get("http://"+s.at["gateway:8000"]+"/jaeger/api/traces?limit=20&service="+q.Expr, s.key("grafana"), &found)
		return len(found.Data), err
	}
	return s.count(grafanas.Replace(q.Expr))
}

var (
	timeFilter   = regexp.MustCompile(`\$__timeFilter\((\w+)\)`)
	timeInterval = regexp.MustCompile(`\$__timeInterval\((\w+)\)`)
)

// sql runs a statement as the data source would, with its macros put in.
func (s *running) sql(statement string) (int, error) {
	statement = timeFilter.ReplaceAllString(statement, "$1 >= toDateTime(now() - 3600) AND $1 <= toDateTime(now() + 60)")
	statement = timeInterval.ReplaceAllString(statement, "toStartOfInterval(toDateTime($1), INTERVAL 10 second)")
	u, err := url.Parse(s.engine.URL() + "driftmesh")
	if err != nil {
		return 0, err
	}
	password, _ := u.User.Password()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+u.Host+"/?database=driftmesh", strings.NewReader("SELECT * FROM ("+statement+") FORMAT JSONEachRow"))
	if err != nil {
		return 0, err
	}
	req.SetBasicAuth(u.User.Username(), password)
	raw, err := answer(req)
	if err != nil {
		return 0, err
	}
	return bytes.Count(raw, []byte("\n")), nil
}

// rules requires that Prometheus evaluates every rule, that what is recorded is there,
// and that the message in trouble has become an alert in Alertmanager.
func (s *running) rules(t *testing.T) {
	var answer struct {
		Data struct {
			Groups []struct {
				Rules []struct{ Name, Type, Health, LastError string }
			}
		}
	}
	mesh.Await(t, patience, func() error {
		if err := s.get("http://"+s.at["prometheus:9090"]+"/api/v1/rules", "", &answer); err != nil {
			return err
		}
		n := 0
		for _, group := range answer.Data.Groups {
			for _, rule := range group.Rules {
				n++
				if rule.Health != "ok" {
					return fmt.Errorf("%s is %s: %s", rule.Name, rule.Health, rule.LastError)
				}
				quiet := map[string]bool{"driftmesh:lost:increase1h": true, "driftmesh:mended:increase1h": true}
				if rule.Type == "recording" && !quiet[rule.Name] {
					if found, err := s.count(rule.Name); err != nil || found == 0 {
						return fmt.Errorf("%s has no data: %w", rule.Name, err)
					}
				}
			}
		}
		if n < 20 {
			return fmt.Errorf("%d rules", n)
		}
		return nil
	})
	mesh.Await(t, patience, func() error {
		var alerts []struct{ Labels map[string]string }
		if err := s.get("http://"+s.at["alertmanager:9093"]+"/api/v2/alerts", "", &alerts); err != nil {
			return err
		}
		for _, a := range alerts {
			if a.Labels["alertname"] == "DriftmeshParked" && a.Labels["topic"] == "inbox" {
				return nil
			}
		}
		return fmt.Errorf("Alertmanager knows of %v", alerts)
	})
}
