"""TLS of the server's own: what becomes of records, both ways, and how connections end."""

from __future__ import annotations

import ctypes
import os
import socket
import threading
from typing import TYPE_CHECKING, Any

import pytest
from support.http_server import STREAM, Handler, serving
from support.responses import Response, read_all
from support.tls_socket import client_context

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.certificate import Certificate

GET = b"GET /%d HTTP/1.1\r\nHost: h\r\n\r\n"
LAST = b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
RECORD = 16 * 1024  # bytes of plaintext in one
APPLICATION_DATA = 23


class Target(Handler):
    """Answers with what was asked for."""

    def answer(self, request: Any) -> None:
        request.respond(200, request.describe()["target"])


class Echo(Handler):
    """Sends a body back as it comes, and stops reading while the client is slow."""

    mode = STREAM

    def request(self, request: Any) -> None:
        request.stream_begin(200)

    def body(self, request: Any, piece: bytes) -> None:
        super().body(request, piece)
        request.stream_write(piece)
        if request.stream_full():
            request.pause()
            self.note("paused")

    def writable(self, request: Any) -> None:
        super().writable(request)
        request.resume()

    def body_end(self, request: Any) -> None:
        request.stream_end()


def records(data: bytes) -> Iterator[tuple[int, int]]:
    """(type, size) of each, which must be complete."""
    while data:
        size = int.from_bytes(data[3:5], "big")
        assert len(data) >= 5 + size
        yield data[0], size
        data = data[5 + size :]


def receive_responses(sock: Any, count: int) -> list[Response]:
    data = b""
    while True:
        piece = sock.recv(1 << 20)
        assert piece
        data += piece
        found = Response.parse_all(data)
        if len(found) == count and found[-1].complete:
            return found


# ---- Requests and answers ------------------------------------------------------------------


@pytest.mark.parametrize("apart", [False, True])
def test_pipelined_requests_are_answered_in_order(certificate: Certificate, apart: bool) -> None:
    """Whether they came in one record or in one each."""
    with serving(Target(), certificate=certificate) as server:
        sock = server.connect()
        sock.sendall(GET % 0)
        receive_responses(sock, 1)
        requests = [GET % i for i in range(16)]
        sock.sock.sendall(b"".join(map(sock.records, requests if apart else [b"".join(requests)])))
        answers = receive_responses(sock, 16)
        assert [answer.body for answer in answers] == [b"/%d" % i for i in range(16)]


def test_a_record_byte_by_byte(certificate: Certificate) -> None:
    with serving(Target(), certificate=certificate) as server:
        sock = server.connect()
        sock.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        data = b"".join(sock.records(GET % i) for i in range(3))
        for byte in data:
            sock.sock.sendall(bytes([byte]))
        assert [r.body for r in receive_responses(sock, 3)] == [b"/0", b"/1", b"/2"]


@pytest.mark.parametrize("at", [1, 5, 6, 100, RECORD, RECORD + 21])
def test_a_large_record_in_two_reads(certificate: Certificate, at: int) -> None:
    """The second has the end of one record and the whole of others: all are in the same memory."""
    body = os.urandom(5 * RECORD)
    head = b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n" % len(body)
    with serving(Handler(), certificate=certificate) as server:
        sock = server.connect()
        sock.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.sendall(GET % 0)
        receive_responses(sock, 1)
        sock.sendall(head)
        data = sock.records(body)
        sock.sock.sendall(data[:at])
        other = server.connect()  # when it has its answer, the first part has been read
        other.sendall(GET % 0)
        receive_responses(other, 1)
        sock.sock.sendall(data[at:])
        (answer,) = receive_responses(sock, 1)
        assert answer.body == body


@pytest.mark.parametrize("size", [0, 1, RECORD - 1, RECORD, RECORD + 1, 100_000, 1_000_000])
def test_an_answer_has_as_few_records_as_it_fits_in(certificate: Certificate, size: int) -> None:
    body = os.urandom(size)

    class Fixed(Handler):
        def answer(self, request: Any) -> None:
            request.respond(200, body)

    with serving(Fixed(), certificate=certificate) as server:
        sock = server.connect()
        sock.sendall(LAST)
        raw = b"".join(iter(lambda: sock.sock.recv(65536), b""))
        sock.incoming.write(raw)
        data, _ = read_all(sock)
        (answer,) = Response.parse_all(data)
        assert answer.body == body
        sizes = [size for kind, size in records(raw) if kind == APPLICATION_DATA]
        # The tickets and close_notify are records, too, that look the same from outside.
        assert len(sizes) == 3 + (len(data) + RECORD - 1) // RECORD
        assert max(sizes) <= RECORD + 17


def test_a_chunk_is_one_record(certificate: Certificate) -> None:
    class Chunks(Handler):
        def answer(self, request: Any) -> None:
            request.stream_begin(200)
            request.stream_write(b"x" * 10_000)
            request.stream_write(b"y" * 10_000)
            request.stream_end()

    with serving(Chunks(), certificate=certificate) as server:
        sock = server.connect()
        sock.sendall(LAST)
        raw = b"".join(iter(lambda: sock.sock.recv(65536), b""))
        sock.incoming.write(raw)
        data, _ = read_all(sock)
        (answer,) = Response.parse_all(data)
        assert answer.body == b"x" * 10_000 + b"y" * 10_000
        assert len(list(records(raw))) <= 3 + 3


# ---- Large ones, slow ones -----------------------------------------------------------------


def test_large_bodies_both_ways(certificate: Certificate) -> None:
    body = os.urandom(20_000_000)
    handler = Handler()
    with serving(handler, certificate=certificate, body=0) as server, server.new_client() as client:
        for _ in range(2):
            assert client.post("/", content=body).content == body
        assert server.stats()["accepted"] == 1


def test_a_client_that_reads_later_makes_the_server_wait(certificate: Certificate) -> None:
    """What it has not taken is bounded: the request is read no further."""
    size = 30_000_000
    body = os.urandom(1_000_000)
    handler = Echo()
    with serving(handler, certificate=certificate, body=0) as server:
        sock = server.connect()
        sock.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        head = b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\nConnection: close\r\n\r\n"
        pieces = [sock.records(head % size)]
        pieces += [sock.records(body) for _ in range(size // len(body))]
        sent = threading.Event()

        def send() -> None:
            for piece in pieces:
                sock.sock.sendall(piece)
            sent.set()

        sender = threading.Thread(target=send)
        sender.start()
        handler.wait("paused")
        assert not sent.is_set()
        received = sum(len(event[1]) for event in handler.events if event[0] == "body")
        assert received < size
        data = bytearray()
        while piece := sock.recv(65536):
            data += piece
        sender.join()
        (answer,) = Response.parse_all(bytes(data))
        assert answer.body == body * (size // len(body))
        assert handler.wait("writable")


def test_a_client_that_takes_nothing_is_cut_off(certificate: Certificate) -> None:
    """Also when the app goes on writing: what counts is what the client's side has taken."""

    class Endless(Handler):
        def answer(self, request: Any) -> None:
            request.stream_begin(200)
            while not request.stream_full():
                request.stream_write(bytes(100_000))
            self.note("full")

    handler = Endless()
    with serving(handler, certificate=certificate, write_timeout=50) as server:
        sock = server.connect()
        sock.sendall(LAST)
        handler.wait("full")
        handler.wait("gone")
        while sock.recv(65536):
            continue
        assert not sock.closed_by_notice


class KeyUpdates:
    """A TLS 1.3 client over `sock` that can ask for new keys, which Python's ssl can't."""

    REQUESTED = 1

    def __init__(self, sock: socket.socket) -> None:
        lib = ctypes.CDLL("libssl.so.3")
        for function in (lib.TLS_client_method, lib.SSL_CTX_new, lib.SSL_new):
            function.restype = ctypes.c_void_p
        self._lib = lib
        self._context = ctypes.c_void_p(lib.SSL_CTX_new(ctypes.c_void_p(lib.TLS_client_method())))
        self._ssl = ctypes.c_void_p(lib.SSL_new(self._context))
        assert lib.SSL_set_fd(self._ssl, sock.fileno()) == 1
        assert lib.SSL_connect(self._ssl) == 1

    def __enter__(self) -> KeyUpdates:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._lib.SSL_free(self._ssl)
        self._lib.SSL_CTX_free(self._context)
        self._lib.ERR_clear_error()

    def send(self, data: bytes) -> None:
        assert self._lib.SSL_write(self._ssl, data, len(data)) == len(data)

    def ask(self) -> bool:
        """Sends a request, to be answered with the other side's. False when it can't be sent."""
        asked: int = self._lib.SSL_key_update(self._ssl, self.REQUESTED)
        return asked == 1 and self._lib.SSL_do_handshake(self._ssl) == 1


class Filling(Handler):
    """Sends as much as the connection takes."""

    def answer(self, request: Any) -> None:
        request.stream_begin(200)
        while not request.stream_full():
            request.stream_write(bytes(1_000_000))
        self.note("full")


def test_keys_are_updated(certificate: Certificate) -> None:
    with serving(Target(), certificate=certificate) as server:
        sock = server.connect_plain()
        sock.setblocking(True)
        with KeyUpdates(sock) as client:
            for _ in range(2000):  # far more bytes than a client may have that doesn't read
                assert client.ask()
            client.send(LAST)
            assert server.stats()["open"] == 1


def test_a_client_that_makes_the_protocol_talk_and_never_listens(certificate: Certificate) -> None:
    handler = Filling()
    with serving(handler, certificate=certificate) as server:
        sock = server.connect_plain()
        sock.setblocking(True)
        with KeyUpdates(sock) as client:
            client.send(LAST)
            handler.wait("full")
            assert not all(client.ask() for _ in range(20_000))
            handler.wait("gone")


# ---- Ends ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("notice", "fin"), [(True, False), (False, True), (True, True)])
def test_the_client_s_end(certificate: Certificate, notice: bool, fin: bool) -> None:
    """close_notify, FIN or both: the request is answered, and the server says goodbye."""
    with serving(Target(), certificate=certificate) as server:
        sock = server.connect()
        sock.sendall(GET % 7)
        if notice:
            sock.sock.sendall(sock.close_notify())
        if fin:
            sock.sock.shutdown(socket.SHUT_WR)
        data, closed = read_all(sock)
        (answer,) = Response.parse_all(data)
        assert answer.body == b"/7"
        assert closed
        assert sock.closed_by_notice


def test_notice_together_with_the_request(certificate: Certificate) -> None:
    """In one packet, behind a body whose reader has had enough."""

    class Pausing(Handler):
        mode = STREAM
        held: Any = None

        def request(self, request: Any) -> None:
            self.held = request

        def body(self, request: Any, piece: bytes) -> None:
            super().body(request, piece)
            request.pause()

        def body_end(self, request: Any) -> None:
            super().body_end(request)
            request.respond(200, b"done")

    handler = Pausing()
    with serving(handler, certificate=certificate) as server:
        sock = server.connect()
        head = b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 6\r\n\r\n"
        sock.sock.sendall(sock.records(head + b"abc") + sock.records(b"def") + sock.close_notify())
        handler.wait("eof")
        server.call(handler.held.resume)
        data, closed = read_all(sock)
        (answer,) = Response.parse_all(data)
        assert answer.body == b"done"
        assert closed
        assert sock.closed_by_notice


def test_an_idle_connection_ends_with_notice(certificate: Certificate) -> None:
    with serving(Handler(), certificate=certificate, keep_alive=50) as server:
        sock = server.connect()
        assert sock.recv(1) == b""
        assert sock.closed_by_notice


def test_the_last_answer_ends_with_notice(certificate: Certificate) -> None:
    with serving(Handler(), certificate=certificate) as server:
        sock = server.connect()
        sock.sendall(LAST)
        _, closed = read_all(sock)
        assert closed
        assert sock.closed_by_notice


def test_an_aborted_connection_ends_without(certificate: Certificate) -> None:
    """So that the client sees that something is missing."""

    class Never(Handler):
        def answer(self, request: Any) -> None:
            self.note("waiting")

    handler = Never()
    with serving(handler, certificate=certificate) as server:
        sock = server.connect()
        sock.sendall(LAST)
        handler.wait("waiting")
        server.call(server.core.abort)
        assert sock.recv(1) == b""
        assert not sock.closed_by_notice


def test_what_comes_after_the_last_answer_is_dropped(certificate: Certificate) -> None:
    handler = Handler()
    with serving(handler, certificate=certificate) as server:
        sock = server.connect()
        sock.sendall(LAST + GET % 1)
        data, _ = read_all(sock)
        assert [answer.status for answer in Response.parse_all(data)] == [200]
        sock.sendall(GET % 2)
        assert server.stats()["open"] == 1  # it waits for our end
        sock.sock.shutdown(socket.SHUT_WR)
    assert [event[0] for event in handler.events].count("head") == 1


def test_unix_sockets(certificate: Certificate, tmp_path: Any) -> None:
    with serving(Target(), certificate=certificate, path=tmp_path / "socket") as server:
        sock = server.connect()
        sock.sendall(GET % 3)
        assert receive_responses(sock, 1)[0].body == b"/3"


def test_interleaved_connections(certificate: Certificate) -> None:
    """They share memory on both ways."""
    with serving(Handler(), certificate=certificate) as server:
        socks = [server.connect() for _ in range(8)]
        bodies = [os.urandom(200_000) for _ in socks]
        head = b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 200000\r\n\r\n"
        sealed = [s.records(head + body) for s, body in zip(socks, bodies, strict=True)]
        for at in range(0, len(sealed[0]), 9_999):
            for sock, data in zip(socks, sealed, strict=True):
                sock.sock.sendall(data[at : at + 9_999])
        for sock, body in zip(socks, bodies, strict=True):
            assert receive_responses(sock, 1)[0].body == body


def test_a_client_of_ssl_s_own(certificate: Certificate) -> None:
    """Whose unwrap() wants the server's close_notify."""
    context = client_context(certificate.cert)
    with serving(Target(), certificate=certificate) as server:
        plain = server.connect_plain()
        with context.wrap_socket(plain, server_hostname="localhost") as sock:
            sock.sendall(GET % 5)
            assert Response.receive(sock).body == b"/5"
            assert isinstance(sock.unwrap(), socket.socket)
