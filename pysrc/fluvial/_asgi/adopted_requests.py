"""Requests and WebSockets that another ASGI server has received, as handlers see them.

What depends on the connection comes from the scope and from ASGI events; the rest is inherited
from the C types.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterable
from typing import TYPE_CHECKING, Any, cast

from .. import _core
from .._messages.header_fields import TEXT_TOKEN, check_field
from ..datastructures import URL, Address, State
from ..exceptions import (
    ClientDisconnect,
    NoMatchFound,
    WebSocketDisconnect,
    WebSocketException,
)
from ..requests import HTTPConnection, Request
from ..websockets import ABNORMAL, CLOSED, CLOSING, NO_CODE, NORMAL, OPEN, WAITING, WebSocket

if TYPE_CHECKING:
    from ..datastructures import URLPath
    from ..responses import Response
    from .protocol import Message, Receive, Send

# The scope's key for the Received of its request.
_RECEIVED = "fluvial.received"
_HELD = 64 * 1024  # unread bytes of a body; beyond this, no more events are requested
_REASON_MAX = 123  # bytes, RFC 6455 section 5.5
_UNSUPPORTED_DATA = 1003


class Received:
    """What has been received of one request.

    All objects that are made of its scope and its `receive` share it. A response that sends itself
    watches for the client's end, and would otherwise take events of the body from the app's own
    request.
    """

    def __init__(self, receive: Receive) -> None:
        self.receive = receive
        self.held = b""  # of the body, and not read yet
        self.complete = False  # the end of the body has come
        self.disconnected = False
        self.repeats = False  # events come after the body that aren't the client's end
        self.reader: object = None  # stands for the request that has read from the body
        self.lock = asyncio.Lock()  # held by the task that waits for an event
        self.taken = asyncio.Event()  # what was held has been read

    @classmethod
    def of(cls, scope: Message, receive: Receive) -> Received:
        """The Received of this scope. Middleware that replaces `receive` gets a new one."""
        known: list[Received] = scope.setdefault(_RECEIVED, [])
        for each in known:
            if each.receive == receive:
                return each
        known.append(cls(receive))
        return known[-1]

    async def until_gone(self) -> None:
        """Returns when the client has disconnected."""
        while not self.disconnected:
            if self.repeats:
                await asyncio.Event().wait()  # until this is cancelled
            if len(self.held) >= _HELD and not self.complete:
                self.taken.clear()
                await self.taken.wait()
            else:
                await self._take_event(reading=False)

    async def poll(self) -> None:
        """Takes the events that are there already, as long as they wait for nothing."""
        while not (self.disconnected or self.repeats or self.lock.locked()):
            if len(self.held) >= _HELD and not self.complete:
                return
            async with self.lock:
                event = _result_at_once(self.receive())
                if event is None:
                    return
                self._take(event)

    async def read(self, reader: object) -> bytes:
        """The next piece of the body; empty at its end.

        Raises: ClientDisconnect when the client has left before the body's end.
        """
        while not (self.held or self.complete):
            if self.disconnected:
                raise ClientDisconnect
            await self._take_event(reading=True)
        if self.reader not in (None, reader):
            raise RuntimeError("the body was read by another Request of the same scope")
        self.taken.set()
        piece, self.held = self.held, b""
        if piece:
            self.reader = reader
        return piece

    async def _take_event(self, *, reading: bool) -> None:
        """Receives an event, unless another task has received what is wanted in the meantime."""
        async with self.lock:
            if self.disconnected or (reading and (self.held or self.complete)):
                return
            self._take(await self.receive())

    def _take(self, event: Message) -> None:
        if event["type"] == "http.disconnect":
            self.disconnected = True
        elif self.complete:
            self.repeats = True
        elif event["type"] == "http.request":
            self.held += event.get("body", b"")
            self.complete = not event.get("more_body", False)


def _result_at_once(awaitable: Awaitable[Any]) -> Any:
    """What it returns without waiting; None if it would wait, and then it is cancelled."""
    steps: Any = awaitable.__await__()
    try:
        steps.send(None)
        steps.throw(asyncio.CancelledError())
    except StopIteration as end:
        return end.value
    except asyncio.CancelledError:
        return None
    steps.close()
    return None


class Adopted(HTTPConnection):
    """Base of adopted requests and WebSockets."""

    _scope: Message
    _receive: Receive

    @property
    def app(self) -> Any:
        """The app; the outer one in a router that is mounted in an app."""
        return self._scope.get("app", _core.Request.app.__get__(self))

    def url_for(self, name: str, /, **path_params: Any) -> URL:
        """As that of any request. What the app lacks is looked for in the outermost app.

        Raises: RuntimeError when there is no app.
        """
        app, outermost = self.app, self._scope.get("router")
        if app is None and outermost is None:
            raise RuntimeError("url_for() needs an app: this request was made without one")
        if app is not None and app is not outermost:
            try:
                return super().url_for(name, **path_params)
            except NoMatchFound:
                if outermost is None:
                    raise
        root = self._scope.get("app_root_path", self._root_path).rstrip("/")
        base = self.url.replace(path=f"{root}/", query="", fragment="")
        path: URLPath = (outermost or app).url_path_for(name, **path_params)
        return path.make_absolute_url(base)

    @property
    def client(self) -> Address | None:
        """The client's address; None when the server doesn't report it."""
        client = self._scope.get("client")
        return None if client is None else Address(*client)

    @property
    def server(self) -> tuple[str, int | None] | None:
        """The server's address; None when it isn't reported."""
        server = self._scope.get("server")
        return None if server is None else cast("tuple[str, int | None]", tuple(server))

    @property
    def state(self) -> State:
        """The app's data for this request; starts as a copy of what its lifespan yielded."""
        return self._cached("state", lambda: State.over(self._scope.setdefault("state", {})))

    @property
    def _root_path(self) -> str:
        root: str = self._scope.get("root_path", "")
        return root.rstrip("/")

    def _convert_path_params(self) -> dict[str, Any]:
        """Includes those of the app that this one is mounted in, and of its host."""
        return {**self._scope.get("path_params", {}), **super()._convert_path_params()}

    def _make_url(self) -> URL:
        return URL(str(super()._make_url()), path=self._scope["path"])


class AdoptedRequest(Adopted, Request):
    """A request that another server has received."""

    collected = False  # the body has been read for the handler
    _send: Send | None = None

    def body_nowait(self) -> bytes | None:
        """The whole body if it was collected, otherwise None.

        The header fields can't tell whether there is a body: in HTTP/2 a request may have one
        without Content-Length.
        """
        return super().body_nowait() if self.collected else None

    async def read(self) -> bytes:
        """The next piece of the body; empty at its end.

        Raises: ClientDisconnect when the client has disconnected; RuntimeError when another object
        that was made of the same scope has read some of the body.
        """
        return await self._received.read(self._cached("reader", object))

    async def until_gone(self) -> None:
        """Returns when the client has disconnected.

        Servers also send that event after the response is complete. If a server sends other events
        after the body, no more are requested: it might send them without end.
        """
        await self._received.until_gone()

    @property
    def disconnected(self) -> bool:
        """Whether the client is known to have disconnected."""
        return self._received.disconnected

    async def is_disconnected(self) -> bool:
        """Whether the client has disconnected: asks for events that are there already."""
        await self._received.poll()
        return self._received.disconnected

    @property
    def is_read(self) -> bool:
        """Whether the body has been read to its end."""
        return self._received.complete and not self._received.held

    @property
    def _received(self) -> Received:
        return self._cached("received", lambda: Received.of(self._scope, self._receive))


class AdoptedWebSocket(Adopted, WebSocket):
    """A WebSocket that another server has received: the methods of the C type, on ASGI events.

    That the client has disconnected is only noticed when something is received or sent.
    """

    _send: Send
    _receiving: asyncio.Lock  # the final event comes only once, but all waiting tasks need it
    session_state = WAITING
    by_client = False
    close_asked = False  # the app has called close(), perhaps after the client closed
    close_code = 0
    close_reason: str | None = None
    deny: Callable[[Response], Awaitable[None]] | None = None  # if no handler's end sends a refusal
    _denied = False  # the program sends a refusal's events itself
    _announced = False  # the first event hasn't been received

    @property
    def disconnected(self) -> bool:
        """Whether the client is known to have disconnected."""
        return bool(self._store().get("disconnected"))

    @property
    def subprotocols(self) -> list[str]:  # type: ignore[override]  # C has no setter either
        """The subprotocols that the client offers, in the client's order."""
        return list(self._scope.get("subprotocols", ()))

    # ---- accepting and closing -------------------------------------------------------------

    def connect_with(self, send: Send | None) -> None:
        """Stores `send`; `accept` receives the first event."""
        if send is not None:
            self._send = send
        self._receiving = asyncio.Lock()
        self._announced = True

    async def connect(self, send: Send) -> bool:
        """Receives the first event; returns False if the client has disconnected already."""
        self.connect_with(send)
        return await self._connect()

    async def _connect(self) -> bool:
        self._announced = False
        event = await self._receive()
        if event["type"] == "websocket.disconnect":
            self._end(event)
        return self.session_state == WAITING

    async def accept(
        self,
        subprotocol: str | None = None,
        headers: Iterable[tuple[bytes, bytes]] | None = None,
    ) -> None:
        """Completes the opening handshake. Raises: ValueError for what can't be sent."""
        fields = [_checked_field(field) for field in headers or ()]
        if subprotocol and not TEXT_TOKEN.fullmatch(subprotocol):
            raise ValueError("the subprotocol is not a token")
        if self._announced:
            await self._connect()
        if self.session_state == CLOSED and self.by_client:
            raise self._disconnect()
        if self.session_state != WAITING:
            raise RuntimeError("the WebSocket has already been accepted or closed")
        self.session_state = OPEN
        await self._tell(
            {"type": "websocket.accept", "subprotocol": subprotocol or None, "headers": fields}
        )

    async def close(self, code: int = NORMAL, reason: str | None = None) -> None:
        """Starts the close handshake, or rejects the opening handshake."""
        reason = reason or ""
        if self.session_state == OPEN:
            _check_close(code, len(reason.encode()))
        elif self.session_state != WAITING:
            self.close_asked = True
            return  # it isn't known which side closed first
        self.close_asked = True
        self.session_state = CLOSING if self.session_state == OPEN else CLOSED
        code = NORMAL if code == NO_CODE else code  # ASGI has no way to send no code
        with contextlib.suppress(WebSocketDisconnect):
            await self._tell({"type": "websocket.close", "code": code, "reason": reason})

    async def send_denial_response(self, response: Response) -> None:
        """Rejects the WebSocket, at once if a program has made this object of a scope itself."""
        await super().send_denial_response(response)
        if self.deny is not None:
            await self.deny(response)

    async def send(self, message: dict[str, Any]) -> None:
        """Does what an ASGI event says; a refusal's events go out as they are."""
        if not message["type"].startswith("websocket.http.response."):
            await super().send(message)
            return
        if self.session_state != WAITING and not self._denied:
            raise RuntimeError("only a WebSocket that isn't accepted yet can be declined")
        self.session_state, self._denied = CLOSED, True
        await self._tell(message)

    # ---- messages --------------------------------------------------------------------------

    async def receive_data(self) -> str | bytes:
        """The next message, whatever its kind."""
        if self.session_state == WAITING:
            raise RuntimeError("the WebSocket isn't connected: call accept() first")
        async with self._receiving:
            while not self._is_over():
                event = await self._receive()
                if event["type"] == "websocket.disconnect":
                    self._end(event)
                elif self.session_state != CLOSING:
                    text = event.get("text")
                    return cast("str | bytes", event["bytes"] if text is None else text)
        raise self._disconnect()

    async def receive_text(self) -> str:
        """The next message. Raises: WebSocketException (1003) when it is bytes."""
        data = await self.receive_data()
        if not isinstance(data, str):
            raise WebSocketException(_UNSUPPORTED_DATA, "Text was expected, not bytes")
        return data

    async def receive_bytes(self) -> bytes:
        """The next message. Raises: WebSocketException (1003) when it is text."""
        data = await self.receive_data()
        if not isinstance(data, bytes):
            raise WebSocketException(_UNSUPPORTED_DATA, "Bytes were expected, not text")
        return data

    async def send_text(self, data: str) -> None:
        """Sends a text message."""
        if not isinstance(data, str):
            raise TypeError(f"send_text() takes a str, not {type(data).__name__}")
        data.encode()  # raises UnicodeEncodeError for surrogates, which UTF-8 can't encode
        await self._send_message({"type": "websocket.send", "text": data})

    async def send_bytes(self, data: bytes | bytearray | memoryview) -> None:
        """Sends a binary message."""
        try:
            message = bytes(memoryview(data))
        except TypeError:
            name = type(data).__name__
            raise TypeError(f"send_bytes() takes bytes, not {name}") from None
        await self._send_message({"type": "websocket.send", "bytes": message})

    async def send_utf8(self, data: bytes) -> None:
        """Sends a text message that is UTF-8 already."""
        await self._send_message({"type": "websocket.send", "text": data.decode()})

    async def _send_message(self, message: Message) -> None:
        if self.session_state == WAITING:
            raise RuntimeError("the WebSocket isn't connected: call accept() first")
        if self.session_state == CLOSED and self.by_client and not self.close_asked:
            raise self._disconnect()
        if self.session_state != OPEN:
            raise RuntimeError("the WebSocket has been closed by close()")
        await self._tell(message)

    # ---- the end ---------------------------------------------------------------------------

    async def _tell(self, message: Message) -> None:
        """Sends an event. Raises: WebSocketDisconnect when the client has disconnected."""
        try:
            await self._send(message)
        except OSError as exc:
            self._closed(ABNORMAL)
            raise self._disconnect() from exc

    def _is_over(self) -> bool:
        """Whether no further event will come: we rejected it, or have received the last one."""
        declined = self.session_state == CLOSED and not self.by_client
        return declined or self.close_reason is not None

    def _end(self, event: Message) -> None:
        """Records the client's last event."""
        self._closed(event.get("code", NO_CODE))
        self.close_reason = event.get("reason") or ""

    def _closed(self, code: int) -> None:
        self.by_client = self.by_client or self.session_state in (WAITING, OPEN)
        self.session_state = CLOSED
        self.close_code = code
        self._store()["disconnected"] = True

    def _disconnect(self) -> WebSocketDisconnect:
        return WebSocketDisconnect(self.close_code or ABNORMAL, self.close_reason)


def _checked_field(field: Any) -> tuple[bytes, bytes]:
    """Raises: TypeError or ValueError for header fields that can't be sent."""
    match field:
        case (bytes(name), bytes(value)) if isinstance(field, tuple):
            check_field(name, value)
            return name.lower(), value
    raise TypeError(f"a header field is a tuple of two bytes, not {field!r}")


def _check_close(code: int, size: int) -> None:
    """Checks what a close frame is to contain.

    Raises: ValueError for a code or a reason that RFC 6455 (sections 5.5 and 7.4) doesn't allow.
    """
    valid = 1000 <= code <= 1003 or 1007 <= code <= 1014 or 3000 <= code <= 4999
    if (valid and size <= _REASON_MAX) or (code == NO_CODE and not size):
        return
    raise ValueError(
        "a close code is 1000 to 1003, 1007 to 1014 or 3000 to 4999, "
        f"not {code}, and its reason has at most {_REASON_MAX} bytes, not {size}"
    )
