"""A protocol that keeps what it is told."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any


class Recorder(asyncio.BaseProtocol):
    """`events` are the names of the calls that say how the transport fares; `lost` is what
    connection_lost() was given. Made on a running loop."""

    def __init__(self) -> None:
        self.events: list[str] = []
        self.changed = asyncio.Event()
        self.lost: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.note("made")

    def pause_writing(self) -> None:
        self.note("pause")

    def resume_writing(self) -> None:
        self.note("resume")

    def connection_lost(self, exc: Exception | None) -> None:
        self.note("lost")
        self.lost.set_result(exc)

    def note(self, event: str) -> None:
        self.events.append(event)
        self.changed.set()

    async def until(self, condition: Callable[[], object]) -> None:
        """Returns once the condition holds, which is looked at after each event."""
        async with asyncio.timeout(20):
            while not condition():
                self.changed.clear()
                await self.changed.wait()


class StreamRecorder(Recorder, asyncio.Protocol):
    """Of a stream; `data` is what came."""

    def __init__(self) -> None:
        super().__init__()
        self.data = bytearray()

    def data_received(self, data: bytes) -> None:
        self.data += data
        self.changed.set()

    def eof_received(self) -> None:
        self.note("eof")


class DatagramRecorder(Recorder, asyncio.DatagramProtocol):
    """Of datagrams; `got` are those that came, each with its sender."""

    def __init__(self) -> None:
        super().__init__()
        self.got: list[tuple[bytes, Any]] = []
        self.errors: list[Exception] = []

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self.got.append((data, addr))
        self.changed.set()

    def error_received(self, exc: Exception) -> None:
        self.errors.append(exc)
        self.note("error")
