"""TLS for asyncio: asyncio's own state machine, with the way of records in C (docs/adr/)."""

from __future__ import annotations

import asyncio
import ssl
from asyncio import constants, sslproto, streams
from asyncio.log import logger
from typing import TYPE_CHECKING, Any

from fluvial import _core

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

BUFFER = 256 * 1024  # bytes, for a transport below that is not Fluvial's own

_DO_HANDSHAKE = sslproto.SSLProtocolState.DO_HANDSHAKE
_SHUTDOWN = sslproto.SSLProtocolState.SHUTDOWN
_UNWRAPPED = sslproto.SSLProtocolState.UNWRAPPED


class SSLTransport(sslproto._SSLProtocolTransport):
    """What the application writes to. It answers after close(), too, which may come twice."""

    _ssl_protocol: Any
    _given_up = False  # closed by the application after the connection had begun to close

    def close(self) -> None:
        """Sends what is queued and close_notify, then ends the connection."""
        if not self._closed:
            self._closed = True
            self._ssl_protocol._start_shutdown()
        else:
            self._given_up = True
            self._ssl_protocol._release()

    def abort(self) -> None:
        """Ends the connection at once; what is not yet sent is dropped."""
        self._force_close(None)

    def _force_close(self, exc: BaseException | None) -> None:
        self._closed = True
        self._ssl_protocol._abort(exc)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Encrypts and sends."""
        self._ssl_protocol._write(data)

    def writelines(self, list_of_data: Any) -> None:
        """Sends all of it, in as few records as it fits in."""
        self._ssl_protocol._write(b"".join(list_of_data))


class SSLProtocol(_core.TlsProtocol, sslproto.SSLProtocol):
    """asyncio's SSLProtocol. What happens per record comes from the first base; here is what
    asyncio does once per connection, where it falls short."""

    max_size = 0  # bytes: the buffer that asyncio's constructor would make
    _app_transport: Any
    _app_transport_created: bool
    _handshake_timeout_handle: Any
    _lost = False
    _sslcontext: Any
    _sslobj: Any
    _ssl_buffer: bytearray
    _ssl_buffer_view: memoryview

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # The methods of ssl.SSLObject only call those of the object inside.
        plain = type(self._sslobj) is ssl.SSLObject
        self._records = self._sslobj._sslobj if plain else self._sslobj

    def _set_app_protocol(self, app_protocol: asyncio.BaseProtocol) -> None:
        self._app_protocol = app_protocol
        # A SSLProtocol (TLS in TLS) takes bytes as well.
        self._app_protocol_is_buffer = isinstance(
            app_protocol, asyncio.BufferedProtocol
        ) and not isinstance(app_protocol, SSLProtocol)

    def _get_app_transport(self) -> Any:
        if self._app_transport is None:
            if self._app_transport_created:
                raise RuntimeError("Creating SSLTransport twice")
            self._app_transport = SSLTransport(self._loop, self)
            self._app_transport_created = True
        return self._app_transport

    def get_buffer(self, n: int) -> memoryview:
        """Where a transport below that is not Fluvial's own shall put what it reads."""
        if not self._ssl_buffer:
            self._ssl_buffer = bytearray(BUFFER)
            self._ssl_buffer_view = memoryview(self._ssl_buffer)
        return self._ssl_buffer_view

    def connection_lost(self, exc: BaseException | None) -> None:
        """Whoever waits for the handshake must not take a lost connection for a good one."""
        if exc is None and self._state is _DO_HANDSHAKE:
            exc = ConnectionAbortedError("the connection was closed during the SSL handshake")
        transport = self._app_transport
        super().connection_lost(exc)
        self._lost = True
        if transport is not None and transport._given_up:
            self._release()

    def _release(self) -> None:
        """Frees what is large, once the connection is lost: applications keep transports."""
        if self._lost:
            self._sslcontext = self._sslobj = self._records = None
            self._extra.clear()

    def _do_handshake(self) -> None:
        if self._incoming.pending or not self._server_side:
            super()._do_handshake()

    def _on_handshake_complete(self, handshake_exc: Any) -> None:
        if handshake_exc is None:
            super()._on_handshake_complete(None)
            return
        # asyncio's code keeps the exception alive in a cycle with its traceback.
        if handshake_exc is ConnectionResetError:
            handshake_exc = ConnectionResetError("the peer ended the SSL handshake")
        self._handshake_timeout_handle.cancel()
        self._handshake_timeout_handle = None
        self._set_state(_UNWRAPPED)
        message = "SSL handshake failed"
        if isinstance(handshake_exc, ssl.CertificateError):
            message += " on verifying the certificate"
        self._fatal_error(handshake_exc, message)
        self._wakeup_waiter(handshake_exc)

    def _do_flush(self) -> None:
        self._do_read()
        unread = self._incoming.pending or self._records.pending()
        if unread and self._app_reading_paused and not self._is_app_closed():
            return  # the peer is gone, not what it sent: resume_reading() comes back here
        if self._state is not _UNWRAPPED:
            self._set_state(_SHUTDOWN)
            self._do_shutdown()

    def _is_app_closed(self) -> bool:
        return self._app_transport is None or self._app_transport._closed

    def _on_shutdown_complete(self, shutdown_exc: Any) -> None:
        if getattr(shutdown_exc, "reason", None) == "APPLICATION_DATA_AFTER_CLOSE_NOTIFY":
            # The peer was still sending, to nobody. Let go without dropping what is queued.
            self._process_outgoing()
            shutdown_exc = None
        super()._on_shutdown_complete(shutdown_exc)

    def _abort(self, exc: BaseException | None = None) -> None:
        self._set_state(_UNWRAPPED)
        if self._transport is not None:
            self._transport._force_close(exc)

    def _fatal_error(self, exc: BaseException, message: str = "Fatal error on transport") -> None:
        if self._transport is not None:
            self._transport._force_close(exc)
        if isinstance(exc, OSError):
            if self._loop.get_debug():
                logger.debug("%r: %s", self, message, exc_info=exc)
        elif not isinstance(exc, asyncio.CancelledError):
            self._loop.call_exception_handler(
                {
                    "message": message,
                    "exception": exc,
                    "transport": self._transport,
                    "protocol": self,
                }
            )


class SSLMixin:
    """The loop's methods that have to do with TLS."""

    def _make_ssl_transport(
        self: Any,
        rawsock: socket.socket,
        protocol: asyncio.BaseProtocol,
        sslcontext: ssl.SSLContext | None,
        waiter: asyncio.Future[None] | None = None,
        *,
        server_side: bool = False,
        server_hostname: str | None = None,
        extra: dict[str, Any] | None = None,
        server: Any = None,
        ssl_handshake_timeout: float | None = constants.SSL_HANDSHAKE_TIMEOUT,
        ssl_shutdown_timeout: float | None = constants.SSL_SHUTDOWN_TIMEOUT,
    ) -> Any:
        tls = SSLProtocol(
            self,
            protocol,
            sslcontext,
            waiter,
            server_side,
            server_hostname,
            ssl_handshake_timeout=ssl_handshake_timeout,
            ssl_shutdown_timeout=ssl_shutdown_timeout,
        )
        self._make_socket_transport(rawsock, tls, extra=extra, server=server)
        return tls._get_app_transport()

    def _tls_factory(
        self: Any,
        protocol_factory: Callable[[], asyncio.BaseProtocol],
        sslcontext: ssl.SSLContext,
        ssl_handshake_timeout: float | None = None,
        ssl_shutdown_timeout: float | None = None,
    ) -> Callable[[], SSLProtocol]:
        """A factory for the connections of a server with TLS."""

        def make() -> SSLProtocol:
            waiter = None
            if self.get_debug():
                waiter = self.create_future()
                waiter.add_done_callback(self._handshake_ended)
            return SSLProtocol(
                self,
                protocol_factory(),
                sslcontext,
                waiter,
                True,
                ssl_handshake_timeout=ssl_handshake_timeout,
                ssl_shutdown_timeout=ssl_shutdown_timeout,
            )

        return make

    def _handshake_ended(self: Any, waiter: asyncio.Future[None]) -> None:
        if not waiter.cancelled() and (exc := waiter.exception()) is not None:
            self._accept_failed(exc)

    async def start_tls(
        self: Any,
        transport: Any,
        protocol: asyncio.BaseProtocol,
        sslcontext: ssl.SSLContext,
        *,
        server_side: bool = False,
        server_hostname: str | None = None,
        ssl_handshake_timeout: float | None = None,
        ssl_shutdown_timeout: float | None = None,
    ) -> Any:
        """Puts TLS on a connected transport; returns the transport to use from then on.

        Raises: TypeError for a context or a transport that won't do; ssl.SSLError, OSError
        when the handshake fails (it may take `ssl_handshake_timeout` seconds).
        """
        _check_start_tls(transport, sslcontext)
        waiter = self.create_future()
        tls = SSLProtocol(
            self,
            protocol,
            sslcontext,
            waiter,
            server_side,
            server_hostname,
            call_connection_made=False,
            ssl_handshake_timeout=ssl_handshake_timeout,
            ssl_shutdown_timeout=ssl_shutdown_timeout,
        )
        if server_side:
            _take_buffered(protocol, tls)
        transport.pause_reading()  # until connection_made()
        transport.set_protocol(tls)
        made = self.call_soon(tls.connection_made, transport)
        resumed = self.call_soon(transport.resume_reading)
        try:
            await waiter
        except BaseException:
            transport.close()
            made.cancel()
            resumed.cancel()
            raise
        return tls._get_app_transport()


def _check_start_tls(transport: Any, sslcontext: Any) -> None:
    if not isinstance(sslcontext, ssl.SSLContext):
        raise TypeError(
            f"sslcontext is expected to be an instance of ssl.SSLContext, got {sslcontext!r}"
        )
    if not getattr(transport, "_start_tls_compatible", False):
        raise TypeError(f"transport {transport!r} is not supported by start_tls()")


def _take_buffered(protocol: asyncio.BaseProtocol, tls: SSLProtocol) -> None:
    """Moves the begin of the handshake out of a StreamReader that has got it already, as when
    the client did not wait for the answer to its STARTTLS."""
    reader = (
        getattr(protocol, "_stream_reader", None)
        if isinstance(protocol, streams.StreamReaderProtocol)
        else None
    )
    if reader is not None and reader._buffer:
        tls._incoming.write(reader._buffer)
        reader._buffer.clear()
