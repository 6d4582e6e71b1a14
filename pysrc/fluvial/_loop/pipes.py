"""The loop's pipe transports, which asyncio's connect_read_pipe() and connect_write_pipe() make."""

from __future__ import annotations

import asyncio
from typing import Any

from .. import _core


class PipesMixin(asyncio.SelectorEventLoop):
    """Part of the loop: one-way transports over pipes, sockets and character devices."""

    def _make_read_pipe_transport(
        self,
        pipe: Any,
        protocol: asyncio.BaseProtocol,
        waiter: asyncio.Future[None] | None = None,
        extra: dict[str, Any] | None = None,
    ) -> _core.ReadPipeTransport:
        return _core.ReadPipeTransport(self, pipe, protocol, waiter, extra or {})

    def _make_write_pipe_transport(
        self,
        pipe: Any,
        protocol: asyncio.BaseProtocol,
        waiter: asyncio.Future[None] | None = None,
        extra: dict[str, Any] | None = None,
    ) -> _core.WritePipeTransport:
        return _core.WritePipeTransport(self, pipe, protocol, waiter, extra or {})
