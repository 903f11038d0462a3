"""Traces, metrics and logs with OpenTelemetry, where `AML_APP_INSIGHTS_ENABLED` asks for them.

A span and a duration a request, what the script prints and logs, and the server's own log. They go to
Application Insights if there is its connection string, else over OTLP to where OpenTelemetry's standard
variables say. The packages are those of `telemetry.txt` beside this file; this module is imported where they
are asked for, and nowhere else. In `run()` the request's span is the current one, also in a process that has
only its `traceparent`: what the script calls with OpenTelemetry's propagation belongs to the caller's trace.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
from importlib import import_module
from time import monotonic
from typing import Any, Callable, Dict, Optional, Tuple

from opentelemetry import context, metrics, trace
from opentelemetry._logs import LogRecord, SeverityNumber, set_logger_provider
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from slipway.scoring import calls
from slipway.scoring.config import AZURE_DESTINATION
from slipway.scoring.log import CLIENT_LEFT, log

SCOPE = "slipway.scoring"
FLUSH_MS = 2_000
"""How long the end of the process waits for what is not sent yet."""

METHODS = ("GET", "HEAD", "POST", "OPTIONS", "PUT", "PATCH", "DELETE")
"""What is told apart, so that no client can make up attributes without end."""

BUCKETS = (
    0.001,
    0.0025,
    0.005,
    0.01,
    0.025,
    0.05,
    0.075,
    0.1,
    0.25,
    0.5,
    0.75,
    1,
    2.5,
    5,
    7.5,
    10,
    30,
    60,
    300,
)
"""Seconds: OpenTelemetry's advice for HTTP, with more at both ends."""


class Span:
    """One request's span; `traceparent` names it to whoever continues the trace."""

    def __init__(
        self, telemetry: "Telemetry", span: trace.Span, traceparent: str, method: str, route: str
    ) -> None:
        self.traceparent = traceparent
        self._telemetry = telemetry
        self._span = span
        self._attributes: Dict[str, Any] = {"http.request.method": method, "http.route": route}

    def end(self, status: Optional[int], seconds: float) -> None:
        """Say how the request ended; `None` for a client that went away."""
        self._attributes["http.response.status_code"] = status or CLIENT_LEFT
        self._telemetry.ended(self._span, self._attributes, seconds)


class Telemetry:
    """What `start` made; used by the server's thread, and by whoever calls `run()`."""

    def __init__(self, traces: TracerProvider, metrics: MeterProvider, logs: LoggerProvider) -> None:
        self._providers = (traces, metrics, logs)
        self._propagator = TraceContextTextMapPropagator()
        self._tracer = traces.get_tracer(SCOPE)
        self._logger = logs.get_logger(SCOPE)
        self._duration = metrics.get_meter(SCOPE).create_histogram(
            "http.server.request.duration",
            unit="s",
            description="Duration of HTTP server requests.",
            explicit_bucket_boundaries_advisory=BUCKETS,
        )

    def begin(self, method: str, path: str, route: str, headers: Dict[bytes, bytes], request_id: str) -> Span:
        """Begin the span of a request, in the trace that its headers name if they do."""
        method = method if method in METHODS else "_OTHER"
        carrier = {
            name: headers[name.encode()].decode("latin-1")
            for name in ("traceparent", "tracestate")
            if name.encode() in headers
        }
        span = self._tracer.start_span(
            f"{method} {route}".rstrip(),
            context=self._propagator.extract(carrier, context.Context()),
            kind=trace.SpanKind.SERVER,
            attributes={
                "http.request.method": method,
                "url.path": path,
                "http.route": route,
                "http.request.header.x-request-id": (request_id,),
            },
        )
        self._propagator.inject(carrier, trace.set_span_in_context(span, context.Context()))
        return Span(self, span, carrier.get("traceparent", ""), method, route)

    def ended(self, span: trace.Span, attributes: Dict[str, Any], seconds: float) -> None:
        status = attributes["http.response.status_code"]
        span.set_attribute("http.response.status_code", status)
        if status >= 500:
            span.set_status(trace.StatusCode.ERROR)
        span.end()
        self._duration.record(seconds, attributes, trace.set_span_in_context(span))

    def surround(self, traceparent: str) -> Callable[[], None]:
        """Make a request's span the current one; give what undoes that, in the same thread or task."""
        token = context.attach(self._propagator.extract({"traceparent": traceparent}, context.Context()))
        return lambda: context.detach(token)

    def emit(self, body: str, level: int = logging.INFO, created: Optional[float] = None) -> None:
        """Send a line of a log, with the current span."""
        numbers = ((50, "FATAL"), (40, "ERROR"), (30, "WARN"), (20, "INFO"), (0, "DEBUG"))
        name = next(name for least, name in numbers if level >= least)
        call = calls.current.get()
        self._logger.emit(
            LogRecord(
                timestamp=None if created is None else int(created * 1e9),
                context=context.get_current(),
                severity_text=name,
                severity_number=SeverityNumber[name],
                body=body,
                attributes={"request_id": call.id} if call else {},
            )
        )

    def listen(self) -> None:
        """Send what the script logs, from now on.

        Called after `init()`: a handler that is there before would make the script's `logging.basicConfig`
        do nothing.
        """
        calls.exporter = Handler(self)
        logging.getLogger().addHandler(calls.exporter)

    def stop(self) -> None:
        """Send what is left, for a bounded time."""
        threads = [
            threading.Thread(target=provider.force_flush, args=(FLUSH_MS,), daemon=True)
            for provider in self._providers
        ]
        for thread in threads:
            thread.start()
        end = monotonic() + FLUSH_MS / 1000
        for thread in threads:
            thread.join(max(0, end - monotonic()))


class Handler(logging.Handler):
    """Sends records of `logging`, but those of the exporters themselves."""

    def __init__(self, telemetry: Telemetry) -> None:
        super().__init__()
        self._telemetry = telemetry

    def emit(self, record: logging.LogRecord) -> None:
        if not record.name.startswith(("opentelemetry", "azure", "urllib3", "requests")):
            try:
                self._telemetry.emit(self.format(record), record.levelno, record.created)
            except Exception:
                self.handleError(record)


def start(service_name: str) -> Telemetry:
    """Begin to export."""
    if "service.name=" not in os.environ.get("OTEL_RESOURCE_ATTRIBUTES", ""):
        os.environ.setdefault("OTEL_SERVICE_NAME", service_name)
    resource = Resource.create({"service.instance.id": f"{socket.gethostname()}:{os.getpid()}"})
    spans, numbers, lines = _exporters()
    traces = TracerProvider(resource=resource)
    traces.add_span_processor(BatchSpanProcessor(spans))
    measured = MeterProvider([PeriodicExportingMetricReader(numbers)], resource=resource)
    logs = LoggerProvider(resource=resource)
    logs.add_log_record_processor(BatchLogRecordProcessor(lines))
    trace.set_tracer_provider(traces)
    metrics.set_meter_provider(measured)
    set_logger_provider(logs)
    telemetry = Telemetry(traces, measured, logs)
    calls.surround = telemetry.surround
    calls.listeners.append(telemetry.emit)
    log.addHandler(Handler(telemetry))
    return telemetry


def _exporters() -> Tuple[Any, Any, Any]:
    """Give the exporters of spans, metrics and logs."""
    if os.environ.get(AZURE_DESTINATION):
        for name in ("STATSBEAT_DISABLED_ALL", "SDKSTATS_DISABLED", "CONTROLPLANE_DISABLED"):
            # The exporter's own telemetry and settings, on hosts that a cluster's firewall need not let pass.
            os.environ.setdefault(f"APPLICATIONINSIGHTS_{name}", "true")
        azure = import_module("azure.monitor.opentelemetry.exporter")
        return (
            azure.AzureMonitorTraceExporter(),
            azure.AzureMonitorMetricExporter(),
            azure.AzureMonitorLogExporter(),
        )
    otlp = "opentelemetry.exporter.otlp.proto.http"
    return (
        import_module(f"{otlp}.trace_exporter").OTLPSpanExporter(),
        import_module(f"{otlp}.metric_exporter").OTLPMetricExporter(),
        import_module(f"{otlp}._log_exporter").OTLPLogExporter(),
    )
