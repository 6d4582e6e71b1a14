"""The socket object of a transport whose descriptor libuv owns and keeps from Python (ADR 9)."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, MutableMapping

    from .. import _core


class HiddenSocket:
    """The methods that asyncio.trsock.TransportSocket needs from a socket.

    They never expose libuv's descriptor, since libuv aborts the process if other code closes it.
    Each call works on a duplicate of the descriptor. The duplicate whose number fileno() has
    returned stays open until the transport is closed.
    """

    def __init__(self, transport: _core.StreamTransport, numbers: MutableMapping[int, Any]) -> None:
        """fileno() enters the number it returns in `numbers`, which maps it to the transport."""
        self._transport: _core.StreamTransport | None = transport
        self._shown: socket.socket | None = None
        self._numbers = numbers
        self.family, self.type, self.proto = socket.AF_UNSPEC, socket.SOCK_STREAM, 0
        try:
            with self._borrowed() as sock:
                self.family, self.type, self.proto = sock.family, sock.type, sock.proto
        except OSError:
            self._transport = None

    @contextlib.contextmanager
    def _borrowed(self) -> Iterator[socket.socket]:
        if self._shown is not None:
            yield self._shown
        elif self._transport is not None:
            with socket.socket(fileno=self._transport._dup()) as sock:
                yield sock
        else:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))

    def fileno(self) -> int:
        """The number of a descriptor of the connection, -1 once the transport is closed."""
        if self._shown is None:
            if self._transport is None:
                return -1
            self._shown = socket.socket(fileno=self._transport._dup())
            self._numbers[self._shown.fileno()] = self._transport
        return self._shown.fileno()

    def leave(self) -> socket.socket | None:
        """Called when the transport is closed. Returns the duplicate to close, if there is one."""
        shown, self._shown, self._transport = self._shown, None, None
        return shown

    def dup(self) -> socket.socket:
        """A new socket that the caller owns."""
        with self._borrowed() as sock:
            return sock.dup()

    def get_inheritable(self) -> bool:
        """Always False."""
        return False

    def shutdown(self, how: int) -> None:
        """As socket.shutdown."""
        with self._borrowed() as sock:
            sock.shutdown(how)

    def getsockopt(self, *args: Any) -> Any:
        """As socket.getsockopt."""
        with self._borrowed() as sock:
            return sock.getsockopt(*args)

    def setsockopt(self, *args: Any) -> None:
        """As socket.setsockopt."""
        with self._borrowed() as sock:
            sock.setsockopt(*args)

    def getpeername(self) -> Any:
        """As socket.getpeername."""
        with self._borrowed() as sock:
            return sock.getpeername()

    def getsockname(self) -> Any:
        """As socket.getsockname."""
        with self._borrowed() as sock:
            return sock.getsockname()
