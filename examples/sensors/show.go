package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// The clients in the order in which they are told of.
var order = []string{"single", "stream", "get", "chat"}

// between is the pause between two looks at what is waited for.
const between = 500 * time.Millisecond

// stage runs a mesh, the server and the clients as processes of their own, and looks
// at them from outside, as anybody could.
type stage struct {
	options
	out io.Writer
	dir string // of data and logs
	// Where the mesh and the metrics of our own programs are, by name.
	at map[string]string
	// running are the processes, in the order in which they were started.
	running []*process
	shown   []string
}

type process struct {
	name string
	cmd  *exec.Cmd
	log  *os.File
	done chan struct{}
	err  error
}

// show plays it all, and says what was shown. It fails when something of it was not
// to be seen in time.
func show(ctx context.Context, o options, out io.Writer) (err error) {
	began := time.Now()
	ctx, cancel := context.WithTimeoutCause(ctx, o.within, fmt.Errorf("not all of it was to be seen within %s", o.within))
	defer cancel()
	s := &stage{options: o, out: out, at: map[string]string{}}
	if s.dir, err = os.MkdirTemp("", "sensors-"); err != nil {
		return err
	}
	defer func() {
		s.end()
		if err != nil {
			if cause := context.Cause(ctx); cause != nil {
				err = errors.Join(cause, err)
			}
			err = fmt.Errorf("%w\nwhat was shown: %s\nlogs: %s", err, strings.Join(s.shown, "; "), s.dir)
			return
		}
		_ = os.RemoveAll(s.dir)
		s.say("\nShown in %s:", time.Since(began).Round(time.Second))
		for _, line := range s.shown {
			s.say("  ✓ %s", line)
		}
	}()
	for _, act := range []func(context.Context) error{s.start, s.metrics, s.traces, s.drift} {
		if err := act(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (s *stage) say(format string, args ...any) { fmt.Fprintf(s.out, format+"\n", args...) }

// start starts everything, and waits until each part works.
func (s *stage) start(ctx context.Context) error {
	flags := []string{"up", "--data-dir", filepath.Join(s.dir, "data")}
	for _, name := range []string{"gateway.http", "gateway.jaeger", "gateway.grpc", "gateway.otlp-grpc", "gateway.otlp-http", "admin.listen",
		"auth.listen", "drift.listen", "trace-store.listen", "ingest-worker.listen"} {
		address, err := free(ctx)
		if err != nil {
			return err
		}
		s.at[name] = address
		flags = append(flags, "--"+name, address)
	}
	var err error
	for _, name := range append([]string{"address", "server"}, order...) {
		if s.at[name], err = free(ctx); err != nil {
			return err
		}
	}
	s.say("mesh      driftmesh up, with its data in %s", s.dir)
	if err := s.run(s.driftmesh, "mesh", flags...); err != nil {
		return err
	}
	if err := s.await(ctx, "the mesh", func(ctx context.Context) error {
		_, err := get(ctx, "http://"+s.at["admin.listen"]+"/readyz")
		return err
	}); err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	s.say("server    SensorService on %s with TLS; its readings are records of the profile %s", s.at["address"], profileName)
	if err := s.run(self, "server", "server", "-cert", s.cert, "-key", s.key); err != nil {
		return err
	}
	if err := s.await(ctx, "the server", func(ctx context.Context) error {
		_, err := s.output(ctx, self, "probe", "-address", s.at["address"], "-ca", s.ca)
		return err
	}); err != nil {
		return err
	}
	for i, kind := range order {
		if err := s.run(self, kind, "client", kind, "-ca", s.ca, "-seed", strconv.Itoa(i+1), "-after", s.after.String()); err != nil {
			return err
		}
	}
	s.say("clients   one for each kind of call; in %s the sensor %q loses its calibration\n", s.after, "attic")
	return nil
}

// metrics waits until the server has counted calls of all four kinds, and says what
// they take.
func (s *stage) metrics(ctx context.Context) error {
	var calls map[string]timing
	err := s.await(ctx, "metrics of all calls", func(ctx context.Context) error {
		text, err := get(ctx, "http://"+s.at["server"]+"/metrics")
		if err != nil {
			return err
		}
		calls = durations(text)
		for _, kind := range order {
			if calls[kinds[kind].method].count == 0 {
				return fmt.Errorf("%s has not been counted", kinds[kind].method)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	s.say("Metrics (http://%s/metrics, grpc_server_call_duration_seconds):", s.at["server"])
	for _, kind := range order {
		t := calls[kinds[kind].method]
		s.say("  %-21s %4.0f calls, %.1f ms each", kinds[kind].method, t.count, t.seconds/t.count*1000)
	}
	s.shown = append(s.shown, "metrics of the four methods")
	return nil
}

// traces waits for a trace of each kind of call that has the client's span, the
// server's, and where readings were brought the mesh's hops.
func (s *stage) traces(ctx context.Context) error {
	hops := []string{"accept records ", "dwell records ", "process records ", "store observations "}
	for _, kind := range order {
		method := "sensors.v1.SensorService/" + kinds[kind].method
		want := append([]string{"read " + kind + "  sensor-" + kind + " internal", method + "  sensor-" + kind + " client", method + "  sensor-server server"}, hops...)
		if kind == "get" { // which brings no reading
			want = want[:3]
		}
		var tree string
		if err := s.await(ctx, "a whole trace of "+kinds[kind].method, func(ctx context.Context) (err error) {
			tree, err = s.traceWith(ctx, "sensor-"+kind, want)
			return err
		}); err != nil {
			return err
		}
		s.say("\nA trace of %s:\n%s", kinds[kind].method, indent(head(spans(tree), 12)))
	}
	s.shown = append(s.shown, "a trace of each kind of call, over client, server and the hops of the mesh")
	return nil
}

// traceWith finds a trace of a service that has these spans, and draws it.
func (s *stage) traceWith(ctx context.Context, service string, want []string) (string, error) {
	var found struct {
		Traces []struct {
			ID string `json:"trace_id"`
		}
	}
	if err := s.ask(ctx, &found, "traces", "search", "--service", service, "--limit", "5"); err != nil {
		return "", err
	}
	err := fmt.Errorf("there is no trace of %s", service)
	for _, t := range found.Traces {
		var tree string
		if tree, err = s.output(ctx, s.driftmesh, "traces", "show", t.ID); err != nil {
			continue
		}
		if missing := slices.IndexFunc(want, func(n string) bool { return !strings.Contains(tree, n) }); missing >= 0 {
			err = fmt.Errorf("trace %s has no span %q", t.ID, want[missing])
			continue
		}
		return tree, nil
	}
	return "", err
}

// alert is what is read of one.
type alert struct {
	ID      string
	Profile string `json:"profile_name"`
	Monitor string
	Moved   []struct {
		Feature          string
		Value, Threshold float64
		Sample           json.Number
	}
	Exemplars []string `json:"exemplar_trace_ids"`
}

// drift waits for the alert, asks which slice of the records carries it, and follows
// its exemplars to the calls.
func (s *stage) drift(ctx context.Context) error {
	s.say("\nWaiting for the alert: it comes when a minute with enough wrong readings is over.")
	var raised alert
	if err := s.await(ctx, "the alert", func(ctx context.Context) error {
		if s.atOnce {
			if _, err := s.output(ctx, s.driftmesh, "drift", "run", profileName, "--since", "1m", "--alert"); err != nil {
				return err
			}
		}
		var list struct{ Alerts []alert }
		if err := s.ask(ctx, &list, "alerts", "list", "--open"); err != nil {
			return err
		}
		if len(list.Alerts) == 0 || len(list.Alerts[0].Moved) == 0 || len(list.Alerts[0].Exemplars) == 0 {
			return errors.New("there is none yet")
		}
		raised = list.Alerts[0]
		return nil
	}); err != nil {
		return err
	}
	moved := raised.Moved[0]
	s.say("\nALERT of %s, monitor %s: %s has an index of %.2f against %.2f, over %s readings", raised.Profile, raised.Monitor, moved.Feature, moved.Value, moved.Threshold, moved.Sample)
	s.shown = append(s.shown, "an alert of the monitor "+raised.Monitor)

	why, err := s.output(ctx, s.driftmesh, "drift", "explain", "--alert", raised.ID)
	if err != nil {
		return err
	}
	if first := regexp.MustCompile(`(?m)^(sensor_id) +(\w+) `).FindStringSubmatch(why); first == nil || first[2] != "attic" {
		return fmt.Errorf("it is not the attic that explains the alert:\n%s", why)
	}
	s.say("Which records carry it (driftmesh drift explain):\n%s", indent(head(why, 8)))
	s.shown = append(s.shown, "the sensor that carries it, told apart from the others")

	for _, id := range raised.Exemplars {
		tree, err := s.output(ctx, s.driftmesh, "traces", "show", id)
		if err != nil {
			return err
		}
		records, err := s.output(ctx, s.driftmesh, "records", "list", "--trace", id)
		if err != nil {
			return err
		}
		wrong := wrongReading.FindString(records)
		if wrong == "" || !strings.Contains(tree, "  sensor-server server") {
			continue
		}
		s.say("\nA call that brought such a reading (%s), trace %s, an exemplar of the alert:\n%s", wrong, id, indent(head(spans(tree), 6)))
		s.shown = append(s.shown, "the call behind it and the wrong reading that it brought, by the exemplars of the alert")
		return nil
	}
	return fmt.Errorf("none of the exemplars %v is a call that brought a wrong reading", raised.Exemplars)
}

// wrongReading is a record of the attic as nobody has read it while all was in order.
var wrongReading = regexp.MustCompile(`temperature=(29|3\d)\.\d+ sensor_id="attic"`)

// ask runs a command of driftmesh against the mesh and reads its JSON.
func (s *stage) ask(ctx context.Context, into any, args ...string) error {
	out, err := s.output(ctx, s.driftmesh, append(args, "-o", "json")...)
	if err != nil {
		return err
	}
	return json.Unmarshal([]byte(out), into)
}

// output runs a program to its end.
func (s *stage) output(ctx context.Context, program string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Env = s.environment("")
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%s %s: %w: %s", filepath.Base(program), strings.Join(args, " "), err, said.String())
	}
	return out.String(), nil
}

// environment of the programs: where the mesh is, and where they are. Their metrics
// are at the address of that name.
func (s *stage) environment(name string) []string {
	env := []string{"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME"), "NO_COLOR=1"}
	if name != "mesh" { // to which these are no settings
		env = append(env, "DRIFTMESH_ADDR="+s.at["gateway.grpc"], "SENSORS_ADDRESS="+s.at["address"])
		if s.at[name] != "" {
			env = append(env, "SENSORS_METRICS="+s.at[name])
		}
	}
	return env
}

// run starts a program that goes on.
func (s *stage) run(program, name string, args ...string) error {
	log, err := os.Create(filepath.Join(s.dir, name+".log"))
	if err != nil {
		return err
	}
	p := &process{name: name, cmd: exec.Command(program, args...), log: log, done: make(chan struct{})} //nolint:noctx // end ends it, in order
	p.cmd.Stdout, p.cmd.Stderr, p.cmd.Env = log, log, s.environment(name)
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C is for us to pass on, in order
	if err := p.cmd.Start(); err != nil {
		return errors.Join(err, log.Close())
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.done)
	}()
	s.running = append(s.running, p)
	return nil
}

// end ends the processes, those first that were started last, and waits for each.
func (s *stage) end() {
	for _, p := range slices.Backward(s.running) {
		_ = p.cmd.Process.Signal(syscall.SIGTERM)
		kill := time.AfterFunc(2*stopping, func() { _ = p.cmd.Process.Kill() })
		<-p.done
		kill.Stop()
		_ = p.log.Close()
	}
}

// await looks again and again until there is no error, a process is gone or ctx
// ends.
func (s *stage) await(ctx context.Context, what string, look func(context.Context) error) error {
	var err error
	for {
		now := look(ctx)
		if now == nil {
			return nil
		}
		if ctx.Err() == nil { // what ends it says nothing
			err = now
		}
		for _, p := range s.running {
			select {
			case <-p.done:
				log, _ := os.ReadFile(p.log.Name())
				return fmt.Errorf("waiting for %s: %s has ended: %w\n%s", what, p.name, p.err, tail(string(log), 10))
			default:
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for %s: %w", what, err)
		case <-time.After(between):
		}
	}
}

// free is a loopback address that nobody has.
func free(ctx context.Context) (string, error) {
	lis, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return lis.Addr().String(), lis.Close()
}

func get(ctx context.Context, url string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", url, resp.Status)
	}
	return string(body), err
}

// timing is how many calls there were and what they took together.
type timing struct{ count, seconds float64 }

var duration = regexp.MustCompile(`(?m)^grpc_server_call_duration_seconds_(count|sum)\{.*grpc_method="sensors\.v1\.SensorService/(\w+)".*\} (\S+)`)

// durations reads the calls by method from the text of /metrics.
func durations(text string) map[string]timing {
	all := map[string]timing{}
	for _, m := range duration.FindAllStringSubmatch(text, -1) {
		value, _ := strconv.ParseFloat(m[3], 64)
		t := all[m[2]]
		if m[1] == "count" {
			t.count += value
		} else {
			t.seconds += value
		}
		all[m[2]] = t
	}
	return all
}

var span = regexp.MustCompile(`  \d\d:\d\d:\d\d\.\d+  `)

// spans are the lines of a tree that are spans, without their attributes.
func spans(tree string) string {
	lines := slices.DeleteFunc(strings.Split(tree, "\n"), func(line string) bool { return !span.MatchString(line) })
	return strings.Join(lines, "\n")
}

func indent(text string) string {
	return "  " + strings.ReplaceAll(strings.TrimRight(text, "\n"), "\n", "\n  ")
}

// head are the first n lines.
func head(text string, n int) string {
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	if len(lines) > n {
		lines = append(lines[:n], fmt.Sprintf("… %d more lines", len(lines)-n))
	}
	return strings.Join(lines, "\n")
}

// tail are the last n lines.
func tail(text string, n int) string {
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}
