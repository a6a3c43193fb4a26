// Sends metrics and logs to the mesh, several times, and prints what the SDK has
// to say of it: a line for each message of its own log, of warnings and worse.
// The arguments are the protocol (grpc, http-protobuf or http-json) and the
// address.
import { DiagLogLevel, diag } from '@opentelemetry/api';
import { OTLPLogExporter as GRPCLogs } from '@opentelemetry/exporter-logs-otlp-grpc';
import { OTLPLogExporter as JSONLogs } from '@opentelemetry/exporter-logs-otlp-http';
import { OTLPLogExporter as ProtoLogs } from '@opentelemetry/exporter-logs-otlp-proto';
import { OTLPMetricExporter as GRPCMetrics } from '@opentelemetry/exporter-metrics-otlp-grpc';
import { OTLPMetricExporter as JSONMetrics } from '@opentelemetry/exporter-metrics-otlp-http';
import { OTLPMetricExporter as ProtoMetrics } from '@opentelemetry/exporter-metrics-otlp-proto';
import { resourceFromAttributes } from '@opentelemetry/resources';
import { BatchLogRecordProcessor, LoggerProvider } from '@opentelemetry/sdk-logs';
import { MeterProvider, PeriodicExportingMetricReader } from '@opentelemetry/sdk-metrics';

const print = (level) => (message, ...rest) => console.log(level, message, ...rest);
diag.setLogger({ error: print('error'), warn: print('warn'), info() {}, debug() {}, verbose() {} }, DiagLogLevel.WARN);

const [protocol, mesh] = process.argv.slice(2);
const [metrics, logs] = {
  grpc: () => [new GRPCMetrics({ url: `http://${mesh}`, compression: 'gzip' }), new GRPCLogs({ url: `http://${mesh}`, compression: 'gzip' })],
  'http-protobuf': () => [new ProtoMetrics({ url: `http://${mesh}/v1/metrics`, compression: 'gzip' }), new ProtoLogs({ url: `http://${mesh}/v1/logs`, compression: 'gzip' })],
  'http-json': () => [new JSONMetrics({ url: `http://${mesh}/v1/metrics` }), new JSONLogs({ url: `http://${mesh}/v1/logs` })],
}[protocol]();
const resource = resourceFromAttributes({ 'service.name': `node-unkept-${protocol}` });
const meters = new MeterProvider({ resource, readers: [new PeriodicExportingMetricReader({ exporter: metrics, exportIntervalMillis: 3_600_000 })] });
const loggers = new LoggerProvider({ resource, processors: [new BatchLogRecordProcessor({ exporter: logs })] });
const meter = meters.getMeter('interop');
const counter = meter.createCounter('orders');
const histogram = meter.createHistogram('took', { unit: 'ms' });
meter.createObservableGauge('queue').addCallback((result) => result.observe(7, { lane: 'a' }));
const logger = loggers.getLogger('interop');
for (let i = 0; i < 3; i++) {
  counter.add(1, { kind: 'card' });
  histogram.record(1.5 * i);
  logger.emit({ severityNumber: 9, severityText: 'INFO', body: `order ${i} of hällo ✓`, attributes: { i, list: ['x', 'y'] } });
  await meters.forceFlush();
  await loggers.forceFlush();
}
await meters.shutdown();
await loggers.shutdown();
