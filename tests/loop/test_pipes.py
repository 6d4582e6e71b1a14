"""Transports of pipes, sockets and terminals, one direction each: what asyncio's do, on both
loops."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import gc
import math
import os
import pty
import socket
import tty
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fluvial._core import ReadPipeTransport, WritePipeTransport
from fluvial._loop import Loop
from support.recorder import StreamRecorder as Recorder


async def reading(file: Any, protocol: Callable[[], Any] = Recorder) -> Any:
    _, made = await asyncio.get_running_loop().connect_read_pipe(protocol, file)
    return made


async def writing(file: Any, protocol: Callable[[], Any] = Recorder) -> Any:
    _, made = await asyncio.get_running_loop().connect_write_pipe(protocol, file)
    return made


async def closed(*protocols: Recorder) -> None:
    for protocol in protocols:
        protocol.transport.close()
        await protocol.lost


def pipe() -> tuple[Any, Any]:
    read, write = os.pipe()
    return os.fdopen(read, "rb", 0), os.fdopen(write, "wb", 0)


def pair() -> tuple[Any, Any]:
    return socket.socketpair()


def terminal() -> tuple[Any, Any]:
    """(readable, writable)"""
    main, other = pty.openpty()
    tty.setraw(other)
    return os.fdopen(main, "rb", 0), os.fdopen(other, "wb", 0)


KINDS = [pipe, pair, terminal]


@pytest.fixture(params=KINDS, ids=[kind.__name__ for kind in KINDS])
def ends(request: pytest.FixtureRequest) -> Iterator[tuple[Any, Any]]:
    """The file to read from and the one to write to."""
    read, write = request.param()
    yield read, write
    read.close()
    write.close()


# ---- Both directions ------------------------------------------------------------------------


def test_there_and_through(loop: asyncio.AbstractEventLoop, ends: tuple[Any, Any]) -> None:
    async def main() -> None:
        reader, writer = await reading(ends[0]), await writing(ends[1])
        for size in (1, 1000, 100_000, 3_000_000):
            data = os.urandom(size)
            writer.transport.write(data)
            await reader.until(lambda size=size: len(reader.data) == size)
            assert reader.data == data
            reader.data.clear()
        writer.transport.close()
        assert writer.transport.is_closing()
        assert await writer.lost is None
        assert writer.events[0] == "made"
        assert writer.events[-1] == "lost"
        await reader.lost
        assert ends[0].fileno() in (None, -1) if hasattr(ends[0], "family") else ends[0].closed

    loop.run_until_complete(main())


def test_the_end(loop: asyncio.AbstractEventLoop) -> None:
    async def main() -> None:
        read, write = pipe()
        reader = await reading(read)
        write.write(b"last words")
        write.close()
        assert await reader.lost is None
        assert reader.data == b"last words"
        assert reader.events == ["made", "eof", "lost"]
        assert read.closed

    loop.run_until_complete(main())


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_kinds_of_data(loop: asyncio.AbstractEventLoop, kind: Callable[[bytes], Any]) -> None:
    async def main() -> None:
        read, write = pipe()
        reader, writer = await reading(read), await writing(write)
        large = kind(b"l" * 200_000)
        writer.transport.write(kind(b"small"))
        writer.transport.write(kind(b""))
        writer.transport.write(large)
        if kind is bytearray:
            large[:] = b"?" * 200_000  # what is queued is a copy
        writer.transport.writelines([kind(b"1"), kind(b"2")])
        await reader.until(lambda: reader.data.endswith(b"12"))
        pattern = b"small" + b"l" * 200_000 + b"12"
        assert reader.data == pattern
        for wrong in ("text", 7, None):
            with pytest.raises((TypeError, AssertionError)):  # the latter is asyncio's
                writer.transport.write(wrong)
        await closed(writer, reader)

    loop.run_until_complete(main())


def test_what_they_are_and_tell(fluvial_loop: Loop) -> None:
    async def main() -> None:
        read, write = pipe()
        reader, writer = await reading(read), await writing(write)
        assert isinstance(reader.transport, asyncio.ReadTransport)
        assert isinstance(reader.transport, ReadPipeTransport)
        assert isinstance(writer.transport, asyncio.WriteTransport)
        assert isinstance(writer.transport, WritePipeTransport)
        for protocol, file in ((reader, read), (writer, write)):
            assert protocol.transport.get_extra_info("pipe") is file
            assert protocol.transport.get_extra_info("peername") is None
            assert protocol.transport.get_protocol() is protocol
            assert not protocol.transport.is_closing()
        assert repr(reader.transport) == f"<ReadPipeTransport fd={read.fileno()} polling>"
        assert repr(writer.transport) == (
            f"<WritePipeTransport fd={write.fileno()} read=polling write=<idle, bufsize=0>>"
        )
        assert writer.transport.can_write_eof()
        other = Recorder()
        reader.transport.set_protocol(other)
        writer.transport.write(b"for another")
        await other.until(lambda: other.data)
        assert not reader.data
        writer.transport.write_eof()
        await writer.lost
        await other.lost
        assert other.events == ["eof", "lost"]
        assert "closed" in repr(writer.transport)

    fluvial_loop.run_until_complete(main())


@pytest.mark.parametrize("connect", [reading, writing])
def test_files_that_are_no_pipes(
    loop: asyncio.AbstractEventLoop, connect: Callable[..., Any], tmp_path: Path
) -> None:
    async def main() -> None:
        with (tmp_path / "file").open("w+b") as file:
            with pytest.raises(ValueError, match=r"Pipe transport is .*for pipes"):
                await connect(file)
            assert not file.closed

    loop.run_until_complete(main())


def device(name: str, flags: int) -> Any:
    return os.fdopen(os.open(f"/dev/{name}", flags), "rb" if flags == os.O_RDONLY else "wb", 0)


def test_a_device_that_can_not_be_watched(fluvial_loop: Loop) -> None:
    """asyncio's connect_read_pipe() hangs on it."""

    async def main() -> None:
        reader = await reading(device("null", os.O_RDONLY))
        assert await reader.lost is None
        assert reader.events == ["made", "eof", "lost"]
        writer = await writing(device("null", os.O_WRONLY))
        writer.transport.write(b"x" * 100_000)
        await closed(writer)

        class Some(Recorder):
            def data_received(self, data: bytes) -> None:
                super().data_received(data)
                self.transport.pause_reading()

        zeros = await reading(device("zero", os.O_RDONLY), Some)
        await zeros.until(lambda: zeros.data)
        count = len(zeros.data)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert len(zeros.data) == count
        zeros.transport.resume_reading()
        await zeros.until(lambda: len(zeros.data) > count)
        await closed(zeros)

    fluvial_loop.run_until_complete(main())


def test_the_same_file_in_both_directions(loop: asyncio.AbstractEventLoop) -> None:
    async def main() -> None:
        main, other = pty.openpty()
        tty.setraw(other)
        with os.fdopen(main, "r+b", 0) as far:
            near = os.fdopen(other, "r+b", 0)
            reader = await reading(near)
            writer = await writing(os.fdopen(os.dup(other), "wb", 0))
            far.write(b"question")
            await reader.until(lambda: reader.data)
            writer.transport.write(b"answer")
            await closed(writer)
            assert far.read(100) == b"answer"
            await closed(reader)

    loop.run_until_complete(main())


# ---- Reading --------------------------------------------------------------------------------


def test_pausing(loop: asyncio.AbstractEventLoop) -> None:
    async def main() -> None:
        (read, write), (read2, write2) = pipe(), pipe()
        reader, other = await reading(read), await reading(read2)
        assert reader.transport.is_reading()
        reader.transport.pause_reading()
        reader.transport.pause_reading()
        assert not reader.transport.is_reading()
        write.write(b"waits")
        write2.write(b"does not")
        await other.until(lambda: other.data)
        assert not reader.data
        reader.transport.resume_reading()
        reader.transport.resume_reading()
        await reader.until(lambda: reader.data)
        write.close()
        write2.close()
        await reader.lost
        await other.lost
        assert not reader.transport.is_reading()
        reader.transport.pause_reading()
        reader.transport.resume_reading()

    loop.run_until_complete(main())


def test_paused_from_the_beginning(loop: asyncio.AbstractEventLoop) -> None:
    class Paused(Recorder):
        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            transport.pause_reading()

    async def main() -> None:
        read, write = pipe()
        write.write(b"early")
        reader = await reading(read, Paused)
        await asyncio.sleep(0)
        assert not reader.data
        reader.transport.resume_reading()
        await reader.until(lambda: reader.data == b"early")
        write.close()
        await reader.lost

    loop.run_until_complete(main())


def test_a_protocol_that_raises(loop: asyncio.AbstractEventLoop) -> None:
    """What data_received() raises closes nothing; what connection_lost() raises keeps nothing
    open."""
    reported: list[BaseException] = []
    loop.set_exception_handler(lambda _, context: reported.append(context["exception"]))

    class Failing(Recorder):
        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            raise LookupError(data.decode())

        def eof_received(self) -> None:
            super().eof_received()
            raise LookupError("eof")

        def connection_lost(self, exc: Exception | None) -> None:
            super().connection_lost(exc)
            raise LookupError("lost")

    async def main() -> None:
        read, write = pipe()
        reader = await reading(read, Failing)
        write.write(b"1")
        await reader.until(lambda: len(reader.data) == 1)
        write.write(b"2")
        await reader.until(lambda: len(reader.data) == 2)
        write.close()
        await reader.lost
        await asyncio.sleep(0)
        assert [str(exc) for exc in reported] == ["1", "2", "eof", "lost"]
        assert read.closed

    loop.run_until_complete(main())


def test_the_end_of_a_terminal(loop: asyncio.AbstractEventLoop) -> None:
    """It shows as EIO, which connection_lost() is told and nobody else."""
    reported: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _, context: reported.append(context))

    async def main() -> None:
        read, write = terminal()
        reader = await reading(read)
        write.write(b"x")
        await reader.until(lambda: reader.data)
        write.close()
        exc = await reader.lost
        assert isinstance(exc, OSError)
        assert reader.events == ["made", "lost"]
        assert reported == []

    loop.run_until_complete(main())


# ---- Writing --------------------------------------------------------------------------------


def full(write: Any) -> None:
    """Writes until nothing more fits."""
    os.set_blocking(write.fileno(), False)
    with contextlib.suppress(BlockingIOError):
        while os.write(write.fileno(), b"f" * 4096):
            pass


def rest(read: Any) -> bytes:
    os.set_blocking(read.fileno(), False)
    got = bytearray()
    with contextlib.suppress(BlockingIOError):
        while data := os.read(read.fileno(), 1 << 20):
            got += data
    return bytes(got)


def test_limits_and_the_queue(fluvial_loop: Loop) -> None:
    async def main() -> None:
        read, write = pipe()
        full(write)
        writer = await writing(write)
        transport = writer.transport
        assert transport.get_write_buffer_limits() == (16 * 1024, 64 * 1024)
        transport.set_write_buffer_limits(high=100, low=10)
        for n in range(200):  # more pieces than go into one system call
            transport.write(b"%03d" % n)
            assert ("pause" in writer.events) == (transport.get_write_buffer_size() > 100)
        assert transport.get_write_buffer_size() == 600
        got = rest(read)
        await writer.until(lambda: "resume" in writer.events)
        await writer.until(lambda: transport.get_write_buffer_size() == 0)
        got += rest(read)
        assert got.lstrip(b"f") == b"".join(b"%03d" % n for n in range(200))
        assert writer.events == ["made", "pause", "resume"]
        transport.set_write_buffer_limits()
        assert transport.get_write_buffer_limits() == (16 * 1024, 64 * 1024)
        with pytest.raises(ValueError, match="must be >= "):
            transport.set_write_buffer_limits(1, 2)
        read.close()
        await writer.lost

    fluvial_loop.run_until_complete(main())


def test_close_writes_what_is_queued(loop: asyncio.AbstractEventLoop) -> None:
    async def main() -> None:
        read, write = pipe()
        data = os.urandom(500_000)
        reader, writer = await reading(read), await writing(write)
        writer.transport.write(data)
        assert writer.transport.get_write_buffer_size() > 0
        writer.transport.close()
        writer.transport.write(b"dropped")
        assert await writer.lost is None
        await reader.lost
        assert reader.data == data
        assert write.closed

    loop.run_until_complete(main())


def test_abort_drops_what_is_queued(loop: asyncio.AbstractEventLoop) -> None:
    async def main() -> None:
        read, write = pipe()
        full(write)
        writer = await writing(write)
        writer.transport.write(b"dropped")
        writer.transport.abort()
        assert await writer.lost is None
        assert set(rest(read)) == {ord("f")}
        read.close()

    loop.run_until_complete(main())


@pytest.mark.parametrize("kind", [pipe, pair])
def test_a_reader_that_goes_away(
    loop: asyncio.AbstractEventLoop, kind: Callable[[], tuple[Any, Any]]
) -> None:
    """The writer hears of it without having written anything."""

    async def main() -> None:
        read, write = kind()
        writer = await writing(write)
        read.close()
        assert await writer.lost is None
        assert writer.events == ["made", "lost"]

    loop.run_until_complete(main())


@pytest.mark.parametrize("closing", [False, True])
def test_a_reader_that_goes_away_too_early(loop: asyncio.AbstractEventLoop, closing: bool) -> None:
    """With something queued, also after close(), that is an error."""

    async def main() -> None:
        read, write = pipe()
        full(write)
        writer = await writing(write)
        writer.transport.write(b"never read")
        if closing:
            writer.transport.close()
        read.close()
        assert isinstance(await writer.lost, BrokenPipeError)
        assert writer.transport.get_write_buffer_size() == 0
        for _ in range(10):
            writer.transport.write(b"dropped")

    loop.run_until_complete(main())


def test_writing_to_nobody(loop: asyncio.AbstractEventLoop) -> None:
    async def main() -> None:
        read, write = pipe()
        writer = await writing(write)
        read.close()
        writer.transport.write(b"x")
        assert isinstance(await writer.lost, BrokenPipeError)

    loop.run_until_complete(main())


# ---- Descriptors, loops, garbage ------------------------------------------------------------


@pytest.mark.parametrize("kind", [pipe, pair])
def test_a_file_closed_behind_the_transport(
    fluvial_loop: Loop, kind: Callable[[], tuple[Any, Any]]
) -> None:
    """Its number means another file by then: that one is neither read nor written, nor closed."""
    fluvial_loop.set_exception_handler(lambda *_: None)

    async def main() -> None:
        read, write = kind()
        reader, writer = await reading(read), await writing(write)
        numbers = read.fileno(), write.fileno()
        others = socket.socketpair()
        read.close()
        write.close()
        os.dup2(others[0].fileno(), numbers[1])
        os.dup2(others[0].fileno(), numbers[0])
        others[1].send(b"not for the reader")
        writer.transport.write(b"not for the other")
        assert isinstance(await writer.lost, OSError)
        await closed(reader)
        assert not reader.data
        others[1].setblocking(False)
        with pytest.raises(BlockingIOError):
            others[1].recv(100)
        for number in numbers:
            os.close(number)
        for sock in others:
            sock.close()

    fluvial_loop.run_until_complete(main())


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_an_exception_of_fileno_that_leaves_the_loop(
    fluvial_loop: Loop, kind: type[BaseException]
) -> None:
    class File:
        armed = False

        def __init__(self, fd: int) -> None:
            self.fd = fd

        def fileno(self) -> int:
            if self.armed:
                self.armed = False
                raise kind
            return self.fd

        def close(self) -> None:
            os.close(self.fd)

    read, write = os.pipe()
    file = File(read)
    reader = fluvial_loop.run_until_complete(reading(file))
    os.write(write, b"x")
    file.armed = True
    fluvial_loop.call_later(10, fluvial_loop.stop)
    with pytest.raises(kind):
        fluvial_loop.run_forever()
    fluvial_loop.run_until_complete(closed(reader))
    os.close(write)


def test_the_descriptor_is_not_blocking(loop: asyncio.AbstractEventLoop) -> None:
    async def main() -> None:
        read, write = pipe()
        reader, writer = await reading(read), await writing(write)
        for file in (read, write):
            assert fcntl.fcntl(file, fcntl.F_GETFL) & os.O_NONBLOCK
        await closed(writer, reader)

    loop.run_until_complete(main())


@pytest.mark.parametrize("connect", [reading, writing])
def test_an_unclosed_transport(connect: Callable[..., Any]) -> None:
    read, write = pipe()
    file = read if connect is reading else write

    async def main() -> weakref.ref[Any]:
        return weakref.ref((await connect(file)).transport)

    def close() -> None:
        loop.close()
        gc.collect()

    loop = Loop()
    ref = loop.run_until_complete(main())
    gc.collect()
    assert ref() is not None  # the loop watches it
    with pytest.warns(ResourceWarning, match="unclosed transport <"):
        close()
    assert ref() is None
    assert file.closed
    read.close()
    write.close()


def test_closed_after_its_loop() -> None:
    async def main() -> tuple[Recorder, Recorder]:
        return await reading(read), await writing(write)

    read, write = pipe()
    loop = Loop()
    reader, writer = loop.run_until_complete(main())
    loop.close()
    reader.transport.close()
    writer.transport.close()
    assert read.closed
    assert write.closed
    assert reader.events == writer.events == ["made"]


def test_a_loop_that_dies_with_pipes_in_cycles() -> None:
    async def main() -> list[weakref.ref[Any]]:
        reader, writer = await reading(read), await writing(write)
        return [weakref.ref(reader), weakref.ref(writer), weakref.ref(writer.transport)]

    read, write = pipe()
    loop = Loop()
    refs = [*loop.run_until_complete(main()), weakref.ref(loop)]
    del loop
    with pytest.warns(ResourceWarning) as warnings:
        gc.collect()
    messages = " ".join(str(warning.message) for warning in warnings)
    assert "unclosed event loop" in messages
    assert "unclosed transport <ReadPipeTransport" in messages
    assert "unclosed transport <WritePipeTransport" in messages
    warnings.clear()
    gc.collect()
    assert [ref() for ref in refs] == [None] * 4
    assert read.closed
    assert write.closed


def test_transports_made_by_hand() -> None:
    loop = Loop()
    for kind in (ReadPipeTransport, WritePipeTransport):
        bare: Any = kind.__new__(kind)
        repr(bare)
        bare.close()
        assert bare.is_closing()
        with pytest.raises(RuntimeError, match="not initialised"):
            bare._begin(None)
        with pytest.raises(TypeError, match=r"expected a fluvial\.Loop"):
            kind(asyncio.AbstractEventLoop(), 0, asyncio.Protocol(), None, {})
        with pytest.raises(TypeError):
            kind(loop, "no file", asyncio.Protocol(), None, {})
    WritePipeTransport.__new__(WritePipeTransport).write(b"x")
    loop.close()
    read, write = pipe()
    with pytest.raises(RuntimeError, match="closed"):
        ReadPipeTransport(loop, read, asyncio.Protocol(), None, {})
    read.close()
    write.close()


# ---- What they are -------------------------------------------------------------------------------


def test_a_write_pipe_is_a_transport(loop: asyncio.AbstractEventLoop) -> None:
    """asyncio's own derives from asyncio.Transport, whose reading is not implemented."""

    async def main() -> None:
        read, write = os.pipe()
        protocol = await writing(os.fdopen(write, "wb", 0))
        check_is_transport(protocol.transport)
        await closed(protocol)
        os.close(read)

    loop.run_until_complete(main())


def test_the_input_of_a_child_is_a_transport(loop: asyncio.AbstractEventLoop) -> None:
    async def main() -> None:
        process = await asyncio.create_subprocess_exec("cat", stdin=-1, stdout=-1)
        assert process.stdin is not None
        check_is_transport(process.stdin.transport)
        assert await process.communicate(b"data") == (b"data", None)

    loop.run_until_complete(main())


def check_is_transport(transport: asyncio.WriteTransport) -> None:
    assert isinstance(transport, asyncio.Transport)
    for name in ("pause_reading", "resume_reading", "is_reading"):
        with pytest.raises(NotImplementedError):
            getattr(transport, name)()


def public(found: object) -> set[str]:
    return {name for name in dir(found) if not name.startswith("_")}


@pytest.mark.parametrize("kind", ["stream", "datagram", "read pipe", "write pipe", "process"])
def test_transports_have_all_that_asyncios_have(kind: str) -> None:
    """Names, and asyncio's abstract classes."""
    with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
        bases, names = runner.run(described(kind))
    with asyncio.Runner(loop_factory=Loop) as runner:
        our_bases, our_names = runner.run(described(kind))
    assert bases <= our_bases
    assert names - our_names <= {"max_size"}, "a constant of asyncio's own reads"


async def described(kind: str) -> tuple[set[str], set[str]]:
    loop = asyncio.get_running_loop()
    left, right = socket.socketpair()
    with left, right:
        left.setblocking(False)
        make: dict[str, Callable[[], Any]] = {
            "stream": lambda: loop.create_connection(asyncio.Protocol, sock=left.dup()),
            "datagram": lambda: loop.create_datagram_endpoint(
                asyncio.DatagramProtocol, local_addr=("127.0.0.1", 0)
            ),
            "read pipe": lambda: loop.connect_read_pipe(asyncio.Protocol, left.dup()),
            "write pipe": lambda: loop.connect_write_pipe(asyncio.BaseProtocol, left.dup()),
            "process": lambda: loop.subprocess_exec(asyncio.SubprocessProtocol, "true"),
        }
        transport, _ = await make[kind]()
        bases = {base.__name__ for base in type(transport).__mro__ if base.__module__ == MODULE}
        names = public(transport)
        if kind == "process":
            await transport._wait()
        transport.close()
        await asyncio.sleep(0.01)
        return {name for name in bases if not name.startswith("_")}, names


MODULE = asyncio.Transport.__module__


@pytest.mark.parametrize(
    ("limits", "found"),
    [
        ({"high": 1000.7}, (250, 1000)),
        ({"high": math.inf, "low": 5}, None),
        ({"high": 10**30}, None),
        ({"low": 10**30}, None),
        ({"high": True}, (0, 1)),
    ],
)
def test_limits_are_whatever_is_a_number(
    loop: asyncio.AbstractEventLoop, limits: dict[str, Any], found: tuple[int, int] | None
) -> None:
    async def main() -> None:
        read, write = os.pipe()
        protocol = await writing(os.fdopen(write, "wb", 0))
        transport = protocol.transport
        transport.set_write_buffer_limits(**limits)
        low, high = transport.get_write_buffer_limits()
        if found is None:
            assert high > 1 << 60
            assert low <= high
        else:
            assert (int(low), int(high)) == found
        for wrong in (-1, -0.5, -math.inf):
            with pytest.raises(ValueError, match="must be >= low"):
                transport.set_write_buffer_limits(high=wrong)
        await closed(protocol)
        os.close(read)

    loop.run_until_complete(main())
