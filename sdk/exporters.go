package sdk

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/exporters/stdout/stdouttrace"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"google.golang.org/grpc/credentials"
)

// exporter is a further place that spans go to.
type exporter struct {
	name  string
	ratio float64
	delay *time.Duration // of a batch; nil as for the mesh
	open  func(context.Context) (sdktrace.SpanExporter, error)
}

// WithExporter sends spans to another exporter too: any of OpenTelemetry's, such as
// that of package tracetest, which keeps them in memory for tests. It gets so much of
// all traces, from 0 to 1. The name stands in Stats and errors. The client shuts it
// down.
func WithExporter(name string, ratio float64, e sdktrace.SpanExporter) Option {
	return withExporter(exporter{name: name, ratio: ratio, open: func(context.Context) (sdktrace.SpanExporter, error) { return e, nil }})
}

// WithStdout writes all spans as JSON too, as soon as they end; to a file, or to
// os.Stdout where it is nil.
func WithStdout(to io.Writer) Option {
	var at time.Duration
	return withExporter(exporter{name: "stdout", ratio: 1, delay: &at, open: func(context.Context) (sdktrace.SpanExporter, error) {
		if to == nil {
			to = os.Stdout
		}
		return stdouttrace.New(stdouttrace.WithWriter(to))
	}})
}

func withExporter(e exporter) Option {
	return func(c *config) {
		taken := func(name string) bool {
			return slices.ContainsFunc(c.exporters, func(o exporter) bool { return o.name == name })
		}
		given := e
		for n := 2; taken(given.name); n++ {
			given.name = fmt.Sprintf("%s-%d", e.name, n)
		}
		c.exporters = append(c.exporters, given)
	}
}

// Protocols of OTLP, as OTEL_EXPORTER_OTLP_PROTOCOL has them.
const (
	OTLPGRPC = "grpc"
	OTLPHTTP = "http/protobuf"
	OTLPJSON = "http/json"
)

// OTLP is an endpoint that takes OTLP, such as an OpenTelemetry Collector. What is
// not set is as OpenTelemetry's variables say, OTEL_EXPORTER_OTLP_…, and its defaults.
type OTLP struct {
	// Name stands in Stats and errors; "otlp" when empty.
	Name string
	// Endpoint is a URL: https://… speaks TLS, http://… does not. Over HTTP one
	// without a path gets /v1/traces.
	Endpoint string
	// Protocol is OTLPGRPC, OTLPHTTP, which is the default, or OTLPJSON.
	Protocol string
	// Headers go with every request.
	Headers map[string]string
	// TLS is how to speak it.
	TLS *tls.Config
	// Gzip packs requests.
	Gzip bool
	// Timeout is that of a request.
	Timeout time.Duration
	// SampleRatio is how much of all traces goes there, 0 for all.
	SampleRatio float64
}

// WithOTLP sends spans to an OTLP endpoint too.
func WithOTLP(to OTLP) Option {
	e := exporter{name: cmp.Or(to.Name, "otlp"), ratio: cmp.Or(to.SampleRatio, 1)}
	e.open = func(ctx context.Context) (sdktrace.SpanExporter, error) { return to.open(ctx) }
	return withExporter(e)
}

func (o OTLP) open(ctx context.Context) (sdktrace.SpanExporter, error) {
	protocol := cmp.Or(o.Protocol, exporterVariable("PROTOCOL"), OTLPHTTP)
	if o.Endpoint != "" {
		u, err := url.Parse(o.Endpoint)
		if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			return nil, fmt.Errorf("%q is no endpoint: want http://HOST:PORT or https://HOST:PORT", o.Endpoint)
		}
		if protocol != OTLPGRPC && strings.Trim(u.Path, "/") == "" {
			u.Path = spansPath
		}
		o.Endpoint = u.String()
	}
	switch protocol {
	case OTLPGRPC:
		return o.grpc(ctx)
	case OTLPHTTP:
		return o.http(ctx)
	case OTLPJSON:
		return o.json(ctx)
	}
	return nil, fmt.Errorf("unknown protocol %q: want %s, %s or %s", protocol, OTLPGRPC, OTLPHTTP, OTLPJSON)
}

func (o OTLP) grpc(ctx context.Context) (sdktrace.SpanExporter, error) {
	return otlptracegrpc.New(ctx, exporterOptions(o, otlptracegrpc.WithCompressor("gzip"),
		otlptracegrpc.WithEndpointURL, otlptracegrpc.WithHeaders, otlptracegrpc.WithTimeout,
		func(cfg *tls.Config) otlptracegrpc.Option {
			return otlptracegrpc.WithTLSCredentials(credentials.NewTLS(cfg))
		})...)
}

func (o OTLP) http(ctx context.Context) (sdktrace.SpanExporter, error) {
	return otlptracehttp.New(ctx, exporterOptions(o, otlptracehttp.WithCompression(otlptracehttp.GzipCompression),
		otlptracehttp.WithEndpointURL, otlptracehttp.WithHeaders, otlptracehttp.WithTimeout, otlptracehttp.WithTLSClientConfig)...)
}

// exporterOptions is what is set, in the words of an exporter of OpenTelemetry.
func exporterOptions[O any](o OTLP, gzip O, endpoint func(string) O, headers func(map[string]string) O, timeout func(time.Duration) O, secure func(*tls.Config) O) (list []O) {
	if o.Endpoint != "" {
		list = append(list, endpoint(o.Endpoint))
	}
	if len(o.Headers) > 0 {
		list = append(list, headers(o.Headers))
	}
	if o.TLS != nil {
		list = append(list, secure(o.TLS))
	}
	if o.Gzip {
		list = append(list, gzip)
	}
	if o.Timeout > 0 {
		list = append(list, timeout(o.Timeout))
	}
	return list
}

// fromOpenTelemetry adds the exporters that OpenTelemetry's variables ask for, which
// is none unless they name one, or an endpoint: the mesh is there already.
func (c *config) fromOpenTelemetry(ratio float64) error {
	names := variableOf("OTEL_TRACES_EXPORTER")
	if names == "" && exporterVariable("ENDPOINT") != "" {
		names = "otlp"
	}
	var errs []error
	for name := range strings.SplitSeq(names, ",") {
		switch name = strings.TrimSpace(name); name {
		case "", "none":
		case "otlp":
			if ratio > 0 {
				WithOTLP(OTLP{SampleRatio: ratio})(c)
			}
		case "console":
			WithStdout(nil)(c)
		default:
			errs = append(errs, fmt.Errorf("OTEL_TRACES_EXPORTER: there is no exporter %q: want otlp, console or none", name))
		}
	}
	return errors.Join(errs...)
}
