"""fluvial.concurrency: synchronous code in the thread pool, from an `async def`."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from fluvial import App
from fluvial.concurrency import (
    contextmanager_in_threadpool,
    iterate_in_threadpool,
    run_in_threadpool,
)

if TYPE_CHECKING:
    from conftest import Serve

var: contextvars.ContextVar[str] = contextvars.ContextVar("var", default="unset")


def of_thread(first: int, *, second: int) -> tuple[int, bool, str]:
    seen = var.get()
    var.set("changed")
    return first + second, threading.current_thread() is threading.main_thread(), seen


def test_a_call_runs_on_a_worker_of_the_server(serve: Serve) -> None:
    app = App()

    @app.get("/")
    async def read() -> dict[str, Any]:
        var.set("callers")
        here = threading.get_ident()
        total, _, seen = await run_in_threadpool(of_thread, 1, second=2)
        there = await run_in_threadpool(threading.get_ident)
        return {"total": total, "seen": seen, "after": var.get(), "elsewhere": there != here}

    served = serve(app, threads=1)
    expected = {"total": 3, "seen": "callers", "after": "callers", "elsewhere": True}
    assert served.client.get("/").json() == expected


def test_what_the_function_raises_comes_to_the_caller() -> None:
    async def main() -> None:
        with pytest.raises(ZeroDivisionError):
            await run_in_threadpool(divmod, 1, 0)

    asyncio.run(main())


def test_a_cancelled_caller_waits_for_the_thread() -> None:
    begun, may_end, ended = threading.Event(), threading.Event(), threading.Event()

    def work() -> None:
        begun.set()
        may_end.wait(30)
        ended.set()

    async def main() -> None:
        loop = asyncio.get_running_loop()
        task = asyncio.create_task(run_in_threadpool(work))
        await loop.run_in_executor(None, begun.wait, 30)
        task.cancel()
        await asyncio.sleep(0)
        assert not task.done()
        may_end.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert ended.is_set()

    asyncio.run(main())


def test_iterating() -> None:
    threads = set()

    def numbers() -> Iterator[int | None]:
        for number in (1, None, 3):
            threads.add(threading.get_ident())
            yield number
        raise LookupError("at the end")

    found = []

    async def main() -> None:
        async for number in iterate_in_threadpool(numbers()):
            found.append(number)

    with pytest.raises(LookupError, match="at the end"):
        asyncio.run(main())
    assert found == [1, None, 3]
    assert threading.get_ident() not in threads


@pytest.mark.parametrize("how", ["ends", "raises", "suppressed"])
def test_a_context_manager(how: str) -> None:
    steps: list[object] = []

    @contextmanager
    def resource() -> Iterator[str]:
        steps.append(("entered", threading.current_thread() is threading.main_thread()))
        try:
            yield "value"
        except LookupError:
            steps.append("caught")
            if how != "suppressed":
                raise
        finally:
            steps.append(("left", threading.current_thread() is threading.main_thread()))

    async def main() -> None:
        async with contextmanager_in_threadpool(resource()) as value:
            steps.append(value)
            if how != "ends":
                raise LookupError

    if how == "raises":
        with pytest.raises(LookupError):
            asyncio.run(main())
    else:
        asyncio.run(main())
    caught = [] if how == "ends" else ["caught"]
    assert steps == [("entered", False), "value", *caught, ("left", False)]
