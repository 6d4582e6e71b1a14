"""gunicorn's hooks of requests, `pre_request(worker, req)` and `post_request(worker, req, environ,
resp)`, around an app of any kind. An app for which none is set is left as it is.
"""

from __future__ import annotations

import http
import logging
from collections.abc import Callable, Iterable, Iterator, Sized
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from .._asgi.foreign_app import Foreign
from ..applications import App

if TYPE_CHECKING:
    from .._asgi.protocol import Asgi3, Message, Receive, Send

Hook = Callable[..., Any]


@dataclass(slots=True)
class HookedRequest:
    """What hooks get as `req`, with the names of gunicorn's own."""

    method: str
    uri: str  # as the client has sent it
    path: str
    query: str
    version: tuple[int, int]
    headers: list[tuple[str, str]]  # names in capitals
    scheme: str
    remote_addr: tuple[Any, ...]


@dataclass(slots=True)
class HookedResponse:
    """What `post_request` gets as `resp`."""

    status: str = ""  # as in "200 OK"
    status_code: int = 0
    headers: list[tuple[str, str]] = field(default_factory=list)
    sent: int = 0  # bytes of the body

    def note(self, status: str, headers: Iterable[tuple[str, str]]) -> None:
        """The response has begun."""
        self.status, self.status_code, self.headers = status, int(status[:3]), list(headers)

    @property
    def headers_sent(self) -> bool:
        """Whether the response has begun."""
        return self.status_code != 0


@dataclass(frozen=True, slots=True)
class Hooks:
    """The hooks of a worker; None where gunicorn's default does nothing."""

    worker: Any
    pre: Hook | None
    post: Hook | None

    @classmethod
    def of(cls, worker: Any) -> Hooks:
        """Those that are set."""
        found = {name: getattr(worker.cfg, name) for name in ("pre_request", "post_request")}
        for name, hook in found.items():
            if hook is worker.cfg.settings[name].default:
                found[name] = None
        if worker.log.error_log.isEnabledFor(logging.DEBUG):  # the default one writes a line then
            found["pre_request"] = worker.cfg.pre_request
        return cls(worker, *found.values())

    def around(self, app: App | Foreign) -> App | Foreign:
        """The app, with the hooks around it."""
        if self.pre is None and self.post is None:
            return app
        if isinstance(app, App):
            app.add_middleware(AsgiHooks, hooks=self)
            return app
        if app.interface == "wsgi":
            return replace(app, app=_around_wsgi(app.app, self))
        return Foreign(AsgiHooks(app.as_asgi3(), hooks=self), "asgi3")

    def before(self, request: HookedRequest) -> None:
        """Calls the first hook; what it raises is the request's failure."""
        if self.pre is not None:
            self.pre(self.worker, request)

    def after(
        self, request: HookedRequest, environ: dict[str, Any], response: HookedResponse
    ) -> None:
        """Calls the second hook, whose failure is logged: the response has been sent."""
        if self.post is None:
            return
        if not response.headers_sent:  # the app has failed
            response.note("500 Internal Server Error", ())
        try:
            self.post(self.worker, request, environ, response)
        except Exception:
            self.worker.log.exception("Exception in post_request hook")


# ---- WSGI -------------------------------------------------------------------------------------


def _around_wsgi(app: Callable[..., Any], hooks: Hooks) -> Callable[..., Any]:
    def hooked(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        request, response = _of_environ(environ), HookedResponse()

        def start(status: str, headers: list[tuple[str, str]], *exc_info: Any) -> Any:
            response.note(status, headers)
            write = start_response(status, headers, *exc_info)

            def counting(piece: bytes) -> None:
                response.sent += len(piece)
                write(piece)

            return counting

        try:
            hooks.before(request)
            result = app(environ, start)
        except BaseException:
            hooks.after(request, environ, response)
            raise
        body = _SizedBody if isinstance(result, Sized) else _Body
        return body(result, response, lambda: hooks.after(request, environ, response))

    return hooked


class _Body:
    """A WSGI app's result, and what follows its end."""

    def __init__(self, result: Any, response: HookedResponse, after: Callable[[], None]) -> None:
        self._result = result
        self._response = response
        self._after = after

    def __iter__(self) -> Iterator[bytes]:
        for piece in self._result:
            self._response.sent += len(piece)
            yield piece

    def close(self) -> None:
        """Called when the response is over, however it ends."""
        try:
            if (close := getattr(self._result, "close", None)) is not None:
                close()
        finally:
            self._after()


class _SizedBody(_Body):
    """A result of which it is known how many pieces it has: the length of one is the body's."""

    def __len__(self) -> int:
        return len(self._result)


def _of_environ(environ: dict[str, Any]) -> HookedRequest:
    headers = [(n[5:].replace("_", "-"), v) for n, v in environ.items() if n.startswith("HTTP_")]
    for name in ("CONTENT_TYPE", "CONTENT_LENGTH"):
        if environ.get(name):
            headers.append((name.replace("_", "-"), environ[name]))
    query = environ.get("QUERY_STRING", "")
    path = environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")
    return HookedRequest(
        method=environ["REQUEST_METHOD"],
        uri=environ.get("RAW_URI") or path + (query and f"?{query}"),
        path=path,
        query=query,
        version=_version(environ["SERVER_PROTOCOL"].removeprefix("HTTP/")),
        headers=headers,
        scheme=environ["wsgi.url_scheme"],
        remote_addr=(environ.get("REMOTE_ADDR", ""), int(environ.get("REMOTE_PORT") or 0)),
    )


def _version(text: str) -> tuple[int, int]:
    major, _, minor = text.partition(".")
    return int(major), int(minor or 0)


# ---- ASGI -------------------------------------------------------------------------------------


class AsgiHooks:
    """ASGI middleware that calls the hooks of each HTTP request."""

    def __init__(self, app: Asgi3, *, hooks: Hooks) -> None:
        self.app = app
        self._hooks = hooks

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Passes the request on."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request, response = _of_scope(scope), HookedResponse()

        async def noting(message: Message) -> None:
            if message["type"] == "http.response.start":
                # They may be an iterator, which can be read once.
                message = {**message, "headers": list(message.get("headers", ()))}
            await send(message)  # it checks what is read here
            if message["type"] == "http.response.start":
                headers = [(_text(n), _text(v)) for n, v in message["headers"]]
                response.note(_status(message["status"]), headers)
            elif message["type"] == "http.response.body":
                response.sent += len(message.get("body", b""))

        try:
            self._hooks.before(request)
            await self.app(scope, receive, noting if self._hooks.post else send)
        finally:
            if self._hooks.post is not None:
                self._hooks.after(request, _environ_of(scope, request), response)


def _text(value: Any) -> str:
    return bytes(value).decode("latin-1")


def _status(code: int) -> str:
    try:
        return f"{code} {http.HTTPStatus(code).phrase}"
    except ValueError:
        return f"{code} "


def _of_scope(scope: Message) -> HookedRequest:
    raw = _text(scope.get("raw_path") or scope["path"].encode())
    query = _text(scope.get("query_string", b""))
    return HookedRequest(
        method=scope["method"],
        uri=raw + (query and f"?{query}"),
        path=scope["path"],
        query=query,
        version=_version(scope["http_version"]),
        headers=[(_text(name).upper(), _text(value)) for name, value in scope["headers"]],
        scheme=scope["scheme"],
        remote_addr=tuple(scope.get("client") or ("", 0)),
    )


def _environ_of(scope: Message, request: HookedRequest) -> dict[str, Any]:
    """The variables that a WSGI app would get, of those that don't need its body."""
    root = scope.get("root_path", "")
    environ = {
        "REQUEST_METHOD": request.method,
        "SCRIPT_NAME": root,
        "PATH_INFO": request.path.removeprefix(root),
        "QUERY_STRING": request.query,
        "RAW_URI": request.uri,
        "SERVER_PROTOCOL": f"HTTP/{scope['http_version']}",
        "REMOTE_ADDR": str(request.remote_addr[0]),
        "wsgi.url_scheme": request.scheme,
    }
    for name, value in request.headers:
        key = name.replace("-", "_")
        key = key if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{key}"
        environ[key] = f"{environ[key]},{value}" if key in environ else value
    return environ
