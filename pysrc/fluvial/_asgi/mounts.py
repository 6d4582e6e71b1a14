"""Apps of other kinds, mounted below a path of a Fluvial app.

Usually C calls them directly. This module calls them in two cases: when the Fluvial app has
middleware, which must get their responses as Response objects, and when another server runs the
Fluvial app.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from .._application.matching import is_below
from ..datastructures import URLPath
from ..exceptions import ClientDisconnect
from ..requests import plain_scope
from ..responses import Response, StreamingResponse
from .bridge import ClientGone, running_asgi
from .foreign_app import make_foreign

if TYPE_CHECKING:
    from ..requests import Request
    from .foreign_app import Foreign
    from .protocol import Asgi3, Message

# What a path may hold unencoded besides letters, digits and "-._~" (RFC 3986 section 3.3).
PATH_SAFE = "/:@!$&'()*+,;="
_GONE = "the client has gone away"
_ASGI = {"version": "3.0", "spec_version": "2.3"}


@dataclass(slots=True, eq=False)
class Mount:
    """An app below `prefix`, which is "" or begins with "/" and doesn't end with one.

    `state` is the state of its lifespan while it runs, `root_path` that of the server.
    """

    prefix: str
    app: Foreign
    asgi: Asgi3
    state: dict[str, Any] | None = None
    root_path: str = ""
    name: str | None = None

    def url_path_for(self, name: str, values: dict[str, Any]) -> URLPath | None:
        """The path of what has this name in the app, or with this mount's name; None: nothing has.

        With the mount's own name, `values` has a `path` below it.
        """
        if self.name is not None and name == self.name and values.keys() == {"path"}:
            path = str(values["path"]).lstrip("/")
            return URLPath(f"{self.prefix}/{quote(path, safe=PATH_SAFE)}")
        inner = getattr(self.app.app, "url_path_for", None)
        if inner is None or not (self.name is None or name.startswith(f"{self.name}:")):
            return None
        below = name if self.name is None else name[len(self.name) + 1 :]
        try:
            found = inner(below, **values)
        except Exception as exc:
            if type(exc).__name__ == "NoMatchFound":  # ours, or Starlette's
                return None
            raise
        return URLPath(self.prefix + found, getattr(found, "protocol", "http"))

    def fits(self, path: str) -> bool:
        """Whether `path` belongs to the app."""
        return is_below(path, self.prefix)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Starts the app on entry and stops it on exit, under a server other than our own.

        Raises: LifespanError when the startup fails.
        """
        if self.app.interface == "wsgi":
            yield
            return
        async with running_asgi(self.asgi, "auto") as self.state:
            try:
                yield
            finally:
                self.state = None

    async def respond(self, request: Request) -> Response:
        """The app's response, as soon as it has started.

        Raises: what the app raises before that.
        """
        exchange = _Exchange(request)
        scope = self.below(request._scope or plain_scope(request, self.root_path))
        scope["asgi"] = dict(_ASGI)  # the version of our own `send`, not the outer server's
        said = scope.get("extensions") or {}
        scope["extensions"] = {"tls": said["tls"]} if "tls" in said else {}
        exchange.run(self.asgi(scope, exchange.receive, exchange.send))
        message = await exchange.start()
        body = exchange.whole()
        response = (
            StreamingResponse(exchange.pieces(), message["status"])
            if body is None
            else Response(body, message["status"])
        )
        response.raw_headers = [(bytes(n), bytes(v)) for n, v in message.get("headers", ())]
        response.clean_up_after(exchange.finish)
        return response

    def below(self, scope: Message) -> Message:
        """This app's scope, made from `scope`, which is for the app that it is mounted in."""
        root = scope.get("root_path", "")
        path = scope["path"]
        inner = dict(scope)
        inner.pop("state", None)
        inner["root_path"] = root + self.prefix
        if not is_below(path, root):  # some servers leave root_path out of the path
            inner["path"] = root + path
            if raw_path := scope.get("raw_path"):
                inner["raw_path"] = quote(root).encode() + raw_path
        if self.state is not None:
            inner["state"] = dict(self.state)
        return inner


def make_mount(path: str, found: Any, interface: str, name: str | None = None) -> Mount:
    """Mounts `found` below `path`.

    Raises: ValueError for a malformed path, InterfaceError when `found` isn't an app.
    """
    prefix = path.rstrip("/")
    if prefix and not prefix.startswith("/"):
        raise ValueError(f"the path of a mounted app must begin with '/', not {path!r}")
    if "{" in prefix or "%" in prefix:
        raise ValueError(f"the path of a mounted app is plain text, not {path!r}")
    app = make_foreign(found, interface)
    return Mount(prefix, app, app.as_asgi3(), name=name)


class _Exchange:
    """Passes the events of one request between the app's task and the response's iterator."""

    def __init__(self, request: Request) -> None:
        self._request = request
        self._task: asyncio.Future[None]
        self._message: Message | None = None  # sent by the app and not taken yet
        self._first: Message | None = None  # the first message of the body
        self._sent = asyncio.Event()  # there is a message, or the task has ended
        self._taken = asyncio.Event()
        self._over = asyncio.Event()
        self._complete = False  # the whole response has been passed on
        self._gone = False  # the response was given up before it was complete
        self._watch: asyncio.Future[None] | None = None  # waits until the client disconnects
        self._started = False
        self._body_given = False

    def run(self, call: Awaitable[None]) -> None:
        """Starts a task that awaits what the app returned."""
        self._task = asyncio.ensure_future(call)
        self._task.add_done_callback(lambda _: self._sent.set())

    async def receive(self) -> Message:
        if not self._body_given and not self._over.is_set():
            try:
                piece = await self._request.read()
            except ClientDisconnect:
                self._end()
                return {"type": "http.disconnect"}
            self._body_given = not piece
            return {"type": "http.request", "body": piece, "more_body": bool(piece)}
        if self._watch is None and not self._over.is_set():
            self._watch = asyncio.ensure_future(self._request.until_gone())
            self._watch.add_done_callback(lambda _: self._end())
        await self._over.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        kind = message["type"]
        wanted = "http.response.body" if self._started else "http.response.start"
        if not self._gone and (kind != wanted or self._over.is_set()):
            raise RuntimeError(f"unexpected ASGI message {kind!r}: expected {wanted}")
        self._started = True
        while self._message is not None and not self._over.is_set():
            self._taken.clear()
            await self._taken.wait()
        if self._gone:
            raise ClientGone(_GONE)
        self._message = message
        self._sent.set()

    async def start(self) -> Message:
        """Returns http.response.start once the first message of the body has followed it.

        Raises: what the app raises before that.
        """
        try:
            start = await self._next()
            self._first = await self._next()
        except BaseException:
            self._task.cancel()
            self._end()
            raise
        return start

    def whole(self) -> bytes | None:
        """The body, if the first message of it is the last."""
        first = self._first
        if first is None or first.get("more_body", False):
            return None
        if self._request.method == "HEAD" and not first.get("body"):
            return None  # it says nothing about the length that a GET would have had
        self._first, self._complete = None, True
        return bytes(first.get("body", b""))

    async def pieces(self) -> AsyncIterator[bytes]:
        """The body, piece by piece. Raises: what the app raises while it sends the body."""
        try:
            while not self._complete:
                first, self._first = self._first, None
                message = await self._next() if first is None else first
                self._complete = not message.get("more_body", False)
                yield message.get("body", b"")
        finally:
            if not self._complete:
                self._task.cancel()
            self._end()

    async def _next(self) -> Message:
        await self._sent.wait()
        message, self._message = self._message, None
        if message is None:
            await self._task
            if self._gone:
                raise ClientGone(_GONE)
            raise RuntimeError("a mounted app returned before its response was complete")
        if not self._task.done():
            self._sent.clear()
        self._taken.set()
        return message

    def _end(self) -> None:
        """Marks the response as over: nothing more of it is sent or read."""
        self._gone = self._gone or not self._complete
        self._over.set()
        self._taken.set()
        if self._watch is not None:
            self._watch.cancel()

    async def finish(self) -> None:
        """Waits until the app, which may work on after its response, has returned."""
        self._end()
        await asyncio.wait((self._task,))
        if not self._task.cancelled():
            with contextlib.suppress(ClientGone):
                self._task.result()
