package sdk

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/propagation"
)

// defaultAddress is that of driftmesh up.
const defaultAddress = "127.0.0.1:50051"

// variable is an option in the environment.
type variable struct {
	names   []string // the first that is set counts
	option  string   // what it is in Go
	meaning string
	initial string // without it
	// set takes a value that a name has; nil where OpenTelemetry's own packages read it.
	set func(c *config, name, value string) error
}

// variables is everything that Init reads. docs/sdk-environment.md is made of it.
func variables() []variable {
	return slices.Concat(destinations(), spansVariables(), recordsVariables(), openTelemetrys())
}

func destinations() []variable {
	return []variable{
		{
			names: []string{"DRIFTMESH_URL", "DRIFTMESH_ADDR", "SCOUTER_GRPC_URI", "SCOUTER_SERVER_URI"}, option: "WithAddress",
			meaning: "Where to send: `HOST:PORT`, `grpc://…`, `grpcs://…`, `http://…`, `https://…`, or a broker (`nats://…`) whose package is imported. In `DRIFTMESH_ADDR` and `SCOUTER_GRPC_URI`, `http://` and `https://` mean gRPC.",
			initial: "`" + defaultAddress + "`",
			set: func(c *config, name, v string) error {
				if name == "DRIFTMESH_ADDR" || name == "SCOUTER_GRPC_URI" {
					v = overGRPC(v)
				}
				c.address = v
				return nil
			},
		},
		{
			names: []string{"DRIFTMESH_ADDR", "SCOUTER_GRPC_URI"}, option: "WithMesh",
			meaning: "Where to ask for profiles when `DRIFTMESH_URL` is a broker.", initial: "`" + defaultAddress + "`",
			set: func(c *config, _, v string) error { c.mesh = overGRPC(v); return nil },
		},
		{
			names: []string{"DRIFTMESH_API_KEY"}, option: "WithAPIKey", meaning: "An API key, or `file:PATH`.",
			set: secret(func(c *config, v string) { WithAPIKey(v)(c) }),
		},
		{
			names: []string{"DRIFTMESH_TOKEN", "SCOUTER_AUTH_TOKEN"}, option: "WithToken", meaning: "A token, or `file:PATH`.",
			set: secret(func(c *config, v string) { WithToken(v)(c) }),
		},
		{
			names: []string{"DRIFTMESH_USERNAME", "SCOUTER_USERNAME"}, option: "WithLogin", meaning: "Whom to log in as, where there is neither key nor token.",
			set: func(c *config, _, v string) error { c.loggingIn().username = v; return nil },
		},
		{
			names: []string{"DRIFTMESH_PASSWORD", "SCOUTER_PASSWORD"}, option: "WithLogin", meaning: "The password, or `file:PATH`.",
			set: secret(func(c *config, v string) { c.loggingIn().password = v }),
		},
		{
			names: []string{"DRIFTMESH_TENANT"}, option: "WithLogin", meaning: "The tenant to log in to.", initial: "`default`",
			set: func(c *config, _, v string) error { c.loggingIn().tenant = v; return nil },
		},
		{
			names: []string{"DRIFTMESH_TLS"}, option: "WithTLS", meaning: "`true` speaks TLS, as the schemes `grpcs` and `https` do.",
			set: boolean(func(c *config, on bool) {
				if on {
					c.ofFiles()
				}
			}),
		},
		{
			names: []string{"DRIFTMESH_CA"}, option: "WithCA", meaning: "PEM file of the authorities to believe; TLS.",
			set: func(c *config, _, v string) error { WithCA(v)(c); return nil },
		},
		{
			names: []string{"DRIFTMESH_CERT"}, option: "WithCertificate", meaning: "PEM file of a certificate to show; TLS.",
			set: func(c *config, _, v string) error { c.ofFiles().cert = v; return nil },
		},
		{
			names: []string{"DRIFTMESH_CERT_KEY"}, option: "WithCertificate", meaning: "PEM file of its key.",
			set: func(c *config, _, v string) error { c.ofFiles().key = v; return nil },
		},
		{
			names: []string{"DRIFTMESH_COMPRESSION"}, option: "WithGzip", meaning: "`gzip` or `none`.", initial: "`none`",
			set: func(c *config, name, v string) error {
				c.gzip = v == "gzip"
				if v != "gzip" && v != "none" {
					return fmt.Errorf("%s: %q is neither gzip nor none", name, v)
				}
				return nil
			},
		},
		{
			names: []string{"DRIFTMESH_IN_FLIGHT"}, option: "WithInFlight", meaning: "Batches of a kind on their way at a time.", initial: "8",
			set: number(func(c *config, n int) { c.inFlight = n }),
		},
		{
			names: []string{"DRIFTMESH_RETRY_SHORTEST"}, option: "WithRetry", meaning: "First wait between attempts.", initial: "100ms",
			set: duration(time.Second, func(c *config, d time.Duration) { c.minWait = d }),
		},
		{
			names: []string{"DRIFTMESH_RETRY_LONGEST"}, option: "WithRetry", meaning: "Longest wait between attempts.", initial: "5s",
			set: duration(time.Second, func(c *config, d time.Duration) { c.maxWait = d }),
		},
		{
			names: []string{"DRIFTMESH_TIMEOUT", "OTEL_BSP_EXPORT_TIMEOUT"}, option: "WithTimeout", meaning: "Of one attempt.", initial: "30s",
			set: duration(time.Millisecond, func(c *config, d time.Duration) { c.callTimeout = d }),
		},
	}
}

func spansVariables() []variable {
	ratio := func(to func(*config, float64)) func(*config, string, string) error {
		return func(c *config, name, v string) error {
			r, err := parseRatio(v)
			if err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			to(c, r)
			return nil
		}
	}
	return []variable{
		{
			names: []string{"DRIFTMESH_SERVICE_NAME", "OTEL_SERVICE_NAME"}, option: "WithServiceName", meaning: "The service whose spans these are.", initial: "`unknown_service:PROGRAM`",
			set: func(c *config, _, v string) error { c.service = v; return nil },
		},
		{names: []string{"OTEL_RESOURCE_ATTRIBUTES"}, option: "WithResource", meaning: "Attributes of the process: `key=value,…`."},
		{
			names: []string{"DRIFTMESH_SAMPLE_RATIO"}, option: "WithSampleRatio", meaning: "How much of all traces is recorded, from 0 to 1, whatever exporters ask for.", initial: "1",
			set: ratio(func(c *config, r float64) { WithSampleRatio(r)(c) }),
		},
		{
			names: []string{"OTEL_TRACES_SAMPLER"}, option: "WithSampleRatio, WithoutParent", meaning: "`always_on`, `always_off`, `traceidratio`, each also with `parentbased_` in front; the first three do not ask the parent. `DRIFTMESH_SAMPLE_RATIO` beats it.",
			initial: "`parentbased_always_on`", set: fromSampler,
		},
		{names: []string{"OTEL_TRACES_SAMPLER_ARG"}, option: "WithSampleRatio", meaning: "The ratio of `traceidratio`.", initial: "1"},
		{
			names: []string{"DRIFTMESH_MESH_SAMPLE_RATIO"}, option: "WithMeshSampleRatio", meaning: "How much of all traces goes to the mesh.", initial: "1",
			set: ratio(func(c *config, r float64) { c.sampling.meshRatio = r }),
		},
		{
			names: []string{"DRIFTMESH_OTLP_SAMPLE_RATIO"}, option: "OTLP.SampleRatio", meaning: "How much of all traces goes to the OTLP endpoint of the variables below.", initial: "1",
			set: ratio(func(c *config, r float64) { c.otlpRatio = r }),
		},
		{
			names: []string{"DRIFTMESH_SPAN_QUEUE", "OTEL_BSP_MAX_QUEUE_SIZE"}, option: "WithSpanBatch", meaning: "Spans that wait at most; more are dropped and counted.", initial: "4096",
			set: number(func(c *config, n int) { c.spans.queue = n }),
		},
		{
			names: []string{"DRIFTMESH_SPAN_BATCH", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE"}, option: "WithSpanBatch", meaning: "Spans that leave together.", initial: "1024",
			set: number(func(c *config, n int) { c.spans.spans = n }),
		},
		{
			names: []string{"DRIFTMESH_SPAN_DELAY", "OTEL_BSP_SCHEDULE_DELAY"}, option: "WithSpanBatch", meaning: "How long the first of them waits.", initial: "1s",
			set: duration(time.Millisecond, func(c *config, d time.Duration) { c.spans.delay = d }),
		},
		{
			names: []string{"DRIFTMESH_CAPTURE_LIMIT"}, option: "WithCaptureLimit", meaning: "Characters of an input or output that spans capture; 0 captures nothing.", initial: "5000",
			set: func(c *config, name, v string) error {
				n, err := strconv.Atoi(v)
				if err != nil {
					return fmt.Errorf("%s: %q is no number", name, v)
				}
				WithCaptureLimit(n)(c)
				return nil
			},
		},
		{
			names: []string{"DRIFTMESH_REDACTED_KEYS"}, option: "WithRedactedKeys", meaning: "Names, separated by commas, whose values are not captured.",
			set: func(c *config, _, v string) error {
				for name := range strings.SplitSeq(v, ",") {
					if name = strings.TrimSpace(name); name != "" {
						WithRedactedKeys(name)(c)
					}
				}
				return nil
			},
		},
	}
}

func recordsVariables() []variable {
	return []variable{
		{
			names: []string{"DRIFTMESH_BATCH_RECORDS"}, option: "WithBatch", meaning: "Records that leave together.", initial: "1000",
			set: number(func(c *config, n int) { c.batchRecords = n }),
		},
		{
			names: []string{"DRIFTMESH_BATCH_BYTES"}, option: "WithBatch", meaning: "Bytes of a batch, also of spans.", initial: "1048576",
			set: number(func(c *config, n int) { c.batchBytes = n }),
		},
		{
			names: []string{"DRIFTMESH_BATCH_LINGER", "SCOUTER_QUEUE_PUBLISH_INTERVAL_SECS"}, option: "WithBatch", meaning: "How long the first record of a batch waits.", initial: "100ms",
			set: duration(time.Second, func(c *config, d time.Duration) { c.linger = d }),
		},
		{
			names: []string{"DRIFTMESH_QUEUE_RECORDS"}, option: "WithQueue", meaning: "Records that wait at most.", initial: "50000",
			set: number(func(c *config, n int) { c.queueRecords = n }),
		},
		{
			names: []string{"DRIFTMESH_QUEUE_BYTES"}, option: "WithQueue", meaning: "Bytes of them.", initial: "67108864",
			set: number(func(c *config, n int) { c.queueBytes = n }),
		},
	}
}

func openTelemetrys() []variable {
	const exporters = "WithOTLP"
	return []variable{
		{
			names: []string{"OTEL_SDK_DISABLED"}, option: "WithoutTraces", meaning: "`true` makes no spans; records go on.", initial: "`false`",
			set: boolean(func(c *config, on bool) { c.noSpans = on }),
		},
		{
			names: []string{"OTEL_PROPAGATORS"}, option: "WithPropagator", meaning: "List of `tracecontext`, `baggage`, `headermap` (`trace_id`, `span_id`, `is_sampled`) and `none`.", initial: "`headermap,tracecontext,baggage`", set: fromPropagators,
		},
		{
			names: []string{"OTEL_TRACES_EXPORTER"}, option: "WithOTLP, WithStdout", meaning: "Where else spans go: list of `otlp`, `console` and `none`.", initial: "`otlp` where its endpoint is set",
		},
		{names: []string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"}, option: exporters, meaning: "The endpoint, as it stands, or below which `/v1/traces` is."},
		{names: []string{"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"}, option: exporters, meaning: "`grpc`, `http/protobuf` or `http/json`.", initial: "`http/protobuf`"},
		{names: []string{"OTEL_EXPORTER_OTLP_TRACES_HEADERS", "OTEL_EXPORTER_OTLP_HEADERS"}, option: exporters, meaning: "Headers to send: `name=value,…`."},
		{names: []string{"OTEL_EXPORTER_OTLP_TRACES_COMPRESSION", "OTEL_EXPORTER_OTLP_COMPRESSION"}, option: exporters, meaning: "`gzip` or `none`.", initial: "`none`"},
		{names: []string{"OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "OTEL_EXPORTER_OTLP_TIMEOUT"}, option: exporters, meaning: "Of one attempt, in milliseconds.", initial: "10000"},
		{names: []string{"OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE", "OTEL_EXPORTER_OTLP_CERTIFICATE"}, option: exporters, meaning: "PEM file of the authorities to believe."},
		{names: []string{"OTEL_EXPORTER_OTLP_TRACES_CLIENT_CERTIFICATE", "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE"}, option: exporters, meaning: "PEM file of a certificate to show."},
		{names: []string{"OTEL_EXPORTER_OTLP_TRACES_CLIENT_KEY", "OTEL_EXPORTER_OTLP_CLIENT_KEY"}, option: exporters, meaning: "PEM file of its key."},
		{names: []string{"OTEL_EXPORTER_OTLP_TRACES_INSECURE", "OTEL_EXPORTER_OTLP_INSECURE"}, option: exporters, meaning: "`true` speaks no TLS over gRPC to an endpoint without a scheme."},
	}
}

// fromEnvironment takes what the environment says. What cannot be is an error later,
// all at once, but of OpenTelemetry's variables, which OpenTelemetry wants to be
// warned of and passed over.
func (c *config) fromEnvironment() {
	c.address, c.mesh = defaultAddress, defaultAddress
	for _, v := range variables() {
		for _, name := range v.names {
			value := variableOf(name)
			if value == "" {
				continue
			}
			if v.set == nil {
				break
			}
			if err := v.set(c, name, value); err != nil {
				c.complain(name, err)
			}
			break
		}
	}
	if c.login != nil && (c.login.username == "" || c.access.apiKey != "" || c.access.token != nil) {
		c.login = nil
	}
	if err := c.fromOpenTelemetry(c.otlpRatio); err != nil {
		c.complain("OTEL_TRACES_EXPORTER", err)
	}
	if c.spans.spans > c.spans.queue { // a smaller queue alone is no mistake
		c.spans.spans = c.spans.queue
	}
}

// variableOf is the first of these variables that is set.
func variableOf(names ...string) string {
	for _, name := range names {
		if v := strings.TrimSpace(os.Getenv(name)); v != "" {
			return v
		}
	}
	return ""
}

func (c *config) complain(name string, err error) {
	if strings.HasPrefix(name, "OTEL_") {
		otel.Handle(err)
		return
	}
	c.errs = append(c.errs, err)
}

func (c *config) loggingIn() *login {
	if c.login == nil {
		c.login = &login{}
	}
	return c.login
}

// overGRPC is an address that means gRPC, whatever its scheme.
func overGRPC(address string) string {
	for from, to := range map[string]string{"http://": "grpc://", "https://": "grpcs://"} {
		if rest, is := strings.CutPrefix(address, from); is {
			return to + rest
		}
	}
	return address
}

// secret reads a value that may be in a file.
func secret(to func(*config, string)) func(*config, string, string) error {
	return func(c *config, name, v string) error {
		if path, is := strings.CutPrefix(v, "file:"); is {
			raw, err := os.ReadFile(path)
			if err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			v = strings.TrimSpace(string(raw))
		}
		to(c, v)
		return nil
	}
}

func boolean(to func(*config, bool)) func(*config, string, string) error {
	return func(c *config, name, v string) error {
		on, err := strconv.ParseBool(v)
		if err != nil {
			return fmt.Errorf("%s: %q is neither true nor false", name, v)
		}
		to(c, on)
		return nil
	}
}

func number(to func(*config, int)) func(*config, string, string) error {
	return func(c *config, name, v string) error {
		n, err := strconv.Atoi(v)
		if err != nil || n < 1 {
			return fmt.Errorf("%s: %q is no number from 1", name, v)
		}
		to(c, n)
		return nil
	}
}

// duration reads a time, which is so many units where it has none.
func duration(unit time.Duration, to func(*config, time.Duration)) func(*config, string, string) error {
	return func(c *config, name, v string) error {
		d, err := time.ParseDuration(v)
		if n, is := strconv.Atoi(v); is == nil {
			d, err = time.Duration(n)*unit, nil
		}
		if err != nil || d < 0 {
			return fmt.Errorf("%s: %q is no time: want 2s, 100ms or a number of %s", name, v, map[time.Duration]string{time.Second: "seconds", time.Millisecond: "milliseconds"}[unit])
		}
		to(c, d)
		return nil
	}
}

func parseRatio(v string) (float64, error) {
	r, err := strconv.ParseFloat(v, 64)
	if err != nil || !(r >= 0 && r <= 1) {
		return 0, fmt.Errorf("%q is no ratio from 0 to 1", v)
	}
	return r, nil
}

// fromSampler reads OTEL_TRACES_SAMPLER.
func fromSampler(c *config, name, v string) error {
	if c.sampling.set { // by DRIFTMESH_SAMPLE_RATIO
		return nil
	}
	kind, parent := strings.CutPrefix(strings.ToLower(v), "parentbased_")
	ratio := 1.0
	switch kind {
	case "always_on":
	case "always_off":
		ratio = 0
	case "traceidratio":
		var err error
		if ratio, err = parseRatio(cmp.Or(variableOf("OTEL_TRACES_SAMPLER_ARG"), "1")); err != nil {
			return fmt.Errorf("OTEL_TRACES_SAMPLER_ARG: %w", err)
		}
	default:
		return fmt.Errorf("%s: there is no sampler %q", name, v)
	}
	// That everything is sampled overrides no exporter's ratio: it is the default.
	c.sampling.ratio, c.sampling.set, c.sampling.always = ratio, ratio < 1, !parent
	return nil
}

// propagators are those that OTEL_PROPAGATORS knows.
var propagators = map[string]propagation.TextMapPropagator{
	"tracecontext": propagation.TraceContext{},
	"baggage":      propagation.Baggage{},
	"headermap":    HeaderMap{},
}

// fromPropagators reads OTEL_PROPAGATORS.
func fromPropagators(c *config, name, v string) error {
	var list []propagation.TextMapPropagator
	var errs []error
	for p := range strings.SplitSeq(v, ",") {
		switch p = strings.TrimSpace(p); {
		case p == "none":
		case propagators[p] == nil:
			errs = append(errs, fmt.Errorf("%s: there is no propagator %q", name, p))
		default:
			list = append(list, propagators[p])
		}
	}
	c.propagate = propagation.NewCompositeTextMapPropagator(list...)
	return errors.Join(errs...)
}

// propagator is what carries contexts across services.
func (c *config) propagator() propagation.TextMapPropagator {
	if c.propagate != nil {
		return c.propagate
	}
	return Propagator()
}
