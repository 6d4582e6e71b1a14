"""WebSockets as handlers see them."""

from __future__ import annotations

import enum
from collections.abc import AsyncIterator, Awaitable
from typing import TYPE_CHECKING, Any

from . import _core
from ._validation.read_json import read_json
from ._validation.write_json import to_json
from .exceptions import WebSocketDisconnect
from .requests import HTTPConnection

if TYPE_CHECKING:
    from .responses import Response

__all__ = ["WebSocket", "WebSocketDisconnect", "WebSocketState"]

# Close codes, RFC 6455 section 7.4.
NORMAL = 1000
NO_CODE = 1005
ABNORMAL = 1006
INVALID_DATA = 1007
POLICY_VIOLATION = 1008
INTERNAL_ERROR = 1011
SERVICE_RESTART = 1012
WAITING, OPEN, CLOSING, CLOSED = range(4)  # _core.WebSocket.session_state


class WebSocketState(enum.Enum):
    """The state of one side of a WebSocket."""

    CONNECTING = 0
    CONNECTED = 1
    DISCONNECTED = 2
    RESPONSE = 3


class WebSocket(_core.WebSocket, HTTPConnection):
    """One WebSocket (RFC 6455).

    Call `accept()` first; then receive and send whole messages, text or bytes. Both raise
    WebSocketDisconnect when the client has disconnected. The connection is closed with 1000 when
    the handler returns, and with 1011 when it raises an exception. If that happens before
    `accept()`, the response is a 403, or that of any other request whose handler raises.
    """

    _scheme = "ws"
    _told = False  # receive() has returned websocket.connect
    _denial: Response | None = None

    @property
    def client_state(self) -> WebSocketState:
        """The client's side; DISCONNECTED once the connection is closed."""
        state = self.session_state
        if state == WAITING:
            return WebSocketState.CONNECTING
        return WebSocketState.DISCONNECTED if state == CLOSED else WebSocketState.CONNECTED

    @property
    def application_state(self) -> WebSocketState:
        """Our side; DISCONNECTED after `close()`."""
        if self._denial is not None:
            return WebSocketState.RESPONSE
        state = self.session_state
        if state == WAITING:
            return WebSocketState.CONNECTING
        connected = state == OPEN or (state == CLOSED and self.by_client)
        return WebSocketState.CONNECTED if connected else WebSocketState.DISCONNECTED

    # ---- messages --------------------------------------------------------------------------

    async def receive_json(self, mode: str = "text") -> Any:
        """The next message decoded from JSON: a text message or, with mode "binary", a binary one.

        Raises: json.JSONDecodeError, a ValueError, when it isn't JSON (the WebSocket is closed with
        1007 unless the handler catches it); WebSocketDisconnect when the client has disconnected;
        WebSocketException for a message of the other kind.
        """
        _check_mode(mode)
        data = await (self.receive_text() if mode == "text" else self.receive_bytes())
        return read_json(data)

    def send_json(self, data: Any, mode: str = "text") -> Awaitable[None]:
        """Sends a value as JSON: in a text message or, with mode "binary", in a binary one.

        Raises: TypeError when it has no JSON form, WebSocketDisconnect when the client has
        disconnected.
        """
        _check_mode(mode)
        encoded = to_json(data)
        return self.send_utf8(encoded) if mode == "text" else self.send_bytes(encoded)

    async def iter_text(self) -> AsyncIterator[str]:
        """Gives the text messages, until the client disconnects."""
        try:
            while True:
                yield await self.receive_text()
        except WebSocketDisconnect:
            pass

    async def iter_bytes(self) -> AsyncIterator[bytes]:
        """Gives the binary messages, until the client disconnects."""
        try:
            while True:
                yield await self.receive_bytes()
        except WebSocketDisconnect:
            pass

    async def iter_json(self) -> AsyncIterator[Any]:
        """Gives the text messages, decoded from JSON, until the client disconnects.

        Raises: json.JSONDecodeError, a ValueError, when a message isn't JSON.
        """
        try:
            while True:
                yield await self.receive_json()
        except WebSocketDisconnect:
            pass

    async def send_denial_response(self, response: Response) -> None:
        """Rejects the WebSocket with `response`, which is sent when the handler returns.

        Raises: RuntimeError when the WebSocket has already been accepted or closed.
        """
        if self.session_state != WAITING:
            raise RuntimeError("only a WebSocket that isn't accepted yet can be declined")
        self._denial = response

    # ---- the same as ASGI events -----------------------------------------------------------

    async def receive(self) -> dict[str, Any]:
        """The next ASGI event: websocket.connect, .receive or .disconnect."""
        if not self._told and self.session_state == WAITING:
            self._told = True
            return {"type": "websocket.connect"}
        try:
            data = await self.receive_data()
        except WebSocketDisconnect as exc:
            return {"type": "websocket.disconnect", "code": exc.code, "reason": exc.reason}
        kind = "text" if isinstance(data, str) else "bytes"
        return {"type": "websocket.receive", kind: data}

    async def send(self, message: dict[str, Any]) -> None:
        """Does what an ASGI event says: websocket.accept, .send or .close.

        Raises: ValueError for any other event, and what accept(), send_…() and close() raise.
        """
        match message["type"]:
            case "websocket.accept":
                await self.accept(message.get("subprotocol"), message.get("headers"))
            case "websocket.send":
                text = message.get("text")
                await (self.send_bytes(message["bytes"]) if text is None else self.send_text(text))
            case "websocket.close":
                await self.close(message.get("code", NORMAL), message.get("reason"))
            case other:
                raise ValueError(f"a WebSocket can't send {other!r}")


def _check_mode(mode: str) -> None:
    if mode not in ("text", "binary"):
        raise ValueError(f'mode must be "text" or "binary", not {mode!r}')
