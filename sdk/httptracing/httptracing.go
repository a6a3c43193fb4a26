// Package httptracing carries traces over HTTP requests, both ways: a span for every
// request on either side, W3C Trace Context, baggage and the header map trace_id,
// span_id, is_sampled in the headers.
//
//	http.ListenAndServe(address, httptracing.Handler(mux))
//	client := &http.Client{Transport: httptracing.Transport(nil)}
//
// A handler's context has the span: spans that it starts are below it, and records
// that it inserts carry it. A client's span lasts until the body of the answer is
// read or closed, so that of a stream all of it. It is OpenTelemetry's otelhttp
// underneath, with the SDK's propagators; what a handler panics with is recorded
// besides.
package httptracing

import (
	"net/http"

	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/metric/noop"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/driftmesh/driftmesh/sdk"
)

// Option changes what is traced.
type Option func(*config)

type config struct{ otel []otelhttp.Option }

// WithProvider makes spans with p. The default is OpenTelemetry's global provider,
// which sdk.Init sets, as it is when the handler or the transport is made.
func WithProvider(p trace.TracerProvider) Option {
	return func(c *config) { c.otel = append(c.otel, otelhttp.WithTracerProvider(p)) }
}

// WithFilter traces only requests that f says yes to, such as those that are no
// probes.
func WithFilter(f func(*http.Request) bool) Option {
	return func(c *config) { c.otel = append(c.otel, otelhttp.WithFilter(f)) }
}

// propagator is that of the default client, or what the SDK has without one.
func propagator() propagation.TextMapPropagator {
	if sdk.Default() != nil {
		return otel.GetTextMapPropagator()
	}
	return sdk.Propagator()
}

func configOf(options []Option) []otelhttp.Option {
	c := &config{otel: []otelhttp.Option{
		otelhttp.WithPropagators(propagator()), otelhttp.WithMeterProvider(noop.NewMeterProvider()), otelhttp.WithSpanNameFormatter(nameOf),
	}}
	for _, o := range options {
		o(c)
	}
	return c.otel
}

// nameOf names a span: by the method and the route, once that is known. Paths hold
// ids, so they do not.
func nameOf(_ string, r *http.Request) string {
	if r.Pattern == "" {
		return r.Method
	}
	return routeOf(r)
}

// routeOf is the pattern of a ServeMux with the method in front.
func routeOf(r *http.Request) string {
	if r.Pattern[0] == '/' {
		return r.Method + " " + r.Pattern
	}
	return r.Pattern // has the method, or a host
}

// Handler traces the requests that h gets.
func Handler(h http.Handler, options ...Option) http.Handler {
	return otelhttp.NewHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		span := sdk.Current(r.Context())
		if !span.IsRecording() {
			h.ServeHTTP(w, r)
			return
		}
		returned := false
		defer func() {
			if r.Pattern != "" {
				span.SetName(routeOf(r))
			}
			if returned {
				return
			}
			if value := recover(); value != nil {
				if value != http.ErrAbortHandler { //nolint:errorlint // the very value, as net/http has it
					span.RecordPanic(value)
				}
				panic(value) //nolint:forbidigo // the handler's own, which goes on
			}
		}()
		h.ServeHTTP(w, r)
		returned = true
	}), "", configOf(options)...)
}

// Transport traces the requests that go through base; nil is http.DefaultTransport.
func Transport(base http.RoundTripper, options ...Option) http.RoundTripper {
	if base == nil {
		base = http.DefaultTransport
	}
	return otelhttp.NewTransport(base, configOf(options)...)
}
