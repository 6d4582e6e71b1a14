"""The surface of asyncio.AbstractEventLoop as the running Python has it: every method, with every
argument; the executor, exception handlers, and how a loop is chosen."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextvars
import inspect
import subprocess
import sys
import threading
from collections.abc import AsyncGenerator
from typing import Any

import pytest
from fluvial._loop import Loop

PUBLIC = sorted(name for name in vars(asyncio.AbstractEventLoop) if not name.startswith("_"))


def parameters(method: Any) -> list[tuple[str, Any, Any]]:
    """(name, kind, default) of each, without self and annotations."""
    found = list(inspect.signature(method).parameters.values())
    return [(parameter.name, parameter.kind, parameter.default) for parameter in found[1:]]


@pytest.mark.parametrize("name", PUBLIC)
def test_every_method_takes_what_asyncios_takes(name: str) -> None:
    ours, theirs = getattr(Loop, name), getattr(asyncio.SelectorEventLoop, name)
    assert callable(ours)
    assert parameters(ours) == parameters(theirs)
    assert inspect.iscoroutinefunction(ours) == inspect.iscoroutinefunction(theirs)


@pytest.mark.parametrize("name", PUBLIC)
def test_every_method_is_there(name: str) -> None:
    abstract = getattr(asyncio.AbstractEventLoop, name)
    assert getattr(Loop, name) is not abstract


def test_arguments_by_name(loop: asyncio.AbstractEventLoop) -> None:
    context = contextvars.copy_context()
    calls: list[str] = []

    def call() -> None:
        calls.append("call")

    loop.call_soon(callback=call)
    loop.call_soon(callback=call, context=context)
    loop.call_soon_threadsafe(context=context, callback=call)
    loop.call_later(delay=0, callback=call)
    loop.call_later(0, callback=call, context=context)
    loop.call_at(when=0, callback=call, context=context)

    async def main() -> str:
        await asyncio.sleep(0.001)
        return "done"

    task = loop.create_task(coro=main(), name="main", context=context)
    assert task.get_name() == "main"
    assert loop.run_until_complete(future=task) == "done"
    assert calls == ["call"] * 6


@pytest.mark.parametrize(
    ("method", "args", "kwargs"),
    [
        ("call_soon", (), {}),
        ("call_soon", (), {"context": None}),
        ("call_soon", (print,), {"callback": print}),
        ("call_soon", (print,), {"unknown": 1}),
        ("call_soon", (), {"callback": print, "unknown": 1}),
        ("call_soon_threadsafe", (), {}),
        ("call_later", (1,), {}),
        ("call_later", (), {"callback": print}),
        ("call_later", (1, print), {"delay": 1}),
        ("call_later", (1,), {"callback": print, "when": 1}),
        ("call_at", (), {"when": 1}),
        ("create_task", (), {}),
    ],
)
def test_wrong_arguments(
    loop: asyncio.AbstractEventLoop, method: str, args: Any, kwargs: Any
) -> None:
    with pytest.raises(TypeError):
        getattr(loop, method)(*args, **kwargs)


# ---- How a loop is chosen -------------------------------------------------------------------


async def running() -> asyncio.AbstractEventLoop:
    return asyncio.get_running_loop()


@pytest.mark.skipif(sys.version_info < (3, 12), reason="asyncio.run() takes a factory from 3.12")
def test_asyncio_run() -> None:
    loop = asyncio.run(running(), loop_factory=Loop, debug=True)  # type: ignore[call-arg]
    assert type(loop) is Loop
    assert loop.get_debug()
    assert loop.is_closed()


def test_a_runner_runs_many() -> None:
    variable = contextvars.ContextVar[int]("variable")

    async def put() -> None:
        variable.set(7)

    async def get() -> int:
        return variable.get()

    with asyncio.Runner(loop_factory=Loop) as runner:
        runner.run(put())
        assert runner.run(get()) == 7
        assert runner.get_loop() is runner.run(running())


@pytest.mark.filterwarnings("ignore:.*(event_loop_p|EventLoopP)olicy:DeprecationWarning")
def test_a_policy(monkeypatch: pytest.MonkeyPatch) -> None:
    class Policy(asyncio.DefaultEventLoopPolicy):  # type: ignore[misc, valid-type]
        def new_event_loop(self) -> Loop:
            return Loop()

    old = asyncio.get_event_loop_policy()
    asyncio.set_event_loop_policy(Policy())
    try:
        assert type(asyncio.run(running())) is Loop
    finally:
        asyncio.set_event_loop_policy(old)


# ---- The executor ---------------------------------------------------------------------------


def test_an_executor_of_the_users(loop: asyncio.AbstractEventLoop) -> None:
    async def main() -> None:
        with concurrent.futures.ThreadPoolExecutor(1, thread_name_prefix="mine") as executor:
            thread = await loop.run_in_executor(executor, threading.current_thread)
            assert thread.name.startswith("mine")
            with pytest.raises(ZeroDivisionError):
                await loop.run_in_executor(executor, divmod, 1, 0)

    loop.run_until_complete(main())


def test_another_default_executor(loop: asyncio.AbstractEventLoop) -> None:
    executor = concurrent.futures.ThreadPoolExecutor(1, thread_name_prefix="default")
    loop.set_default_executor(executor)
    with pytest.raises(TypeError):
        loop.set_default_executor(object())  # type: ignore[arg-type]
    variable = contextvars.ContextVar[str]("variable")

    async def main() -> None:
        variable.set("kept")
        thread, value = await asyncio.to_thread(
            lambda: (threading.current_thread().name, variable.get())
        )
        assert thread.startswith("default")
        assert value == "kept"
        await loop.shutdown_default_executor()
        with pytest.raises(RuntimeError, match="shutdown"):
            await loop.run_in_executor(None, print)

    loop.run_until_complete(main())
    with pytest.raises(RuntimeError):
        executor.submit(print)


def test_the_loop_runs_while_the_executor_works(loop: asyncio.AbstractEventLoop) -> None:
    started, go_on = threading.Event(), threading.Event()

    def work() -> str:
        started.set()
        assert go_on.wait(30)
        return "done"

    async def main() -> None:
        work_done = loop.run_in_executor(None, work)
        assert await asyncio.to_thread(started.wait, 30)
        assert not work_done.done()
        go_on.set()
        assert await work_done == "done"

    loop.run_until_complete(main())


@pytest.mark.skipif(
    sys.version_info < (3, 13),
    reason="the timeout came with 3.12, where asyncio joins all the same",
)
def test_an_executor_that_does_not_end_in_time(loop: asyncio.AbstractEventLoop) -> None:
    go_on = threading.Event()

    async def main() -> None:
        work = loop.run_in_executor(None, go_on.wait, 30)
        with pytest.warns(RuntimeWarning, match="did not finish"):
            await loop.shutdown_default_executor(timeout=0.01)  # type: ignore[call-arg]
        go_on.set()
        assert await work
        for thread in threading.enumerate():  # asyncio's; it may still use the loop
            if "_do_shutdown" in thread.name:
                thread.join()

    loop.run_until_complete(main())


def test_asynchronous_generators(loop: asyncio.AbstractEventLoop) -> None:
    ended: list[int] = []

    async def numbers(n: int) -> AsyncGenerator[int, None]:
        try:
            while True:
                yield n
                await asyncio.sleep(0)
        finally:
            await asyncio.sleep(0)
            ended.append(n)

    async def main() -> None:
        generators = [numbers(n) for n in range(3)]
        for generator in generators:
            assert await anext(generator) is not None
        await loop.shutdown_asyncgens()
        assert sorted(ended) == [0, 1, 2]
        late = numbers(3)
        with pytest.warns(ResourceWarning, match=r"after loop\.shutdown_asyncgens"):
            await anext(late)
        await late.aclose()

    loop.run_until_complete(main())


# ---- Exception handlers ---------------------------------------------------------------------


def test_exception_handlers(
    loop: asyncio.AbstractEventLoop, caplog: pytest.LogCaptureFixture
) -> None:
    contexts: list[dict[str, Any]] = []

    def handler(told_by: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        assert told_by is loop
        contexts.append(context)

    assert loop.get_exception_handler() is None
    with pytest.raises(TypeError):
        loop.set_exception_handler("handler")  # type: ignore[arg-type]
    loop.set_exception_handler(handler)
    assert loop.get_exception_handler() is handler
    loop.call_exception_handler({"message": "told"})
    assert contexts == [{"message": "told"}]
    assert not caplog.records

    loop.set_exception_handler(None)
    loop.call_exception_handler({"message": "logged", "exception": ValueError("why")})
    loop.default_exception_handler({"message": "by hand"})
    messages = [record.getMessage() for record in caplog.records]
    assert messages == ["logged", "by hand"]
    assert caplog.records[0].exc_info is not None


def test_an_exception_handler_that_raises(
    loop: asyncio.AbstractEventLoop, caplog: pytest.LogCaptureFixture
) -> None:
    def handler(_loop: asyncio.AbstractEventLoop, _context: dict[str, Any]) -> None:
        raise ZeroDivisionError

    loop.set_exception_handler(handler)
    loop.call_soon(divmod, 1, 0)
    loop.call_soon(loop.stop)
    loop.run_forever()
    assert "Unhandled error in exception handler" in caplog.text


def test_an_exception_that_nobody_takes(loop: asyncio.AbstractEventLoop) -> None:
    contexts: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _loop, context: contexts.append(context))

    async def fail() -> None:
        raise ZeroDivisionError

    async def main() -> None:
        task = asyncio.ensure_future(fail())
        await asyncio.wait([task])
        del task

    loop.run_until_complete(main())
    [context] = contexts
    assert isinstance(context["exception"], ZeroDivisionError)
    assert "never retrieved" in context["message"]


INTERRUPTED = """
import gc, sys
from fluvial import Loop

def interrupted(count):
    def trace(frame, event, arg):
        nonlocal count
        count -= 1
        if count == 0:
            raise KeyboardInterrupt
        return trace

    sys.settrace(trace)
    try:
        loop = Loop()
    except KeyboardInterrupt:
        return True
    finally:
        sys.settrace(None)
    loop.close()
    return False

steps = 1
while interrupted(steps):
    steps += 1
    gc.collect()
print(steps)
"""


def test_a_signal_may_end_the_construction_at_any_line() -> None:
    command = [sys.executable, "-W", "ignore::ResourceWarning", "-c", INTERRUPTED]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.stderr == ""
    assert int(done.stdout) > 50
