"""The client's side of a WebSocket (RFC 6455), on a socket that blocks."""

from __future__ import annotations

import base64
import os
from contextlib import suppress
from typing import TYPE_CHECKING, BinaryIO

from ..exceptions import WebSocketDisconnect

if TYPE_CHECKING:
    import socket

_CONTINUATION, _TEXT, _BINARY, _CLOSE, _PING, _PONG = 0, 1, 2, 8, 9, 10
_NO_CODE = 1005
_ABNORMAL = 1006


def make_key() -> str:
    """A value for Sec-WebSocket-Key."""
    return base64.b64encode(os.urandom(16)).decode()


class Frames:
    """An open WebSocket: sends and receives whole messages, and answers pings."""

    def __init__(self, sock: socket.socket, file: BinaryIO) -> None:
        self._sock = sock
        self._file = file  # the socket's, and what has been read from it ahead
        self._closed: WebSocketDisconnect | None = None
        self._close_sent = False

    def send(self, data: str | bytes) -> None:
        """Sends a message. What is sent after the end is lost, as on any connection."""
        if isinstance(data, str):
            self._write(_TEXT, data.encode())
        else:
            self._write(_BINARY, data)

    def receive(self) -> str | bytes:
        """The next message. Raises: WebSocketDisconnect when the app has closed the connection."""
        kind, pieces = _TEXT, bytearray()
        while self._closed is None:
            final, opcode, payload = self._read_frame()
            if opcode == _PING:
                self._write(_PONG, payload)
            elif opcode == _CLOSE:
                self._end(payload)
            elif opcode in (_TEXT, _BINARY, _CONTINUATION):
                kind = opcode or kind
                pieces += payload
                if final:
                    return pieces.decode() if kind == _TEXT else bytes(pieces)
        raise self._closed

    def close(self, code: int = 1000, reason: str | None = None) -> None:
        """Sends a close frame."""
        if not self._close_sent:
            self._close_sent = True
            self._write(_CLOSE, code.to_bytes(2, "big") + (reason or "").encode())

    def leave(self) -> None:
        """Closes the connection once the app has closed its side, too."""
        self.close()
        with suppress(WebSocketDisconnect):
            while True:
                self.receive()

    def _end(self, payload: bytes) -> None:
        code = int.from_bytes(payload[:2], "big") if payload else _NO_CODE
        self._closed = WebSocketDisconnect(code, payload[2:].decode())
        self.close(1000 if code == _NO_CODE else code)

    def _read_frame(self) -> tuple[bool, int, bytes]:
        head = self._file.read(2)
        if len(head) < 2:
            self._closed = self._closed or WebSocketDisconnect(_ABNORMAL, "")
            return True, _PONG, b""
        size = head[1] & 0x7F
        if size >= 126:
            size = int.from_bytes(self._file.read(2 if size == 126 else 8), "big")
        return bool(head[0] & 0x80), head[0] & 0x0F, self._file.read(size)

    def _write(self, opcode: int, payload: bytes) -> None:
        size = len(payload)
        if size < 126:
            length = bytes([0x80 | size])
        elif size < 1 << 16:
            length = b"\xfe" + size.to_bytes(2, "big")
        else:
            length = b"\xff" + size.to_bytes(8, "big")
        # A mask of zeros changes nothing. Masks protect proxies (RFC 6455 section 10.3); there are
        # none here.
        with suppress(BrokenPipeError, ConnectionResetError):
            self._sock.sendall(bytes([0x80 | opcode]) + length + bytes(4) + payload)
