package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetrichttp"
	otelprom "go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/metric"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/resource"
	"google.golang.org/grpc"
	"google.golang.org/grpc/stats/opentelemetry"

	"github.com/driftmesh/driftmesh/sdk"
	"github.com/driftmesh/driftmesh/sdk/grpctracing"
)

// stopping bounds how long is waited for what is still to be sent.
const stopping = 10 * time.Second

// watched is how a program of the example is observed: its spans and records go to
// the mesh, its metrics to whoever asks at /metrics, and by OTLP where
// OTEL_EXPORTER_OTLP_METRICS_ENDPOINT says.
type watched struct {
	mesh   *sdk.Client
	meters *sdkmetric.MeterProvider
	pages  *http.Server // nil when nobody may ask
}

// watch begins to observe the program as this service. Where the mesh is, and who
// we are to it, stands in DRIFTMESH_ADDR and DRIFTMESH_API_KEY; a key may be in a
// file, file:PATH.
func watch(ctx context.Context, service, metrics string) (*watched, error) {
	mesh, err := sdk.Init(ctx, sdk.WithServiceName(service))
	if err != nil {
		return nil, err
	}
	w := &watched{mesh: mesh}
	if err := w.measure(ctx, service, metrics); err != nil {
		return nil, errors.Join(err, w.end(ctx))
	}
	return w, nil
}

// measure opens the ways on which metrics leave.
func (w *watched) measure(ctx context.Context, service, address string) error {
	options := []sdkmetric.Option{sdkmetric.WithResource(resource.NewSchemaless(attribute.String("service.name", service)))}
	if os.Getenv("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT") != "" {
		push, err := otlpmetrichttp.New(ctx)
		if err != nil {
			return err
		}
		options = append(options, sdkmetric.WithReader(sdkmetric.NewPeriodicReader(push)))
	}
	if address != "" {
		registry := prometheus.NewRegistry()
		pull, err := otelprom.New(otelprom.WithRegisterer(registry), otelprom.WithoutScopeInfo())
		if err != nil {
			return err
		}
		options = append(options, sdkmetric.WithReader(pull))
		lis, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
		if err != nil {
			return fmt.Errorf("metrics: %w", err)
		}
		mux := http.NewServeMux()
		mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{EnableOpenMetrics: true}))
		w.pages = &http.Server{Handler: mux, ReadHeaderTimeout: stopping}
		go func() { _ = w.pages.Serve(lis) }() // until end
	}
	w.meters = sdkmetric.NewMeterProvider(options...)
	return nil
}

// end sends what is left, and says what could not be sent. That ctx has ended does not
// keep it from that.
func (w *watched) end(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopping)
	defer cancel()
	errs := []error{w.mesh.Shutdown(ctx)}
	if w.meters != nil {
		errs = append(errs, w.meters.Shutdown(ctx))
	}
	if w.pages != nil {
		errs = append(errs, w.pages.Close())
	}
	return errors.Join(errs...)
}

// calls are gRPC's own metrics: grpc_server_call_duration_seconds and its kin.
func (w *watched) calls() opentelemetry.Options {
	return opentelemetry.Options{MetricsOptions: opentelemetry.MetricsOptions{MeterProvider: w.meters, Metrics: opentelemetry.DefaultMetrics()}}
}

// server observes the calls that arrive.
func (w *watched) server() []grpc.ServerOption {
	return append(grpctracing.ServerOptions(), opentelemetry.ServerOption(w.calls()))
}

// dial observes the calls that are made.
func (w *watched) dial() []grpc.DialOption {
	return append(grpctracing.DialOptions(), opentelemetry.DialOption(w.calls()))
}

// count measures what is in a history, and counts readings: the function that it
// returns is told of each.
func (w *watched) count(history *History) (func(ctx context.Context, id string), error) {
	meter := w.meters.Meter("github.com/driftmesh/driftmesh/examples/sensors")
	readings, err := meter.Int64Counter("sensors.readings", metric.WithDescription("Readings that were kept."))
	if err != nil {
		return nil, err
	}
	_, err = meter.Float64ObservableGauge("sensors.temperature", metric.WithUnit("Cel"), metric.WithDescription("Average temperature of all time, or of the last minute."),
		metric.WithFloat64Callback(func(_ context.Context, to metric.Float64Observer) error {
			for id, a := range history.Averages() {
				to.Observe(a.All, metric.WithAttributes(attribute.String("sensor_id", id), attribute.String("over", "all")))
				if a.MinuteCount > 0 {
					to.Observe(a.Minute, metric.WithAttributes(attribute.String("sensor_id", id), attribute.String("over", "minute")))
				}
			}
			return nil
		}))
	return func(ctx context.Context, id string) {
		readings.Add(ctx, 1, metric.WithAttributes(attribute.String("sensor_id", id)))
	}, err
}
