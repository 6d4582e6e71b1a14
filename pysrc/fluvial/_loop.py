"""The asyncio event loop: the hot part in C (`_core.Loop`), the rest from asyncio itself."""

from __future__ import annotations

import asyncio
import contextlib
import os
import selectors
import signal
import socket
import sys
import threading
from asyncio import base_events, events, format_helpers, trsock
from typing import TYPE_CHECKING, Any, TypeVar

from fluvial import _core
from fluvial._loop_tls import TLSMixin

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterator

T = TypeVar("T")


class _SelectorView:
    """What asyncio's datagram and pipe transports look up in their loop's selector."""

    def __init__(self, loop: Loop) -> None:
        self._loop = loop

    def get_key(self, fileobj: Any) -> selectors.SelectorKey:
        """Raises KeyError when the file is not watched."""
        reader, writer = handles = self._loop._watched(fileobj)
        mask = selectors.EVENT_READ if reader is not None else 0
        if writer is not None:
            mask |= selectors.EVENT_WRITE
        if not mask:
            raise KeyError(f"{fileobj!r} is not registered")
        fd = fileobj if isinstance(fileobj, int) else fileobj.fileno()
        return selectors.SelectorKey(fileobj, fd, mask, handles)

    def get(self, fileobj: Any) -> selectors.SelectorKey | None:
        """As get_key, with None for a file that is not watched."""
        try:
            return self.get_key(fileobj)
        except KeyError:
            return None

    def get_map(self) -> _SelectorView:
        """The view itself: only get() is asked of a selector's map."""
        return self

    def close(self) -> None:
        """Called by asyncio when the loop is closed."""


class Loop(_core.Loop, TLSMixin, asyncio.SelectorEventLoop):  # type: ignore[misc]  # C describes itself
    """An asyncio event loop on libuv."""

    def __init__(self) -> None:
        super().__init__(_SelectorView(self))  # type: ignore[arg-type]
        self._sending: set[int] = set()
        self._lent: set[socket.socket] = set()

    def __repr__(self) -> str:
        return (
            f"<{self.__class__.__name__} running={self.is_running()} "
            f"closed={self.is_closed()} debug={self.get_debug()}>"
        )

    # -- Running ----------------------------------------------------------------------------

    def run_forever(self) -> None:
        """Runs until stop() is called."""
        self._check_closed()
        self._check_running()
        self._set_coroutine_origin_tracking(self._debug)
        hooks = sys.get_asyncgen_hooks()
        wakeup = self._listen_for_signals()
        try:
            self._thread_id = threading.get_ident()
            sys.set_asyncgen_hooks(
                firstiter=self._asyncgen_firstiter_hook,
                finalizer=self._asyncgen_finalizer_hook,
            )
            events._set_running_loop(self)
            self._run()
        finally:
            self._stopping = False
            self._thread_id = None
            events._set_running_loop(None)
            self._set_coroutine_origin_tracking(False)
            sys.set_asyncgen_hooks(*hooks)
            if wakeup is not None:
                signal.set_wakeup_fd(wakeup)

    def close(self) -> None:
        """Closes the loop, which must not be running; does nothing the second time."""
        super().close()
        self._shut()

    def _listen_for_signals(self) -> int | None:
        """Lets Python's signal handler wake the loop; returns the wake-up fd to restore."""
        if threading.current_thread() is not threading.main_thread():
            return None
        return signal.set_wakeup_fd(self._csock.fileno(), warn_on_full_buffer=False)

    def _add_callback(self, handle: Any) -> None:
        """Schedules a handle that asyncio made (for a signal)."""
        if not handle._cancelled:
            self.call_soon(handle._run)

    def _callback_failed(self, handle: Any, exc: BaseException) -> None:
        """Called by handles whose callback raised."""
        source = format_helpers._format_callback_source(handle._callback, handle._args)
        context: dict[str, Any] = {
            "message": f"Exception in callback {source}",
            "exception": exc,
            "handle": handle,
        }
        if handle._source_traceback:
            context["source_traceback"] = handle._source_traceback
        self.call_exception_handler(context)

    def _callback_ran(self, handle: Any, seconds: float) -> None:
        """Called after each callback in debug mode."""
        if seconds >= self.slow_callback_duration:
            shown = base_events._format_handle(handle)
            base_events.logger.warning("Executing %s took %.3f seconds", shown, seconds)

    # -- Transports -------------------------------------------------------------------------

    async def create_connection(self, *args: Any, **kwargs: Any) -> Any:
        """As asyncio's."""
        with self._lending(kwargs.get("sock")):
            return await super().create_connection(*args, **kwargs)

    async def create_unix_connection(self, *args: Any, **kwargs: Any) -> Any:
        """As asyncio's."""
        with self._lending(kwargs.get("sock")):
            return await super().create_unix_connection(*args, **kwargs)

    async def connect_accepted_socket(self, *args: Any, **kwargs: Any) -> Any:
        """As asyncio's."""
        with self._lending(kwargs["sock"] if "sock" in kwargs else args[1]):
            return await super().connect_accepted_socket(*args, **kwargs)

    @contextlib.contextmanager
    def _lending(self, sock: socket.socket | None) -> Iterator[None]:
        """Marks a socket that the caller keeps a hold on: libuv gets a duplicate of its
        descriptor, since it can't bear the caller to close its own."""
        if sock is None:
            yield
            return
        self._lent.add(sock)
        try:
            yield
        finally:
            self._lent.discard(sock)

    def _make_socket_transport(
        self,
        sock: socket.socket,
        protocol: asyncio.BaseProtocol,
        waiter: asyncio.Future[None] | None = None,
        *,
        extra: dict[str, Any] | None = None,
        server: Any = None,
    ) -> _core.StreamTransport:
        self._ensure_fd_no_transport(sock)
        info = _socket_info(sock, extra)
        lent = sock in self._lent
        fd = os.dup(sock.fileno()) if lent else sock.fileno()
        is_unix = sock.family == socket.AF_UNIX
        try:
            transport = _core.StreamTransport(
                self, sock, fd, lent, protocol, waiter, info, server, is_unix
            )
        except OSError:
            if lent:
                os.close(fd)
            raise
        if lent:
            self._transports[sock.fileno()] = transport
        return transport

    def _ensure_fd_no_transport(self, fd: Any) -> None:
        try:
            number = fd if isinstance(fd, int) else int(fd.fileno())
        except (AttributeError, TypeError, ValueError):
            raise ValueError(f"Invalid file object: {fd!r}") from None
        if number in self._sending:
            return
        transport = self._streams.get(number) or (
            self._transports.get(number) if self._transports else None
        )
        if (
            transport is not None
            and not transport.is_closing()
            and transport._sock.fileno() == number
        ):
            raise RuntimeError(f"File descriptor {fd!r} is used by transport {transport!r}")

    async def _sendfile_native(
        self, transp: _core.StreamTransport, file: Any, offset: int, count: int | None
    ) -> int:
        fd = transp._sock.fileno()
        reading = transp.is_reading()
        transp.pause_reading()
        self._sending.add(fd)
        try:
            await transp._make_empty_waiter()
            return await self.sock_sendfile(transp._sock, file, offset, count, fallback=False)
        finally:
            self._sending.discard(fd)
            transp._reset_empty_waiter()
            if reading:
                transp.resume_reading()

    def _transport_failed(
        self, transport: Any, protocol: Any, message: str, exc: BaseException
    ) -> None:
        """Called by a transport that is about to close itself."""
        if isinstance(exc, OSError):
            if self.get_debug():
                base_events.logger.debug("%r: %s", transport, message, exc_info=exc)
        else:
            self._protocol_failed(transport, protocol, message, exc)

    def _protocol_failed(
        self, transport: Any, protocol: Any, message: str, exc: BaseException
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


def run_async(main: Coroutine[Any, Any, T], *, debug: bool | None = None) -> T:
    """Runs a coroutine on a new Loop and returns its result, as `asyncio.run`."""
    with asyncio.Runner(debug=debug, loop_factory=Loop) as runner:
        return runner.run(main)


def _socket_info(sock: socket.socket, extra: dict[str, Any] | None) -> dict[str, Any]:
    """What get_extra_info() tells of a connected socket."""
    info = dict(extra or ())
    info["socket"] = trsock.TransportSocket(sock)
    try:
        info["sockname"] = sock.getsockname()
    except OSError:
        info["sockname"] = None
    if "peername" not in info:
        try:
            info["peername"] = sock.getpeername()
        except OSError:
            info["peername"] = None
    return info
