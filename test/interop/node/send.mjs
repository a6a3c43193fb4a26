// Sends the same spans to the mesh and to the test's own receiver. The first
// argument names the protocol: grpc, http-protobuf or http-json.
import { SpanKind, SpanStatusCode, TraceFlags, context, trace } from '@opentelemetry/api';
import { OTLPTraceExporter as GRPC } from '@opentelemetry/exporter-trace-otlp-grpc';
import { OTLPTraceExporter as JSONHTTP } from '@opentelemetry/exporter-trace-otlp-http';
import { OTLPTraceExporter as ProtoHTTP } from '@opentelemetry/exporter-trace-otlp-proto';
import { resourceFromAttributes } from '@opentelemetry/resources';
import { BatchSpanProcessor, NodeTracerProvider } from '@opentelemetry/sdk-trace-node';

const [protocol, mesh, receiver] = process.argv.slice(2);
const exporters = {
  grpc: (address) => new GRPC({ url: `http://${address}`, compression: 'gzip' }),
  'http-protobuf': (address) => new ProtoHTTP({ url: `http://${address}/v1/traces`, compression: 'gzip' }),
  'http-json': (address) => new JSONHTTP({ url: `http://${address}/v1/traces` }),
};
const provider = new NodeTracerProvider({
  resource: resourceFromAttributes({ 'service.name': `node-${protocol}`, 'service.version': '3.2.1', shards: 4, ratio: 0.25, canary: true, zones: ['a', 'b'] }),
  spanProcessors: [mesh, receiver].map((address) => new BatchSpanProcessor(exporters[protocol](address))),
});
provider.register();
const tracer = trace.getTracer('interop', '0.9.0', { schemaUrl: 'https://opentelemetry.io/schemas/1.37.0' });

const linked = { traceId: '0af7651916cd43dd8448eb211c80319c', spanId: 'b7ad6b7169203331', traceFlags: TraceFlags.SAMPLED };
const root = tracer.startSpan('checkout', {
  kind: SpanKind.SERVER,
  attributes: { text: 'hällo wörld ✓', empty: '', int: 42, negative: -7, float: 3.14159, yes: true, no: false, list: ['x', 'y'], numbers: [1, 2, 3], floats: [0.5, 1.5], flags: [true, false] },
  links: [{ context: linked, attributes: { why: 'retry', times: 2 } }],
});
root.addEvent('cart.loaded', { items: 3, total: 99.5, member: true });
root.addEvent('empty');
const child = tracer.startSpan('charge', { kind: SpanKind.CLIENT }, trace.setSpan(context.active(), root));
child.recordException(new Error('card declined'));
child.setStatus({ code: SpanStatusCode.ERROR, message: 'declined' });
child.end();
root.setStatus({ code: SpanStatusCode.OK });
root.end();
for (let i = 0; i < 50; i++) tracer.startSpan(`item ${i}`, { attributes: { i } }, trace.setSpan(context.active(), root)).end();
await provider.forceFlush();
await provider.shutdown();
