"""create_task and what stands behind it: keywords, factories, asyncio.all_tasks()."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import sys
import threading
import weakref
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from fluvial._loop import Loop

var: contextvars.ContextVar[str] = contextvars.ContextVar("var", default="unset")
since_3_12 = pytest.mark.skipif(sys.version_info < (3, 12), reason="came with 3.12")


async def nothing() -> None:
    pass


def test_keywords(loop: asyncio.AbstractEventLoop) -> None:
    context = contextvars.copy_context()
    context.run(var.set, "inside")

    async def child() -> str:
        return var.get()

    async def main() -> None:
        task = loop.create_task(child(), name="mine", context=context)
        assert task.get_name() == "mine"
        assert await task == "inside"
        task = loop.create_task(child(), name=None, context=None)
        assert task.get_name().startswith("Task-")
        assert await task == "unset"

    loop.run_until_complete(main())


def number(task: asyncio.Task[Any]) -> int:
    return int(task.get_name().removeprefix("Task-"))


def test_default_names_count_up(loop: asyncio.AbstractEventLoop) -> None:
    async def main() -> None:
        tasks = [
            loop.create_task(nothing()),
            asyncio.create_task(nothing()),
            loop.create_task(nothing(), name=None),
            loop.create_task(nothing(), context=contextvars.copy_context()),
            asyncio.ensure_future(nothing()),
        ]
        async with asyncio.TaskGroup() as group:
            tasks.append(group.create_task(nothing()))
            tasks.append(group.create_task(nothing(), name="mine"))
            tasks.append(group.create_task(nothing()))
        await asyncio.gather(*tasks)
        named = tasks.pop(6)
        assert named.get_name() == "mine"
        first = number(tasks[0])
        # TaskGroup gives names afterwards, before 3.13: then the number is lost.
        assert [number(task) - first for task in tasks[:6]] == list(range(6))
        assert number(tasks[6]) > number(tasks[5])

    loop.run_until_complete(main())


def test_wrong_keywords(loop: asyncio.AbstractEventLoop) -> None:
    coro = nothing()
    with pytest.raises(TypeError, match="wrong"):
        loop.create_task(coro, wrong=1)  # type: ignore[call-arg]
    with pytest.raises(TypeError):
        loop.create_task()  # type: ignore[call-arg]
    with pytest.raises(TypeError):
        loop.create_task(coro, "name")  # type: ignore[call-arg,arg-type]
    coro.close()


@since_3_12
@pytest.mark.parametrize("eager", [False, True])
def test_eager_start(fluvial_loop: Loop, eager: bool) -> None:
    async def main() -> None:
        steps: list[str] = []

        async def child() -> None:
            steps.append("first")
            assert asyncio.current_task() is not parent
            await asyncio.sleep(0)
            steps.append("second")

        parent = asyncio.current_task()
        task = fluvial_loop.create_task(child(), eager_start=eager)
        assert steps == (["first"] if eager else [])
        assert asyncio.current_task() is parent
        await task
        assert steps == ["first", "second"]

    fluvial_loop.run_until_complete(main())


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="3.12 has it")
def test_eager_start_is_refused(loop: asyncio.AbstractEventLoop) -> None:
    coro = nothing()
    with pytest.raises(TypeError, match="eager_start"):
        loop.create_task(coro, eager_start=True)
    coro.close()


@since_3_12
def test_the_eager_task_factory(loop: asyncio.AbstractEventLoop) -> None:
    async def child(n: int) -> int:
        if n % 2:
            await asyncio.sleep(0)
        return n

    async def main() -> None:
        task = loop.create_task(child(2))
        assert task.done()
        task = loop.create_task(child(3), name="odd", context=contextvars.Context())
        assert not task.done()
        assert task in asyncio.all_tasks()
        assert await task == 3
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(child(n)) for n in range(10)]
        assert [task.result() for task in tasks] == list(range(10))

    loop.set_task_factory(asyncio.eager_task_factory)  # type: ignore[attr-defined]
    loop.run_until_complete(main())


def test_a_factory_gets_what_asyncio_gives_it(loop: asyncio.AbstractEventLoop) -> None:
    seen: list[dict[str, Any]] = []

    def factory(loop: asyncio.AbstractEventLoop, coro: Any, **kwargs: Any) -> asyncio.Task[Any]:
        seen.append(kwargs)
        return asyncio.Task(coro, loop=loop, **kwargs)

    async def main() -> str:
        context = contextvars.copy_context()
        task = loop.create_task(nothing(), name="named", context=context)
        await task
        assert seen[-1]["context"] is context
        return task.get_name()

    loop.set_task_factory(factory)
    assert loop.run_until_complete(main()) == "named"
    with pytest.raises(TypeError):
        loop.set_task_factory(42)  # type: ignore[arg-type]


def test_in_debug_mode_a_task_knows_where_it_was_made(loop: asyncio.AbstractEventLoop) -> None:
    async def main() -> None:
        task = loop.create_task(nothing())
        (*_, last) = task._source_traceback  # type: ignore[attr-defined]
        assert (last.filename, last.name) == (__file__, "main")
        await task

    loop.set_debug(True)
    loop.run_until_complete(main())


# -- asyncio.all_tasks() ------------------------------------------------------------------------


def test_all_tasks_has_what_is_not_done(loop: asyncio.AbstractEventLoop) -> None:
    async def main() -> None:
        gate: asyncio.Future[None] = loop.create_future()

        async def child() -> None:
            await gate

        tasks = {loop.create_task(child()) for _ in range(100)}
        me = asyncio.current_task()
        assert asyncio.all_tasks() == {*tasks, me}
        await asyncio.sleep(0)
        assert asyncio.all_tasks() == {*tasks, me}
        gate.set_result(None)
        await asyncio.gather(*tasks)
        assert asyncio.all_tasks() == {me}

    loop.run_until_complete(main())
    assert asyncio.all_tasks(loop) == set()


def task_set() -> Any:
    """The WeakSet behind asyncio.all_tasks()."""
    name = "_scheduled_tasks" if sys.version_info >= (3, 12) else "_all_tasks"
    return getattr(asyncio.tasks, name)


@pytest.mark.skipif(sys.version_info >= (3, 14), reason="a linked list from 3.14 on")
def test_tasks_leave_the_set_when_they_die(fluvial_loop: Loop) -> None:
    async def main() -> None:
        before = len(task_set())
        task = fluvial_loop.create_task(nothing())
        ref = weakref.ref(task)
        assert len(task_set()) == before + 1
        await task
        del task
        await asyncio.sleep(0)
        gc.collect()
        assert ref() is None
        assert len(task_set().data) <= before

    fluvial_loop.run_until_complete(main())


@pytest.mark.skipif(sys.version_info >= (3, 14), reason="a linked list from 3.14 on")
def test_tasks_may_die_and_be_made_while_somebody_iterates(fluvial_loop: Loop) -> None:
    async def main() -> None:
        tasks = [fluvial_loop.create_task(nothing()) for _ in range(10)]
        await asyncio.gather(*tasks)
        await asyncio.sleep(0)  # the callback that woke us has the tasks, too
        gone = [weakref.ref(task) for task in tasks]
        iterator = iter(task_set())
        first = next(iterator)
        size = len(task_set().data)
        tasks.clear()
        gc.collect()
        assert sum(ref() is None for ref in gone) >= 9  # one may be `first`
        assert len(task_set().data) == size  # kept as they are until the iteration ends
        iterator.close()
        del first
        task = fluvial_loop.create_task(nothing())
        assert task in task_set()
        assert len(task_set().data) < size
        await task

    fluvial_loop.run_until_complete(main())


def test_all_tasks_from_another_thread(fluvial_loop: Loop) -> None:
    """While tasks come and go."""
    stop = threading.Event()
    seen: list[int] = []

    def look() -> None:
        while not stop.is_set():
            seen.append(len(asyncio.all_tasks(fluvial_loop)))

    async def main() -> None:
        waiting = [fluvial_loop.create_task(asyncio.sleep(60)) for _ in range(5)]
        thread = threading.Thread(target=look)
        thread.start()
        while len(seen) < 20:
            await asyncio.gather(*(nothing() for _ in range(50)))
        stop.set()
        await fluvial_loop.run_in_executor(None, thread.join)
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)

    fluvial_loop.run_until_complete(main())
    assert min(seen) >= 6


def test_tasks_of_another_loop_are_listed(fluvial_loop: Loop) -> None:
    """asyncio's own loops use the same set."""
    other = asyncio.SelectorEventLoop()

    async def main() -> None:
        task = other.create_task(nothing())
        assert asyncio.all_tasks(other) == {task, asyncio.current_task()}
        await task

    other.run_until_complete(main())
    other.close()
    assert asyncio.all_tasks(fluvial_loop) == set()
