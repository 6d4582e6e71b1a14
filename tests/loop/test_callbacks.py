"""call_soon and its handles: order, arguments, contexts, cancelling, failures."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import socket
import threading
import time
import weakref
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from fluvial._loop import Loop

var: contextvars.ContextVar[str] = contextvars.ContextVar("var", default="unset")


def run_ready(loop: asyncio.AbstractEventLoop) -> None:
    """Runs what is scheduled now."""
    loop.call_soon(loop.stop)
    loop.run_forever()


@pytest.mark.parametrize("count", range(7))
def test_arguments_arrive(loop: asyncio.AbstractEventLoop, count: int) -> None:
    calls: list[tuple[Any, ...]] = []
    loop.call_soon(lambda *args: calls.append(args), *range(count))
    run_ready(loop)
    assert calls == [tuple(range(count))]


def test_callbacks_run_in_the_order_of_scheduling(loop: asyncio.AbstractEventLoop) -> None:
    calls: list[int] = []
    for i in range(1000):  # more than the ring's first size
        loop.call_soon(calls.append, i)
    loop.call_soon_threadsafe(calls.append, 1000)
    loop.call_soon(calls.append, 1001)
    run_ready(loop)
    assert calls == list(range(1002))


@pytest.mark.parametrize("before", [1, 10, 63, 64, 100])
def test_the_order_stays_when_the_queue_grows_while_it_runs(
    loop: asyncio.AbstractEventLoop, before: int
) -> None:
    """It is a ring: what it holds may begin anywhere in it."""
    calls: list[int] = []

    def more() -> None:
        for i in range(300):
            loop.call_soon(calls.append, i)

    for _ in range(before):
        loop.call_soon(int)
    loop.call_soon(more)
    run_ready(loop)
    run_ready(loop)
    assert calls == list(range(300))


def test_what_a_callback_schedules_waits_for_the_next_round(
    loop: asyncio.AbstractEventLoop,
) -> None:
    calls: list[str] = []

    def first() -> None:
        calls.append("first")
        loop.call_soon(calls.append, "third")

    loop.call_soon(first)
    loop.call_soon(calls.append, "second")
    run_ready(loop)
    assert calls == ["first", "second"]
    run_ready(loop)
    assert calls == ["first", "second", "third"]


def test_stop_before_run_runs_one_round(loop: asyncio.AbstractEventLoop) -> None:
    calls: list[int] = []
    loop.call_soon(calls.append, 1)
    loop.call_soon(lambda: loop.call_soon(calls.append, 2))
    loop.stop()
    loop.run_forever()
    assert calls == [1]


def test_the_current_context_is_copied(loop: asyncio.AbstractEventLoop) -> None:
    seen: list[str] = []
    token = var.set("outer")
    loop.call_soon(lambda: (seen.append(var.get()), var.set("inner")))
    var.set("later")
    loop.call_soon(lambda: seen.append(var.get()))
    run_ready(loop)
    assert (seen, var.get()) == (["outer", "later"], "later")
    var.reset(token)


def test_a_context_may_be_given(loop: asyncio.AbstractEventLoop) -> None:
    context = contextvars.copy_context()
    handle = loop.call_soon(var.set, "inside", context=context)
    run_ready(loop)
    assert (context[var], var.get()) == ("inside", "unset")
    if hasattr(handle, "get_context"):  # from 3.12
        assert handle.get_context() is context


def test_a_context_that_is_entered_elsewhere_is_reported(
    loop: asyncio.AbstractEventLoop, caplog: pytest.LogCaptureFixture
) -> None:
    context = contextvars.copy_context()
    calls: list[int] = []

    def inside() -> None:
        loop.call_soon(calls.append, 1, context=context)
        loop.call_soon(calls.append, 2, context=contextvars.Context())
        contextvars.Context().run(run_ready, loop)

    context.run(inside)
    assert calls == [2]
    assert any("append" in record.message for record in caplog.records)


def test_a_cancelled_callback_is_not_called(loop: asyncio.AbstractEventLoop) -> None:
    calls: list[int] = []
    handle = loop.call_soon(calls.append, 1)
    assert not handle.cancelled()
    handle.cancel()
    handle.cancel()
    assert handle.cancelled()
    run_ready(loop)
    assert calls == []


def test_a_cancelled_handle_lets_go_of_its_arguments(loop: asyncio.AbstractEventLoop) -> None:
    class Argument:
        pass

    arg = Argument()
    gone = weakref.ref(arg)
    handle = loop.call_soon(print, arg)
    handle.cancel()
    del arg
    assert gone() is None


def test_a_callback_may_cancel_its_own_handle(loop: asyncio.AbstractEventLoop) -> None:
    handles: list[asyncio.Handle] = []
    seen: list[tuple[object, ...]] = []

    class Callback:
        def __call__(self, *args: object) -> None:
            handles.pop().cancel()
            seen.append(args)

    handles.append(loop.call_soon(Callback(), object(), object(), object()))
    run_ready(loop)
    assert len(seen[0]) == 3


def test_handles_are_asyncios(loop: asyncio.AbstractEventLoop) -> None:
    soon = loop.call_soon(print, 1, 2)
    later = loop.call_later(1, print)
    assert isinstance(soon, asyncio.Handle)
    assert not isinstance(soon, asyncio.TimerHandle)
    assert isinstance(later, asyncio.TimerHandle)
    assert repr(soon).startswith("<Handle print(")
    assert repr(later).startswith("<TimerHandle when=")
    assert weakref.ref(soon)() is soon
    soon.cancel()
    later.cancel()
    assert repr(soon) == "<Handle cancelled>"


def test_a_failure_goes_to_the_exception_handler(loop: asyncio.AbstractEventLoop) -> None:
    contexts: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _, context: contexts.append(context))
    handle = loop.call_soon(lambda: 1 / 0)
    calls: list[int] = []
    loop.call_soon(calls.append, 1)
    run_ready(loop)
    (context,) = contexts
    assert isinstance(context["exception"], ZeroDivisionError)
    assert context["handle"] is handle
    assert context["message"].startswith("Exception in callback")
    assert calls == [1]


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_some_failures_leave_run_forever(
    loop: asyncio.AbstractEventLoop, error: type[BaseException]
) -> None:
    calls: list[int] = []

    def fail() -> None:
        raise error

    loop.call_soon(fail)
    loop.call_soon(calls.append, 1)
    with pytest.raises(error):
        loop.run_forever()
    assert not loop.is_running()
    run_ready(loop)
    assert calls == [1]


def test_an_exception_handler_that_raises_interrupts(fluvial_loop: Loop) -> None:
    def handler(*_: object) -> None:
        raise KeyboardInterrupt

    fluvial_loop.set_exception_handler(handler)
    fluvial_loop.call_soon(lambda: 1 / 0)
    with pytest.raises(KeyboardInterrupt):
        fluvial_loop.run_forever()


def test_wrong_arguments(loop: asyncio.AbstractEventLoop) -> None:
    with pytest.raises(TypeError):
        loop.call_soon()  # type: ignore[call-arg]
    with pytest.raises(TypeError):
        loop.call_soon(print, wrong=1)  # type: ignore[call-arg]
    with pytest.raises(TypeError):
        loop.call_soon_threadsafe()  # type: ignore[call-arg]


def test_a_closed_loop_takes_no_callbacks(loop: asyncio.AbstractEventLoop) -> None:
    loop.close()
    for schedule in (
        lambda: loop.call_soon(print),
        lambda: loop.call_soon_threadsafe(print),
        lambda: loop.call_later(0, print),
        lambda: loop.call_at(0, print),
    ):
        with pytest.raises(RuntimeError, match="Event loop is closed"):
            schedule()


def test_other_threads_schedule(loop: asyncio.AbstractEventLoop) -> None:
    calls: list[tuple[int, int]] = []
    threads, each = 4, 2000

    def push(number: int) -> None:
        for i in range(each):
            loop.call_soon_threadsafe(take, (number, i))

    def take(item: tuple[int, int]) -> None:
        calls.append(item)
        if len(calls) == threads * each:
            loop.stop()

    workers = [threading.Thread(target=push, args=(n,)) for n in range(threads)]
    for worker in workers:
        worker.start()
    loop.run_forever()
    for worker in workers:
        worker.join()
    for number in range(threads):
        assert [i for n, i in calls if n == number] == list(range(each))


def test_another_thread_wakes_a_loop_that_blocks(loop: asyncio.AbstractEventLoop) -> None:
    late: list[str] = []

    async def main() -> str:
        future = loop.create_future()
        idle = threading.Event()

        def work() -> None:
            idle.wait()
            time.sleep(0.05)  # it blocks by then; if it doesn't yet, nothing is tried
            loop.call_soon_threadsafe(future.set_result, "woken")

        thread = threading.Thread(target=work)
        thread.start()
        timer = loop.call_later(20, late.append, "only a timer woke the loop")
        loop.call_soon(idle.set)
        result: str = await future
        timer.cancel()
        thread.join()
        return result

    assert loop.run_until_complete(main()) == "woken"
    assert late == []


def test_an_endless_chain_starves_nothing(loop: asyncio.AbstractEventLoop) -> None:
    """Callbacks that schedule callbacks leave timers, descriptors and threads their turn."""
    happened: set[str] = set()
    thread = threading.Thread(target=lambda: happened.add("thread"))

    def again() -> None:
        if happened >= {"timer", "thread", "future"}:
            loop.stop()
        else:
            loop.call_soon(again)

    async def descriptor() -> None:
        reader, writer = await asyncio.open_connection(*address)
        writer.write(b"x")
        await reader.readexactly(1)
        happened.add("future")
        writer.close()
        await writer.wait_closed()

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.readexactly(1))
        await writer.drain()
        await reader.read()
        writer.close()
        await writer.wait_closed()

    server = loop.run_until_complete(asyncio.start_server(echo, "127.0.0.1"))
    address = server.sockets[0].getsockname()
    loop.call_later(0.01, happened.add, "timer")
    loop.call_later(0.01, thread.start)
    task = loop.create_task(descriptor())
    loop.call_soon(again)
    loop.run_forever()
    loop.run_until_complete(task)
    thread.join()
    server.close()
    loop.run_until_complete(server.wait_closed())


def test_each_callback_has_a_context_of_its_own(loop: asyncio.AbstractEventLoop) -> None:
    """Also those that start from an empty one."""
    seen: list[str] = []
    contexts: list[contextvars.Context] = []

    def look(value: str) -> None:
        seen.append(var.get())
        var.set(value)

    def schedule() -> None:
        for i in range(5):
            handle = loop.call_soon(look, str(i))
            if i == 2 and hasattr(handle, "get_context"):  # from 3.12
                contexts.append(handle.get_context())
        handle = loop.call_soon(look, "cancelled")
        handle.cancel()

    contextvars.Context().run(loop.call_soon, schedule)
    run_ready(loop)
    run_ready(loop)
    assert seen == ["unset"] * 5
    assert [context[var] for context in contexts] == ["2"] * len(contexts)


def test_a_running_callback_keeps_its_context(fluvial_loop: Loop) -> None:
    seen: list[bool] = []

    def callback() -> None:
        var.set("mine")
        context = handles[0].get_context()  # type: ignore[attr-defined]
        seen.append(context[var] == "mine" and handles[0].get_context() is context)  # type: ignore[attr-defined]

    handles = [contextvars.Context().run(fluvial_loop.call_soon, callback)]
    run_ready(fluvial_loop)
    assert seen == [True]
    assert handles[0].get_context()[var] == "mine"  # type: ignore[attr-defined]


def test_threads_schedule_while_the_loop_is_closed(fluvial_loop: Loop) -> None:
    """They get RuntimeError from the moment on, and nothing is lost before."""
    calls: list[int] = []
    ended: list[int] = []

    def push() -> None:
        n = 0
        with contextlib.suppress(RuntimeError):  # which ends it
            while True:
                fluvial_loop.call_soon_threadsafe(calls.append, 1)
                n += 1
        ended.append(n)
        with pytest.raises(RuntimeError, match="Event loop is closed"):
            fluvial_loop.call_soon_threadsafe(calls.append, 1)

    threads = [threading.Thread(target=push) for _ in range(4)]
    for thread in threads:
        thread.start()
    while len(calls) < 1000:
        run_ready(fluvial_loop)
    fluvial_loop.close()
    for thread in threads:
        thread.join()
    assert len(ended) == 4
    assert 1000 <= len(calls) <= sum(ended)


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("where", ["timer", "reader", "data_received", "thread"])
def test_what_leaves_run_forever_from_anywhere(
    loop: asyncio.AbstractEventLoop, error: type[BaseException], where: str
) -> None:
    left, right = socket.socketpair()

    def fail(*_: object) -> None:
        raise error

    class Failing(asyncio.Protocol):
        data_received = fail

    async def connect() -> asyncio.BaseTransport:
        transport, _ = await loop.create_connection(Failing, sock=left)
        return transport

    transport = None
    with left, right:
        if where == "timer":
            loop.call_later(0.001, fail)
        elif where == "reader":
            loop.add_reader(left, fail)
            right.send(b"x")
        elif where == "data_received":
            transport = loop.run_until_complete(connect())
            right.send(b"x")
        else:
            loop.call_soon(threading.Thread(target=loop.call_soon_threadsafe, args=(fail,)).start)
        with pytest.raises(error):
            loop.run_forever()
        assert not loop.is_running()
        if where == "reader":
            loop.remove_reader(left)
        if transport is not None:
            transport.close()
        loop.run_until_complete(asyncio.sleep(0))
