"""OpenTelemetry for WSGI apps: the same as Told for ASGI apps, on the threads that run the app."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any
from wsgiref.util import FileWrapper

from opentelemetry import propagate, trace

from .._messages.signed_urls import without_signatures
from .telemetry import Instruments, finish, host_of, known_method, told_only

if TYPE_CHECKING:
    from .._wsgi.bridge import Wsgi

Environ = dict[str, Any]
# Bodies that are computed when the app has returned. C must see them as they are: it sends them at
# once, or has the kernel copy the file.
_WHOLE = (list, tuple, FileWrapper)


class ToldWsgi:
    """WSGI middleware around everything of an app."""

    def __init__(self, app: Wsgi) -> None:
        self._app = app
        self._instruments = Instruments()

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        """The middleware as a WSGI app."""
        told = _Request(self._instruments, environ)

        def start_noted(status: str, headers: Any, exc_info: Any = None) -> Any:
            told.note_status(status)
            return start_response(status, headers, exc_info)

        with trace.use_span(told.span, record_exception=False, set_status_on_exception=False):
            try:
                body = self._app(environ, start_noted)
                if type(body) in _WHOLE:
                    told.end()
                    return body
                return _Body(body, told)
            except BaseException as exc:
                told.fail(exc)
                raise


class _Request:
    """The span of one request, from the app's call to the end of its body."""

    def __init__(self, instruments: Instruments, environ: Environ) -> None:
        method = environ["REQUEST_METHOD"]
        known = known_method(method)
        self._name = "HTTP" if known == "_OTHER" else known
        self._instruments = instruments
        self._environ = environ
        self._common = {
            "http.request.method": known,
            "url.scheme": environ["wsgi.url_scheme"],
        }
        version = environ["SERVER_PROTOCOL"].partition("/")[2]
        self._result: dict[str, Any] = {"network.protocol.version": version}
        self._route: str | None = None
        self._over = False
        self.span = instruments.tracer.start_span(
            self._name,
            context=propagate.extract(_headers(environ)),
            kind=trace.SpanKind.SERVER,
            attributes={**self._common, **_attributes(environ)},
        )
        instruments.active.add(1, self._common)
        self._begun = time.perf_counter()

    def note_status(self, status: str) -> None:
        """The app has begun its response: Flask forgets the route soon after."""
        self._route = _route(self._environ)
        code = status[:3]
        if code.isdecimal():
            self._result["http.response.status_code"] = int(code)
            self._result.pop("error.type", None)
            if code >= "500":
                self._result["error.type"] = code

    def fail(self, exc: BaseException) -> None:
        """The app has raised an exception, also while its body was sent."""
        self._result.setdefault("http.response.status_code", 500)
        self._result["error.type"] = type(exc).__qualname__
        self.span.record_exception(exc)
        self.end()

    def end(self) -> None:
        """The response is complete, or the server drops the rest."""
        if self._over:
            return
        self._over = True
        self._instruments.active.add(-1, self._common)
        finish(self.span, self._name, self._route, self._result)
        self.span.end()
        took = time.perf_counter() - self._begun
        self._instruments.duration.record(took, {**self._common, **self._result})


class _Body:
    """A body that the app makes while it is sent."""

    def __init__(self, body: Iterable[bytes], told: _Request) -> None:
        self._body = body
        self._pieces = iter(body)
        self._told = told

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        span = self._told.span
        with trace.use_span(span, record_exception=False, set_status_on_exception=False):
            try:
                return next(self._pieces)
            except StopIteration:
                raise
            except BaseException as exc:
                self._told.fail(exc)
                raise

    def close(self) -> None:
        """Ends the span, after what the app itself does at the end."""
        try:
            if (close := getattr(self._body, "close", None)) is not None:
                close()
        finally:
            self._told.end()


def _route(environ: Environ) -> str | None:
    """The route, where the framework leaves it in the environ: Flask and Bottle do."""
    rule = getattr(environ.get("werkzeug.request"), "url_rule", None) or environ.get("bottle.route")
    path = getattr(rule, "rule", None)
    return path if isinstance(path, str) else None


def _headers(environ: Environ) -> dict[str, list[str]]:
    return {
        name[5:].lower().replace("_", "-"): [value]
        for name, value in environ.items()
        if name.startswith("HTTP_")
    }


def _attributes(environ: Environ) -> dict[str, str | int]:
    method, port = environ["REQUEST_METHOD"], environ["SERVER_PORT"]
    path = environ["SCRIPT_NAME"] + environ["PATH_INFO"]
    return told_only(
        {
            "url.path": path.encode("latin-1").decode("utf-8", "replace"),
            "url.query": without_signatures(environ["QUERY_STRING"]) or None,
            "client.address": environ["REMOTE_ADDR"] or None,
            "server.address": host_of(environ.get("HTTP_HOST", "")),
            "server.port": int(port) if port.isdecimal() else None,
            "user_agent.original": environ.get("HTTP_USER_AGENT"),
            "http.request.method_original": None if known_method(method) == method else method,
            "fluvial.request_id": environ.get("fluvial.request_id"),
        }
    )
