"""Sends the same spans to the mesh and to the test's own receiver.

The first argument names the protocol: grpc or http-protobuf.
"""

import sys

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GRPC
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HTTP
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags, TraceState
import grpc

protocol, mesh, receiver = sys.argv[1:]


def exporter(address):
    if protocol == "grpc":
        return GRPC(endpoint=f"http://{address}", insecure=True, compression=grpc.Compression.Gzip)
    return HTTP(endpoint=f"http://{address}/v1/traces", compression=Compression.Gzip)


provider = TracerProvider(
    resource=Resource.create(
        {"service.name": f"python-{protocol}", "service.version": "3.2.1", "shards": 4, "ratio": 0.25, "canary": True, "zones": ["a", "b"]}
    )
)
for address in (mesh, receiver):
    provider.add_span_processor(BatchSpanProcessor(exporter(address)))
tracer = provider.get_tracer("interop", "0.9.0", schema_url="https://opentelemetry.io/schemas/1.37.0", attributes={"library": "yes"})

linked = SpanContext(
    trace_id=0x0AF7651916CD43DD8448EB211C80319C,
    span_id=0xB7AD6B7169203331,
    is_remote=True,
    trace_flags=TraceFlags(1),
    trace_state=TraceState([("vendor", "value")]),
)
attributes = {
    "text": "hällo wörld ✓", "empty": "", "int": 42, "negative": -7, "big": 2**62, "float": 3.14159, "whole": 2.0,
    "yes": True, "no": False, "list": ["x", "y"], "numbers": [1, 2, 3], "floats": [0.5, 1.5], "flags": [True, False],
}
with tracer.start_as_current_span("checkout", kind=SpanKind.SERVER, attributes=attributes, links=[Link(linked, {"why": "retry", "times": 2})]) as root:
    root.add_event("cart.loaded", {"items": 3, "total": 99.5, "member": True})
    root.add_event("empty")
    try:
        with tracer.start_as_current_span("charge", kind=SpanKind.CLIENT):
            raise ValueError("card declined")
    except ValueError:
        pass
    for i in range(50):
        with tracer.start_as_current_span(f"item {i}", attributes={"i": i}):
            pass
    root.set_status(Status(StatusCode.OK))
assert provider.force_flush()
provider.shutdown()
