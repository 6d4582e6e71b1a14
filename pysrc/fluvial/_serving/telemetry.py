"""OpenTelemetry: a span and the measurements of each request, sent by OTLP, if --otel asks for it.

What exporters do is OpenTelemetry's own matter, and so are its variables in the environment, such
as OTEL_EXPORTER_OTLP_ENDPOINT and OTEL_SERVICE_NAME. Names and attributes are those of the semantic
conventions for HTTP.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from opentelemetry import metrics, propagate, trace
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from .. import __version__
from .._application.matching import ROUTE_PATH
from .._messages.otel import BOUNDS, METHODS, TRACED
from .._messages.signed_urls import without_signatures

if TYPE_CHECKING:
    from .._asgi.protocol import Asgi3, Message, Receive, Send

_NAMED = "OTEL_SERVICE_NAME"


class Telemetry:
    """The providers of one process: the app's own, or ours if it has set up none."""

    def __init__(self) -> None:
        attributes = {} if os.environ.get(_NAMED) else {"service.name": "fluvial"}
        resource = Resource.create({**attributes, "process.pid": os.getpid()})
        self._ours: list[Any] = []
        if isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider):
            tracers = TracerProvider(resource=resource)
            tracers.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
            trace.set_tracer_provider(tracers)
            self._ours.append(tracers)
        if type(metrics.get_meter_provider()).__module__.startswith("opentelemetry.metrics"):
            reader = PeriodicExportingMetricReader(OTLPMetricExporter())
            meters = MeterProvider([reader], resource=resource)
            metrics.set_meter_provider(meters)
            self._ours.append(meters)

    def around(self, app: Asgi3) -> Asgi3:
        """The app with tracing around it."""
        return Told(app)

    @contextlib.asynccontextmanager
    async def sending(self, patience: float) -> AsyncIterator[None]:
        """Sends what is left at the end, for `patience` seconds at most."""
        try:
            yield
        finally:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(asyncio.to_thread(self._shut_down), patience)

    def _shut_down(self) -> None:
        for provider in self._ours:
            provider.shutdown()


class Instruments:
    """What spans are made with, and what measures."""

    def __init__(self) -> None:
        self.tracer = trace.get_tracer("fluvial", __version__)
        meter = metrics.get_meter("fluvial", __version__)
        self.duration = meter.create_histogram(
            "http.server.request.duration",
            unit="s",
            description="Duration of HTTP server requests.",
            explicit_bucket_boundaries_advisory=BOUNDS,
        )
        self.active = meter.create_up_down_counter(
            "http.server.active_requests",
            unit="{request}",
            description="Number of active HTTP server requests.",
        )


class Told:
    """ASGI middleware around everything of an app."""

    def __init__(self, app: Asgi3) -> None:
        self._app = app
        self._instruments = Instruments()

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """The middleware as an ASGI app."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        scope.setdefault(TRACED, None)
        known = known_method(scope.get("method", "GET"))
        common = {"http.request.method": known, "url.scheme": scope["scheme"]}
        name = "HTTP" if known == "_OTHER" else known
        with self._instruments.tracer.start_as_current_span(
            name,
            context=propagate.extract(_headers(scope)),
            kind=trace.SpanKind.SERVER,
            attributes={**common, **_attributes(scope)},
        ) as span:
            self._instruments.active.add(1, common)
            begun = time.perf_counter()
            result: dict[str, Any] = {"network.protocol.version": scope["http_version"]}
            try:
                await self._app(scope, receive, _noting(send, result))
            except Exception as exc:
                result.setdefault("http.response.status_code", 500)
                result["error.type"] = type(exc).__qualname__
                raise
            finally:
                self._instruments.active.add(-1, common)
                finish(span, name, _route(scope), result)
                if scope["type"] == "http":
                    took = time.perf_counter() - begun
                    self._instruments.duration.record(took, {**common, **result})


def _noting(send: Send, result: dict[str, Any]) -> Send:
    async def send_noted(message: Message) -> None:
        if message["type"] == "http.response.start":
            result["http.response.status_code"] = status = message["status"]
            if status >= 500:
                result["error.type"] = str(status)
        elif message["type"] == "websocket.accept":
            result["http.response.status_code"] = 101
        await send(message)

    return send_noted


def _route(scope: Message) -> Any:
    route = scope.get(ROUTE_PATH)
    if route is None:  # an app of another framework, such as FastAPI
        route = getattr(scope.get("route"), "path", None)
    return route


def finish(span: trace.Span, name: str, route: Any, result: dict[str, Any]) -> None:
    """Records the route, which is known only now, and the result."""
    if route is not None:
        result["http.route"] = route or "/"
        span.update_name(f"{name} {route or '/'}")
    span.set_attributes(result)
    if "error.type" in result:
        span.set_status(trace.StatusCode.ERROR)


def _headers(scope: Message) -> dict[str, list[str]]:
    headers: dict[str, list[str]] = {}
    for name, value in scope["headers"]:
        headers.setdefault(name.decode("latin-1"), []).append(value.decode("latin-1"))
    return headers


def known_method(method: str) -> str:
    """The method, or "_OTHER" for one that the conventions don't know."""
    return method if method in METHODS else "_OTHER"


def told_only(attributes: dict[str, str | int | None]) -> dict[str, str | int]:
    """Those that have a value."""
    return {name: value for name, value in attributes.items() if value is not None}


def host_of(value: str) -> str | None:
    """The name in a Host field."""
    try:
        return urlsplit(f"//{value}").hostname
    except ValueError:  # [::1
        return value


def _attributes(scope: Message) -> dict[str, str | int]:
    """What spans have, and metrics don't, since its values are many."""
    headers = _headers(scope)
    client, server = scope.get("client"), scope.get("server")
    method = scope.get("method")
    told: dict[str, str | int | None] = {
        "url.path": scope["path"],
        "url.query": without_signatures(scope["query_string"].decode("latin-1")) or None,
        "client.address": client[0] if client else None,
        "server.address": host_of(headers.get("host", [""])[0]),
        "server.port": server[1] if server else None,
        "user_agent.original": headers.get("user-agent", [None])[0],
        "http.request.method_original": None if method in METHODS else method,
        "fluvial.request_id": scope.get("state", {}).get("request_id"),
    }
    return told_only(told)
