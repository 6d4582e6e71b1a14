"""A span of OpenTelemetry's for each HTTP request. Needs opentelemetry-api."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from .._application.matching import ROUTE_PATH
from .._messages.signed_urls import without_signatures
from ..datastructures import URL

try:
    from opentelemetry import propagate, trace
except ModuleNotFoundError:
    message = "fluvial.middleware.opentelemetry needs opentelemetry: pip install opentelemetry-api"
    raise ImportError(message, name="opentelemetry") from None

if TYPE_CHECKING:
    from .._asgi.protocol import Asgi3, Message, Receive, Send

__all__ = ["OpenTelemetryMiddleware"]

_MARK = "fluvial.opentelemetry"  # in the scope of a request that has a span, or is to have none


class OpenTelemetryMiddleware:
    """Makes a server's span of each HTTP request, with the names of the semantic conventions.

    `excluded_urls` are regular expressions, searched in the URL, for requests without a span: a
    sequence, or a text with commas between. Without `tracer_provider` the global one is used.
    `meter_provider` is taken for the sake of programs that pass it.
    """

    def __init__(
        self,
        app: Asgi3,
        *,
        excluded_urls: str | Sequence[str] = (),
        tracer_provider: trace.TracerProvider | None = None,
        meter_provider: Any = None,
    ) -> None:
        if isinstance(excluded_urls, str):
            excluded_urls = [each.strip() for each in excluded_urls.split(",") if each.strip()]
        self.app = app
        self._excluded = [re.compile(each) for each in excluded_urls]
        self._provider = tracer_provider or trace.get_tracer_provider()

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """The middleware as an ASGI app."""
        if scope["type"] != "http" or _MARK in scope:
            await self.app(scope, receive, send)
            return
        scope[_MARK] = True
        try:
            url = URL(scope=scope)
            silent = isinstance(self._provider, trace.NoOpTracerProvider)
            if silent or any(each.search(str(url)) for each in self._excluded):
                await self.app(scope, receive, send)
            else:
                await self._trace(url, scope, receive, send)
        finally:
            del scope[_MARK]

    async def _trace(self, url: URL, scope: Message, receive: Receive, send: Send) -> None:
        from .. import __version__

        method = scope.get("method", "").upper()
        headers = headers_of(scope)
        with self._provider.get_tracer("fluvial", __version__).start_as_current_span(
            method,
            context=propagate.extract(headers),
            kind=trace.SpanKind.SERVER,
            attributes=_attributes(url, scope, headers, method),
        ) as span:

            async def send_noted(message: Message) -> None:
                if message["type"] == "http.response.start":
                    _note_status(span, message["status"])
                await send(message)

            try:
                await self.app(scope, receive, send_noted)
            except Exception as exc:
                span.set_attribute("error.type", type(exc).__qualname__)
                raise
            finally:
                if (path := scope.get(ROUTE_PATH)) is not None:
                    span.update_name(f"{method} {path or '/'}")
                    span.set_attribute("http.route", path or "/")


def headers_of(scope: Message) -> dict[str, list[str]]:
    """The header fields, as propagators read them."""
    headers: dict[str, list[str]] = {}
    for name, value in scope.get("headers", ()):
        headers.setdefault(name.decode("latin-1").lower(), []).append(value.decode("latin-1"))
    return headers


def _attributes(
    url: URL, scope: Message, headers: dict[str, list[str]], method: str
) -> dict[str, str | int]:
    server, client = scope.get("server"), scope.get("client")
    port = url.port or (server[1] if server and url.hostname else None)
    told: dict[str, str | int | None] = {
        "http.request.method": method,
        "url.path": scope.get("path", ""),
        "url.scheme": scope.get("scheme", "http"),
        "url.query": without_signatures(url.query) or None,
        "server.address": url.hostname,
        "server.port": port,
        "network.protocol.version": scope.get("http_version") or None,
        "client.address": client[0] if client else None,
        "user_agent.original": headers.get("user-agent", [None])[0],
    }
    if scope.get("method") != method:
        told["http.request.method_original"] = scope.get("method")
    return {name: value for name, value in told.items() if value is not None}


def _note_status(span: trace.Span, status: int) -> None:
    span.set_attribute("http.response.status_code", status)
    if status >= 500:
        span.set_attribute("error.type", str(status))
        span.set_status(trace.StatusCode.ERROR)
