"""FastAPI(telemetry=…): OpenTelemetry's spans, metrics and log records of an app's requests.

Imported only where the app imports OpenTelemetry itself, or asks for this. There are no spans of a
request's inner steps: what FastAPI names by them is compiled into one plan here.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, TypedDict
from urllib.parse import urlsplit

from opentelemetry import _logs, context, metrics, propagate, trace
from opentelemetry._logs import SeverityNumber
from opentelemetry.propagators.textmap import Getter

from .._application.matching import ON_REQUEST, ROUTE_PATH
from .._calling.failures import observer
from .._messages.otel import BOUNDS, METHODS, TRACED
from .._messages.signed_urls import without_signatures
from ..datastructures import Headers
from ..exceptions import WebSocketDisconnect
from .fastapi import __version__

if TYPE_CHECKING:
    from .._asgi.protocol import Asgi3, Message, Receive, Send
    from ..requests import Request
    from ..websockets import WebSocket

__all__ = ["TelemetryConfig", "TelemetryData", "get_telemetry_data"]

SCHEMA = "https://opentelemetry.io/schemas/1.44.0"
_PORTS = {"http": 80, "https": 443, "ws": 80, "wss": 443}
_CONTEXT = context.create_key("fluvial.telemetry")
_DEFERRED = ("ProxyTracerProvider", "_ProxyMeterProvider", "ProxyLoggerProvider")


class TelemetryConfig(TypedDict, total=False):
    """What `FastAPI(telemetry=…)` may hold; without a provider the global one is used."""

    tracer_provider: trace.TracerProvider | None
    meter_provider: metrics.MeterProvider | None
    logger_provider: _logs.LoggerProvider | None
    tracing: bool
    metrics: bool
    logs: bool
    operation_spans: bool
    auto_configure: bool
    exclude: Callable[[MutableMapping[str, Any]], bool] | None


@dataclass(kw_only=True)
class TelemetryData:
    """What is known of the current request, for processors of spans and log records."""

    request: Request | None = None
    websocket: WebSocket | None = None
    body: Any = None
    values: dict[str, Any] | None = None
    errors: Sequence[Any] | None = None


@dataclass(kw_only=True)
class Told:
    """One request or WebSocket."""

    scope: Message
    span: trace.Span | None
    logger: Any
    attributes: dict[str, Any]
    begun: float = field(default_factory=time.perf_counter)
    data: TelemetryData | None = field(default_factory=TelemetryData)
    status: int | None = None
    failure: BaseException | None = None
    over: bool = False

    def notice(self, request: Any) -> None:
        """Called with the request of the route."""
        if self.data is not None:
            kind = "websocket" if self.scope["type"] == "websocket" else "request"
            setattr(self.data, kind, request)


def get_telemetry_data(context_: context.Context | None = None) -> TelemetryData | None:
    """What is known of the request of an OpenTelemetry context; None when it is over."""
    told = context.get_value(_CONTEXT, context_)
    return told.data if isinstance(told, Told) else None


class _Fields(Getter[Headers]):
    """Header fields for propagators."""

    def get(self, carrier: Headers, key: str) -> list[str] | None:
        values = carrier.getlist(key)
        if values and key.lower() == "baggage":
            return [",".join(values)]  # its propagator reads one
        return values or None

    def keys(self, carrier: Headers) -> list[str]:
        return carrier.keys()


_FIELDS = _Fields()


def _usable(provider: Any, given: bool) -> bool:
    """Whether a provider is more than the API's own placeholder."""
    name = type(provider).__name__
    return not name.startswith("NoOp") and (given or name not in _DEFERRED)


class Telemetry:
    """ASGI middleware around everything else of an app."""

    def __init__(self, app: Asgi3, config: Mapping[str, Any]) -> None:
        self.app = app
        self._config = {"tracing": True, "metrics": True, "logs": True, **config}
        named = os.environ.get("OTEL_INSTRUMENTATION_HTTP_KNOWN_METHODS", "").split(",")
        self._methods = {each.strip() for each in named if each.strip()} or METHODS
        self._made: dict[str, tuple[Any, Any]] = {}  # by kind: a provider, and what it has made

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """The middleware as an ASGI app."""
        if scope["type"] not in ("http", "websocket") or TRACED in scope:
            await self.app(scope, receive, send)
            return
        exclude = self._config.get("exclude")
        told = None if exclude is not None and exclude(scope) else self._begin(scope)
        scope[TRACED] = told
        if told is not None:
            scope[ON_REQUEST] = told.notice
            observer.set(partial(note_failure, told))
        token = context.attach(context.set_value(_CONTEXT, told, self._parent(scope, told)))
        try:
            if told is None:
                await self.app(scope, receive, send)
            else:
                await self._run(told, receive, send)
        finally:
            context.detach(token)
            observer.set(None)
            scope.pop(TRACED, None)
            scope.pop(ON_REQUEST, None)

    def _provider(self, kind: str, get: Callable[[], Any]) -> Any:
        """The provider of tracers, meters or loggers; None when it isn't wanted or set up."""
        given = self._config.get(f"{kind}_provider")
        provider = get() if given is None else given
        return provider if _usable(provider, given is not None) else None

    def _maker(self, kind: str, provider: Any, make: Callable[[], Any]) -> Any:
        """What `make` makes of the provider, once."""
        known, made = self._made.get(kind, (None, None))
        if known is not provider:
            made = make()
            self._made[kind] = provider, made
        return made

    def _tracer(self) -> Any:
        provider = self._provider("tracer", trace.get_tracer_provider)
        if provider is None or not self._config["tracing"]:
            return None
        make = partial(provider.get_tracer, "fastapi", __version__, schema_url=SCHEMA)
        return self._maker("tracer", provider, make)

    def _meters(self) -> Any:
        provider = self._provider("meter", metrics.get_meter_provider)
        if provider is None or not self._config["metrics"]:
            return None
        return self._maker("meter", provider, lambda: _instruments(provider))

    def _logger(self) -> Any:
        provider = self._provider("logger", _logs.get_logger_provider)
        if provider is None or not self._config["logs"]:
            return None
        return _logs.get_logger("fastapi", __version__, provider, schema_url=SCHEMA)

    def _parent(self, scope: Message, told: Told | None) -> context.Context | None:
        if told is None or told.span is None:
            return None
        return propagate.extract(Headers(raw=list(scope.get("headers", ()))), getter=_FIELDS)

    def _begin(self, scope: Message) -> Told | None:
        """Begins the span and counts the request; None when nothing of this is wanted."""
        tracer, logger = self._tracer(), self._logger()
        meters = self._meters() if scope["type"] == "http" else None
        if tracer is None and meters is None and logger is None:
            return None
        attributes, method = self._attributes(scope)
        if meters is not None:
            meters[1].add(1, _of_active(attributes))
        span = None
        if tracer is not None:
            headers = Headers(raw=list(scope.get("headers", ())))
            span = tracer.start_span(
                method,
                context=propagate.extract(headers, getter=_FIELDS),
                kind=trace.SpanKind.SERVER,
                attributes={**attributes, **_of_server(scope, headers), **_of_url(scope, method)},
            )
        return Told(scope=scope, span=span, logger=logger, attributes=attributes)

    def _attributes(self, scope: Message) -> tuple[dict[str, Any], str]:
        """What spans and metrics have in common, and the span's name."""
        if scope["type"] == "websocket":
            scheme = scope.get("scheme", "ws")
            return {"url.scheme": scheme, "network.protocol.name": "websocket"}, "WS"
        method = scope.get("method", "")
        known = method if method in self._methods else "_OTHER"
        attributes = {"url.scheme": scope.get("scheme", "http"), "http.request.method": known}
        if scope.get("http_version"):
            attributes["network.protocol.version"] = scope["http_version"]
        return attributes, "HTTP" if known == "_OTHER" else known

    async def _run(self, told: Told, receive: Receive, send: Send) -> None:
        gone = False

        async def receive_noted() -> Message:
            nonlocal gone
            message = await receive()
            gone = gone or message["type"] == "http.disconnect"
            return message

        send_noted = self._sender(told, send)
        using = nullcontext() if told.span is None else _current(told.span)
        try:
            with using:
                if told.scope["type"] == "websocket":
                    await self.app(told.scope, receive, send)
                else:
                    await self.app(told.scope, receive_noted, send_noted)
                    if not told.over:
                        lost = ConnectionError("the client has disconnected")
                        raised = lost if gone else RuntimeError("the response is incomplete")
                        self._end(told, raised)
        except BaseException as exc:
            left = isinstance(exc, WebSocketDisconnect) and exc.code in (1000, 1001)
            if not left:
                note_failure(told, exc)
            self._end(told, None if left else exc)
            raise
        finally:
            self._end(told, None)
            told.data = None

    def _sender(self, told: Told, send: Send) -> Send:
        trailers = False

        async def send_noted(message: Message) -> None:
            nonlocal trailers
            kind = message["type"]
            if kind == "http.response.start":
                told.status = message["status"]
                trailers = message.get("trailers", False)
                _name(told)
            await send(message)
            last = kind == "http.response.body" and not message.get("more_body") and not trailers
            ended = kind == "http.response.trailers" and not message.get("more_trailers")
            if last or ended or kind == "http.response.pathsend":
                self._end(told, None)

        return send_noted

    def _end(self, told: Told, failure: BaseException | None) -> None:
        """Ends the span, and counts how long it took; once."""
        if told.over:
            return
        told.over = True
        _name(told)
        told.attributes |= _of_result(told, failure)
        if told.span is not None:
            told.span.set_attributes(told.attributes)
            if "error.type" in told.attributes:
                told.span.set_status(trace.StatusCode.ERROR)
        meters = self._made.get("meter", (None, None))[1]
        if meters is not None and self._config["metrics"] and told.scope["type"] == "http":
            duration, active = meters
            duration.record(time.perf_counter() - told.begun, told.attributes)
            active.add(-1, _of_active(told.attributes))
        if told.span is not None:
            told.span.end()


class NotingFailures:
    """ASGI middleware within the one that responds to failures: the span has them then."""

    def __init__(self, app: Asgi3) -> None:
        self.app = app

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """The middleware as an ASGI app."""
        try:
            await self.app(scope, receive, send)
        except Exception as exc:
            if isinstance(told := scope.get(TRACED), Told):
                note_failure(told, exc)
            raise


def note_failure(told: Told, exc: BaseException) -> None:
    """Emits a log record for an exception that nothing has handled, once."""
    if told.failure is exc or (isinstance(exc, WebSocketDisconnect) and exc.code in (1000, 1001)):
        return
    told.failure = exc
    if told.logger is None or not isinstance(exc, Exception):
        return
    _name(told)
    socket = told.scope["type"] == "websocket"
    what = "WebSocket connection" if socket else "request"
    told.logger.emit(
        exception=exc,
        event_name="fastapi.websocket.exception" if socket else "http.server.request.exception",
        timestamp=time.time_ns(),
        severity_number=SeverityNumber.ERROR,
        severity_text="ERROR",
        body=f"Unhandled exception in a {what}",
        attributes=_of_route(told),
    )


def _current(span: trace.Span) -> Any:
    return trace.use_span(
        span, end_on_exit=False, record_exception=False, set_status_on_exception=False
    )


def _instruments(provider: metrics.MeterProvider) -> tuple[Any, Any]:
    meter = provider.get_meter("fastapi", __version__, schema_url=SCHEMA)
    duration = meter.create_histogram(
        "http.server.request.duration",
        unit="s",
        description="Duration of HTTP server requests.",
        explicit_bucket_boundaries_advisory=BOUNDS,
    )
    active = meter.create_up_down_counter(
        "http.server.active_requests",
        unit="{request}",
        description="Number of active HTTP server requests.",
    )
    return duration, active


def _name(told: Told) -> None:
    """Gives the span the name of the route, once that is known."""
    path = told.scope.get(ROUTE_PATH)
    if path is None or "http.route" in told.attributes:
        return
    told.attributes["http.route"] = path
    if told.span is not None:
        method = told.attributes.get("http.request.method", "WS")
        told.span.update_name(f"{'HTTP' if method == '_OTHER' else method} {path}")


def _of_route(told: Told) -> dict[str, Any] | None:
    path = told.scope.get(ROUTE_PATH)
    return None if path is None else {"http.route": path}


def _of_active(attributes: dict[str, Any]) -> dict[str, Any]:
    return {name: attributes[name] for name in ("url.scheme", "http.request.method")}


def _of_result(told: Told, failure: BaseException | None) -> dict[str, Any]:
    """The status, and what has failed."""
    found: dict[str, Any] = {}
    if told.status is not None:
        found["http.response.status_code"] = told.status
    failed = told.failure is not None if told.scope["type"] == "websocket" else told.status is None
    if failure is None and not failed and (told.status or 0) < 500:
        return found
    exc = failure or told.failure
    if exc is None:
        return {**found, "error.type": str(told.status or "incomplete_response")}
    cls = type(exc)
    module = "" if cls.__module__ == "builtins" else f"{cls.__module__}."
    return {**found, "error.type": f"{module}{cls.__qualname__}"}


def _of_server(scope: Message, headers: Headers) -> dict[str, Any]:
    """Where the client sent the request to, as the Host field says."""
    host = headers.get("host")
    if host is None:
        address, port = scope.get("server") or (None, None)
    else:
        try:
            url = urlsplit(f"//{host}")
            address, port = url.hostname, url.port or _PORTS.get(scope.get("scheme", "http"))
        except ValueError:
            return {}
        if url.username is not None or url.path or url.query or url.fragment:
            return {}
    told = {"server.address": address, "server.port": None if address is None else port}
    return {name: value for name, value in told.items() if value is not None}


def _of_url(scope: Message, method: str) -> dict[str, Any]:
    """The path and query, without the secrets of signed URLs."""
    if scope["type"] == "websocket":
        return {}
    told = {"url.path": scope["path"]}
    if scope.get("query_string"):
        told["url.query"] = without_signatures(scope["query_string"].decode("latin-1"))
    if method == "HTTP":
        told["http.request.method_original"] = scope.get("method", "")
    return told
