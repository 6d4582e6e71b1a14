"""What ASGI middleware makes of a scope: requests, WebSockets, and responses that send themselves.

Requests are adopted as those of other servers are (under_other_servers.py), which is imported when
it is needed: by an app that has ASGI middleware, is mounted, or runs under another server.
"""

from __future__ import annotations

from functools import cache, partial
from typing import TYPE_CHECKING, Any

from .. import requests, responses
from .._application import plain_handlers
from .._calling.failures import taker
from .._messages import after_response

if TYPE_CHECKING:
    from ..applications import App
    from ..responses import Response
    from .protocol import Asgi3, Message, Receive, Send
    from .under_other_servers import AsgiSide


def side_of(app: App) -> AsgiSide:
    """What the app needs to be called as an ASGI app; made once."""
    if app.asgi_side is None:
        from .under_other_servers import AsgiSide

        app.asgi_side = AsgiSide(app)
    return app.asgi_side


async def serve(app: App, scope: Message, receive: Receive, send: Send) -> None:
    """Calls `app` as an ASGI app, with its middleware."""
    if not (app.is_part and "app" in scope):
        scope["app"] = app
    scope.setdefault("router", app)
    if app.root_path:
        scope["root_path"] = app.root_path.rstrip("/")
    if app.manners.raises_failures and scope["type"] == "http" and taker.get() is None:
        await _raising(app, scope, receive, send)
    else:
        await side_of(app).call(scope, receive, send)


async def _raising(app: App, scope: Message, receive: Receive, send: Send) -> None:
    """Calls the app. Raises: what nothing has handled, after the response, as Starlette does."""
    failures: list[BaseException] = []
    running = True

    def take(exc: BaseException) -> bool:
        if running:  # tasks that the app has started keep this context, and may fail later
            failures.append(exc)
        return running

    token = taker.set(take)
    try:
        await side_of(app).call(scope, receive, send)
    finally:
        running = False
        taker.reset(token)
    if failures:
        raise failures[0]


def own_call(app: App) -> Asgi3 | None:
    """The app itself, if its class has a __call__ of its own, a user's or one that a package which
    watches apps has put there; otherwise it isn't called on our server."""
    return None if is_ours(type(app).__call__) else app


def is_ours(call: Any) -> bool:
    """Whether a function is defined here. What wraps one of ours may bear its names."""
    module = str(getattr(call, "__module__", ""))
    return module.startswith("fluvial.") and not hasattr(call, "__wrapped__")


class Inside:
    """The routes of an app, as the ASGI app that its middleware is around."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        await side_of(self._app).inside(scope, receive, send)


class Layers:
    """The ASGI middleware of an app, with the routes inside."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        await side_of(self._app).layers(scope, receive, send)


# ---- requests ----------------------------------------------------------------------------------


def make_request(
    cls: type[Any], scope: Message, receive: Receive | None, send: Send | None
) -> requests.HTTPConnection:
    """A request or WebSocket of the class `cls`, or one that derives from it."""
    from .under_other_servers import adopt, bare_core, deny

    kind = scope["type"]
    if kind not in ("http", "websocket"):
        raise TypeError(f"a {cls.__name__} is made of a scope of HTTP, not of {kind!r}")
    app: Any = scope.get("app")
    core = side_of(app).core if hasattr(app, "asgi_side") else bare_core()
    made = adopt(core, scope, receive or _nothing_to_receive)
    core.release(made)  # nobody else refers to it
    if not isinstance(made, cls):
        derived: Any = _derived  # its arguments can be hashed, whatever they look like to mypy
        made.__class__ = derived(cls, type(made))
    if kind == "websocket":
        made.connect_with(send)
        made.deny = partial(deny, made)
    else:
        made._send = send
    return made  # type: ignore[no-any-return]


@cache
def _derived(cls: Any, adopted: Any) -> type[Any]:
    """A class that derives from the user's and from the adopted one."""
    return type(cls.__name__, (cls, adopted), {"__module__": cls.__module__})


async def _nothing_to_receive() -> Message:
    raise RuntimeError("the request was made without `receive`: write Request(scope, receive)")


# ---- responses ---------------------------------------------------------------------------------


async def send_itself(response: Response, scope: Message, receive: Receive, send: Send) -> None:
    """Sends the response as messages. To a WebSocket's handshake it is the refusal."""
    from .responses import as_denial, send_response, send_whole

    if scope["type"] == "websocket":
        send = as_denial(send)
        scope = {**scope, "type": "http", "method": "GET"}
    if response.body is not None:
        await send_whole(response, scope["method"], send)
    else:
        request: Any = make_request(requests.Request, scope, receive, send)
        await send_response(response, request, send)


async def respond_by(app: Asgi3, request: Any) -> Response:
    """The response of an ASGI app that is a route's endpoint. Raises: what it raises."""
    from .mounts import respond

    return await respond(app, request)


plain_handlers.responders.append(respond_by)
requests.makers.append(make_request)
responses.senders.append(send_itself)
after_response.callers.append(respond_by)
