"""A WebSocket client that does what it is told, right or wrong, byte by byte."""

from __future__ import annotations

import base64
import hashlib
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    from support.serving import Served

CONT, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
MASK = b"\x12\xab\x34\xcd"
GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


def frame(
    opcode: int,
    payload: bytes = b"",
    *,
    fin: bool = True,
    rsv: int = 0,
    mask: bytes | None = MASK,
    length: bytes | None = None,
) -> bytes:
    """A client's frame. `length` replaces the length's bytes, without the mask bit."""
    if length is None:
        size = len(payload)
        if size < 126:
            length = bytes([size])
        elif size < 65536:
            length = b"\x7e" + size.to_bytes(2, "big")
        else:
            length = b"\x7f" + size.to_bytes(8, "big")
    first = (0x80 if fin else 0) | rsv << 4 | opcode
    if mask is None:
        return bytes([first]) + length + payload
    length = bytes([length[0] | 0x80]) + length[1:]
    return bytes([first]) + length + mask + masked(payload, mask)


def masked(payload: bytes, mask: bytes) -> bytes:
    """The payload under the mask."""
    keys = (mask * (len(payload) // 4 + 1))[: len(payload)]
    whole = int.from_bytes(payload, "big") ^ int.from_bytes(keys, "big")
    return whole.to_bytes(len(payload), "big")


def close_payload(code: int, reason: bytes = b"") -> bytes:
    """The payload of a close frame."""
    return code.to_bytes(2, "big") + reason


@dataclass(frozen=True)
class Frame:
    """A frame of the server's."""

    opcode: int
    payload: bytes
    fin: bool = True
    rsv: int = 0

    @property
    def code(self) -> int | None:
        """The code of a close frame."""
        assert self.opcode == CLOSE
        return int.from_bytes(self.payload[:2], "big") if self.payload else None

    @property
    def reason(self) -> str:
        """The reason in a close frame."""
        return self.payload[2:].decode()


@dataclass
class Answer:
    """The answer to the opening handshake."""

    status: int
    fields: dict[str, str]
    body: bytes = b""


class Client:
    """A connection, before and after the handshake."""

    def __init__(self, sock: Any) -> None:
        self.sock = sock  # a socket, or a Tunnel of h2_tunnel
        self._buffer = b""
        self.key = base64.b64encode(os.urandom(16)).decode()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.sock.close()

    def request(
        self, path: str = "/", fields: Iterable[str] = (), *, without: Iterable[str] = ()
    ) -> bytes:
        """The opening handshake, with further fields and without some."""
        lines = {
            "host": "Host: test",
            "upgrade": "Upgrade: websocket",
            "connection": "Connection: Upgrade",
            "key": f"Sec-WebSocket-Key: {self.key}",
            "version": "Sec-WebSocket-Version: 13",
        }
        kept = [line for name, line in lines.items() if name not in without]
        return "\r\n".join([f"GET {path} HTTP/1.1", *kept, *fields, "", ""]).encode()

    def open(self, path: str = "/", fields: Iterable[str] = (), *, then: bytes = b"") -> Answer:
        """Upgrades, sending `then` with the handshake."""
        self.send(self.request(path, fields) + then)
        answer = self.answer()
        assert answer.status == 101, answer
        digest = hashlib.sha1((self.key + GUID).encode()).digest()
        assert answer.fields["sec-websocket-accept"] == base64.b64encode(digest).decode()
        assert answer.fields["upgrade"] == "websocket"
        assert answer.fields["connection"].lower() == "upgrade"
        return answer

    def answer(self) -> Answer:
        """Reads an answer of HTTP."""
        while b"\r\n\r\n" not in self._buffer:
            self._fill()
        head, _, self._buffer = self._buffer.partition(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        pairs = (line.split(": ", 1) for line in lines)
        fields = {name.lower(): value for name, value in pairs}
        body = self._take(int(fields.get("content-length", 0)))
        return Answer(int(first.split()[1]), fields, body)

    def send(self, data: bytes) -> None:
        """Sends bytes as they are."""
        self.sock.sendall(data)

    def send_frame(self, opcode: int, payload: bytes = b"", **how: object) -> None:
        """Sends one frame."""
        self.send(frame(opcode, payload, **how))  # type: ignore[arg-type]

    def _fill(self) -> None:
        data = self.sock.recv(1 << 18)
        if not data:
            raise EOFError
        self._buffer += data

    def _take(self, size: int) -> bytes:
        parts, have = [self._buffer], len(self._buffer)
        while have < size:
            data = self.sock.recv(1 << 18)
            if not data:
                raise EOFError
            parts.append(data)
            have += len(data)
        whole = b"".join(parts)
        self._buffer = whole[size:]
        return whole[:size]

    def read(self) -> Frame:
        """Reads one frame. Raises: EOFError."""
        first, second = self._take(2)
        assert not second & 0x80, "servers don't mask"
        size = second & 127
        if size >= 126:
            size = int.from_bytes(self._take(2 if size == 126 else 8), "big")
        return Frame(first & 15, self._take(size), bool(first & 0x80), first >> 4 & 7)

    def read_to_end(self) -> list[Frame]:
        """All frames until the server ends the connection."""
        frames = []
        while True:
            try:
                frames.append(self.read())
            except (EOFError, ConnectionResetError):
                return frames

    def close(self, code: int = 1000) -> Frame:
        """The close handshake; the server's frame."""
        self.send_frame(CLOSE, close_payload(code))
        *_, last = self.read_to_end()
        return last


def connect(served: Served) -> Client:
    """A connection of its own."""
    return Client(served.connect())


def upgraded(served: Served, path: str = "/", fields: Iterable[str] = ()) -> Client:
    """A WebSocket without extensions."""
    client = connect(served)
    client.open(path, fields)
    return client
