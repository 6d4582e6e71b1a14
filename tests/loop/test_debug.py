"""Debug mode: what it refuses, logs and remembers."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from support.socket_pairs import sockets

if TYPE_CHECKING:
    from fluvial._loop import Loop

Schedule = Callable[[asyncio.AbstractEventLoop, Any], object]


@pytest.fixture(autouse=True)
def _debug(loop: asyncio.AbstractEventLoop) -> None:
    loop.set_debug(True)


SCHEDULE: dict[str, Schedule] = {
    "call_soon": lambda loop, callback: loop.call_soon(callback),
    "call_later": lambda loop, callback: loop.call_later(1, callback),
    "call_at": lambda loop, callback: loop.call_at(1, callback),
    "call_soon_threadsafe": lambda loop, callback: loop.call_soon_threadsafe(callback),
    "run_in_executor": lambda loop, callback: loop.run_in_executor(None, callback),
    "add_signal_handler": lambda loop, callback: loop.add_signal_handler(signal.SIGUSR1, callback),
}


async def coroutine() -> None:
    pass


@pytest.mark.parametrize("name", SCHEDULE)
def test_what_is_no_callback_is_refused(loop: asyncio.AbstractEventLoop, name: str) -> None:
    with pytest.raises(TypeError):
        SCHEDULE[name](loop, coroutine)
    if name != "add_signal_handler":  # asyncio takes it there until the signal comes
        with pytest.raises(TypeError):
            SCHEDULE[name](loop, 42)
    coro = coroutine()
    with pytest.raises(TypeError):
        SCHEDULE[name](loop, coro)
    coro.close()


@pytest.mark.parametrize("name", ["call_soon", "call_later", "call_at"])
def test_another_thread_is_refused(loop: asyncio.AbstractEventLoop, name: str) -> None:
    errors: list[BaseException] = []

    def schedule() -> None:
        try:
            SCHEDULE[name](loop, print)
        except RuntimeError as error:
            errors.append(error)

    async def main() -> None:
        thread = threading.Thread(target=schedule)
        thread.start()
        await loop.run_in_executor(None, thread.join)

    loop.run_until_complete(main())
    assert "Non-thread-safe operation" in str(errors[0])


@pytest.mark.parametrize("kind", ["soon", "timer", "reader"])
def test_slow_callbacks_are_logged(
    loop: asyncio.AbstractEventLoop, caplog: pytest.LogCaptureFixture, kind: str
) -> None:
    left, right = socket.socketpair()

    def slow() -> None:
        time.sleep(0.02)
        loop.remove_reader(left)
        loop.stop()

    loop.slow_callback_duration = 0.01
    with left, right, caplog.at_level(logging.WARNING, "asyncio"):
        if kind == "soon":
            loop.call_soon(slow)
        elif kind == "timer":
            loop.call_later(0.001, slow)
        else:
            right.send(b"x")
            loop.add_reader(left, slow)
        loop.run_forever()
    (message,) = [r.message for r in caplog.records if "took" in r.message and "slow" in r.message]
    assert message.startswith("Executing <")
    if kind != "reader":
        assert f"created at {__file__}" in message


def test_slow_steps_of_tasks_are_logged(
    loop: asyncio.AbstractEventLoop, caplog: pytest.LogCaptureFixture
) -> None:
    async def slow() -> None:
        time.sleep(0.02)  # noqa: ASYNC251 - to be slow is the point

    loop.slow_callback_duration = 0.01
    with caplog.at_level(logging.WARNING, "asyncio"):
        loop.run_until_complete(slow())
    assert any("Executing <Task" in r.message and "slow()" in r.message for r in caplog.records)


def test_coroutines_remember_where_they_were_made(loop: asyncio.AbstractEventLoop) -> None:
    async def main() -> Any:
        coro = coroutine()
        origin = coro.cr_origin
        coro.close()
        return origin

    origin = loop.run_until_complete(main())
    assert origin[0][0] == __file__
    assert sys.get_coroutine_origin_tracking_depth() == 0
    loop.set_debug(False)
    assert loop.run_until_complete(main()) is None


def test_switching_while_it_runs(loop: asyncio.AbstractEventLoop) -> None:
    async def main() -> None:
        assert sys.get_coroutine_origin_tracking_depth() > 0
        loop.set_debug(False)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert sys.get_coroutine_origin_tracking_depth() == 0

    loop.run_until_complete(main())


def test_failures_tell_where_the_callback_was_scheduled(loop: asyncio.AbstractEventLoop) -> None:
    contexts: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _, context: contexts.append(context))
    loop.call_soon(lambda: 1 / 0)
    loop.call_soon(loop.stop)
    loop.run_forever()
    (*_, last) = contexts[0]["source_traceback"]
    assert last.filename == __file__
    assert "1 / 0" in last.line


def test_reports_tell_where_the_running_callback_was_scheduled(
    loop: asyncio.AbstractEventLoop, caplog: pytest.LogCaptureFixture
) -> None:
    def call() -> None:
        loop.call_exception_handler({"message": "told"})

    loop.call_soon(call)
    loop.call_soon(loop.stop)
    loop.run_forever()
    (record,) = [record for record in caplog.records if record.message.startswith("told")]
    assert "Handle created at" in record.message
    assert __file__ in record.message


class Truth:
    """What asyncio takes for a flag, as it takes everything."""

    def __init__(self, value: bool) -> None:
        self.value = value

    def __bool__(self) -> bool:
        return self.value


@pytest.mark.parametrize(
    ("flag", "meaning"),
    [(0, False), (1, True), (None, False), ("no", True), ([], False), (Truth(True), True)],
)
def test_whatever_has_a_truth_switches(
    loop: asyncio.AbstractEventLoop, flag: Any, meaning: bool
) -> None:
    loop.set_debug(flag)
    assert bool(loop.get_debug()) is meaning

    async def main() -> bool:
        asyncio.get_running_loop().set_debug(flag)
        return bool(asyncio.get_running_loop().get_debug())

    assert loop.run_until_complete(main()) is meaning


def test_a_flag_that_has_no_truth(fluvial_loop: Loop) -> None:
    class Undecided:
        def __bool__(self) -> bool:
            raise ValueError("it depends")

    with pytest.raises(ValueError, match="it depends"):
        fluvial_loop.set_debug(Undecided())  # type: ignore[arg-type]
    assert fluvial_loop.get_debug() is False


def test_flags_cannot_be_deleted(fluvial_loop: Loop) -> None:
    for name in ("_debug", "_closed", "_stopping"):
        with pytest.raises(AttributeError):
            delattr(fluvial_loop, name)


# ---- What is slow outside of callbacks ----------------------------------------------------------


def slow_lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [line for line in caplog.messages if line.startswith("Executing")]


@pytest.fixture
def everything_is_slow(fluvial_loop: Loop) -> Loop:
    fluvial_loop.set_debug(True)
    fluvial_loop.slow_callback_duration = 0.0
    return fluvial_loop


class Slow(asyncio.DatagramProtocol, asyncio.Protocol):
    def __init__(self) -> None:
        self.done = asyncio.get_running_loop().create_future()

    def data_received(self, data: bytes) -> None:
        self.done.set_result(data)

    def datagram_received(self, data: bytes, _addr: Any) -> None:
        self.done.set_result(data)

    def __repr__(self) -> str:
        return "<Slow>"


async def hear_as_stream(loop: Any) -> None:
    left, right = socket.socketpair()
    left.setblocking(False)
    transport, protocol = await loop.create_connection(Slow, sock=left)
    with right:
        right.send(b"x")
        await protocol.done
    transport.abort()


async def hear_as_pipe(loop: Any) -> None:
    read, write = os.pipe()
    transport, protocol = await loop.connect_read_pipe(Slow, os.fdopen(read, "rb", 0))
    os.write(write, b"x")
    await protocol.done
    os.close(write)
    transport.close()


async def hear_as_datagrams(loop: Any) -> None:
    transport, protocol = await loop.create_datagram_endpoint(Slow, local_addr=("127.0.0.1", 0))
    with socket.socket(type=socket.SOCK_DGRAM) as sender:
        sender.sendto(b"x", transport.get_extra_info("sockname"))
        await protocol.done
    transport.abort()


@pytest.mark.parametrize(
    ("hear", "name"),
    [
        (hear_as_stream, "data_received"),
        (hear_as_pipe, "data_received"),
        (hear_as_datagrams, "datagram_received"),
    ],
)
def test_slow_protocols_are_logged(
    everything_is_slow: Loop, caplog: pytest.LogCaptureFixture, hear: Any, name: str
) -> None:
    everything_is_slow.run_until_complete(hear(everything_is_slow))
    assert any(line.startswith(f"Executing <{name}() of <Slow>") for line in slow_lines(caplog))


def test_slow_readers_and_timers_are_logged(
    everything_is_slow: Loop, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        heard = asyncio.Event()
        with sockets() as (left, right):
            everything_is_slow.add_reader(left, heard.set)
            right.send(b"x")
            await heard.wait()
            everything_is_slow.remove_reader(left)
        everything_is_slow.call_later(0, heard.clear)
        await asyncio.sleep(0.01)

    everything_is_slow.run_until_complete(main())
    shown = "\n".join(slow_lines(caplog))
    assert "Event.set()" in shown
    assert "TimerHandle" in shown
    assert "Event.clear()" in shown


def test_quick_protocols_are_not_logged(
    fluvial_loop: Loop, caplog: pytest.LogCaptureFixture
) -> None:
    fluvial_loop.set_debug(True)
    fluvial_loop.slow_callback_duration = 60.0
    fluvial_loop.run_until_complete(hear_as_stream(fluvial_loop))
    assert slow_lines(caplog) == []


def test_what_interrupts_the_repr_of_a_cancelled_callback_leaves_the_loop(
    loop: asyncio.AbstractEventLoop,
) -> None:
    class Callback:
        def __call__(self) -> None: ...

        def __repr__(self) -> str:
            raise KeyboardInterrupt

    handle = loop.call_later(60, Callback())
    loop.call_soon(handle.cancel)
    with pytest.raises(KeyboardInterrupt):
        loop.run_forever()
    assert handle.cancelled()
