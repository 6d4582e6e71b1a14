"""TLS for asyncio: asyncio's own state machine, with records read and written in C (ADR 13)."""

from __future__ import annotations

import asyncio
import collections
import ssl
from asyncio import constants, sslproto, streams
from asyncio.log import logger
from typing import TYPE_CHECKING, Any

from .. import _core
from .asyncio_private import SSLTransportBase, transport_context

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable
    from contextvars import Context

BUFFER = 256 * 1024  # bytes, where the underlying transport is not Fluvial's own

_UNWRAPPED = sslproto.SSLProtocolState.UNWRAPPED
_DO_HANDSHAKE = sslproto.SSLProtocolState.DO_HANDSHAKE
_WRAPPED = sslproto.SSLProtocolState.WRAPPED
_SHUTDOWN = sslproto.SSLProtocolState.SHUTDOWN
_APP_INIT = sslproto.AppProtocolState.STATE_INIT
_APP_MADE = sslproto.AppProtocolState.STATE_CON_MADE
_APP_EOF = sslproto.AppProtocolState.STATE_EOF
_APP_LOST = sslproto.AppProtocolState.STATE_CON_LOST

# asyncio's initial flow control limits as (high, low), in bytes.
_READ_LIMITS = sslproto.add_flowcontrol_defaults(
    None, None, constants.FLOW_CONTROL_HIGH_WATER_SSL_READ
)
_WRITE_LIMITS = sslproto.add_flowcontrol_defaults(
    None, None, constants.FLOW_CONTROL_HIGH_WATER_SSL_WRITE
)

# After the handshake, get_extra_info() takes these values from the SSLObject's methods.
_OF_THE_SESSION = frozenset({"peercert", "cipher", "compression"})


class SSLTransport(SSLTransportBase):
    """The transport that the application writes to. Its methods may be called after close(), and
    close() may be called again."""

    _ssl_protocol: Any
    _given_up = False  # the application called close() when the transport was already closing

    def close(self) -> None:
        """Sends the queued data and close_notify, then closes the connection."""
        if not self._closed:
            self._closed = True
            self._ssl_protocol._start_shutdown()
        else:
            self._given_up = True
            self._ssl_protocol._release()

    def abort(self) -> None:
        """Closes the connection at once; data that has not been sent is dropped."""
        self._force_close(None)

    def _force_close(self, exc: BaseException | None) -> None:
        self._closed = True
        self._ssl_protocol._abort(exc)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Encrypts and sends."""
        self._ssl_protocol._write(data)

    def writelines(self, list_of_data: Any) -> None:
        """Sends all of the data, in as few records as possible."""
        self._ssl_protocol._write(b"".join(list_of_data))


class SSLProtocol(_core.TlsProtocol, sslproto.SSLProtocol):
    """asyncio's SSLProtocol. The first base class, in C, reads and writes records. This class
    corrects the steps of handshake and shutdown, which are asyncio's otherwise."""

    # Defaults on the class for attributes that asyncio's constructor sets on each connection.
    _conn_lost = 0
    _eof_received: bool = False
    _handshake_start_time: float | None = None
    _lost = False
    _server_hostname: str | None = None
    _server_side = False
    _ssl_buffer: bytes | bytearray = b""
    _ssl_buffer_view = memoryview(b"")
    max_size = BUFFER

    _app_state: Any
    _app_transport: Any
    _app_transport_created: bool
    _handshake_timeout_handle: Any
    _shutdown_timeout_handle: Any
    _sslcontext: Any
    _sslobj: Any
    _ssl_handshake_timeout: Any  # typeshed has no float here
    _waiter: Any

    def __init__(
        self,
        loop: Any,
        app_protocol: asyncio.BaseProtocol,
        sslcontext: ssl.SSLContext | None,
        waiter: asyncio.Future[None] | None,
        server_side: bool = False,
        server_hostname: str | None = None,
        call_connection_made: bool = True,
        ssl_handshake_timeout: float | None = None,
        ssl_shutdown_timeout: float | None = None,
    ) -> None:
        """As asyncio's constructor, which is not called."""
        self._ssl_handshake_timeout = (
            constants.SSL_HANDSHAKE_TIMEOUT
            if ssl_handshake_timeout is None
            else _positive("ssl_handshake_timeout", ssl_handshake_timeout)
        )
        self._ssl_shutdown_timeout = (
            constants.SSL_SHUTDOWN_TIMEOUT
            if ssl_shutdown_timeout is None
            else _positive("ssl_shutdown_timeout", ssl_shutdown_timeout)
        )
        self._loop = loop
        self._waiter = waiter
        self._app_state = _APP_INIT if call_connection_made else _APP_MADE
        self._state = _UNWRAPPED
        self._write_backlog: collections.deque[Any] = collections.deque()
        self._incoming_high_water, self._incoming_low_water = _READ_LIMITS
        self._outgoing_high_water, self._outgoing_low_water = _WRITE_LIMITS
        self._set_app_protocol(app_protocol)
        if server_side:
            self._server_side = True
        elif server_hostname:
            self._server_hostname = server_hostname
        self._wrap(sslcontext or transport_context(server_side, server_hostname))
        self._app_transport = SSLTransport(loop, self)
        self._app_transport_created = True

    def _wrap(self, context: ssl.SSLContext) -> None:
        self._sslcontext = context
        self._extra = {"sslcontext": context}
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._sslobj = sslobj = context.wrap_bio(
            self._incoming, self._outgoing, self._server_side, self._server_hostname
        )
        # The methods of ssl.SSLObject only call those of its inner object: use that directly.
        self._records = sslobj._sslobj if type(sslobj) is ssl.SSLObject else sslobj

    def _get_extra_info(self, name: str, default: Any = None) -> Any:
        extra = self._extra
        if name in extra:
            return extra[name]
        if name in _OF_THE_SESSION and "ssl_object" in extra:
            ask = self._sslobj.getpeercert if name == "peercert" else getattr(self._sslobj, name)
            extra[name] = value = ask()
            return value
        if self._transport is not None:
            return self._transport.get_extra_info(name, default)
        return default

    def _set_app_protocol(self, app_protocol: asyncio.BaseProtocol) -> None:
        self._app_protocol = app_protocol
        # An SSLProtocol (TLS in TLS) accepts bytes as well.
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
        """The buffer that an underlying transport which is not Fluvial's own reads into."""
        if not self._ssl_buffer:
            self._ssl_buffer = bytearray(BUFFER)
            self._ssl_buffer_view = memoryview(self._ssl_buffer)
        return self._ssl_buffer_view

    def connection_lost(self, exc: BaseException | None) -> None:
        """Ends the TLS connection. If the handshake was not finished, its waiter gets an exception:
        asyncio would report success when the connection is closed without an error."""
        self._write_backlog.clear()
        self._outgoing.read()
        self._conn_lost += 1
        self._lost = True
        transport, protocol = self._app_transport, self._app_protocol
        if transport is not None:
            transport._closed = True
        if self._state is _DO_HANDSHAKE:
            exc = exc or ConnectionAbortedError(
                "the connection was closed during the SSL handshake"
            )
        elif self._app_state is _APP_MADE or self._app_state is _APP_EOF:
            self._app_state = _APP_LOST
            self._loop.call_soon(protocol.connection_lost, exc)
        self._state = _UNWRAPPED
        self._transport = self._app_transport = self._app_protocol = None
        if self._waiter is not None:
            self._wakeup_waiter(exc)
        for timer in (self._shutdown_timeout_handle, self._handshake_timeout_handle):
            if timer is not None:
                timer.cancel()
        self._shutdown_timeout_handle = self._handshake_timeout_handle = None
        if transport is not None and transport._given_up:
            self._release()

    def _release(self) -> None:
        """Frees the large objects once the connection is lost, as applications keep transports."""
        if self._lost:
            self._sslcontext = self._sslobj = self._records = None
            self._extra.clear()

    def _do_handshake(self) -> None:
        if self._incoming.pending or not self._server_side:  # a server answers what a client begins
            super()._do_handshake()

    def _on_handshake_complete(self, handshake_exc: Any) -> None:
        if self._handshake_timeout_handle is not None:
            self._handshake_timeout_handle.cancel()
            self._handshake_timeout_handle = None
        if handshake_exc is not None:
            self._on_handshake_failed(handshake_exc)
            return
        self._set_state(_WRAPPED)
        if self._handshake_start_time is not None:  # in debug mode only
            took = self._loop.time() - self._handshake_start_time
            logger.debug("%r: SSL handshake took %.1f ms", self, took * 1e3)
        self._extra["ssl_object"] = self._sslobj  # _get_extra_info() asks it for the rest
        if self._app_state is _APP_INIT:
            self._app_state = _APP_MADE
            self._app_protocol.connection_made(self._get_app_transport())
        self._wakeup_waiter()
        self._do_read()

    def _on_handshake_failed(self, exc: Any) -> None:
        # asyncio raises the exception once more, which makes a cycle with its traceback.
        if exc is ConnectionResetError:
            exc = ConnectionResetError("the peer ended the SSL handshake")
        exc.__traceback__ = None  # its frames keep the SSL object
        self._set_state(_UNWRAPPED)
        message = "SSL handshake failed"
        if isinstance(exc, ssl.CertificateError):
            message += " on verifying the certificate"
        self._fatal_error(exc, message)
        self._wakeup_waiter(exc)

    def _do_flush(self) -> None:
        self._do_read()
        if self._state is not _UNWRAPPED and not self._has_undelivered():
            self._set_state(_SHUTDOWN)
            self._do_shutdown()

    def _has_undelivered(self) -> bool:
        """Whether data waits for resume_reading(), which continues the shutdown."""
        return bool(
            self._app_reading_paused
            and (self._incoming.pending or self._records.pending())
            and not (self._app_transport is None or self._app_transport._closed)
        )

    def _on_shutdown_complete(self, shutdown_exc: Any) -> None:
        if getattr(shutdown_exc, "reason", None) == "APPLICATION_DATA_AFTER_CLOSE_NOTIFY":
            # The peer was still sending after the application had closed the connection, which is
            # no error. Send what is queued before closing.
            self._process_outgoing()
            shutdown_exc = None
        elif shutdown_exc is not None:
            shutdown_exc.__traceback__ = None  # as above
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


def _positive(name: str, seconds: float) -> float:
    if seconds <= 0:
        raise ValueError(f"{name} should be a positive number, got {seconds}")
    return seconds


class SSLMixin:
    """The loop's methods for TLS."""

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
        context: Context | None = None,
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
        self._make_socket_transport(rawsock, tls, extra=extra, server=server, context=context)
        return tls._get_app_transport()

    def _tls_factory(
        self: Any,
        protocol_factory: Callable[[], asyncio.BaseProtocol],
        sslcontext: ssl.SSLContext,
        ssl_handshake_timeout: float | None = None,
        ssl_shutdown_timeout: float | None = None,
    ) -> Callable[[], SSLProtocol]:
        """A factory that makes the protocols for a TLS server's connections."""

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
        """Starts TLS on a connected transport; returns the transport to use from then on.

        Raises: TypeError when the context or the transport is unsuitable; ssl.SSLError or OSError
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
    """Moves bytes that a StreamReader has already received to the TLS handshake they belong to.
    This happens when the client did not wait for the response to its STARTTLS."""
    reader = (
        getattr(protocol, "_stream_reader", None)
        if isinstance(protocol, streams.StreamReaderProtocol)
        else None
    )
    if reader is not None and reader._buffer:
        tls._incoming.write(reader._buffer)
        reader._buffer.clear()
