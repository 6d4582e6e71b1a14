"""The event loop's connections and servers: asyncio's own code on top of our transports."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import functools
import os
import select
import socket
import types
from asyncio import base_events, constants, trsock
from asyncio.log import logger
from contextvars import Context, ContextVar
from typing import TYPE_CHECKING, Any

from .. import _core
from .asyncio_private import literal_address
from .hidden_socket import HiddenSocket

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


# Libraries for proxies replace socket.socket. create_connection() compares it with this original,
# and takes its short cut only where it has not been replaced.
_SOCKET = socket.socket
_NONBLOCK = getattr(socket, "SOCK_NONBLOCK", 0)  # macOS has none


class StreamsMixin:
    """Part of the loop: the methods that asyncio's selector loop calls for stream sockets."""

    _lent: set[socket.socket]
    _acceptors: dict[socket.socket, _core.Acceptor]

    def _init_streams(self) -> None:
        self._lent = set()
        self._acceptors = {}

    # -- Connections ------------------------------------------------------------------------

    @functools.wraps(asyncio.SelectorEventLoop.create_connection)
    async def create_connection(self: Any, *args: Any, **kwargs: Any) -> Any:
        """As asyncio's."""
        plain = len(args) == 3 and not kwargs and not self.get_debug()
        if plain and base_events.socket.socket is _SOCKET:
            info = literal_address(*args[1:], 0, socket.SOCK_STREAM, 0)
            if info is not None:
                return await self._connect_literal(args[0], info)
        connecting = super().create_connection(*args, **kwargs)
        if kwargs.get("sock") is not None:
            with self._lending(kwargs["sock"]):
                return await connecting
        if kwargs.get("happy_eyeballs_delay") is not None:
            with _closing_on_failure():
                return await connecting
        return await connecting

    async def _connect_literal(
        self: Any, protocol_factory: Callable[[], asyncio.BaseProtocol], info: Any
    ) -> Any:
        """create_connection() for an IP address, where there is nothing to look up or to choose."""
        family, kind, proto, _, address = info
        sock = socket.SocketType(family, kind | _NONBLOCK, proto)
        if not _NONBLOCK:
            sock.setblocking(False)
        waiter = self.create_future()
        try:
            if _connect(sock, address):
                # The protocol must not be called earlier than on asyncio's loop. If the caller
                # is cancelled within these two iterations, no protocol has been made.
                await _turn()
                await _turn()
            else:
                self._sock_connect_later(waiter, sock, address)
                await waiter
                waiter = self.create_future()
            protocol = protocol_factory()
            transport = self._make_socket_transport(sock, protocol, waiter)
        except BaseException:
            sock.close()
            raise
        try:
            await waiter
        except BaseException:
            transport.close()
            raise
        return transport, protocol

    def _connect_sock(self: Any, *args: Any, **kwargs: Any) -> Any:
        connecting = super()._connect_sock(*args, **kwargs)
        connected = _connected.get()
        return connecting if connected is None else _noting(connecting, connected)

    def _sock_connect_later(
        self: Any, fut: asyncio.Future[None], sock: socket.socket, address: Any
    ) -> None:
        fd = sock.fileno()
        self._ensure_fd_no_transport(fd)
        handle = self._add_writer(fd, self._sock_connect_cb, fut, sock, address)
        fut.add_done_callback(functools.partial(self._sock_write_done, fd, handle=handle))

    @functools.wraps(asyncio.SelectorEventLoop.create_unix_connection)
    async def create_unix_connection(self: Any, *args: Any, **kwargs: Any) -> Any:
        """As asyncio's."""
        with self._lending(kwargs.get("sock")):
            above: Any = super()
            return await above.create_unix_connection(*args, **kwargs)

    @functools.wraps(asyncio.SelectorEventLoop.connect_accepted_socket)
    async def connect_accepted_socket(self: Any, *args: Any, **kwargs: Any) -> Any:
        """As asyncio's."""
        with self._lending(kwargs["sock"] if "sock" in kwargs else args[1]):
            above: Any = super()
            return await above.connect_accepted_socket(*args, **kwargs)

    async def _create_connection_transport(
        self: Any, sock: socket.socket, *args: Any, **kwargs: Any
    ) -> Any:
        """As asyncio's, but closes the socket when the protocol can't be made. asyncio leaves it
        to the garbage collector."""
        above: Any = super()
        try:
            return await above._create_connection_transport(sock, *args, **kwargs)
        except BaseException:
            if sock not in self._lent:
                sock.close()
            raise

    @contextlib.contextmanager
    def _lending(self, sock: socket.socket | None) -> Iterator[None]:
        """Marks a socket that the caller keeps. libuv gets a duplicate of its descriptor, because
        it aborts when other code closes a descriptor that libuv uses."""
        if sock is None:
            yield
            return
        self._lent.add(sock)
        try:
            yield
        finally:
            self._lent.discard(sock)

    def _make_socket_transport(
        self: Any,
        sock: socket.socket,
        protocol: asyncio.BaseProtocol,
        waiter: asyncio.Future[None] | None = None,
        *,
        extra: dict[str, Any] | None = None,
        server: Any = None,
        context: Context | None = None,
    ) -> _core.StreamTransport:
        """Makes a transport of `sock`. Takes its descriptor away unless the caller lent the
        socket."""
        facts = (protocol, waiter, extra, server, context)
        if sock not in self._lent:
            fd = sock.fileno()
            transport = _core.StreamTransport(self, fd, None, *facts)
            sock.detach()
            return transport
        self._ensure_fd_no_transport(sock)
        fd = os.dup(sock.fileno())
        try:
            transport = _core.StreamTransport(self, fd, sock, *facts)
        except BaseException:
            os.close(fd)
            raise
        self._transports[sock.fileno()] = transport
        return transport

    def _find_name(self: Any, transport: _core.StreamTransport, name: str) -> Any:
        """The address of a socket that is neither an IP nor a Unix socket."""
        with contextlib.suppress(OSError), socket.socket(fileno=transport._dup()) as sock:
            return sock.getpeername() if name == "peername" else sock.getsockname()
        return None

    def _hidden_socket(self: Any, transport: _core.StreamTransport) -> HiddenSocket:
        return HiddenSocket(transport, self._transports)

    def _close_socket(
        self: Any, transport: _core.StreamTransport, sock: HiddenSocket | socket.socket
    ) -> None:
        """Closes the socket object of a transport that is being closed."""
        shown = sock.leave() if isinstance(sock, HiddenSocket) else sock
        number = -1 if shown is None else shown.fileno()
        if shown is None or number < 0:
            return  # fileno() was never called, or the user has closed the socket
        if self._transports.get(number) is transport:
            del self._transports[number]
        if transport._owns(number):
            shown.close()
            return
        shown.detach()  # the number may belong to another file now, or to libuv
        message = "the descriptor of a transport's socket was closed by someone else"
        raise OSError(errno.EBADF, message)

    def _ensure_fd_no_transport(self: Any, fd: Any) -> None:
        try:
            number = fd if isinstance(fd, int) else int(fd.fileno())
        except (AttributeError, TypeError, ValueError):
            raise ValueError(f"Invalid file object: {fd!r}") from None
        transport = self._transports.get(number) if self._transports else None
        if transport is not None and not transport.is_closing():
            raise RuntimeError(f"File descriptor {fd!r} is used by transport {transport!r}")

    # -- Servers ----------------------------------------------------------------------------

    def _start_serving(
        self: Any,
        protocol_factory: Callable[[], asyncio.BaseProtocol],
        sock: socket.socket,
        sslcontext: Any = None,
        server: Any = None,
        backlog: int = 100,
        *timeouts: Any,
        context: Context | None = None,
    ) -> None:
        if sslcontext:
            protocol_factory = self._tls_factory(protocol_factory, sslcontext, *timeouts)
        acceptor = _core.Acceptor(self, sock, backlog, protocol_factory, server, context)
        acceptor.start()
        self._acceptors[sock] = acceptor

    def _stop_serving(self: Any, sock: socket.socket) -> None:
        acceptor = self._acceptors.pop(sock, None)
        if acceptor is not None:
            acceptor.stop()
        if sock.fileno() >= 0:
            above: Any = super()
            above._stop_serving(sock)

    def _accept_failed(self: Any, exc: BaseException) -> None:
        """Called by an acceptor for a connection that didn't become a transport."""
        if self.get_debug():
            message = "Error on transport creation for incoming connection"
            self.call_exception_handler({"message": message, "exception": exc})

    def _accept_paused(
        self: Any, acceptor: _core.Acceptor, exc: BaseException, broken: bool, known: bool
    ) -> None:
        """Called by an acceptor that can't accept connections: no descriptors or memory are left,
        or the socket no longer listens (`broken`). If the failure is already `known`, it isn't
        reported again. The socket stays readable, so accepting pauses for ACCEPT_RETRY_DELAY."""
        message = "socket.accept() out of system resource"
        if broken:
            message = "a server's socket no longer listens: was it shut down? Trying again"
        if not known:
            self.call_exception_handler(
                {
                    "message": message,
                    "exception": exc,
                    "socket": trsock.TransportSocket(acceptor.sock),
                }
            )
        acceptor.stop()
        self.call_later(constants.ACCEPT_RETRY_DELAY, self._accept_again, acceptor)

    def _accept_again(self: Any, acceptor: _core.Acceptor) -> None:
        if self._acceptors.get(acceptor.sock) is acceptor:
            acceptor.start()

    # -- Files ------------------------------------------------------------------------------

    async def _sendfile_native(
        self: Any, transp: _core.StreamTransport, file: Any, offset: int, count: int | None
    ) -> int:
        reading = transp.is_reading()
        transp.pause_reading()
        await transp._make_empty_waiter()
        try:
            with socket.socket(fileno=transp._dup()) as sock:
                sent: int = await self.sock_sendfile(sock, file, offset, count, fallback=False)
                return sent
        finally:
            transp._reset_empty_waiter()
            if reading:
                transp.resume_reading()

    # -- Failures ---------------------------------------------------------------------------

    def _transport_failed(
        self: Any, transport: Any, protocol: Any, message: str, exc: BaseException
    ) -> None:
        """Called by a transport that is about to close itself."""
        if isinstance(exc, OSError):
            if self.get_debug():
                logger.debug("%r: %s", transport, message, exc_info=exc)
        else:
            self._protocol_failed(transport, protocol, message, exc)

    def _protocol_failed(
        self: Any, transport: Any, protocol: Any, message: str, exc: BaseException
    ) -> None:
        """Called by a transport whose protocol raised."""
        self.call_exception_handler(
            {"message": message, "exception": exc, "transport": transport, "protocol": protocol}
        )

    def _wake(self, future: asyncio.Future[None]) -> None:
        if not future.done():
            future.set_result(None)

    def _wake_lost(self, future: asyncio.Future[None]) -> None:
        if not future.done():
            future.set_exception(ConnectionError("Connection is closed by peer"))


@types.coroutine
def _turn() -> Iterator[None]:
    """Waits for one iteration of the loop. Not asyncio.sleep(0), because tests of applications
    replace that."""
    yield


def _connect(sock: Any, address: Any) -> bool:
    """Connects the non-blocking `sock`; returns whether it is connected to `address` at once."""
    try:
        sock.connect(address)
    except (BlockingIOError, InterruptedError):
        poll = select.poll()
        poll.register(sock.fileno(), select.POLLOUT)
        if not poll.poll(0):
            return False
        code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code != 0:
            raise OSError(code, f"Connect call failed {address}") from None
    return True


async def _noting(connecting: Any, connected: list[socket.socket]) -> socket.socket:
    sock: socket.socket = await connecting
    connected.append(sock)
    return sock


# The sockets that the current create_connection() with happy eyeballs has connected.
_connected: ContextVar[list[socket.socket] | None] = ContextVar("_connected", default=None)


@contextlib.contextmanager
def _closing_on_failure() -> Iterator[None]:
    """Closes the sockets connected in the block if the block raises: asyncio's happy eyeballs
    leaks the socket that won when it is cancelled. A socket that a transport has taken over has no
    descriptor left, so closing it does nothing."""
    connected: list[socket.socket] = []
    token = _connected.set(connected)
    try:
        yield
    except BaseException:
        for sock in connected:
            sock.close()
        raise
    finally:
        connected.clear()  # transports keep the context alive, and with it this list
        _connected.reset(token)
