"""TLS for asyncio: asyncio's own state machine, with the way of records in C."""

from __future__ import annotations

import asyncio
import ssl
from asyncio import constants, protocols, sslproto
from asyncio.log import logger
from typing import TYPE_CHECKING, Any

from fluvial import _core

if TYPE_CHECKING:
    import socket

BUFFER = 256 * 1024  # bytes, for a transport below that is not Fluvial's own

_DO_HANDSHAKE = sslproto.SSLProtocolState.DO_HANDSHAKE
_UNWRAPPED = sslproto.SSLProtocolState.UNWRAPPED


class TLSTransport(sslproto._SSLProtocolTransport):
    """What the application writes to. Stays usable after close(), which may come twice."""

    def close(self) -> None:
        """As asyncio's, but the second time changes nothing."""
        if not self._closed:
            self._closed = True
            self._ssl_protocol._start_shutdown()

    def _force_close(self, exc: BaseException | None) -> None:
        self._closed = True
        self._ssl_protocol._abort(exc)

    def abort(self) -> None:
        """Closes at once; what is not yet sent is dropped."""
        self._force_close(None)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Encrypts and sends."""
        self._ssl_protocol._write(data)

    def writelines(self, list_of_data: Any) -> None:
        """Sends all of it in as few records as it fits in."""
        self._ssl_protocol._write(b"".join(list_of_data))


class TLSProtocol(_core.TlsProtocol, sslproto.SSLProtocol):
    """asyncio's SSLProtocol; what happens per record comes from the first base."""

    max_size = 0  # of the buffer that asyncio's constructor makes

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # The methods of ssl.SSLObject only call those of the object inside.
        plain = type(self._sslobj) is ssl.SSLObject
        self._records = self._sslobj._sslobj if plain else self._sslobj

    def _get_app_transport(self) -> TLSTransport:
        if self._app_transport is None:
            if self._app_transport_created:
                raise RuntimeError("Creating TLSTransport twice")
            self._app_transport = TLSTransport(self._loop, self)
            self._app_transport_created = True
        return self._app_transport

    def _set_app_protocol(self, app_protocol: asyncio.BaseProtocol) -> None:
        super()._set_app_protocol(app_protocol)
        if isinstance(app_protocol, TLSProtocol):
            self._app_protocol_is_buffer = False  # it takes bytes as well

    def get_buffer(self, n: int) -> memoryview:
        """For a transport below that is not Fluvial's own."""
        if not self._ssl_buffer:
            self._ssl_buffer = bytearray(BUFFER)
            self._ssl_buffer_view = memoryview(self._ssl_buffer)
        return self._ssl_buffer_view

    def _abort(self, exc: BaseException | None = None) -> None:
        self._set_state(_UNWRAPPED)
        if self._transport is not None:
            self._transport._force_close(exc)
