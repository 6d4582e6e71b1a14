"""TLS of the server's own: handshakes, good and bad."""

from __future__ import annotations

import contextlib
import os
import select
import socket
import ssl
import struct
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
from support.certificate import ENVIRONMENT
from support.deadlines import in_time, or_too_late
from support.http_server import Handler, Server, serving
from support.responses import Response
from support.tls_socket import TlsSocket, client_context

if TYPE_CHECKING:
    from support.certificate import Certificate

GET = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"
HTTPS_ONLY = "This port speaks HTTPS only: use https:// instead of http://"
LAST = b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"


def until_closed(sock: socket.socket) -> bytes:
    """Everything up to the end of the plain connection, which may be a reset."""
    data = b""
    try:
        while piece := sock.recv(65536):
            data += piece
    except ConnectionResetError:
        pass
    return data


def serves(server: Server) -> bool:
    """Whether another client gets an answer."""
    (response,) = server.send(LAST)
    return response.status == 200


def first_flight(context: ssl.SSLContext) -> bytes:
    """A ClientHello."""
    outgoing = ssl.MemoryBIO()
    tls = context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname="localhost")
    with pytest.raises(ssl.SSLWantReadError):
        tls.do_handshake()
    return outgoing.read()


# ---- Good ones -----------------------------------------------------------------------------


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_versions(certificate: Certificate, version: ssl.TLSVersion) -> None:
    context = client_context(certificate.cert)
    context.minimum_version = context.maximum_version = version
    with serving(Handler(), certificate=certificate) as server:
        sock = TlsSocket(server.connect_plain(), context).handshake()
        sock.sendall(LAST)
        assert Response.receive(sock).status == 200
        assert sock.tls.version() == version.name.replace("_", ".")
        cipher = sock.tls.cipher()
        assert cipher is not None
        assert "GCM" in cipher[0] or "CHACHA20" in cipher[0]


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1")
def test_old_versions_are_refused(certificate: Certificate) -> None:
    context = client_context(certificate.cert)
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    handler = Handler()
    with serving(handler, certificate=certificate) as server:
        with pytest.raises(ssl.SSLError, match="PROTOCOL_VERSION"):
            TlsSocket(server.connect_plain(), context).handshake()
        assert handler.wait("refused") == ("refused", "unsupported protocol")


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_byte_by_byte(certificate: Certificate, version: ssl.TLSVersion) -> None:
    """Handshake, request and end, each byte by itself."""

    class Trickling(TlsSocket):
        def flush(self) -> None:
            for byte in self.outgoing.read():
                self.sock.sendall(bytes([byte]))

    context = client_context(certificate.cert)
    context.maximum_version = version
    with serving(Handler(), certificate=certificate) as server:
        plain = server.connect_plain()
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock = Trickling(plain, context).handshake()
        for byte in sock.records(GET):
            plain.sendall(bytes([byte]))
        assert Response.receive(sock).status == 200
        for byte in sock.close_notify():
            plain.sendall(bytes([byte]))
        assert sock.recv(1) == b""
        assert sock.closed_by_notice


@pytest.mark.parametrize(
    ("offer", "chosen"),
    [([], None), (["http/1.1"], "http/1.1"), (["h2", "http/1.1"], "http/1.1")],
)
def test_alpn(certificate: Certificate, offer: list[str], chosen: str | None) -> None:
    context = client_context(certificate.cert)
    if offer:
        context.set_alpn_protocols(offer)
    with serving(Handler(), certificate=certificate) as server:
        sock = TlsSocket(server.connect_plain(), context).handshake()
        assert sock.tls.selected_alpn_protocol() == chosen
        sock.sendall(GET)
        assert Response.receive(sock).status == 200


def test_alpn_without_http_1(certificate: Certificate) -> None:
    context = client_context(certificate.cert)
    context.set_alpn_protocols(["h2", "spdy/3"])
    handler = Handler()
    with serving(handler, certificate=certificate) as server:
        with pytest.raises(ssl.SSLError, match="no application protocol"):
            TlsSocket(server.connect_plain(), context).handshake()
        assert handler.wait("refused") == ("refused", "no application protocol")


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_sessions_are_resumed(certificate: Certificate, version: ssl.TLSVersion) -> None:
    context = client_context(certificate.cert)
    context.maximum_version = version
    session = None
    with serving(Handler(), certificate=certificate) as server:
        for reused in (False, True, True):
            sock = TlsSocket(server.connect_plain(), context, session).handshake()
            sock.sendall(LAST)
            assert Response.receive(sock).status == 200
            assert sock.recv(1) == b""
            assert sock.tls.session_reused == reused
            session = sock.tls.session
            assert session is not None
            assert session.has_ticket


def test_renegotiation_is_off(certificate: Certificate) -> None:
    with serving(Handler(), certificate=certificate) as server:
        host, port = server.address
        command = ["openssl", "s_client", "-tls1_2", "-connect", f"{host}:{port}"]
        client = subprocess.Popen(
            [*command, "-CAfile", str(certificate.cert)],
            env=ENVIRONMENT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert client.stdin is not None
        assert client.stdout is not None
        while "Verify return code: 0" not in client.stdout.readline():
            continue
        output, _ = client.communicate("R\n", timeout=30)
        assert "RENEGOTIATING" in output
        assert "no renegotiation" in output
        assert serves(server)


# ---- Bad ones ------------------------------------------------------------------------------


@pytest.mark.parametrize("request_", [GET, GET[:1], b"POST / HTTP/1.1\r\n" + 70_000 * b"x"])
def test_plain_http(certificate: Certificate, request_: bytes) -> None:
    with serving(Handler(), certificate=certificate) as server:
        sock = server.connect_plain()
        sock.sendall(request_)
        response = Response.parse(until_closed(sock))[0]
        assert response.status == 400
        assert response["connection"] == "close"
        assert response.body == b'{"detail":"%b"}' % HTTPS_ONLY.encode()
        assert serves(server)


@pytest.mark.parametrize(
    "garbage",
    [
        b"\xff" + os.urandom(999),  # a capital letter would begin a plain request
        b"\0" * 1000,
        b"\x16\x03\x01\xff\xff" + bytes(1000),  # a record too long
        b"\x16\x03\x01\x00\x04\x0e\x00\x00\x00",  # a message that is the server's
        b"\x17\x03\x03\x00\x20" + bytes(32),  # application data
        b"\x15\x03\x03\x00\x02\x02\x28",  # an alert
    ],
)
def test_garbage(certificate: Certificate, garbage: bytes) -> None:
    handler = Handler()
    with serving(handler, certificate=certificate) as server:
        sock = server.connect_plain()
        sock.sendall(garbage)
        sock.shutdown(socket.SHUT_WR)
        assert b"HTTP" not in until_closed(sock)
        assert handler.wait("refused")[1]
        assert serves(server)
    assert not [event for event in handler.events if event[0] == "head"][1:]


def test_a_broken_client_hello(certificate: Certificate) -> None:
    """Every bit that may be wrong closes that connection, if any."""
    hello = first_flight(client_context(certificate.cert))
    with serving(Handler(), certificate=certificate) as server:
        for at in range(0, len(hello), 7):
            broken = bytearray(hello)
            broken[at] ^= 0xFF
            with server.connect_plain() as sock:
                sock.sendall(broken)
                sock.shutdown(socket.SHUT_WR)
                until_closed(sock)
        assert serves(server)


@pytest.mark.parametrize("sent", [0, 1, 5, 100, 10_000])
@pytest.mark.parametrize("reset", [False, True])
def test_a_client_that_goes_away(certificate: Certificate, sent: int, reset: bool) -> None:
    handler = Handler()
    hello = first_flight(client_context(certificate.cert))
    with serving(handler, certificate=certificate) as server:
        sock = server.connect_plain()
        sock.sendall(hello[:sent])
        if reset:
            linger = struct.pack("ii", 1, 0)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            sock.close()
        else:
            sock.shutdown(socket.SHUT_WR)
            until_closed(sock)
        reason = "connection reset by peer" if reset else "the client has gone away"
        assert handler.wait("refused") == ("refused", reason)
        assert serves(server)


@pytest.mark.parametrize("trickles", [False, True])
def test_a_client_that_dawdles(certificate: Certificate, trickles: bool) -> None:
    """The handshake has the header's deadline. One that is complete is no more under it."""
    context = client_context(certificate.cert)

    def attempt(limit: int) -> None:
        handler = Handler()
        hello = first_flight(context)
        with serving(handler, certificate=certificate, header_timeout=limit) as server:
            with or_too_late():
                idle = server.connect()
            slow = server.connect_plain()
            while trickles and not select.select([slow], [], [], 0.01)[0]:
                with contextlib.suppress(ConnectionError):  # it may be closed in between
                    slow.sendall(hello[:1])
                hello = hello[1:] or hello
            assert until_closed(slow) == b""
            assert handler.wait("refused") == ("refused", "it took too long")
            with or_too_late():  # the server may have seen the end of its handshake too late
                idle.sendall(LAST)
                assert Response.receive(idle).status == 200

    in_time(attempt, first=50)


def test_the_header_s_deadline_begins_with_the_request(certificate: Certificate) -> None:
    def attempt(limit: int) -> None:
        with serving(Handler(), certificate=certificate, header_timeout=limit) as server:
            with or_too_late():  # likewise
                sock = server.connect()
                sock.sendall(GET[:5])
                assert Response.receive(sock).status == 408
            assert sock.recv(1) == b""
            assert sock.closed_by_notice

    in_time(attempt, first=50)


@pytest.mark.parametrize("before", [0, 1])
def test_a_record_broken_after_the_handshake(certificate: Certificate, before: int) -> None:
    """The client is told; others don't notice. What came along with it is dropped."""
    handler = Handler()
    with serving(handler, certificate=certificate) as server:
        other = server.connect()
        sock = server.connect()
        good = sock.records(GET) * before
        broken = bytearray(sock.records(GET))
        broken[-1] ^= 1
        sock.sock.sendall(good + broken)
        with pytest.raises(ssl.SSLError, match="BAD_RECORD_MAC"):
            sock.recv(1)
        other.sendall(GET)
        assert Response.receive(other).status == 200
    assert [event[0] for event in handler.events].count("head") == 1
    assert not [event for event in handler.events if event[0] in ("refused", "gone")]


# ---- Stops ---------------------------------------------------------------------------------


def test_a_stop_does_not_wait_for_handshakes(certificate: Certificate) -> None:
    handler = Handler()
    hello = first_flight(client_context(certificate.cert))
    with serving(handler, certificate=certificate) as server:
        silent = server.connect_plain()
        begun = server.connect_plain()
        begun.sendall(hello)
        assert begun.recv(1)
        idle = server.connect()
        idle.sendall(GET)
        assert Response.receive(idle).status == 200
        server.call(server.core.drain)
        handler.wait("drained")
        assert until_closed(silent) == b""
        until_closed(begun)
        assert idle.recv(1) == b""
        assert idle.closed_by_notice


def test_a_stop_lets_requests_finish(certificate: Certificate) -> None:
    class Later(Handler):
        waiting: Any = None

        def answer(self, request: Any) -> None:
            self.waiting = request
            self.note("waiting")

    handler = Later()
    with serving(handler, certificate=certificate) as server:
        sock = server.connect()
        sock.sendall(GET)
        handler.wait("waiting")
        server.call(server.core.drain)
        server.call(handler.waiting.respond, 200, b"late")
        assert Response.receive(sock).body == b"late"
        assert sock.recv(1) == b""
        assert sock.closed_by_notice
        sock.close()
        handler.wait("drained")
