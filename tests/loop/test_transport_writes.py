"""Writing of stream transports: many buffers, what is freed when, files."""

from __future__ import annotations

import asyncio
import gc
import io
import os
import socket
import sys
import weakref
from typing import TYPE_CHECKING, Any

import pytest
from fluvial._loop import Loop

if TYPE_CHECKING:
    from pathlib import Path


class Sink(asyncio.Protocol):
    """Keeps what comes; `full` is set when `expected` bytes have."""

    def __init__(self, expected: int = 0) -> None:
        self.data = bytearray()
        self.expected = expected
        self.full = asyncio.Event()
        self.lost: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.data += data
        if len(self.data) >= self.expected:
            self.full.set()

    def connection_lost(self, exc: BaseException | None) -> None:
        self.full.set()
        self.lost.set_result(exc)


async def pair(expected: int = 0) -> tuple[Any, Any, Sink]:
    """A transport, the transport of its other end, and that one's protocol."""
    loop = asyncio.get_running_loop()
    left, right = socket.socketpair()
    ours, _ = await loop.create_connection(Sink, sock=left)
    theirs, sink = await loop.connect_accepted_socket(lambda: Sink(expected), right)
    return ours, theirs, sink


async def lose(*transports: Any) -> None:
    for transport in transports:
        transport.abort()
    await asyncio.sleep(0)
    await asyncio.sleep(0)


@pytest.mark.parametrize("size", [1, 3000], ids=["small", "large"])
def test_writelines_takes_any_number_of_any_buffers(
    loop: asyncio.AbstractEventLoop, size: int
) -> None:
    kinds = (bytes, bytearray, memoryview, lambda data: memoryview(bytearray(data)))
    parts = [kinds[n % 4](os.urandom(size)) for n in range(2500)]  # IOV_MAX is 1024
    parts[3:3] = [b"", bytearray()]
    data = b"".join(parts)

    async def main() -> None:
        ours, theirs, sink = await pair(2 * len(data))
        theirs.pause_reading()
        ours.writelines(parts)
        for part in parts:  # what isn't written yet is the loop's; asyncio's sends the change
            if isinstance(loop, Loop) and isinstance(part, bytearray) and part:
                part[0] ^= 255
        ours.writelines(iter([]))
        theirs.resume_reading()
        ours.writelines(part for part in [data])
        await sink.full.wait()
        assert bytes(sink.data) == data * 2
        await lose(ours, theirs)

    loop.run_until_complete(main())


def test_writelines_refuses_what_is_not_bytes(loop: asyncio.AbstractEventLoop) -> None:
    if sys.version_info >= (3, 15) and not isinstance(loop, Loop):
        pytest.skip("asyncio's transport of 3.15 sends nothing more after such a call")

    async def main() -> None:
        ours, theirs, sink = await pair(1)
        for wrong in ([b"never sent", 1], [b"never sent", "text"], 5):
            with pytest.raises(TypeError):
                ours.writelines(wrong)
        ours.write(b"x")
        await sink.full.wait()
        assert sink.data == b"x"
        ours.write_eof()
        with pytest.raises(RuntimeError, match="write_eof"):
            ours.writelines([b"late"])
        await lose(ours, theirs)

    loop.run_until_complete(main())


@pytest.mark.parametrize("how", ["abort", "reset", "written"])
def test_what_is_queued_is_freed(fluvial_loop: Loop, how: str) -> None:
    """Also while someone keeps the transport."""
    data = [bytes(4_000_000), bytes(4_000_000)]
    before = [sys.getrefcount(part) for part in data]

    async def main() -> Any:
        ours, theirs, sink = await pair(8_000_001)
        theirs.pause_reading()
        ours.write(data[0])
        ours.writelines([data[1], b"x"])
        assert ours.get_write_buffer_size() > 1_000_000
        assert [sys.getrefcount(part) for part in data] != before
        if how == "written":
            theirs.resume_reading()
            await sink.full.wait()
        else:
            {"abort": ours, "reset": theirs}[how].abort()
            await ours.get_protocol().lost
        await asyncio.sleep(0.001)  # libuv lets go of the memory
        assert ours.get_write_buffer_size() == 0
        assert [sys.getrefcount(part) for part in data] == before
        await lose(ours, theirs)
        return ours

    assert fluvial_loop.run_until_complete(main()).is_closing()


def test_a_lost_transport_keeps_nothing_alive(fluvial_loop: Loop) -> None:
    async def main() -> tuple[Any, list[weakref.ref[Any]]]:
        ours, theirs, sink = await pair()
        protocol = ours.get_protocol()
        await lose(ours, theirs)
        await asyncio.sleep(0.001)
        return ours, [weakref.ref(protocol), weakref.ref(sink), weakref.ref(theirs)]

    transport, refs = fluvial_loop.run_until_complete(main())
    gc.collect()
    assert [ref() for ref in refs] == [None] * 3
    assert transport.get_protocol() is None


# ---- Files ------------------------------------------------------------------------------------


@pytest.fixture
def data(tmp_path: Path) -> bytes:
    data = os.urandom(1_500_000)
    (tmp_path / "data").write_bytes(data)
    return data


def test_sendfile_is_the_kernels(
    loop: asyncio.AbstractEventLoop,
    tmp_path: Path,
    data: bytes,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls = []
    sendfile = os.sendfile

    def counting(*args: Any) -> int:
        calls.append(args)
        return sendfile(*args)

    monkeypatch.setattr(os, "sendfile", counting)

    async def main() -> None:
        ours, theirs, sink = await pair(len(data) - 100 + 12)
        ours.pause_reading()
        ours.write(b"before")
        with (tmp_path / "data").open("rb") as file:
            sending = asyncio.ensure_future(loop.sendfile(ours, file, 50, len(data) - 100))
            await asyncio.sleep(0)
            with pytest.raises(RuntimeError, match="sendfile is in progress"):
                ours.write(b"x")
            assert await sending == len(data) - 100
            assert file.tell() == len(data) - 50
        assert not ours.is_reading()
        ours.write(b"after!")
        await sink.full.wait()
        assert sink.data == b"before" + data[50:-50] + b"after!"
        await lose(ours, theirs)

    loop.run_until_complete(main())
    assert calls


def test_sendfile_of_what_is_no_file(loop: asyncio.AbstractEventLoop, data: bytes) -> None:
    async def main() -> None:
        ours, theirs, sink = await pair(len(data))
        assert await loop.sendfile(ours, io.BytesIO(data)) == len(data)
        await sink.full.wait()
        assert sink.data == data
        with pytest.raises((RuntimeError, asyncio.SendfileNotAvailableError)):
            await loop.sendfile(ours, io.BytesIO(data), fallback=False)
        await lose(ours, theirs)
        with pytest.raises(RuntimeError, match="closing"):
            await loop.sendfile(ours, io.BytesIO(data))

    loop.run_until_complete(main())


@pytest.mark.parametrize("who", ["ours", "theirs"])
def test_sendfile_on_a_connection_that_breaks(
    fluvial_loop: Loop, tmp_path: Path, data: bytes, who: str
) -> None:
    async def main() -> None:
        ours, theirs, _ = await pair()
        theirs.pause_reading()
        before = len(os.listdir("/proc/self/fd"))
        with (tmp_path / "data").open("rb") as file:
            sending = asyncio.ensure_future(fluvial_loop.sendfile(ours, file))
            await asyncio.sleep(0.01)
            assert not sending.done()
            {"ours": ours, "theirs": theirs}[who].abort()
            with pytest.raises(ConnectionError):
                await sending
        await lose(ours, theirs)
        assert len(os.listdir("/proc/self/fd")) <= before

    fluvial_loop.run_until_complete(main())


def test_a_cancelled_sendfile(fluvial_loop: Loop, tmp_path: Path, data: bytes) -> None:
    async def main() -> None:
        ours, theirs, _ = await pair()
        theirs.pause_reading()
        before = len(os.listdir("/proc/self/fd"))
        with (tmp_path / "data").open("rb") as file:
            sending = asyncio.ensure_future(fluvial_loop.sendfile(ours, file))
            await asyncio.sleep(0.01)
            sending.cancel()
            with pytest.raises(asyncio.CancelledError):
                await sending
        assert len(os.listdir("/proc/self/fd")) == before
        ours.write(b"goes on")
        assert ours.is_reading()
        await lose(ours, theirs)

    fluvial_loop.run_until_complete(main())
