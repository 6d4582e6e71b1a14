"""Running, stopping and closing; what an idle loop does; asyncio's own services on it."""

from __future__ import annotations

import _asyncio
import asyncio
import contextlib
import functools
import gc
import sys
import threading
import warnings
import weakref
from asyncio import events
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import fluvial
import pytest
from fluvial._loop import Loop


def test_a_runner_takes_it() -> None:
    async def main() -> asyncio.AbstractEventLoop:
        assert asyncio.get_running_loop().is_running()
        return asyncio.get_running_loop()

    with asyncio.Runner(loop_factory=Loop) as runner:
        loop = runner.run(main())
        assert isinstance(loop, Loop)
    assert loop.is_closed()
    assert not loop.is_running()


def test_run_async() -> None:
    async def main() -> object:
        return asyncio.get_running_loop()

    loop = fluvial.run_async(main(), debug=True)
    assert isinstance(loop, fluvial.Loop)
    assert loop.get_debug()
    assert loop.is_closed()


def test_a_loop_runs_once_at_a_time(fluvial_loop: Loop) -> None:
    loop = fluvial_loop

    async def main() -> None:
        with pytest.raises(RuntimeError):
            loop.run_forever()
        with pytest.raises(RuntimeError):
            loop.close()
        other = type(loop)()
        with pytest.raises(RuntimeError):
            other.run_forever()
        other.close()

    loop.run_until_complete(main())


def test_python_functions_in_the_place_of_those_in_c(
    fluvial_loop: Loop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both accounts of the running loop have it: tasks in C, since 3.14, run by theirs alone."""
    monkeypatch.setattr(events, "_set_running_loop", events._py__set_running_loop)
    monkeypatch.setattr(events, "_get_running_loop", events._py__get_running_loop)

    async def main() -> list[object]:
        await asyncio.sleep(0)
        return [events._py__get_running_loop(), _asyncio._get_running_loop()]

    assert fluvial_loop.run_until_complete(main()) == [fluvial_loop, fluvial_loop]
    assert events._py__get_running_loop() is None
    assert _asyncio._get_running_loop() is None


def test_close_is_idempotent(loop: asyncio.AbstractEventLoop) -> None:
    loop.close()
    loop.close()
    assert loop.is_closed()
    with pytest.raises(RuntimeError):
        loop.run_forever()


def test_close_drops_what_waits(loop: asyncio.AbstractEventLoop) -> None:
    class Argument:
        pass

    soon, later = Argument(), Argument()
    gone = [weakref.ref(soon), weakref.ref(later)]
    handles = [loop.call_soon(print, soon), loop.call_later(9, print, later)]
    del soon, later, handles
    loop.close()
    assert [ref() for ref in gone] == [None, None]


def test_many_loops_one_after_the_other() -> None:
    for _ in range(20):
        with asyncio.Runner(loop_factory=Loop) as runner:
            runner.run(asyncio.sleep(0))


def test_loops_in_threads() -> None:
    results: list[int] = []

    def work(n: int) -> None:
        async def main() -> int:
            await asyncio.sleep(0.001)
            return n

        with asyncio.Runner(loop_factory=Loop) as runner:
            results.append(runner.run(main()))

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == [0, 1, 2, 3]


def test_an_unclosed_loop_warns_and_is_collected() -> None:
    loop = Loop()
    loop.call_soon(print)
    loop.call_later(9, loop.stop)
    gone = weakref.ref(loop)
    del loop
    with pytest.warns(ResourceWarning, match="unclosed event loop"):
        gc.collect()
    gc.collect()
    assert gone() is None


@pytest.mark.skipif(sys.platform != "linux", reason="counts context switches in /proc")
def test_an_idle_loop_does_not_wake_up(fluvial_loop: Loop) -> None:
    def switches() -> int:
        status = Path(f"/proc/self/task/{threading.get_native_id()}/status").read_text()
        line = next(li for li in status.splitlines() if li.startswith("voluntary_ctxt"))
        return int(line.split()[1])

    async def main() -> int:
        await asyncio.sleep(0.01)
        before = switches()
        await asyncio.sleep(1)
        return switches() - before

    assert fluvial_loop.run_until_complete(main()) <= 5


def test_other_threads_run_beside_callbacks_that_are_no_python_code(fluvial_loop: Loop) -> None:
    """The interpreter never looks whether others want the GIL: the loop has to give it away."""
    late: list[str] = []
    chain: functools.partial[Any] = functools.partial(fluvial_loop.call_soon)
    chain.__setstate__((fluvial_loop.call_soon, (chain,), {}, None))  # type: ignore[attr-defined]

    def give_up() -> None:
        late.append("no other thread ran")
        fluvial_loop.stop()

    lock = threading.Lock()
    lock.acquire()

    def work() -> None:
        with lock:
            fluvial_loop.call_soon_threadsafe(fluvial_loop.stop)

    thread = threading.Thread(target=work)
    thread.start()
    timer = fluvial_loop.call_later(20, give_up)
    fluvial_loop.call_soon(lock.release)
    fluvial_loop.call_soon(chain)
    fluvial_loop.run_forever()
    timer.cancel()
    chain.__setstate__((int, (), {}, None))  # type: ignore[attr-defined]
    thread.join()
    assert late == []


def test_other_threads_run_while_the_loop_is_busy(fluvial_loop: Loop) -> None:
    """Also when the loop runs nothing that lets go of the GIL by itself."""
    done = threading.Event()
    thread = threading.Thread(target=done.set)

    async def main() -> None:
        thread.start()
        while not done.is_set():  # noqa: ASYNC110 - to be busy is the point
            await asyncio.sleep(0)

    fluvial_loop.run_until_complete(main())
    thread.join()


def test_tasks(loop: asyncio.AbstractEventLoop) -> None:
    async def child() -> str:
        await asyncio.sleep(0)
        return "done"

    async def main() -> None:
        task = loop.create_task(child(), name="mine")
        assert task.get_name() == "mine"
        assert task in asyncio.all_tasks()
        assert await task == "done"
        with pytest.raises(TypeError):
            loop.create_task(42)  # type: ignore[arg-type]
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(child()) for _ in range(10)]
        assert {task.result() for task in tasks} == {"done"}
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.001):
                await loop.create_future()

    loop.run_until_complete(main())


def test_task_factory(loop: asyncio.AbstractEventLoop) -> None:
    made: list[Any] = []

    def factory(loop: asyncio.AbstractEventLoop, coro: Any, **kwargs: Any) -> asyncio.Future[Any]:
        made.append(coro)
        return asyncio.Task(coro, loop=loop, **kwargs)

    loop.set_task_factory(factory)
    assert loop.get_task_factory() is factory
    loop.run_until_complete(asyncio.sleep(0))
    loop.set_task_factory(None)
    loop.run_until_complete(asyncio.sleep(0))
    assert len(made) == 1


def test_async_generators_are_shut_down(loop: asyncio.AbstractEventLoop) -> None:
    ended: list[str] = []

    async def numbers() -> AsyncIterator[int]:
        try:
            yield 1
            yield 2
        finally:
            await asyncio.sleep(0)
            ended.append("ended")

    async def main() -> AsyncIterator[int]:
        generator = numbers()
        assert await anext(generator) == 1
        return generator

    generator = loop.run_until_complete(main())
    loop.run_until_complete(loop.shutdown_asyncgens())
    assert ended == ["ended"]
    del generator


def test_executor_and_names(loop: asyncio.AbstractEventLoop) -> None:
    async def main() -> None:
        name = await loop.run_in_executor(None, lambda: threading.current_thread().name)
        assert name.startswith("asyncio")
        infos = await loop.getaddrinfo("127.0.0.1", 80)
        assert ("127.0.0.1", 80) in [info[4] for info in infos]
        assert await loop.getnameinfo(("127.0.0.1", 80), 3) == ("127.0.0.1", "80")

    loop.run_until_complete(main())


def test_subprocess(loop: asyncio.AbstractEventLoop) -> None:
    async def main() -> None:
        process = await asyncio.create_subprocess_exec(
            "cat", stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
        )
        out, _ = await process.communicate(b"x" * 300_000)
        assert len(out) == 300_000
        assert process.returncode == 0

    loop.run_until_complete(main())


def test_datagrams(loop: asyncio.AbstractEventLoop) -> None:
    class Echo(asyncio.DatagramProtocol):
        def connection_made(self, transport: Any) -> None:
            self.transport = transport
            self.got: asyncio.Future[bytes] = loop.create_future()

        def datagram_received(self, data: bytes, addr: Any) -> None:
            if data == b"ping":
                self.transport.sendto(b"pong", addr)
            else:
                self.got.set_result(data)

    async def main() -> bytes:
        server, _ = await loop.create_datagram_endpoint(Echo, local_addr=("127.0.0.1", 0))
        client, protocol = await loop.create_datagram_endpoint(
            Echo, remote_addr=server.get_extra_info("sockname")
        )
        repr(client)
        client.sendto(b"ping")
        result = await protocol.got
        client.close()
        server.close()
        await asyncio.sleep(0)
        return result

    assert loop.run_until_complete(main()) == b"pong"


def test_debug_mode(loop: asyncio.AbstractEventLoop, caplog: pytest.LogCaptureFixture) -> None:
    async def coroutine() -> None:
        pass

    loop.set_debug(True)
    loop.slow_callback_duration = 0.0
    assert loop.get_debug()
    handle = loop.call_soon(print)
    assert "created at" in repr(handle)
    assert __file__ in repr(handle)
    with pytest.raises(TypeError):
        loop.call_soon(coroutine)
    with pytest.raises(TypeError):
        loop.call_later(1, 42)  # type: ignore[arg-type]
    loop.run_until_complete(asyncio.sleep(0))
    assert any("Executing <Handle print()" in record.message for record in caplog.records)

    async def from_another_thread() -> Any:
        def call() -> Any:
            with contextlib.suppress(RuntimeError):
                return loop.call_soon(print)

        return await loop.run_in_executor(None, call)

    assert loop.run_until_complete(from_another_thread()) is None


def test_at_exit_an_open_loop_does_no_harm(tmp_path: Path) -> None:
    import subprocess

    script = tmp_path / "script.py"
    script.write_text(
        "import asyncio\n"
        "from fluvial._loop import Loop\n"
        "loop = Loop()\n"
        "async def main():\n"
        "    server = await asyncio.start_server(lambda r, w: None, '127.0.0.1')\n"
        "    await asyncio.open_connection(*server.sockets[0].getsockname())\n"
        "loop.run_until_complete(main())\n"
        "loop.call_later(9, print)\n"
    )
    result = subprocess.run([sys.executable, script], capture_output=True, text=True, check=False)
    assert (result.returncode, result.stdout) == (0, "")


def test_warnings_are_errors() -> None:
    """The tests above rely on it."""
    with pytest.raises(ResourceWarning):
        warnings.warn("unclosed", ResourceWarning, stacklevel=1)
