"""Apps behind the real server, in a thread of the test's process."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import socket
import threading
from concurrent.futures import Future
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
from fluvial import Config, Loop
from fluvial._serving.load import adapt
from fluvial._serving.server import Service
from fluvial._serving.sockets import bind
from support.stuffing import fix_receive_buffer
from support.tls_socket import TlsSocket, client_context

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterator

STOP_TIMEOUT = 30  # seconds


class Served:
    """A running app: where it is, and clients for it. With TLS `context` trusts its certificate."""

    def __init__(
        self, address: tuple[str, int] | str, context: ssl.SSLContext | None = None
    ) -> None:
        self.address = address
        self.context = context
        self.loop: asyncio.AbstractEventLoop | None = None
        self.service: Service | None = None
        self.thread: threading.Thread | None = None
        self._clients = contextlib.ExitStack()
        self.client = self.new_client()

    @property
    def url(self) -> str:
        """The app's URL."""
        if isinstance(self.address, str):
            return "http://unix" if self.context is None else "https://localhost"
        scheme = "http" if self.context is None else "https"
        return f"{scheme}://{self.address[0]}:{self.address[1]}"

    def new_client(self, **options: Any) -> httpx.Client:
        """A client of its own connections, closed with the app."""
        uds = self.address if isinstance(self.address, str) else None
        verify = self.context or False  # its own certificates take 100 ms
        transport = httpx.HTTPTransport(uds=uds, verify=verify)
        options = {"transport": transport, "base_url": self.url, "timeout": 30} | options
        return self._clients.enter_context(httpx.Client(trust_env=False, **options))

    def connect(
        self, context: ssl.SSLContext | None = None, session: ssl.SSLSession | None = None
    ) -> Any:
        """A connection: a socket or, with TLS, a TlsSocket that has done its handshake."""
        context = context or self.context
        sock = self.connect_plain()
        return sock if context is None else TlsSocket(sock, context, session).handshake()

    def connect_plain(self) -> socket.socket:
        """A raw connection."""
        if isinstance(self.address, str):
            sock = socket.socket(socket.AF_UNIX)
            sock.connect(self.address)
        else:
            sock = socket.create_connection(self.address)
        sock.settimeout(30)
        return sock

    def exchange(self, request: bytes) -> bytes:
        """Sends bytes on a connection of its own; everything that comes until it is closed."""
        with self.connect() as sock:
            sock.sendall(request)
            return b"".join(iter(lambda: sock.recv(65536), b""))

    def stop(self) -> None:
        """Begins the orderly stop."""
        assert self.loop is not None
        assert self.service is not None
        self.loop.call_soon_threadsafe(self.service.stop)

    def in_flight(self) -> int:
        """How many requests have no whole response yet."""
        assert self.loop is not None
        assert self.service is not None
        answer: Future[int] = Future()
        server = self.service.server
        self.loop.call_soon_threadsafe(lambda: answer.set_result(server.stats()["in_flight"]))
        return answer.result(STOP_TIMEOUT)

    def finish(self) -> None:
        """Stops, and returns when all requests are over."""
        self.close_clients()
        self.stop()
        assert self.thread is not None
        self.thread.join(STOP_TIMEOUT)

    def close_clients(self) -> None:
        """Closes the clients' connections."""
        self._clients.close()


@contextlib.contextmanager
def serving(app: Any, **options: Any) -> Iterator[Served]:
    """Serves `app` on a free port, or where `options` (those of Config) say, and stops it."""
    place = {} if {"uds", "bind"} & options.keys() else {"port": 0}
    config = Config(**({"access_log": False, "graceful_timeout": 10} | place | options))
    (sock,) = bind(config)
    fix_receive_buffer(sock)
    name = sock.getsockname()
    certfile = config.ssl_certfile
    first = certfile[0] if isinstance(certfile, tuple) else certfile
    trust = None if first is None else client_context(Path(first))
    served = Served(name if isinstance(name, str) else name[:2], trust)
    ready: Future[None] = Future()
    done: Future[None] = Future()
    args = (app, sock, config, served, ready, done)
    # As in a process of its own, where the main thread has set up what its server begins with.
    context = contextvars.copy_context()
    thread = threading.Thread(target=context.run, args=(_run, *args), name="server")
    served.thread = thread
    thread.start()
    try:
        ready.result(STOP_TIMEOUT)
        yield served
    finally:
        served.close_clients()
        with contextlib.suppress(RuntimeError):  # stopped already
            served.stop()
        thread.join(STOP_TIMEOUT)
    assert not thread.is_alive(), "the server did not stop"
    done.result(0)


def _run(
    app: Any,
    sock: socket.socket,
    config: Config,
    served: Served,
    ready: Future[None],
    done: Future[None],
) -> None:
    async def main() -> None:
        served.loop = asyncio.get_running_loop()
        served.service = Service(adapt(app), [sock], config)
        await served.service.run(lambda: ready.set_result(None))

    try:
        with asyncio.Runner(loop_factory=Loop) as runner:
            runner.run(main())
    except BaseException as exc:
        if not ready.done():
            ready.set_exception(exc)
            done.set_result(None)
        else:
            done.set_exception(exc)
    else:
        done.set_result(None)
    finally:
        sock.close()
