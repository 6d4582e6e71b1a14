"""One exchange of a test client: a connection to a server of its own, as the app sees it."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from contextvars import ContextVar
from functools import partial
from typing import TYPE_CHECKING, Any

from .. import _core
from .._calling.failures import taker
from .._calling.rendered import rendered
from ..datastructures import Address
from ..exceptions import WebSocketDisconnect
from ..requests import Request
from ..websockets import WAITING, WebSocket

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, MutableMapping

    from .portal import Portal

    Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

_current: ContextVar[Exchange] = ContextVar("_current")


class Exchange:
    """A connection between a test and an app, for one request or one WebSocket.

    `client`, `scheme` and `server` are the client's address, the URL's scheme and the server's
    address that the app sees. `failures` are the exceptions that nothing handled, if `takes` is
    set.
    """

    def __init__(
        self,
        portal: Portal,
        *,
        client: tuple[str, int],
        scheme: str,
        server: tuple[str, int | None],
        takes: bool,
    ) -> None:
        self.client = client
        self.scheme = scheme
        self.server = server
        self.failures: list[BaseException] = []
        self.refusal: tuple[int, str] | None = None  # a WebSocket's, which HTTP has no place for
        self.template: tuple[Any, dict[str, Any]] | None = None  # the last one, with its values
        self._portal = portal
        self._takes = takes
        self._finished = False
        self.socket: socket.socket = portal.call(self._open)

    def _take(self, exc: BaseException) -> bool:
        if self._takes:
            self.failures.append(exc)
        return self._takes

    def _note_template(self, template: Any, context: dict[str, Any]) -> None:
        self.template = template, context

    async def _open(self) -> socket.socket:
        _current.set(self)  # here and in the requests' contexts, which are copies of this one
        taker.set(self._take)
        rendered.set(self._note_template)
        self._server = self._portal.service.make_server(request_type=TestedRequest)
        return self._portal.connect(self._server)

    def keep_open(self) -> None:
        """Says that the test reads the response as it arrives. If it doesn't close the response,
        the end of the app does."""
        self._portal.open.add(self)

    def finish(self) -> None:
        """Closes the connection, and waits until the app has done all that the request started."""
        if self._close():
            self._portal.call(self._finish)

    async def finish_here(self) -> None:
        """The same on the app's loop."""
        if self._close():
            await self._finish()

    def _close(self) -> bool:
        if self._finished:
            return False
        self._finished = True
        self._portal.open.discard(self)
        with contextlib.suppress(OSError):  # the app has closed it
            self.socket.shutdown(socket.SHUT_RDWR)  # the response may have the socket, too
        self.socket.close()
        return True

    async def _finish(self) -> None:
        await self._server.drain()
        while tasks := self._tasks():
            await asyncio.wait(tasks)
        self._server.close()

    def _tasks(self) -> list[asyncio.Task[Any]]:
        """The tasks of this exchange that still run; they include background tasks and
        clean-ups."""
        return [
            task
            for task in asyncio.all_tasks()
            if isinstance(coro := task.get_coro(), (_core.HandlerCoro, _core.AsgiCall))
            and coro.server is self._server
        ]

    def raise_failure(self, instead: BaseException | None = None) -> None:
        """Raises: the first exception that the app raised and nothing handled, if there is one.

        `instead` is the exception with which the test has failed; the app then isn't blamed for a
        client that has gone.
        """
        if self.failures:
            failure = self.failures.pop(0)
            if instead is None or not isinstance(failure, WebSocketDisconnect):
                raise failure


class _Told:
    """The connection as the app sees it. Its real sockets are a pair without addresses."""

    @property
    def client(self) -> Address | None:
        """The client's address, as given to the test client."""
        return Address(*_current.get().client)

    @property
    def server(self) -> tuple[str, int | None]:
        """The host and port of the URL that the test asked for."""
        return _current.get().server

    @property
    def is_secure(self) -> bool:
        """Whether the test asked for an https or wss URL."""
        return _current.get().scheme in ("https", "wss")


def tell(facts: MutableMapping[str, Any]) -> Callable[[Send], Send] | None:
    """Sets the same in the scope that an ASGI app gets, or in the environ of a WSGI app.

    For a WebSocket it returns what makes the `send` that sees it refused.
    """
    if facts.get("type") == "lifespan":  # of no exchange
        return None
    told = _current.get()
    if "wsgi.version" in facts:
        facts["REMOTE_ADDR"], facts["wsgi.url_scheme"] = told.client[0], told.scheme
        facts["SERVER_NAME"], facts["SERVER_PORT"] = told.server[0], str(told.server[1])
    else:
        facts["client"], facts["server"] = told.client, told.server
        facts["scheme"] = told.scheme
        if facts["type"] == "websocket":
            return partial(_note_refusal, told)
    return None


def _note_refusal(told: Exchange, send: Send) -> Send:
    waiting = True

    async def send_noted(message: MutableMapping[str, Any]) -> None:
        nonlocal waiting
        if waiting and message["type"] == "websocket.close":
            told.refusal = (message.get("code", 1000), message.get("reason") or "")
        waiting = False
        await send(message)

    return send_noted


class TestedRequest(_Told, Request):
    """A request that a test has sent."""

    __test__ = False


class TestedWebSocket(_Told, WebSocket):
    """A WebSocket that a test has opened."""

    __test__ = False

    def close(self, code: int = 1000, reason: str | None = None) -> Any:
        """Starts the close handshake. Before `accept()` the code and reason reach the test, too."""
        if self.session_state == WAITING:
            _current.get().refusal = (code, reason or "")
        return super().close(code, reason)
