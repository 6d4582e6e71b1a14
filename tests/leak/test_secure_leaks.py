"""Connections to a server with TLS, of every kind of life and death: nothing of them stays."""

from __future__ import annotations

import gc
import socket
import ssl
import struct
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from fluvial import App, Request, WebSocket
from support.certificate import Authority
from support.flat import resident
from support.growth import ATTEMPTS, assert_flat
from support.sanitizer import SANITIZED
from support.serving import Served, serving
from support.tls_socket import TlsSocket, client_context
from support.ws_client import TEXT, Client

if TYPE_CHECKING:
    from support.certificate import Certificate

CONNECTIONS = 25  # in a round
ROUNDS = 8
# Objects or blocks that all rounds may leave behind; a leak leaves one for each connection.
FEW = 60
MANY = 20  # rounds over which memory is measured: 500 connections
MEMORY = 1024 * 1024  # bytes; an SSL object alone has 6 KiB

GET = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"

Work = Callable[[Served, ssl.SSLContext], None]


def make_app() -> App:
    app = App()

    @app.get("/")
    async def facts(request: Request) -> Any:
        return request.tls

    @app.post("/")
    async def size(request: Request) -> int:
        return len(await request.body())

    @app.websocket("/")
    async def echo(websocket: WebSocket) -> None:
        await websocket.accept()
        async for message in websocket.iter_text():
            await websocket.send_text(message)

    return app


def answered(served: Served, context: ssl.SSLContext) -> None:
    with served.connect(context) as sock:
        sock.sendall(GET)
        assert sock.recv(65536).startswith(b"HTTP/1.1 200")
        sock.sendall(GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
        while sock.recv(65536):
            continue
        assert sock.closed_by_notice


# Taken once for each context: each look at one leaks 6 KiB on the client's side, in Python's ssl.
sessions: weakref.WeakKeyDictionary[ssl.SSLContext, ssl.SSLSession] = weakref.WeakKeyDictionary()


def resumed(served: Served, context: ssl.SSLContext) -> None:
    with served.connect(context, sessions.get(context)) as sock:
        sock.sendall(GET)
        sock.recv(65536)
        assert sock.tls.session_reused == (context in sessions)
        if context not in sessions:
            sessions[context] = sock.tls.session


def websockets(served: Served, context: ssl.SSLContext) -> None:
    with Client(served.connect(context)) as client:
        client.open("/")
        client.send_frame(TEXT, b"x" * 1000)
        client.read()
        client.close()


def uploaded(served: Served, context: ssl.SSLContext) -> None:
    with served.connect(context) as sock:
        sock.sendall(
            b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\n" + b"x" * 100_000
        )
        assert sock.recv(65536).endswith(b"100000")


def reset(served: Served, context: ssl.SSLContext) -> None:
    """Within a request."""
    with served.connect(context) as sock:
        sock.sendall(GET[:-1])
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def broken(served: Served, context: ssl.SSLContext) -> None:
    with served.connect(context) as sock:
        record = bytearray(sock.records(GET))
        record[-1] ^= 1
        sock.sock.sendall(record)
        with pytest.raises(ssl.SSLError):
            sock.recv(1)


def abandoned(served: Served, context: ssl.SSLContext) -> None:
    """Within the handshake."""
    with TlsSocket(served.connect_plain(), context) as sock:
        with pytest.raises(ssl.SSLWantReadError):
            sock.tls.do_handshake()
        sock.flush()
        assert sock.sock.recv(1)


def plain(served: Served, context: ssl.SSLContext) -> None:
    with served.connect_plain() as sock:
        sock.sendall(GET)
        try:
            while sock.recv(65536):
                continue
        except ConnectionResetError:
            pass


@pytest.mark.parametrize(
    "work", [answered, resumed, websockets, uploaded, reset, broken, abandoned, plain]
)
def test_flat(work: Work, certificate: Certificate, tmp_path: Any) -> None:
    authority = Authority(tmp_path, "authority")
    context = client_context(certificate.cert, authority.issue("alice", "/CN=alice"))
    options = {
        "ssl_certfile": str(certificate.cert),
        "ssl_keyfile": str(certificate.key),
        "ssl_ca_certs": str(authority.cert),
        "ssl_cert_reqs": "optional",
    }

    def one_round() -> None:
        for _ in range(CONNECTIONS):
            work(served, context)

    with serving(make_app(), **options) as served:
        work(served, context)  # what the loop opens once
        assert_flat(one_round, rounds=ROUNDS, few=FEW)
        grown = []
        while not grown or (grown[-1] >= MEMORY and len(grown) < ATTEMPTS):
            gc.collect()
            before = resident()
            for _ in range(MANY):
                one_round()
            grown.append(0 if SANITIZED else resident() - before)
        assert grown[-1] < MEMORY, grown
