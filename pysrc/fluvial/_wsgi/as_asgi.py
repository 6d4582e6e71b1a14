"""WSGI apps (PEP 3333) as ASGI apps, for the two places where C can't call them directly: mounted
in an app with middleware, which needs a Response, and mounted in a Fluvial app that another server
runs. Everywhere else C calls them (_wsgi/bridge.py).

A response that is complete when the app returns is passed to the loop together with the result.
Pieces of a longer one are passed on one by one, and the thread waits while the client is slow.
"""

from __future__ import annotations

import asyncio
import io
from collections.abc import Callable, Iterable
from contextvars import copy_context
from types import TracebackType
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from .._calling.threads import submit, to_its_end
from ..exceptions import HTTPException
from .bridge import base_environ

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

    from .._asgi.protocol import Message, Receive, Send

ExcInfo = tuple[type[BaseException], BaseException, TracebackType] | tuple[None, None, None]
_END: Message = {"type": "http.response.body"}


class Wsgi:
    """The WSGI app `app` as an ASGI 3 app. `multiprocess` becomes wsgi.multiprocess."""

    def __init__(self, app: WSGIApplication, *, multiprocess: bool = False) -> None:
        self._app = app
        self._constants = base_environ("", multithread=True, multiprocess=multiprocess)

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        event = await receive()
        if event["type"] != "http.request":
            return  # the client has disconnected
        loop = asyncio.get_running_loop()
        body = make_input(event, receive, loop)
        environ = self._constants | make_environ(scope) | {"wsgi.input": body}
        call = _AppCall(self._app, environ, send, loop)
        try:
            hop = submit(copy_context(), call.run)
        except HTTPException as exc:
            await _refuse(send, exc)
            return
        for message in await to_its_end(hop):
            await send(message)


async def _refuse(send: Send, exc: HTTPException) -> None:
    """Sends the response for a call that was refused because too many wait for a thread."""
    headers = [(name.encode(), value.encode()) for name, value in (exc.headers or {}).items()]
    await send({"type": "http.response.start", "status": exc.status_code, "headers": headers})
    await send(_END)


# ---- the request -------------------------------------------------------------------------------


def make_environ(scope: Message) -> dict[str, Any]:
    """The variables of a request; text is bytes decoded as latin-1, as PEP 3333 requires."""
    root_path = scope["root_path"]
    query = scope.get("query_string", b"").decode("latin-1")
    raw_path = scope.get("raw_path") or quote(scope["path"]).encode()
    target = raw_path.decode("latin-1") + (f"?{query}" if query else "")
    environ = {
        "REQUEST_METHOD": scope["method"],
        "SCRIPT_NAME": _as_latin1(root_path),
        "PATH_INFO": _as_latin1(_below(scope["path"], root_path)),
        "QUERY_STRING": query,
        "REQUEST_URI": target,
        "RAW_URI": target,
        "SERVER_PROTOCOL": f"HTTP/{scope.get('http_version', '1.1')}",
        "wsgi.url_scheme": scope.get("scheme", "http"),
    }
    if (server := scope.get("server")) and server[1] is not None:
        environ["SERVER_NAME"], environ["SERVER_PORT"] = server[0], str(server[1])
    if client := scope.get("client"):
        environ["REMOTE_ADDR"], environ["REMOTE_PORT"] = client[0], str(client[1])
    for raw_name, value in scope["headers"]:
        _add_header(environ, raw_name, value.decode("latin-1"))
    return environ


def _below(path: str, root_path: str) -> str:
    """The path without the root path; some servers leave that out already."""
    below = path.removeprefix(root_path)
    return below if below[:1] in ("", "/") or root_path.endswith("/") else path


def _as_latin1(text: str) -> str:
    return text if text.isascii() else text.encode().decode("latin-1")


def _add_header(environ: dict[str, Any], raw_name: bytes, value: str) -> None:
    if b"_" in raw_name:
        return  # it would be confused with the field that has "-" in its place
    name = raw_name.decode("latin-1").upper().replace("-", "_")
    if name not in ("CONTENT_TYPE", "CONTENT_LENGTH"):
        name = f"HTTP_{name}"
    if name in environ:
        value = f"{environ[name]}{'; ' if name == 'HTTP_COOKIE' else ', '}{value}"
    environ[name] = value


def make_input(
    event: Message, receive: Receive, loop: asyncio.AbstractEventLoop
) -> io.BufferedIOBase:
    """The body as a file; `event` has its first piece."""
    if not event["more_body"]:
        return io.BytesIO(event["body"])
    return io.BufferedReader(_Body(event["body"], receive, loop))


class _Body(io.RawIOBase):
    """A body that has not completely arrived: reading waits for the rest."""

    def __init__(self, piece: bytes, receive: Receive, loop: asyncio.AbstractEventLoop) -> None:
        self._piece = memoryview(piece)
        self._more = True
        self._receive = receive
        self._loop = loop

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while self._more and not self._piece:
            self._fetch()
        size = min(len(buffer), len(self._piece))
        buffer[:size] = self._piece[:size]
        self._piece = self._piece[size:]
        return size

    def _fetch(self) -> None:
        async def receive() -> Message:
            return await self._receive()

        event = asyncio.run_coroutine_threadsafe(receive(), self._loop).result()
        if event["type"] == "http.disconnect":
            raise ConnectionResetError("the client has gone away")
        self._piece = memoryview(event["body"])
        self._more = event["more_body"]


# ---- the response ------------------------------------------------------------------------------


class _AppCall:
    """One call of a WSGI app, on a worker thread."""

    def __init__(
        self,
        app: WSGIApplication,
        environ: dict[str, Any],
        send: Send,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._app = app
        self._environ = environ
        self._send = send
        self._loop = loop
        self._start: Message | None = None
        self._begun = False

    def run(self) -> list[Message]:
        """Calls the app; returns the messages that are still to be sent."""
        try:
            result = self._app(self._environ, self._start_response)
            try:
                return self._take(result)
            finally:
                if hasattr(result, "close"):
                    result.close()
        except StopIteration as exc:  # a future can't hold a StopIteration
            raise RuntimeError("the app raised StopIteration") from exc

    def _take(self, result: Iterable[bytes]) -> list[Message]:
        if isinstance(result, list | tuple):
            return self._last(b"".join([_checked(piece) for piece in result]))
        held = b""
        for piece in result:
            if held or not self._is_whole(_checked(piece)):
                self._emit(held + piece)
                held = b""
            else:
                held = piece
        return self._last(held)

    def _is_whole(self, piece: bytes) -> bool:
        """Whether `piece` is the whole body, so that it can be sent when the app returns."""
        if self._begun or self._start is None or not piece:
            return False
        return (b"content-length", b"%d" % len(piece)) in self._start["headers"]

    def _start_response(
        self, status: str, headers: list[tuple[str, str]], exc_info: ExcInfo | None = None
    ) -> Callable[[bytes], object]:
        if exc_info is not None:
            try:
                if self._begun and exc_info[1] is not None:
                    raise exc_info[1].with_traceback(exc_info[2])
            finally:
                exc_info = None  # breaks the cycle between the traceback and this frame
        elif self._start is not None:
            raise AssertionError("start_response() was called before; a second call needs exc_info")
        self._start = {
            "type": "http.response.start",
            "status": _status_code(status),
            "headers": [(_encoded(name).lower(), _encoded(value)) for name, value in headers],
        }
        return self._emit

    def _emit(self, piece: bytes) -> None:
        """Sends a piece of the body, and waits while the client is slow."""
        if _checked(piece):
            self._hand_over([*self._head(), {**_END, "body": piece, "more_body": True}])

    def _head(self) -> list[Message]:
        """The messages that must precede the next piece."""
        if self._start is None:
            raise AssertionError("the app has not called start_response()")
        begun, self._begun = self._begun, True
        return [] if begun else [self._start]

    def _last(self, piece: bytes) -> list[Message]:
        return [*self._head(), {**_END, "body": piece}]

    def _hand_over(self, messages: list[Message]) -> None:
        async def send() -> None:
            for message in messages:
                await self._send(message)

        asyncio.run_coroutine_threadsafe(send(), self._loop).result()


def _checked(piece: Any) -> bytes:
    if not isinstance(piece, bytes):
        raise TypeError(f"a WSGI app gives bytes, not {piece!r:.100}")
    return piece


def _status_code(status: str) -> int:
    code, _, _ = status.partition(" ")
    if len(code) != 3 or not code.isdecimal():
        raise ValueError(f"a status is like '200 OK', not {status!r}")
    return int(code)


def _encoded(text: str) -> bytes:
    if not isinstance(text, str):
        raise TypeError(f"header names and values are str, not {text!r}")
    return text.encode("latin-1")
