package sdk

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel"
)

// clean takes every variable that Init reads out of the environment, and those of
// OpenTelemetry that are not in the table.
func clean(t *testing.T) {
	t.Helper()
	for _, v := range variables() {
		for _, name := range v.names {
			t.Setenv(name, "")
		}
	}
}

// TestVariablesMean sets each variable, alone or with others, and looks at what came of
// it. Every variable of the table that is not OpenTelemetry's own to read is set here.
func TestVariablesMean(t *testing.T) {
	dir := t.TempDir()
	secretFile := filepath.Join(dir, "key")
	require.NoError(t, os.WriteFile(secretFile, []byte("from a file\n"), 0o600))
	is := func(want any, get func(*config) any) func(*config) bool {
		return func(c *config) bool { return reflect.DeepEqual(want, get(c)) }
	}
	address := func(c *config) any { return c.address }
	header := func(name string) func(*config) any {
		return func(c *config) any { md, _ := c.access.GetRequestMetadata(context.Background()); return md[name] }
	}
	logged := func(c *config) any {
		if c.login == nil {
			return nil
		}
		return []string{c.login.tenant, c.login.username, c.login.password}
	}
	used := map[string]bool{}
	for set, ok := range map[string]func(*config) bool{
		"":                               is(defaultAddress, address),
		"DRIFTMESH_URL=nats://n:4222":    is("nats://n:4222", address),
		"DRIFTMESH_ADDR=https://m:50051": is("grpcs://m:50051", address),
		"DRIFTMESH_ADDR=m:1 DRIFTMESH_URL=kafka://k:9092":                             is([]string{"kafka://k:9092", "m:1"}, func(c *config) any { return []string{c.address, c.mesh} }),
		"SCOUTER_GRPC_URI=http://s:50051":                                             is("grpc://s:50051", address),
		"SCOUTER_SERVER_URI=http://s:8000":                                            is("http://s:8000", address),
		"SCOUTER_SERVER_URI=http://s DRIFTMESH_ADDR=m:1":                              is("m:1", address),
		"DRIFTMESH_API_KEY=k":                                                         is("k", header("x-api-key")),
		"DRIFTMESH_API_KEY=file:" + secretFile:                                        is("from a file", header("x-api-key")),
		"DRIFTMESH_TOKEN=t SCOUTER_AUTH_TOKEN=s":                                      is("Bearer t", header("authorization")),
		"SCOUTER_AUTH_TOKEN=s":                                                        is("Bearer s", header("authorization")),
		"DRIFTMESH_USERNAME=u DRIFTMESH_PASSWORD=file:" + secretFile:                  is([]string{"", "u", "from a file"}, logged),
		"SCOUTER_USERNAME=u SCOUTER_PASSWORD=p DRIFTMESH_TENANT=x":                    is([]string{"x", "u", "p"}, logged),
		"SCOUTER_USERNAME=u SCOUTER_PASSWORD=p DRIFTMESH_API_KEY=k":                   is(nil, logged),
		"DRIFTMESH_TLS=true":                                                          is(&tlsFiles{}, func(c *config) any { return c.files }),
		"DRIFTMESH_TLS=false":                                                         func(c *config) bool { return c.files == nil },
		"DRIFTMESH_CA=a DRIFTMESH_CERT=b DRIFTMESH_CERT_KEY=c":                        is(&tlsFiles{ca: "a", cert: "b", key: "c"}, func(c *config) any { return c.files }),
		"DRIFTMESH_COMPRESSION=gzip":                                                  func(c *config) bool { return c.gzip },
		"DRIFTMESH_IN_FLIGHT=3":                                                       is(3, func(c *config) any { return c.inFlight }),
		"DRIFTMESH_RETRY_SHORTEST=20ms DRIFTMESH_RETRY_LONGEST=2":                     is([]time.Duration{20 * time.Millisecond, 2 * time.Second}, func(c *config) any { return []time.Duration{c.minWait, c.maxWait} }),
		"DRIFTMESH_TIMEOUT=4s":                                                        is(4*time.Second, func(c *config) any { return c.callTimeout }),
		"OTEL_BSP_EXPORT_TIMEOUT=4000":                                                is(4*time.Second, func(c *config) any { return c.callTimeout }),
		"DRIFTMESH_SERVICE_NAME=a OTEL_SERVICE_NAME=b":                                is("a", func(c *config) any { return c.service }),
		"OTEL_SERVICE_NAME=b":                                                         is("b", func(c *config) any { return c.service }),
		"DRIFTMESH_SAMPLE_RATIO=0.25 OTEL_TRACES_SAMPLER=always_off":                  is(sampling{ratio: 0.25, set: true, meshRatio: 1}, func(c *config) any { return c.sampling }),
		"OTEL_TRACES_SAMPLER=traceidratio OTEL_TRACES_SAMPLER_ARG=0.5":                is(sampling{ratio: 0.5, set: true, always: true, meshRatio: 1}, func(c *config) any { return c.sampling }),
		"OTEL_TRACES_SAMPLER=parentbased_traceidratio OTEL_TRACES_SAMPLER_ARG=0.5":    is(sampling{ratio: 0.5, set: true, meshRatio: 1}, func(c *config) any { return c.sampling }),
		"OTEL_TRACES_SAMPLER=parentbased_always_off":                                  is(sampling{ratio: 0, set: true, meshRatio: 1}, func(c *config) any { return c.sampling }),
		"OTEL_TRACES_SAMPLER=always_on":                                               is(sampling{ratio: 1, always: true, meshRatio: 1}, func(c *config) any { return c.sampling }),
		"DRIFTMESH_MESH_SAMPLE_RATIO=0.1":                                             is(0.1, func(c *config) any { return c.sampling.meshRatio }),
		"DRIFTMESH_OTLP_SAMPLE_RATIO=0.1 OTEL_EXPORTER_OTLP_ENDPOINT=http://c:4318":   is([]string{"otlp 0.1"}, exportersOf),
		"DRIFTMESH_OTLP_SAMPLE_RATIO=0 OTEL_EXPORTER_OTLP_ENDPOINT=http://c:4318":     is([]string(nil), exportersOf),
		"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=http://c:4318/v1/traces":                  is([]string{"otlp 1"}, exportersOf),
		"OTEL_TRACES_EXPORTER=otlp,console":                                           is([]string{"otlp 1", "stdout 1"}, exportersOf),
		"OTEL_TRACES_EXPORTER=none OTEL_EXPORTER_OTLP_ENDPOINT=http://c:4318":         is([]string(nil), exportersOf),
		"DRIFTMESH_SPAN_QUEUE=9 DRIFTMESH_SPAN_BATCH=8 DRIFTMESH_SPAN_DELAY=7":        is(spanBatch{9, 8, 7 * time.Millisecond}, func(c *config) any { return c.spans }),
		"OTEL_BSP_MAX_QUEUE_SIZE=9":                                                   is(spanBatch{9, 9, time.Second}, func(c *config) any { return c.spans }),
		"OTEL_BSP_MAX_EXPORT_BATCH_SIZE=8 OTEL_BSP_SCHEDULE_DELAY=100":                is(spanBatch{4096, 8, 100 * time.Millisecond}, func(c *config) any { return c.spans }),
		"DRIFTMESH_BATCH_RECORDS=1 DRIFTMESH_BATCH_BYTES=2 DRIFTMESH_BATCH_LINGER=3s": is([]any{1, 2, 3 * time.Second}, func(c *config) any { return []any{c.batchRecords, c.batchBytes, c.linger} }),
		"SCOUTER_QUEUE_PUBLISH_INTERVAL_SECS=30":                                      is(30*time.Second, func(c *config) any { return c.linger }),
		"DRIFTMESH_QUEUE_RECORDS=4 DRIFTMESH_QUEUE_BYTES=5":                           is([]int{4, 5}, func(c *config) any { return []int{c.queueRecords, c.queueBytes} }),
		"DRIFTMESH_CAPTURE_LIMIT=12 DRIFTMESH_REDACTED_KEYS=password":                 is(captureSettings{limit: 12, keys: map[string]struct{}{"password": {}}}, func(c *config) any { return c.capture }),
		"OTEL_SDK_DISABLED=true":                                                      func(c *config) bool { return c.noSpans },
		"OTEL_PROPAGATORS=baggage":                                                    is([]string{"baggage"}, func(c *config) any { return c.propagator().Fields() }),
		"OTEL_PROPAGATORS=none":                                                       is([]string{}, func(c *config) any { return append([]string{}, c.propagator().Fields()...) }),
	} {
		t.Run(set, func(t *testing.T) {
			clean(t)
			for pair := range strings.FieldsSeq(set) {
				name, value, _ := strings.Cut(pair, "=")
				used[name] = true
				t.Setenv(name, value)
			}
			c := defaults()
			c.fromEnvironment()
			require.NoError(t, errors.Join(c.errs...))
			require.True(t, ok(&c), "%+v", c)
		})
	}
	for _, v := range variables() {
		for _, name := range v.names {
			if v.set != nil {
				require.True(t, used[name], "%s is not tested", name)
			}
		}
	}
}

func exportersOf(c *config) any {
	var out []string
	for _, e := range c.exporters {
		out = append(out, fmt.Sprint(e.name, " ", e.ratio))
	}
	return out
}

func TestOptionsBeatTheEnvironment(t *testing.T) {
	clean(t)
	t.Setenv("DRIFTMESH_ADDR", "elsewhere:1")
	t.Setenv("OTEL_SERVICE_NAME", "another")
	client, err := Init(t.Context(), WithAddress("127.0.0.1:1"), WithServiceName("mine"))
	require.NoError(t, err)
	require.Equal(t, "127.0.0.1:1", client.cfg.address)
	require.Equal(t, "mine", client.cfg.service)
	require.NoError(t, client.Shutdown(t.Context()))
}

// What cannot be is named, all of it at once, but of OpenTelemetry's variables, of
// which OpenTelemetry's specification wants a warning.
func TestVariablesThatCannotBe(t *testing.T) {
	clean(t)
	ours := map[string]string{
		"DRIFTMESH_TLS": "maybe", "DRIFTMESH_COMPRESSION": "zstd", "DRIFTMESH_IN_FLIGHT": "0", "DRIFTMESH_TIMEOUT": "soon",
		"DRIFTMESH_SAMPLE_RATIO": "1.5", "DRIFTMESH_API_KEY": "file:/no/such/file", "SCOUTER_QUEUE_PUBLISH_INTERVAL_SECS": "-1",
	}
	for name, value := range ours {
		t.Setenv(name, value)
	}
	var warned []string
	before := otel.GetErrorHandler()
	t.Cleanup(func() { otel.SetErrorHandler(before) })
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { warned = append(warned, err.Error()) }))
	t.Setenv("OTEL_TRACES_SAMPLER", "sometimes")
	t.Setenv("OTEL_PROPAGATORS", "smoke,baggage")
	t.Setenv("OTEL_TRACES_EXPORTER", "pigeon")
	_, err := Init(t.Context())
	for name := range ours {
		require.ErrorContains(t, err, name)
	}
	require.NotContains(t, err.Error(), "OTEL_")
	require.Len(t, warned, 3)
	require.Nil(t, Default())
}

var update = flag.Bool("update", false, "write the page of variables anew")

// TestTheVariablesAreDocumented holds the page against the table.
func TestTheVariablesAreDocumented(t *testing.T) {
	const page = "../docs/sdk-environment.md"
	var b strings.Builder
	b.WriteString(`# Variables of the Go SDK

Made from the table that ` + "`sdk.Init`" + ` reads (sdk/env.go); ` + "`go test ./sdk -run Documented -update`" + ` writes it anew. An option in Go beats its
variable. Of several names the first that is set counts; those of Scouter are there for programs that move. A wrong value fails
` + "`Init`" + `, which names all of them; one of OpenTelemetry's is reported to OpenTelemetry's error handler and passed over, as its specification wants.
Times are ` + "`2s`, `100ms`" + ` or numbers: of milliseconds for spans and timeouts, else of seconds.

| Variable | Option | Meaning | Without it |
|---|---|---|---|
`)
	for _, v := range variables() {
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", strings.Join(v.names, "`, `"), v.option, v.meaning, v.initial)
	}
	if *update {
		require.NoError(t, os.WriteFile(page, []byte(b.String()), 0o644))
	}
	got, err := os.ReadFile(page)
	require.NoError(t, err)
	require.Equal(t, b.String(), string(got))
}

// Credentials that the program gives take the place of those of the environment,
// whatever kind either is of.
func TestCredentialsOfOptionsBeatThoseOfTheEnvironment(t *testing.T) {
	clean(t)
	t.Setenv("DRIFTMESH_USERNAME", "ann")
	t.Setenv("DRIFTMESH_PASSWORD", "secret")
	for _, tt := range []struct {
		option Option
		want   map[string]string
	}{
		{WithToken("mine"), map[string]string{"authorization": "Bearer mine"}},
		{WithAPIKey("mine"), map[string]string{"x-api-key": "mine"}},
	} {
		client, err := Init(t.Context(), WithTransport(nothing{}), tt.option)
		require.NoError(t, err)
		got, err := client.cfg.access.GetRequestMetadata(t.Context())
		require.NoError(t, err)
		require.Equal(t, tt.want, got)
		require.NoError(t, client.Shutdown(t.Context()))
	}
	t.Setenv("DRIFTMESH_API_KEY", "theirs")
	client, err := Init(t.Context(), WithTransport(nothing{}), WithLogin("", "bob", "secret"))
	require.NoError(t, err)
	require.Empty(t, client.cfg.access.apiKey)
	require.Equal(t, "bob", client.cfg.login.username)
	require.NoError(t, client.Shutdown(t.Context()))
}

// TestEveryOptionHasAVariable reads the options from the source; what is no plain
// value cannot stand in the environment.
func TestEveryOptionHasAVariable(t *testing.T) {
	cannot := map[string]string{
		"WithTransport": "is a value of Go", "WithExporter": "is a value of Go", "WithMeterProvider": "is a value of Go",
		"WithRedaction":   "is a function",
		"WithDialOptions": "are values of Go", "WithTokenSource": "is a function", "WithOnRejected": "is a function", "WithOnUnsent": "is a function",
	}
	var table strings.Builder
	for _, v := range variables() {
		table.WriteString(v.option + " ")
	}
	files, err := filepath.Glob("*.go")
	require.NoError(t, err)
	found := 0
	for _, f := range files {
		source, err := os.ReadFile(f)
		require.NoError(t, err)
		for _, m := range regexp.MustCompile(`(?m)^func (With\w+)\(.*\) Option \{`).FindAllStringSubmatch(string(source), -1) {
			found++
			if cannot[m[1]] == "" {
				require.Regexp(t, m[1]+`\b`, table.String())
			}
		}
	}
	require.Greater(t, found, 20)
}
