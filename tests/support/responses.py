"""Reads HTTP/1.1 responses off a raw socket, strictly: what no server may send is an error."""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import socket

STATUS_LINE = re.compile(rb"HTTP/1\.1 (\d\d\d) [ -~]*\Z")
FIELD = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+): ?([^\x00-\x08\x0a-\x1f\x7f]*)\Z")


class Malformed(AssertionError):
    """The bytes are not what a server may send."""


def read_all(sock: socket.socket) -> tuple[bytes, bool]:
    """Everything up to end-of-file, and whether that came (a reset counts)."""
    data = bytearray()
    try:
        while piece := sock.recv(65536):
            data += piece
    except ConnectionResetError:
        return bytes(data), True
    except TimeoutError:
        return bytes(data), False
    return bytes(data), True


@dataclass(frozen=True, slots=True)
class Response:
    """One response. Field names are in lower case."""

    status: int
    fields: list[tuple[str, str]]
    body: bytes
    complete: bool

    def __getitem__(self, name: str) -> str:
        """The value of the one field of that name."""
        values = [value for key, value in self.fields if key == name]
        if len(values) != 1:
            raise KeyError(f"{name}: {values}")
        return values[0]

    def __contains__(self, name: str) -> bool:
        return any(key == name for key, _ in self.fields)

    @classmethod
    def parse(cls, data: bytes, *, is_head: bool = False) -> tuple[Response, bytes]:
        """The first response in `data`, and what stands behind it."""
        head, end, rest = data.partition(b"\r\n\r\n")
        if not end:
            raise Malformed(f"no end of the head: {data[:200]!r}")
        line, *lines = head.split(b"\r\n")
        status = STATUS_LINE.match(line)
        if status is None:
            raise Malformed(f"status line {line!r}")
        fields = []
        for text in lines:
            field = FIELD.match(text)
            if field is None:
                raise Malformed(f"field {text!r}")
            fields.append((field[1].decode().lower(), field[2].decode("latin-1")))
        response = cls(int(status[1]), fields, b"", True)
        bodyless = is_head or response.status < 200 or response.status in (204, 304)
        body, rest, complete = (b"", rest, True) if bodyless else response._body(rest)
        return cls(response.status, fields, body, complete), rest

    def _body(self, rest: bytes) -> tuple[bytes, bytes, bool]:
        if "transfer-encoding" in self:
            if self["transfer-encoding"] != "chunked" or "content-length" in self:
                raise Malformed(f"framing {self.fields}")
            return dechunk(rest)
        if "content-length" in self:
            length = int(self["content-length"])
            return rest[:length], rest[length:], len(rest) >= length
        if self["connection"] != "close":
            raise Malformed("a body without an end")
        return rest, b"", True

    @classmethod
    def receive(cls, sock: Any) -> Response:
        """The next response, as soon as all of it is there, which must be all that has come. Not
        for one that only the connection's end ends. Raises: EOFError."""
        (response,) = cls.receive_all(sock, 1)
        return response

    @classmethod
    def receive_all(cls, sock: Any, count: int) -> list[Response]:
        """Likewise the next `count` responses."""
        data = b""
        while piece := sock.recv(1 << 20):
            data += piece
            with contextlib.suppress(Malformed):  # it ends within a head
                found = cls.parse_all(data)
                if len(found) >= count and found[-1].complete:
                    assert len(found) == count, data
                    return found
        raise EOFError(f"the connection ended after {data!r}")

    @classmethod
    def parse_all(cls, data: bytes, *, is_head: bool = False) -> list[Response]:
        """All responses in `data`; only the last may be cut off. With `is_head` the first
        response answers HEAD."""
        found = []
        while data:
            response, data = cls.parse(data, is_head=is_head and not found)
            found.append(response)
        if not all(r.complete for r in found[:-1]):
            raise Malformed("a response within another")
        return found


def dechunk(data: bytes) -> tuple[bytes, bytes, bool]:
    """The decoded body, what stands behind it, and whether its end was there."""
    body = b""
    while True:
        line, end, rest = data.partition(b"\r\n")
        if not end:
            return body, b"", False
        if not re.fullmatch(rb"[0-9a-f]+", line):
            raise Malformed(f"chunk size {line!r}")
        size = int(line, 16)
        if len(rest) < size + 2:
            return body + rest[:size], b"", False
        if rest[size : size + 2] != b"\r\n":
            raise Malformed(f"end of chunk {rest[size : size + 2]!r}")
        if size == 0:
            return body, rest[2:], True
        body += rest[:size]
        data = rest[size + 2 :]
