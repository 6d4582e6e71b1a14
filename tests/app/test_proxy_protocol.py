"""The PROXY protocol: what a proxy sends first on a connection that it passes on."""

from __future__ import annotations

import contextlib
import json
import socket
import struct
from typing import Any

import pytest
from fluvial import App, Request
from support.tls_socket import TlsSocket

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
REQUEST = b"GET / HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n"
V1 = b"PROXY TCP4 192.0.2.1 198.51.100.1 5000 443\r\n"


def v2(family: int, addresses: bytes, *, command: int = 1, items: bytes = b"") -> bytes:
    """A header of version 2."""
    size = struct.pack("!H", len(addresses) + len(items))
    return SIGNATURE + bytes([0x20 | command, family]) + size + addresses + items


def packed(source: str, target: str, ports: tuple[int, int] = (5000, 443)) -> bytes:
    """The addresses of version 2."""
    family = socket.AF_INET6 if ":" in source else socket.AF_INET
    return b"".join(socket.inet_pton(family, a) for a in (source, target)) + struct.pack(
        "!HH", *ports
    )


V2 = v2(0x11, packed("192.0.2.1", "198.51.100.1"))
TLS_ITEM = b"\x20\x00\x05\x01\x00\x00\x00\x00"


@pytest.fixture(scope="module")
def app() -> App:
    app = App(openapi_url=None)

    @app.get("/")
    async def tell(request: Request) -> dict[str, Any]:
        return {"client": request.client, "server": request.server, "url": str(request.url)}

    return app


def answer(sock: Any) -> dict[str, Any]:
    received = b"".join(iter(lambda: sock.recv(65536), b""))
    head, _, body = received.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 "), received
    return dict(json.loads(body))


def ask(served: Any, header: bytes, request: bytes = REQUEST) -> dict[str, Any]:
    with served.connect_plain() as sock:
        sock.sendall(header + request)
        return answer(sock)


CLIENT = ["192.0.2.1", 5000]
HEADERS = {
    "version 1": (V1, CLIENT),
    "version 1, IPv6": (b"PROXY TCP6 2001:db8::1 2001:db8::2 5000 443\r\n", ["2001:db8::1", 5000]),
    "version 2": (V2, CLIENT),
    "version 2, IPv6": (v2(0x21, packed("2001:db8::1", "2001:db8::2")), ["2001:db8::1", 5000]),
    "with items": (v2(0x11, packed("192.0.2.1", "10.0.0.1"), items=b"\x04\0\x03abc" * 9), CLIENT),
    "mapped": (v2(0x21, packed("::ffff:192.0.2.1", "::ffff:10.0.0.1")), CLIENT),
}
OWN = {
    "version 1, unknown": b"PROXY UNKNOWN\r\n",
    "version 1, unknown with more": b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n",
    "version 2, local": v2(0, b"", command=0),
    "version 2, local with addresses": v2(0x11, packed("192.0.2.1", "10.0.0.1"), command=0),
    "version 2, unspecified": v2(0, b""),
    "version 2, Unix": v2(0x31, bytes(216)),
}
MALFORMED = {
    "nothing": b"",
    "lower case": b"proxy TCP4 192.0.2.1 198.51.100.1 5000 443\r\n",
    "no port": b"PROXY TCP4 192.0.2.1 198.51.100.1 5000\r\n",
    "more": b"PROXY TCP4 192.0.2.1 198.51.100.1 5000 443 1\r\n",
    "zeros": b"PROXY TCP4 192.0.2.1 198.51.100.1 05000 443\r\n",
    "large port": b"PROXY TCP4 192.0.2.1 198.51.100.1 65536 443\r\n",
    "wrong family": b"PROXY TCP4 2001:db8::1 2001:db8::2 5000 443\r\n",
    "other protocol": b"PROXY UDP4 192.0.2.1 198.51.100.1 5000 443\r\n",
    "too long": b"PROXY UNKNOWN " + b"x" * 107 + b"\r\n",
    "two spaces": b"PROXY  TCP4 192.0.2.1 198.51.100.1 5000 443\r\n",
    "version 3": SIGNATURE + b"\x31\x11\0\x0c" + packed("192.0.2.1", "10.0.0.1"),
    "command 2": v2(0x11, packed("192.0.2.1", "10.0.0.1"), command=2),
    "datagrams": v2(0x12, packed("192.0.2.1", "10.0.0.1")),
    "short": v2(0x11, b"\xc0\0\x02\x01"),
    "cut item": v2(0x11, packed("192.0.2.1", "10.0.0.1"), items=b"\x04\0\x09abc"),
    "very long": v2(0x11, packed("192.0.2.1", "10.0.0.1"), items=b"\x04\x0f\xff" + bytes(4095)),
}


@pytest.mark.parametrize("kind", HEADERS)
def test_the_client_of_the_header(serve, app, kind) -> None:
    header, client = HEADERS[kind]
    assert ask(serve(app, proxy_protocol=True), header)["client"] == client


def test_the_server_is_where_the_client_has_connected_to(serve, app, tmp_path) -> None:
    for options in ({}, {"uds": str(tmp_path / "s")}):
        told = ask(serve(app, proxy_protocol=True, **options), V2)
        assert (told["client"], told["server"]) == (CLIENT, ["198.51.100.1", 443])


@pytest.mark.parametrize("kind", OWN)
def test_where_the_header_names_nobody_the_peer_counts(serve, app, kind) -> None:
    assert ask(serve(app, proxy_protocol=True), OWN[kind])["client"][0] == "127.0.0.1"


@pytest.mark.parametrize("kind", MALFORMED)
def test_without_a_right_header_the_connection_is_closed(serve, app, kind) -> None:
    served = serve(app, proxy_protocol=True)
    with served.connect_plain() as sock:
        sock.sendall(MALFORMED[kind] + REQUEST)
        with contextlib.suppress(ConnectionResetError):
            assert sock.recv(65536) == b""


@pytest.mark.parametrize("header", [V1, V2], ids=["1", "2"])
def test_headers_in_any_pieces(serve, app, header) -> None:
    served = serve(app, proxy_protocol=True)
    for cut in range(1, len(header) + 2):
        with served.connect_plain() as sock:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.sendall((header + REQUEST)[:cut])
            sock.sendall((header + REQUEST)[cut:])
            assert answer(sock)["client"] == CLIENT
    with served.connect_plain() as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for n in range(len(header)):
            sock.sendall(header[n : n + 1])
        sock.sendall(REQUEST)
        assert answer(sock)["client"] == CLIENT


@pytest.mark.parametrize("together", [True, False], ids=["together", "apart"])
def test_tls_begins_after_the_header(serve, app, certificate, together) -> None:
    files = {"ssl_certfile": str(certificate.cert), "ssl_keyfile": str(certificate.key)}
    served = serve(app, proxy_protocol=True, **files)
    with served.connect_plain() as plain:
        held = _Held(plain, V2 if together else b"")
        if not together:
            plain.sendall(V2)
        sock = TlsSocket(held, served.context).handshake()
        sock.sendall(REQUEST)
        told = answer(sock)
    assert (told["client"], told["url"]) == (CLIENT, "https://a.example/")


class _Held:
    """A socket that sends what it holds together with what is sent first."""

    def __init__(self, sock: socket.socket, held: bytes) -> None:
        self._sock = sock
        self._held = held

    def sendall(self, data: bytes) -> None:
        self._sock.sendall(self._held + data)
        self._held = b""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)


def test_a_proxy_that_ends_tls_says_so(serve, app) -> None:
    header = v2(0x11, packed("192.0.2.1", "10.0.0.1"), items=TLS_ITEM)
    assert ask(serve(app, proxy_protocol=True), header)["url"] == "https://a.example/"


def test_the_fields_of_a_client_that_is_passed_on_are_not_believed(serve, app) -> None:
    told = b"GET / HTTP/1.1\r\nX-Forwarded-For: 203.0.113.9\r\n" + REQUEST.partition(b"\r\n")[2]
    served = serve(app, proxy_protocol=True)
    assert ask(served, V1, told)["client"] == CLIENT
    assert ask(served, OWN["version 1, unknown"], told)["client"][0] == "127.0.0.1"
    # A second proxy, which is trusted and passes requests on, is.
    served = serve(app, proxy_protocol=True, forwarded_allow_ips="127.0.0.1,192.0.2.0/24")
    assert ask(served, V1, told)["client"] == ["203.0.113.9", 0]


def test_only_trusted_proxies_may_connect(serve, app) -> None:
    served = serve(app, proxy_protocol=True, forwarded_allow_ips="10.0.0.0/8")
    with served.connect_plain() as sock, contextlib.suppress(ConnectionError):
        sock.sendall(V1 + REQUEST)
        assert sock.recv(65536) == b""


def test_a_header_that_does_not_come_has_a_deadline(serve, app) -> None:
    served = serve(app, proxy_protocol=True, limits={"header_timeout": 200})
    for begin in (b"", V1[:20], SIGNATURE):
        with served.connect_plain() as sock:
            sock.sendall(begin)
            assert sock.recv(65536) == b""


def test_a_client_that_leaves_before_the_end_of_the_header(serve, app) -> None:
    served = serve(app, proxy_protocol=True)
    with served.connect_plain() as sock:
        sock.sendall(V1[:20])
        sock.shutdown(socket.SHUT_WR)
        assert sock.recv(65536) == b""


def test_elsewhere_the_header_is_no_request(serve, app) -> None:
    served = serve(app)
    with served.connect_plain() as sock:
        sock.sendall(V1 + REQUEST)
        assert b" 501 " in sock.recv(65536)
