"""WebSockets as tests see them: what `TestClient.websocket_connect` returns."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Self

from ..exceptions import WebSocketDisconnect
from .http_side import read_body, read_head, write_request
from .ws_side import Frames

if TYPE_CHECKING:
    from .exchange import Exchange

Refuse = Callable[[int, list[tuple[bytes, bytes]], bytes], Exception]


class WebSocketTestSession:
    """A WebSocket to the app, open within a `with` block.

    `accepted_subprotocol` and `extra_headers` are what the app has accepted it with. At the end of
    the block the handler has returned; what it has raised is raised then.
    """

    __test__ = False

    def __init__(
        self,
        open_exchange: Callable[[], contextlib.AbstractContextManager[Exchange]],
        target: bytes,
        fields: list[tuple[bytes, bytes]],
        refuse: Refuse,
    ) -> None:
        self._open_exchange = open_exchange
        self._target = target
        self._fields = fields
        self._refuse = refuse
        self.accepted_subprotocol: str | None = None
        self.extra_headers: list[tuple[bytes, bytes]] = []

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:
            exchange = stack.enter_context(self._open_exchange())
            write_request(exchange.socket, "GET", self._target, self._fields, ())
            response = stack.enter_context(read_head(exchange.socket, "GET"))
            headers = [(n.lower().encode(), v.encode("latin-1")) for n, v in response.getheaders()]
            if response.status != 101:
                body = b"".join(read_body(response))
                stack.close()
                if exchange.refusal is not None:
                    raise WebSocketDisconnect(*exchange.refusal)
                raise self._refuse(response.status, headers, body)
            self.accepted_subprotocol = response.getheader("sec-websocket-protocol")
            own = {b"connection", b"upgrade", b"date", b"server", b"sec-websocket-accept"}
            own |= {b"sec-websocket-protocol", b"sec-websocket-extensions"}
            self.extra_headers = [(n, v) for n, v in headers if n not in own]
            self._frames = Frames(exchange.socket, response.fp)
            stack.callback(self._frames.leave)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *exc_info: Any) -> bool | None:
        return self._stack.__exit__(*exc_info)

    # ---- sending ---------------------------------------------------------------------------

    def send_text(self, data: str) -> None:
        """Sends a text message."""
        self._frames.send(data)

    def send_bytes(self, data: bytes) -> None:
        """Sends a binary message."""
        self._frames.send(data)

    def send_json(self, data: Any, mode: str = "text") -> None:
        """Sends a value as JSON, in a text message or, with mode "binary", in a binary one."""
        text = json.dumps(data, separators=(",", ":"), ensure_ascii=False)
        self._frames.send(text if mode == "text" else text.encode())

    def close(self, code: int = 1000, reason: str | None = None) -> None:
        """Starts the close handshake."""
        self._frames.close(code, reason)

    def send(self, message: dict[str, Any]) -> None:
        """Does what an ASGI event says: websocket.receive or websocket.disconnect."""
        if message["type"] == "websocket.disconnect":
            self.close(message.get("code", 1000), message.get("reason"))
        elif message["type"] == "websocket.receive":
            text = message.get("text")
            self._frames.send(message["bytes"] if text is None else text)
        else:
            raise ValueError(f"a client can't send {message['type']!r}")

    # ---- receiving -------------------------------------------------------------------------

    def receive_text(self) -> str:
        """The next message, which is text. Raises: WebSocketDisconnect when there is none."""
        data = self._frames.receive()
        return data if isinstance(data, str) else data.decode()

    def receive_bytes(self) -> bytes:
        """The next message, which is binary. Raises: WebSocketDisconnect when there is none."""
        data = self._frames.receive()
        return data.encode() if isinstance(data, str) else data

    def receive_json(self, mode: str = "text") -> Any:
        """The next message, decoded from JSON. Raises: WebSocketDisconnect when there is none."""
        return json.loads(self.receive_text() if mode == "text" else self.receive_bytes())

    def receive(self) -> dict[str, Any]:
        """The next message as an ASGI event: websocket.send or websocket.close."""
        try:
            data = self._frames.receive()
        except WebSocketDisconnect as exc:
            return {"type": "websocket.close", "code": exc.code, "reason": exc.reason}
        return {"type": "websocket.send", "text" if isinstance(data, str) else "bytes": data}
