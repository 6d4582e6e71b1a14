"""asyncio's StreamReader on our transports: fed in C, and nobody can tell."""

from __future__ import annotations

import ast
import asyncio
import gc
import inspect
import socket
import sys
import textwrap
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from fluvial._loop import Loop

Reader = asyncio.StreamReader
Protocol = asyncio.StreamReaderProtocol


async def until(condition: Callable[[], object]) -> None:
    while not condition():  # noqa: ASYNC110  # there is no event for what is waited for here
        await asyncio.sleep(0.001)


@asynccontextmanager
async def stream(
    limit: int = 2**16, protocol: Protocol | None = None
) -> AsyncIterator[tuple[Reader, asyncio.StreamWriter, socket.socket]]:
    """A stream over one end of a pair of sockets; the other end is plain and blocks."""
    ours, theirs = socket.socketpair()
    loop = asyncio.get_running_loop()
    reader = protocol._stream_reader if protocol else Reader(limit=limit, loop=loop)  # type: ignore[attr-defined]
    protocol = protocol or Protocol(reader, loop=loop)
    ours.setblocking(False)
    transport, _ = await loop.create_connection(lambda: protocol, sock=ours)
    writer = asyncio.StreamWriter(transport, protocol, reader, loop)
    try:
        async with asyncio.timeout(20):
            yield reader, writer, theirs
    finally:
        theirs.close()
        writer.close()
        await asyncio.gather(writer.wait_closed(), return_exceptions=True)


@contextmanager
def python_calls() -> Iterator[list[str]]:
    """The names of the Python functions of asyncio.streams that are called."""
    calls: list[str] = []

    def note(frame: Any, event: str, _arg: object) -> None:
        if event == "call" and frame.f_globals["__name__"] == "asyncio.streams":
            calls.append(frame.f_code.co_name)

    sys.setprofile(note)
    try:
        yield calls
    finally:
        sys.setprofile(None)


def test_no_python_on_the_way_in(fluvial_loop: Loop) -> None:
    async def main() -> None:
        async with stream() as (reader, _, peer):
            with python_calls() as calls:
                peer.send(b"hello")
                assert await reader.readexactly(5) == b"hello"
            assert "readexactly" in calls
            assert not {"data_received", "feed_data", "_wakeup_waiter"} & set(calls)

    fluvial_loop.run_until_complete(main())


def test_each_way_to_read(loop: asyncio.AbstractEventLoop) -> None:
    async def main() -> None:
        async with stream() as (reader, _, peer):
            peer.send(b"one\ntwo|three")
            assert await reader.readline() == b"one\n"
            assert await reader.readuntil(b"|") == b"two|"
            assert await reader.readexactly(3) == b"thr"
            assert await reader.read(100) == b"ee"
            waiting = asyncio.ensure_future(reader.readexactly(6))
            for part in (b"ab", b"cd", b"ef"):
                await asyncio.sleep(0.002)
                assert not waiting.done()
                peer.send(part)
            assert await waiting == b"abcdef"
            peer.send(b"end")
            peer.shutdown(socket.SHUT_WR)
            assert await reader.read() == b"end"
            assert reader.at_eof()

    loop.run_until_complete(main())


def test_reading_pauses_past_twice_the_limit(loop: asyncio.AbstractEventLoop) -> None:
    async def main() -> None:
        async with stream(limit=1000) as (reader, writer, peer):
            transport: Any = writer.transport
            peer.send(b"a" * 2000)
            await asyncio.sleep(0.01)
            assert transport.is_reading()
            peer.send(b"b")
            await until(lambda: not transport.is_reading())
            peer.send(b"c")
            await asyncio.sleep(0.01)
            assert len(reader._buffer) == 2001  # type: ignore[attr-defined]
            assert await reader.readexactly(2002) == b"a" * 2000 + b"bc"
            assert transport.is_reading()

    loop.run_until_complete(main())


def test_much_data_at_once(loop: asyncio.AbstractEventLoop) -> None:
    data = bytes(range(256)) * 4000

    async def main() -> None:
        async with stream() as (reader, _, peer):
            sending = loop.run_in_executor(None, peer.sendall, data)
            assert await reader.readexactly(len(data)) == data
            await sending

    loop.run_until_complete(main())


def test_a_reader_that_gave_up_leaves_the_data(loop: asyncio.AbstractEventLoop) -> None:
    async def main() -> None:
        async with stream() as (reader, _, peer):
            waiting = asyncio.ensure_future(reader.readline())
            await asyncio.sleep(0)
            peer.send(b"line\n")
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            assert await reader.readline() == b"line\n"

    loop.run_until_complete(main())


def test_a_waiter_may_be_cancelled_when_data_comes(loop: asyncio.AbstractEventLoop) -> None:
    async def main() -> None:
        async with stream() as (reader, _, peer):
            waiter = loop.create_future()
            waiter.cancel()
            reader._waiter = waiter  # type: ignore[attr-defined]
            peer.send(b"x")
            await until(lambda: reader._waiter is None)  # type: ignore[attr-defined]
            assert await reader.read(10) == b"x"

    loop.run_until_complete(main())


def test_functions_put_in_later_are_called(
    loop: asyncio.AbstractEventLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[bytes] = []
    original = Reader.feed_data

    def feed_data(self: Reader, data: bytes) -> None:
        seen.append(bytes(data))
        original(self, data)

    async def main() -> None:
        async with stream() as (reader, _, peer):
            peer.send(b"1")
            assert await reader.readexactly(1) == b"1"
            with monkeypatch.context() as patched:
                patched.setattr(Reader, "feed_data", feed_data)
                peer.send(b"2")
                assert await reader.readexactly(1) == b"2"
            peer.send(b"3")
            assert await reader.readexactly(1) == b"3"

    loop.run_until_complete(main())
    assert seen == [b"2"]


@pytest.mark.parametrize("name", ["data_received", "feed_data", "_wakeup_waiter"])
def test_methods_of_one_object_are_called(loop: asyncio.AbstractEventLoop, name: str) -> None:
    async def main() -> None:
        reader = Reader(loop=loop)
        protocol = Protocol(reader, loop=loop)
        owner: Any = protocol if name == "data_received" else reader
        called = asyncio.Event()
        original = getattr(owner, name)

        def method(*args: Any) -> None:
            called.set()
            original(*args)

        setattr(owner, name, method)
        async with stream(protocol=protocol) as (_, _, peer):
            peer.send(b"x")
            assert await reader.readexactly(1) == b"x"
            assert called.is_set()

    loop.run_until_complete(main())


def test_subclasses_methods_are_called(loop: asyncio.AbstractEventLoop) -> None:
    seen: list[bytes] = []

    class Upper(Reader):
        def feed_data(self, data: bytes) -> None:
            super().feed_data(data.upper())

    class Seeing(Protocol):
        def data_received(self, data: bytes) -> None:
            seen.append(data)
            super().data_received(data)

    async def main() -> None:
        for kind in (Protocol, Seeing):
            reader = Upper(loop=loop)
            async with stream(protocol=kind(reader, loop=loop)) as (_, _, peer):
                peer.send(b"abc")
                assert await reader.readexactly(3) == b"ABC"

    loop.run_until_complete(main())
    assert seen == [b"abc"]


def reports(loop: asyncio.AbstractEventLoop) -> list[dict[str, Any]]:
    contexts: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _, context: contexts.append(context))
    return contexts


def test_what_feeding_raises_is_reported(loop: asyncio.AbstractEventLoop) -> None:
    """A buffer that somebody looks at can't grow; after feed_eof() nothing may come."""
    contexts = reports(loop)

    async def main() -> None:
        async with stream() as (reader, writer, peer):
            with memoryview(reader._buffer):  # type: ignore[attr-defined]
                peer.send(b"x")
                await until(lambda: contexts)
            assert writer.transport.is_closing()
        async with stream() as (reader, writer, peer):
            reader.feed_eof()
            peer.send(b"x")
            await until(lambda: len(contexts) == 2)
            assert writer.transport.is_closing()

    loop.run_until_complete(main())
    assert [type(context["exception"]) for context in contexts] == [BufferError, AssertionError]
    assert all("data_received() call failed" in context["message"] for context in contexts)


def test_data_for_a_reader_that_is_gone_is_dropped(loop: asyncio.AbstractEventLoop) -> None:
    contexts = reports(loop)

    async def main() -> None:
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        protocol = Protocol(Reader(loop=loop), loop=loop)
        transport, _ = await loop.create_connection(lambda: protocol, sock=ours)
        gc.collect()
        theirs.send(b"x")
        await asyncio.sleep(0.01)
        assert not transport.is_closing()
        theirs.close()
        transport.close()
        await asyncio.sleep(0.01)

    loop.run_until_complete(main())
    assert contexts == []


KNOWN = '''
def data_received(self, data):
    reader = self._stream_reader
    if reader is not None:
        reader.feed_data(data)

def feed_data(self, data):
    assert not self._eof, 'feed_data after feed_eof'
    if not data:
        return
    self._buffer.extend(data)
    self._wakeup_waiter()
    if (self._transport is not None and
            not self._paused and
            len(self._buffer) > 2 * self._limit):
        try:
            self._transport.pause_reading()
        except NotImplementedError:
            self._transport = None
        else:
            self._paused = True

def _wakeup_waiter(self):
    """Wakeup read*() functions waiting for data or EOF."""
    waiter = self._waiter
    if waiter is not None:
        self._waiter = None
        if not waiter.cancelled():
            waiter.set_result(None)
'''


@pytest.mark.parametrize(
    ("owner", "name"),
    [(Protocol, "data_received"), (Reader, "feed_data"), (Reader, "_wakeup_waiter")],
)
def test_asyncios_functions_are_those_that_c_stands_in_for(owner: type, name: str) -> None:
    """Fails on a Python that changed them: then ext/transport/reader.c has to follow."""
    known = {ast.dump(node) for node in ast.parse(KNOWN).body}
    source = textwrap.dedent(inspect.getsource(getattr(owner, name)))
    tree = ast.parse(source).body[0]
    assert isinstance(tree, ast.FunctionDef)
    assert tree.name == name
    assert ast.dump(tree) in known
