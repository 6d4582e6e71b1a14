"""Apps of other kinds, mounted below a path of a Fluvial app.

Usually C calls them directly. This module calls them in two cases: when the Fluvial app has
middleware, which must get their responses as Response objects, and when another server runs the
Fluvial app.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from .._application.matching import (
    CAPTURE,
    OUTER,
    TEMPLATE,
    Match,
    is_below,
    path_below,
    pattern_of,
    tell_app,
)
from .._application.paths import converters_of, make_path
from .._application.plain_handlers import router_makers
from .._messages.framing import BODYLESS
from .._messages.urls import PATH_SAFE
from ..datastructures import URLPath
from ..exceptions import ClientDisconnect, NoMatchFound
from ..requests import plain_scope
from ..responses import Response, StreamingResponse
from .bridge import ClientGone, running_asgi
from .checked_messages import check_body, check_start
from .foreign_app import Foreign, InterfaceError, make_foreign

if TYPE_CHECKING:
    from ..requests import Request
    from .protocol import Asgi3, Message, Receive, Send

_GONE = "the client has gone away"
_DROPPED_MAX = 16  # as in ext/asgi/send.c
_ASGI = {"version": "3.0", "spec_version": "2.3"}


class Mount:
    """An app below `path`, or a router of `routes`, with the middleware of this mount around it.

    `max_body_size`, in bytes, is a limit of its own for the bodies of its requests.

    `prefix` is "" or begins with "/" and doesn't end with one. Parameters in it are path parameters
    of the app. `state` is the state of its lifespan while it runs, `root_path` that of the server.
    """

    def __init__(
        self,
        path: str,
        app: Any = None,
        routes: Sequence[Any] | None = None,
        name: str | None = None,
        *,
        middleware: Sequence[Any] | None = None,
        interface: str = "auto",
        max_body_size: int | None = None,
    ) -> None:
        """Raises: ValueError for a malformed path, InterfaceError when `app` isn't an app."""
        self.path = self.prefix = path.rstrip("/")
        if self.prefix and not self.prefix.startswith("/"):
            raise ValueError(f"the path of a mounted app must begin with '/', not {path!r}")
        if "%" in self.prefix:
            raise ValueError(f"the path of a mounted app is plain text, not {path!r}")
        if app is None and routes is None:
            raise AssertionError("Mount() takes an app or routes")
        self.inner = router_makers[0](routes or ()) if app is None else app
        self.app = self.inner
        for cls, args, kwargs in reversed(list(middleware or ())):
            self.app, interface = cls(self.app, *args, **kwargs), "asgi3"
        if max_body_size is not None:
            from .body_limit import RequestBodyLimitMiddleware  # few have it

            self.app, interface = RequestBodyLimitMiddleware(self.app, max_body_size), "asgi3"
        try:
            self.foreign = make_foreign(self.app, interface)
        except InterfaceError as exc:
            hint = "; is it a factory? then call it" if exc.factory else ""
            raise InterfaceError(f"what is mounted at {path!r} {exc}{hint}") from None
        self.asgi: Asgi3 = self.foreign.as_asgi3()
        self.name = name or None
        self.state: dict[str, Any] | None = None
        self.root_path = ""

    def __repr__(self) -> str:
        return f"{type(self).__name__}(path={self.path!r}, name={self.name!r}, app={self.app!r})"

    @property
    def routes(self) -> list[Any]:
        """The routes of the app, if it has any."""
        return list(getattr(self.inner, "routes", ()))

    @property
    def parameters(self) -> set[str]:
        """The names of the parameters in the path."""
        return {match[1] for match in CAPTURE.finditer(self.prefix)}

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """The mount alone, as an ASGI app."""
        await router_makers[0]([self])(scope, receive, send)

    def url_path_for(self, name: str, /, **path_params: Any) -> URLPath:
        """The path of what has this name. Raises: NoMatchFound when nothing has."""
        found = self.find_path(name, path_params)
        if found is None:
            raise NoMatchFound(name, path_params)
        return found

    def find_path(self, name: str, values: dict[str, Any]) -> URLPath | None:
        """The path of the route with this name in the app, or of the mount; None when there is
        none.

        With the mount's own name, `values` has a `path` below it.
        """
        own = {key: value for key, value in values.items() if key in self.parameters}
        values = {key: value for key, value in values.items() if key not in own}
        prefix = make_path(self.prefix, own)
        if prefix is None:
            return None
        if self.name is not None and name == self.name and values.keys() == {"path"}:
            path = str(values["path"]).lstrip("/")
            return URLPath(f"{prefix}/{quote(path, safe=PATH_SAFE)}")
        inner = getattr(self.inner, "url_path_for", None)
        if inner is None or not (self.name is None or name.startswith(f"{self.name}:")):
            return None
        below = name if self.name is None else name[len(self.name) + 1 :]
        try:
            found = inner(below, **values)
        except Exception as exc:
            if type(exc).__name__ == "NoMatchFound":  # ours, or Starlette's
                return None
            raise
        return URLPath(prefix + found, getattr(found, "protocol", "http"))

    def matches(self, scope: Message) -> tuple[Match, dict[str, Any]]:
        """Whether an ASGI scope is for the app, and what its scope has, as in Starlette."""
        if scope["type"] not in ("http", "websocket"):
            return Match.NONE, {}
        found = self.at_start(path_below(scope))
        if found is None:
            return Match.NONE, {}
        taken, params = found
        root = scope.get("root_path", "")
        return Match.FULL, {
            "path_params": {**scope.get("path_params", {}), **params},
            "app_root_path": scope.get("app_root_path", root),
            "root_path": root + taken,
            "endpoint": self.app,
        }

    def at_start(self, path: str) -> tuple[str, dict[str, Any]] | None:
        """What of `path` is this mount's, with the parameters in it; None when it isn't below."""
        if "{" not in self.prefix:
            return (self.prefix, {}) if self.fits(path) else None
        found = pattern_of(self.prefix).match(path)
        if found is None or not is_below(path, found[0]):
            return None
        converters = converters_of(self.prefix)
        params = {name: converters.get(name, str)(text) for name, text in found.groupdict().items()}
        return found[0], params

    def fits(self, path: str) -> bool:
        """Whether `path` belongs to the app."""
        return is_below(path, self.prefix)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Starts the app on entry and stops it on exit, under a server other than our own.

        Raises: LifespanError when the startup fails.
        """
        if self.foreign.interface == "wsgi":
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
        scope = request._scope
        if scope is None:
            root_path = request._forwarded_prefix or self.root_path
            scope = {**plain_scope(request, root_path), **self.outer(request.app)}
            if request._id is not None:
                scope["state"] = {"request_id": request._id}
        scope = self.below(scope)
        return await answer_by(self.asgi, scope, request)

    def outer(self, app: Any) -> dict[str, Any]:
        """What the scopes of an app of ours say of the app that it is mounted in."""
        return {"app": app, "router": app} if hasattr(self.inner, "is_part") else {}

    def within(self, app: Any, root_path: str) -> Foreign:
        """The app for C to call. The scopes of one of ours tell which app it is mounted in."""
        told = self.outer(app)
        if not told:
            return self.foreign

        def call(scope: Message, receive: Receive, send: Send) -> Any:
            if scope["type"] != "lifespan":
                outside = root_path
                if "{" not in self.prefix:  # a proxy may have said another one
                    outside = scope["root_path"].removesuffix(self.prefix)
                for name, value in {**told, "app_root_path": outside}.items():
                    scope.setdefault(name, value)
            return self.asgi(scope, receive, send)

        return Foreign(call, "asgi3")

    def below(self, scope: Message, params: dict[str, Any] | None = None) -> Message:
        """This app's scope, made from `scope`, which is for the app that it is mounted in."""
        tell_app(scope, self.app, {**scope.get("path_params", {}), **(params or {})})
        root = scope.get("root_path", "")
        path = scope["path"]
        inner = dict(scope)
        outer_state = inner.pop("state", None) or {}
        inner["root_path"] = root + self.prefix
        inner[OUTER], inner[TEMPLATE] = scope, scope.get(TEMPLATE, root) + self.prefix
        inner.setdefault("app_root_path", root)
        if not is_below(path, root):  # some servers leave root_path out of the path
            inner["path"] = root + path
            if raw_path := scope.get("raw_path"):
                inner["raw_path"] = quote(root).encode() + raw_path
        if self.state is not None:
            inner["state"] = dict(self.state)
        if "request_id" in outer_state:  # the server's word for the request
            inner.setdefault("state", {})["request_id"] = outer_state["request_id"]
        return inner


async def answer_by(asgi: Asgi3, scope: Message, request: Request) -> Response:
    """The response of an ASGI app to a request, as soon as it has started.

    Raises: what the app raises before that.
    """
    exchange = _Exchange(request)
    scope["asgi"] = dict(_ASGI)  # the version of our own `send`, not the outer server's
    said = scope.get("extensions") or {}
    scope["extensions"] = {"tls": said["tls"]} if "tls" in said else {}
    exchange.run(asgi(scope, exchange.receive, exchange.send))
    message = await exchange.start()
    body = exchange.whole()
    response = (
        StreamingResponse(exchange.pieces(), message["status"])
        if body is None
        else Response(body, message["status"])
    )
    response.raw_headers = message["headers"]
    response.clean_up_after(exchange.finish)
    return response


async def respond(asgi: Asgi3, request: Request) -> Response:
    """The response of an ASGI app that is a route's endpoint.

    Raises: what the app raises before it responds.
    """
    return await answer_by(asgi, {**request.scope, OUTER: request.scope}, request)


class MountedBelow:
    """A mount whose path has parameters, as the endpoint of routes: C finds these."""

    def __init__(self, mount: Mount) -> None:
        self._mount = mount

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """The app, with its own part of the path."""
        found = self._mount.at_start(path_below(scope))
        taken, params = found or ("", {})
        outer = dict(scope.get("path_params", {}))
        outer.pop(REST, None)
        inner = self._mount.below(scope, {**outer, **params})
        inner["root_path"] = scope.get("root_path", "") + taken
        await self._mount.asgi(inner, receive, send)


REST = "path_below_the_mount"  # the parameter of such routes' paths


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
        self._bodyless = False  # the response has begun, and has no body
        self._dropped = 0  # messages of a body that nobody needs
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
        if not self._gone:
            message = dict(message)
            (check_body if self._started else check_start)(message)
        self._started = True
        while self._message is not None and not self._over.is_set():
            self._taken.clear()
            await self._taken.wait()
        if self._gone and self._bodyless:
            await self._drop()
            return
        if self._gone:
            raise ClientGone(_GONE)
        self._message = message
        self._sent.set()

    async def _drop(self) -> None:
        """Lets tasks that wait in receive() hear that the response is complete.

        Raises: ClientGone when the app goes on, perhaps without end.
        """
        if self._dropped >= _DROPPED_MAX:
            raise ClientGone("the response is complete: it has no body")
        self._dropped += 1
        await asyncio.sleep(0)

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
        self._bodyless = self._request.method == "HEAD" or start["status"] in BODYLESS
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
            if not self._complete and not self._bodyless:
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
