"""A real HTTP server of the http layer in a thread, with a Python object as the layer above."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import httpx
from support import http_core
from support.responses import Response, read_all
from support.stuffing import fix_receive_buffer
from support.tls_socket import TlsSocket, client_context

if TYPE_CHECKING:
    from support.certificate import Certificate

T = TypeVar("T")

DISCARD, COLLECT, STREAM = range(3)
PATIENCE = 30.0  # seconds until an awaited event counts as missing


class Handler:
    """Records what the http layer tells; answers with an echo of the body.

    Tests derive from it. Everything runs on the server's thread but `wait`.
    """

    mode = COLLECT

    def __init__(self) -> None:
        self.events: list[tuple[Any, ...]] = []
        self.requests: list[Any] = []
        self._changed = threading.Condition()

    def note(self, *event: Any) -> None:
        with self._changed:
            self.events.append(event)
            self._changed.notify_all()

    def wait(self, name: str, count: int = 1) -> tuple[Any, ...]:
        """The `count`th event of that name, as soon as it has happened."""

        def found() -> list[tuple[Any, ...]]:
            return [event for event in self.events if event[0] == name]

        with self._changed:
            assert self._changed.wait_for(lambda: len(found()) >= count, PATIENCE), (
                name,
                self.events,
            )
            return found()[count - 1]

    def head(self, request: Any) -> int:
        seen = request.describe()
        self.note("head", seen["method"].decode(), seen["target"].decode())
        return self.mode

    def request(self, request: Any) -> None:
        self.note("request", request.describe()["body"])
        self.answer(request)

    def answer(self, request: Any) -> None:
        request.respond(200, request.describe()["body"], b"text/plain")

    def body(self, request: Any, piece: bytes) -> None:
        self.note("body", piece)

    def body_end(self, request: Any) -> None:
        self.note("body_end")

    def gone(self, request: Any) -> None:
        self.note("gone")

    def eof(self, request: Any) -> None:
        self.note("eof")

    def left(self, request: Any) -> None:
        self.note("left")

    def doubted(self, request: Any) -> None:
        self.note("doubted")

    def writable(self, request: Any) -> None:
        self.note("writable")

    def cleared(self) -> None:
        self.note("cleared")

    def refused(self, reason: str) -> None:
        self.note("refused", reason)

    def drained(self) -> None:
        self.note("drained")


class Server:
    """What a test does with a running server."""

    def __init__(
        self,
        loop: Any,
        core: Any,
        address: Any,
        family: socket.AddressFamily,
        certificate: Certificate | None,
    ) -> None:
        self.loop = loop
        self.context = None if certificate is None else client_context(certificate.cert)
        self.address = address
        self.family = family
        self.core = core
        self.clients: list[Any] = []

    def call(self, function: Callable[..., T], *args: Any) -> T:
        """`function(*args)` on the server's thread."""

        async def run() -> T:
            return function(*args)

        return asyncio.run_coroutine_threadsafe(run(), self.loop).result(PATIENCE)

    def stats(self) -> dict[str, int]:
        return self.call(self.core.stats)

    def new_client(self) -> httpx.Client:
        """A client that trusts the server's certificate."""
        scheme = "http" if self.context is None else "https"
        host, port = self.address
        verify = False if self.context is None else self.context
        return httpx.Client(base_url=f"{scheme}://{host}:{port}", verify=verify, trust_env=False)

    def connect_plain(self) -> socket.socket:
        """A client's socket without TLS; closed at the end if the test doesn't."""
        sock = socket.socket(self.family)
        self.clients.append(sock)
        sock.settimeout(PATIENCE)
        sock.connect(self.address)
        return sock

    def connect(self) -> Any:
        """The same, through TLS where the server speaks it: a socket or a TlsSocket."""
        sock = self.connect_plain()
        return sock if self.context is None else TlsSocket(sock, self.context).handshake()

    def send(self, raw: bytes, *, eof: bool = False) -> list[Response]:
        """Sends `raw`, then end-of-file if `eof`; the responses until the server closes."""
        with self.connect() as sock:
            sock.sendall(raw)
            if eof:
                sock.shutdown(socket.SHUT_WR)
            data, closed = read_all(sock)
        assert closed, data
        return Response.parse_all(data, is_head=raw.startswith(b"HEAD "))


# The certificate of all servers that aren't given one: tests of HTTP run with TLS, too.
usual_certificate: Certificate | None = None


def secure_context(core: Any, *certificates: Certificate) -> Any:
    """A SecureContext of the core, which may be another than fluvial's."""
    pairs = [[(str(file), file.read_bytes()) for file in each] for each in certificates]
    return core.SecureContext(tuple(map(tuple, pairs)), tickets=core.SessionTickets(7200))


@contextlib.contextmanager
def serving(
    handler: Handler,
    *,
    path: Path | None = None,
    log_fd: int = -1,
    certificate: Certificate | None = None,
    **limits: int,
) -> Iterator[Server]:
    """Serves on a free port of 127.0.0.1, or on the Unix socket `path`, with TLS when there is a
    certificate. Afterwards the server is drained, and no request or connection is left."""
    core, loop_type = http_core.load()
    certificate = certificate or usual_certificate
    secure = None if certificate is None else secure_context(core, certificate)
    bound = socket.socket(socket.AF_UNIX if path is not None else socket.AF_INET)
    bound.bind(str(path) if path is not None else ("127.0.0.1", 0))
    fix_receive_buffer(bound)
    address = bound.getsockname()
    ready: list[Server] = []
    started = threading.Event()

    async def main() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        native = core.HttpServer(
            loop,
            handler,
            bound.detach(),
            limits=limits,
            is_unix=path is not None,
            log_fd=log_fd,
            secure=secure,
        )
        drained = handler.drained

        def on_drained() -> None:
            drained()
            stop.set()

        handler.drained = on_drained  # type: ignore[method-assign]
        ready.append(Server(loop, native, address, bound.family, certificate))
        started.set()
        await stop.wait()
        stats = native.stats()
        assert (stats["open"], stats["in_flight"]) == (0, 0), stats

    failures: list[BaseException] = []

    def run() -> None:
        try:
            with asyncio.Runner(loop_factory=loop_type) as runner:
                runner.get_loop().set_exception_handler(
                    lambda _, context: failures.append(
                        context.get("exception") or AssertionError(context["message"])
                    )
                )
                runner.run(main())
        except BaseException as error:
            failures.append(error)
        finally:
            started.set()

    thread = threading.Thread(target=run)
    thread.start()
    started.wait()
    try:
        yield ready[0]
    finally:
        bound.close()
        if ready:
            for sock in ready[0].clients:
                sock.close()
            with contextlib.suppress(RuntimeError):  # drained already, its loop closed
                ready[0].loop.call_soon_threadsafe(ready[0].core.abort)
        thread.join(PATIENCE)
        assert not thread.is_alive()
        if failures:
            raise failures[0]
