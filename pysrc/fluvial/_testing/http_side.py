"""The client's side of HTTP/1.1 on a connection for one request."""

from __future__ import annotations

import contextlib
import http.client
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import socket

_PIECE = 64 * 1024  # bytes that are read at once


class Broken(Exception):
    """The app ended the connection before its response was complete."""


def write_request(
    sock: socket.socket,
    method: str,
    target: bytes,
    fields: Iterable[tuple[bytes, bytes]],
    body: Iterable[bytes],
) -> None:
    """Sends a request, chunked if `fields` say so (RFC 9112 section 7.1).

    A server that doesn't want the whole body may respond early and close the connection. The
    response can be read nevertheless.
    """
    fields = list(fields)
    lines = [b"%s %s HTTP/1.1" % (method.encode(), target)]
    lines += [b"%s: %s" % field for field in fields]
    chunked = any(name.lower() == b"transfer-encoding" for name, _ in fields)
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        sock.sendall(b"\r\n".join(lines) + b"\r\n\r\n")
        for piece in body:
            if not chunked:
                sock.sendall(piece)
            elif piece:
                sock.sendall(b"%x\r\n%s\r\n" % (len(piece), piece))
        if chunked:
            sock.sendall(b"0\r\n\r\n")


def read_head(sock: socket.socket, method: str) -> http.client.HTTPResponse:
    """The response up to its body. Raises: Broken when there is none."""
    response = http.client.HTTPResponse(sock, method=method)
    try:
        response.begin()
    except (http.client.HTTPException, OSError) as exc:
        response.close()
        raise Broken(f"the app has sent no response: {exc}") from exc
    return response


def read_body(response: http.client.HTTPResponse) -> Iterator[bytes]:
    """The body, piece by piece. Raises: Broken when it ends too early."""
    while True:
        try:
            piece = response.read1(_PIECE)
        except (http.client.HTTPException, OSError) as exc:
            raise Broken(f"the response was broken off: {exc!r}") from exc
        if not piece:
            break
        yield piece
    if response.length:
        raise Broken(f"the response was broken off: {response.length} bytes are missing")
