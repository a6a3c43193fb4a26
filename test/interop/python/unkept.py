"""Sends metrics and logs to the mesh, several times, and prints what the SDK
has to say of it: a line for each message of its own log, of warnings and worse.

The arguments are the protocol (grpc or http-protobuf) and the address.
"""

import logging
import sys

import grpc
from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter as GRPCLogs
from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter as GRPCMetrics
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter as HTTPLogs
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter as HTTPMetrics
from opentelemetry.metrics import Observation
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource

logging.basicConfig(level=logging.WARNING, stream=sys.stdout, format="%(levelname)s %(name)s: %(message)s")

protocol, mesh = sys.argv[1:]
if protocol == "grpc":
    metrics = GRPCMetrics(endpoint=f"http://{mesh}", insecure=True, compression=grpc.Compression.Gzip)
    logs = GRPCLogs(endpoint=f"http://{mesh}", insecure=True, compression=grpc.Compression.Gzip)
else:
    metrics = HTTPMetrics(endpoint=f"http://{mesh}/v1/metrics", compression=Compression.Gzip)
    logs = HTTPLogs(endpoint=f"http://{mesh}/v1/logs", compression=Compression.Gzip)

resource = Resource.create({"service.name": f"python-unkept-{protocol}"})
meters = MeterProvider([PeriodicExportingMetricReader(metrics, export_interval_millis=3_600_000)], resource=resource)
loggers = LoggerProvider(resource=resource)
loggers.add_log_record_processor(BatchLogRecordProcessor(logs))
meter = meters.get_meter("interop")
counter, histogram = meter.create_counter("orders"), meter.create_histogram("took", unit="ms")
meter.create_observable_gauge("queue", [lambda options: [Observation(7, {"lane": "a"})]])
logger = loggers.get_logger("interop")
for i in range(3):
    counter.add(1, {"kind": "card"})
    histogram.record(1.5 * i)
    logger.emit(LogRecord(severity_number=SeverityNumber.INFO, severity_text="INFO", body=f"order {i} of hällo ✓", attributes={"i": i, "list": ["x", "y"]}))
    assert meters.force_flush()
    assert loggers.force_flush()
meters.shutdown()
loggers.shutdown()
