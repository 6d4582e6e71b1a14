"""A client's end of a TLS connection with the methods of a socket, which says how it ended."""

from __future__ import annotations

import contextlib
import socket
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from support.certificate import Certificate


def client_context(trusted: Path, own: Certificate | None = None) -> ssl.SSLContext:
    """Trusts one certificate alone; `own` is the client's."""
    context = ssl.create_default_context(cafile=str(trusted))
    if own is not None:
        context.load_cert_chain(own.cert, own.key)
    return context


class TlsSocket:
    """TLS over `sock`, which it closes. Half of it can be closed, as ssl's sockets can't be."""

    def __init__(
        self, sock: socket.socket, context: ssl.SSLContext, session: ssl.SSLSession | None = None
    ) -> None:
        self.sock = sock
        self.closed_by_notice = False  # close_notify has come
        self.incoming = ssl.MemoryBIO()
        self.outgoing = ssl.MemoryBIO()
        self.tls = context.wrap_bio(
            self.incoming, self.outgoing, server_hostname="localhost", session=session
        )

    def __enter__(self) -> TlsSocket:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def handshake(self) -> TlsSocket:
        """Our part of it. Raises: EOFError when the connection ends; it is closed then."""
        try:
            self._until_done(self.tls.do_handshake)
        except BaseException:
            self.close()
            raise
        return self

    def flush(self) -> None:
        """Sends what TLS has made."""
        if data := self.outgoing.read():
            self.sock.sendall(data)

    def _until_done(self, step: Callable[[], Any]) -> Any:
        while True:
            try:
                result = step()
            except ssl.SSLWantReadError:
                self.flush()
                data = self.sock.recv(65536)
                if not data:
                    raise EOFError from None
                self.incoming.write(data)
            else:
                self.flush()
                return result

    # ---- what sockets have -----------------------------------------------------------------

    def sendall(self, data: bytes) -> None:
        self.sock.sendall(self.records(data))

    def records(self, data: bytes) -> bytes:
        """`data` encrypted."""
        view = memoryview(data)
        while view:
            view = view[self.tls.write(view) :]
        return self.outgoing.read()

    def recv(self, size: int) -> bytes:
        """Up to `size` bytes of what has come; b"" at the end, with close_notify or without."""
        try:
            data: bytes = self._until_done(lambda: self.tls.read(size))
        except ssl.SSLZeroReturnError:
            data = b""
        except EOFError:
            return b""
        if not data:
            self.closed_by_notice = True
        with contextlib.suppress(ssl.SSLError):  # no more has come, or the end: told next time
            while data and len(data) < size and (more := self.tls.read(size - len(data))):
                data += more
        return data

    def close_notify(self) -> bytes:
        """The record, which can be made once."""
        with contextlib.suppress(ssl.SSLError):  # which is to wait for the other one's
            self.tls.unwrap()
        return self.outgoing.read()

    def shutdown(self, how: int) -> None:
        assert how == socket.SHUT_WR
        self.sock.sendall(self.close_notify())
        self.sock.shutdown(how)

    def setblocking(self, flag: bool) -> None:
        self.sock.setblocking(flag)

    def settimeout(self, seconds: float) -> None:
        self.sock.settimeout(seconds)

    def setsockopt(self, *option: Any) -> None:
        self.sock.setsockopt(*option)

    def fileno(self) -> int:
        return self.sock.fileno()

    def close(self) -> None:
        self.sock.close()
