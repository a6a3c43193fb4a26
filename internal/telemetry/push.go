package telemetry

import (
	"context"
	"fmt"
	"net/url"

	"github.com/prometheus/client_golang/prometheus"
	bridge "go.opentelemetry.io/contrib/bridges/prometheus"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetricgrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetrichttp"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/resource"
)

// MetricsPush sends metrics to an OTLP endpoint, every minute or as often as
// OTEL_METRIC_EXPORT_INTERVAL says.
type MetricsPush struct{ provider *sdkmetric.MeterProvider }

// NewMetricsPush begins to send all that gatherer has, as the OTEL_* variables
// in vars say, in the name of a service and instance; nil when they name no
// endpoint. The one for metrics alone is used as it is given, to the general one
// is added what the OTLP exporter specification says.
func NewMetricsPush(ctx context.Context, vars map[string]string, gatherer prometheus.Gatherer, service, instance string) (*MetricsPush, error) {
	if off(vars) || vars["OTEL_METRICS_EXPORTER"] == "none" {
		return nil, nil
	}
	if endpoint(vars, "METRICS") == "" {
		return nil, nil
	}
	exporter, err := metricsExporter(ctx, vars)
	if err != nil {
		return nil, err
	}
	// Those of the environment win: they are the operator's own.
	named, err := resource.New(ctx, resource.WithAttributes(
		attribute.String("service.name", service), attribute.String("service.namespace", "driftmesh"),
		attribute.String("service.instance.id", instance)), resource.WithFromEnv())
	if err != nil {
		return nil, fmt.Errorf("OTEL_RESOURCE_ATTRIBUTES: %w", err)
	}
	return &MetricsPush{sdkmetric.NewMeterProvider(sdkmetric.WithResource(named), sdkmetric.WithReader(
		// The reader knows the interval, and its variable, by itself.
		sdkmetric.NewPeriodicReader(exporter, sdkmetric.WithProducer(mended{bridge.NewMetricProducer(bridge.WithGatherer(gatherer))}))))}, nil
}

func metricsExporter(ctx context.Context, vars map[string]string) (sdkmetric.Exporter, error) {
	overGRPC, err := grpcProtocol(vars, "METRICS")
	if err != nil {
		return nil, err
	}
	if overGRPC {
		return otlpmetricgrpc.New(ctx)
	}
	return otlpmetrichttp.New(ctx)
}

// Shutdown sends once more and ends.
func (p *MetricsPush) Shutdown(ctx context.Context) error { return p.provider.Shutdown(ctx) }

// endpoint is the variable that names the OTLP endpoint of a signal, TRACES or
// METRICS; "" when none does.
func endpoint(vars map[string]string, signal string) string {
	for _, name := range []string{"OTEL_EXPORTER_OTLP_" + signal + "_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"} {
		if vars[name] != "" {
			return name
		}
	}
	return ""
}

// grpcProtocol tells gRPC from HTTP with protobuf, which is the default. Over
// HTTP the endpoint must be a URL: the library would take one that it cannot
// read for its default.
func grpcProtocol(vars map[string]string, signal string) (bool, error) {
	for _, name := range []string{"OTEL_EXPORTER_OTLP_" + signal + "_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"} {
		switch value := vars[name]; value {
		case "":
			continue
		case "grpc":
			return true, nil
		case "http/protobuf":
		default:
			return false, fmt.Errorf("%s %q: must be grpc or http/protobuf", name, value)
		}
		break
	}
	name := endpoint(vars, signal)
	if u, err := url.Parse(vars[name]); err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
		return false, fmt.Errorf("%s: must be a URL, http://HOST:PORT or https://HOST:PORT", name)
	}
	return false, nil
}
