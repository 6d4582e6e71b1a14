"""Sub-processes: what asyncio's do, on both loops, and what only ours do."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fluvial._core import ReadPipeTransport, WritePipeTransport
from fluvial._loop import Loop
from support.flat import descriptors, descriptors_before

PIPE = subprocess.PIPE


class Recorder(asyncio.SubprocessProtocol):
    """Keeps what it is told; `events` are the calls' names and their pipes."""

    def __init__(self) -> None:
        self.events: list[Any] = []
        self.data = {1: b"", 2: b""}
        self.lost: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self.told = asyncio.Event()

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.events.append("made")

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        self.data[fd] += data

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:
        self.events.append(fd)

    def process_exited(self) -> None:
        self.events.append("exited")
        self.told.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self.events.append("lost")
        self.lost.set_result(exc)


async def execute(*args: Any, **kwargs: Any) -> Any:
    """The protocol of a new process, with pipes unless told otherwise."""
    _, protocol = await asyncio.get_running_loop().subprocess_exec(Recorder, *args, **kwargs)
    return protocol


# ---- Exit -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("script", "code"), [("exit 0", 0), ("exit 7", 7), ("kill -9 $$", -9), ("kill -15 $$", -15)]
)
def test_exit_codes(loop: asyncio.AbstractEventLoop, script: str, code: int) -> None:
    async def main() -> None:
        process = await asyncio.create_subprocess_shell(script)
        assert await process.wait() == code
        assert await process.wait() == code
        assert process.returncode == code

    loop.run_until_complete(main())


def test_the_order_of_events(loop: asyncio.AbstractEventLoop) -> None:
    async def main() -> None:
        protocol = await execute("/bin/sh", "-c", "read line; printf out; printf err >&2; exit 3")
        transport = protocol.transport
        assert isinstance(transport, asyncio.SubprocessTransport)
        assert transport.get_returncode() is None
        assert transport.get_pid() == transport.get_extra_info("subprocess").pid
        transport.get_pipe_transport(0).write(b"go on\n")
        await protocol.lost
        assert protocol.data == {1: b"out", 2: b"err"}
        assert protocol.events[0] == "made"
        assert sorted(protocol.events[1:-1], key=str) == [0, 1, 2, "exited"]
        assert protocol.events[-1] == "lost"
        assert transport.get_returncode() == 3
        transport.close()
        assert transport.is_closing()

    loop.run_until_complete(main())


def test_many_at_once(loop: asyncio.AbstractEventLoop) -> None:
    async def one(n: int) -> tuple[int, bytes]:
        process = await asyncio.create_subprocess_shell(f"echo {n}; exit {n}", stdout=PIPE)
        out, _ = await process.communicate()
        assert process.returncode is not None
        return process.returncode, out

    async def main() -> None:
        results = await asyncio.gather(*(one(n) for n in range(30)))
        assert results == [(n, b"%d\n" % n) for n in range(30)]

    loop.run_until_complete(main())


def test_signals(loop: asyncio.AbstractEventLoop) -> None:
    async def main() -> None:
        ways: list[tuple[Callable[[Any], None], int]] = [
            (lambda process: process.terminate(), signal.SIGTERM),
            (lambda process: process.kill(), signal.SIGKILL),
            (lambda process: process.send_signal(signal.SIGHUP), signal.SIGHUP),
        ]
        for send, number in ways:
            process = await asyncio.create_subprocess_exec("/bin/sleep", "60")
            send(process)
            assert await process.wait() == -number
            with pytest.raises(ProcessLookupError):
                send(process)

    loop.run_until_complete(main())


def test_a_signal_after_the_exit(fluvial_loop: Loop) -> None:
    """From the moment in which the child was waited for, its number isn't used again."""

    async def main() -> None:
        protocol = await execute("/bin/sh", "-c", "sleep 60 & exit 0", stdin=None)
        while "exited" not in protocol.events:
            await protocol.told.wait()
            protocol.told.clear()
        assert "lost" not in protocol.events  # the grandchild has the pipes
        protocol.transport.kill()
        protocol.transport.terminate()
        protocol.transport.close()
        await protocol.lost

    fluvial_loop.run_until_complete(main())


def test_no_watcher_and_no_handler(fluvial_loop: Loop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither SIGCHLD nor a thread is needed."""

    def refuse(*_: object, **__: object) -> Any:
        raise AssertionError

    monkeypatch.setattr(asyncio.events, "get_child_watcher", refuse, raising=False)
    monkeypatch.setattr(threading.Thread, "start", refuse)

    async def main() -> None:
        process = await asyncio.create_subprocess_exec("/bin/true")
        assert await process.wait() == 0

    handler = signal.getsignal(signal.SIGCHLD)
    fluvial_loop.run_until_complete(main())
    assert signal.getsignal(signal.SIGCHLD) is handler


def test_in_another_thread() -> None:
    async def main() -> tuple[int | None, bytes]:
        process = await asyncio.create_subprocess_shell("echo hello; exit 5", stdout=PIPE)
        out, _ = await process.communicate()
        return process.returncode, out

    def run() -> None:
        with asyncio.Runner(loop_factory=Loop) as runner:
            results.append(runner.run(main()))

    results: list[tuple[int | None, bytes]] = []
    threads = [threading.Thread(target=run) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [(5, b"hello\n")] * 3


@pytest.mark.parametrize("problem", ["missing", "refused"])
def test_without_pidfds(fluvial_loop: Loop, monkeypatch: pytest.MonkeyPatch, problem: str) -> None:
    """A thread waits instead."""

    def refuse(*_: object) -> int:
        raise OSError(24, "Too many open files")

    if problem == "missing":
        monkeypatch.delattr(os, "pidfd_open")
    else:
        monkeypatch.setattr(os, "pidfd_open", refuse)

    async def main() -> None:
        process = await asyncio.create_subprocess_shell("echo hello; exit 5", stdout=PIPE)
        assert (await process.communicate())[0] == b"hello\n"
        assert await process.wait() == 5
        process = await asyncio.create_subprocess_exec("/bin/sleep", "60")
        process.kill()
        assert await process.wait() == -9

    fluvial_loop.run_until_complete(main())


def test_without_anything_to_wait_with(fluvial_loop: Loop, monkeypatch: pytest.MonkeyPatch) -> None:
    """The child doesn't live on unseen."""

    def refuse(*_: object) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.delattr(os, "pidfd_open")
    monkeypatch.setattr(threading.Thread, "start", refuse)

    async def main() -> None:
        await asyncio.sleep(0)
        before = descriptors_before()
        with pytest.raises(RuntimeError, match="can't start new thread"):
            await execute("/bin/sleep", "60")
        await asyncio.sleep(0)
        gc.collect()
        assert descriptors() == before

    fluvial_loop.run_until_complete(main())


def test_without_pidfds_after_the_loop(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delattr(os, "pidfd_open")

    async def main() -> Any:
        return await execute("/bin/sleep", "60", stdin=None, stdout=None, stderr=None)

    loop = Loop()
    protocol = loop.run_until_complete(main())
    [waiting] = [t for t in threading.enumerate() if t.name.startswith("fluvial-waitpid-")]
    loop.close()
    os.kill(protocol.transport.get_pid(), signal.SIGKILL)
    waiting.join()
    assert "is closed" in caplog.text
    protocol.transport.close()


# ---- Exit statuses that somebody else takes -------------------------------------------------


def test_reaped_by_somebody_else(fluvial_loop: Loop, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        process = await asyncio.create_subprocess_exec("/bin/cat", stdin=PIPE)
        os.kill(process.pid, signal.SIGKILL)
        os.waitpid(process.pid, 0)  # noqa: ASYNC222  # at once, before the loop does
        assert await process.wait() == 255

    fluvial_loop.run_until_complete(main())
    assert "Unknown child process pid" in caplog.text


def test_reaped_through_the_popen_object(
    fluvial_loop: Loop, caplog: pytest.LogCaptureFixture
) -> None:
    """Its exit code is the right one then."""

    async def main() -> None:
        protocol = await execute("/bin/sh", "-c", "exit 6", stdin=None, stdout=None, stderr=None)
        assert protocol.transport.get_extra_info("subprocess").wait() == 6
        await protocol.lost
        assert protocol.transport.get_returncode() == 6
        protocol.transport.close()

    fluvial_loop.run_until_complete(main())
    assert not caplog.records


def test_a_status_that_cannot_be_read(fluvial_loop: Loop, monkeypatch: pytest.MonkeyPatch) -> None:
    """The failure is reported once, not in each iteration, and leaves no descriptor."""
    tries = []

    def refuse(pid: int, flags: int) -> tuple[int, int]:
        tries.append(pid)
        raise PermissionError("no waitpid here")

    async def main() -> None:
        before = descriptors_before()
        reported = fluvial_loop.create_future()
        fluvial_loop.set_exception_handler(lambda _, context: reported.set_result(context))
        process = await execute("/bin/sleep", "600", stdin=None, stdout=None, stderr=None)
        pid = process.transport.get_pid()
        with monkeypatch.context() as patch:
            patch.setattr(os, "waitpid", refuse)
            os.kill(pid, signal.SIGKILL)
            assert isinstance((await reported)["exception"], PermissionError)
            for _ in range(10):
                await asyncio.sleep(0)
        assert tries == [pid]
        assert descriptors() == before
        os.waitpid(pid, 0)  # noqa: ASYNC222  # it has ended
        process.transport._process_exited(-signal.SIGKILL)
        await process.lost
        process.transport.close()

    fluvial_loop.run_until_complete(main())


# ---- Pipes ----------------------------------------------------------------------------------


def test_pipes_and_what_they_tell(fluvial_loop: Loop) -> None:
    async def main() -> None:
        protocol = await execute("/bin/cat")
        child = protocol.transport.get_extra_info("subprocess")
        assert isinstance(child, subprocess.Popen)
        kinds = {0: WritePipeTransport, 1: ReadPipeTransport, 2: ReadPipeTransport}
        for fd, file in enumerate((child.stdin, child.stdout, child.stderr)):
            pipe = protocol.transport.get_pipe_transport(fd)
            assert isinstance(pipe, kinds[fd])
            assert pipe.get_extra_info("pipe") is file
            assert pipe.get_extra_info("peername") is None
            assert pipe.get_extra_info("sockname") is None
            assert not os.get_inheritable(file.fileno())
        assert protocol.transport.get_pipe_transport(3) is None
        stdin = protocol.transport.get_pipe_transport(0)
        stdin.write(b"to and fro")
        stdin.close()
        await protocol.lost
        protocol.transport.close()
        assert protocol.data[1] == b"to and fro"

    fluvial_loop.run_until_complete(main())


def test_the_streams_of_a_process(loop: asyncio.AbstractEventLoop) -> None:
    async def main() -> None:
        process = await asyncio.create_subprocess_exec("/bin/cat", stdin=PIPE, stdout=PIPE)
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdin.get_extra_info("pipe") is not None
        for line in (b"one\n", b"two\n"):
            process.stdin.write(line)
            await process.stdin.drain()
            assert await process.stdout.readline() == line
        process.stdin.close()
        await process.stdin.wait_closed()
        assert await process.stdout.read() == b""
        assert await process.wait() == 0

    loop.run_until_complete(main())


def test_communicate_with_much(loop: asyncio.AbstractEventLoop) -> None:
    data = os.urandom(5_000_000)

    async def main() -> None:
        process = await asyncio.create_subprocess_shell(
            "tee /dev/stderr", stdin=PIPE, stdout=PIPE, stderr=PIPE
        )
        out, err = await process.communicate(data)
        assert out == data
        assert err == data
        assert process.returncode == 0

    loop.run_until_complete(main())


def test_a_child_that_does_not_read(loop: asyncio.AbstractEventLoop) -> None:
    """communicate() ignores that its input wasn't taken."""

    async def main() -> None:
        for script in ("exec <&-; exit 0", "exit 0"):
            process = await asyncio.create_subprocess_shell(script, stdin=PIPE, stdout=PIPE)
            out, _ = await process.communicate(b"x" * 1_000_000)
            assert (out, process.returncode) == (b"", 0)

    loop.run_until_complete(main())


def test_a_child_that_closes_its_input(loop: asyncio.AbstractEventLoop) -> None:
    """drain() fails, then everything else goes on."""

    async def main() -> None:
        process = await asyncio.create_subprocess_shell(
            "exec <&-; echo closed; exec sleep 60", stdin=PIPE, stdout=PIPE, stderr=PIPE
        )
        assert process.stdin is not None
        assert process.stdout is not None
        assert await process.stdout.readline() == b"closed\n"

        async def write() -> None:
            while True:
                process.stdin.write(b"x" * 10_000)  # type: ignore[union-attr]
                await process.stdin.drain()  # type: ignore[union-attr]

        with pytest.raises((BrokenPipeError, ConnectionResetError)):
            await write()
        process.kill()
        await process.wait()

    loop.run_until_complete(main())


def test_flow_control(loop: asyncio.AbstractEventLoop) -> None:
    """A reader that is behind pauses the child."""

    async def main() -> None:
        process = await asyncio.create_subprocess_exec(
            "/usr/bin/head", "-c", "3000000", "/dev/zero", stdout=PIPE, limit=1000
        )
        assert process.stdout is not None
        got = 0
        while data := await process.stdout.read(999):
            got += len(data)
        assert got == 3_000_000
        assert await process.wait() == 0

    loop.run_until_complete(main())


# ---- Arguments ------------------------------------------------------------------------------


def test_arguments_of_popen(loop: asyncio.AbstractEventLoop, tmp_path: Path) -> None:
    async def main() -> None:
        ran: list[str] = []
        out = tmp_path / "out"
        read, write = os.pipe()
        with out.open("wb") as file:
            process = await asyncio.create_subprocess_exec(
                "sh",
                "-c",
                f"echo $VALUE; pwd; umask; echo passed >/dev/fd/{write}; ps -o sid= -p $$; echo $0",
                "argument",
                executable="/bin/sh",
                cwd=tmp_path,
                env={"VALUE": "from env", "PATH": os.environ["PATH"]},
                umask=0o27,
                stdout=file,
                stderr=asyncio.subprocess.STDOUT,
                stdin=asyncio.subprocess.DEVNULL,
                pass_fds=(write,),
                start_new_session=True,
                preexec_fn=lambda: ran.append("in the child"),
            )
        assert await process.wait() == 0
        lines = out.read_text().splitlines()
        assert lines[:3] == ["from env", str(tmp_path), "0027"]
        assert lines[3].strip() == str(process.pid)  # of a session of its own
        assert lines[4] == "argument"
        assert os.read(read, 100) == b"passed\n"
        assert ran == []
        os.close(read)
        os.close(write)

    loop.run_until_complete(main())


def test_arguments_that_are_refused(loop: asyncio.AbstractEventLoop) -> None:
    async def main() -> None:
        for wrong in ({"universal_newlines": True}, {"bufsize": 1}, {"shell": True}):
            with pytest.raises(ValueError, match="must be"):
                await execute("/bin/true", **wrong)
        for wrong in ({"text": True}, {"encoding": "utf-8"}, {"errors": "strict"}):
            with pytest.raises(ValueError, match=r"must be|not supported"):
                await execute("/bin/true", **wrong)
        with pytest.raises(TypeError):
            await execute("/bin/true", no_such_argument=1)

    loop.run_until_complete(main())


# ---- Failures -------------------------------------------------------------------------------


def test_programs_that_can_not_be_started(loop: asyncio.AbstractEventLoop, tmp_path: Path) -> None:
    (tmp_path / "plain").touch()

    async def main() -> None:
        before = descriptors_before()
        for _ in range(3):
            with pytest.raises(FileNotFoundError, match="nowhere"):
                await execute(tmp_path / "nowhere")
            with pytest.raises(PermissionError):
                await execute(tmp_path / "plain")
            with pytest.raises(FileNotFoundError, match="no-such-place"):
                await execute("/bin/true", cwd=tmp_path / "no-such-place")
        gc.collect()
        assert descriptors() == before

    loop.run_until_complete(asyncio.sleep(0))
    loop.run_until_complete(main())


@pytest.mark.parametrize("steps", range(8))
def test_cancelled_at_any_moment(fluvial_loop: Loop, steps: int) -> None:
    """The child is killed, nothing stays open. Its own children may have its pipes."""

    async def main() -> None:
        await asyncio.sleep(0)
        before = descriptors_before()
        starting = fluvial_loop.create_task(execute("/bin/sh", "-c", "sleep 60 & sleep 60"))
        for _ in range(steps):
            await asyncio.sleep(0)
        starting.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            protocol = await starting
            protocol.transport.close()
            await protocol.lost
        await asyncio.sleep(0)
        gc.collect()
        assert descriptors() == before

    fluvial_loop.run_until_complete(main())


@pytest.mark.parametrize("kind", ["read", "write"])
def test_a_pipe_that_can_not_be_connected(
    fluvial_loop: Loop, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """The protocol never hears of it; the child is killed, nothing stays open."""

    def refuse(*_: object, **__: object) -> Any:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(fluvial_loop, f"_make_{kind}_pipe_transport", refuse)
    protocols: list[Recorder] = []

    def factory() -> Recorder:
        protocols.append(Recorder())
        return protocols[0]

    async def main() -> None:
        await asyncio.sleep(0)
        before = descriptors_before()
        with pytest.raises(OSError, match="No space left"):
            await fluvial_loop.subprocess_exec(factory, "/bin/sleep", "60")
        assert protocols[0].events == []
        await asyncio.sleep(0)
        gc.collect()
        assert descriptors() == before

    fluvial_loop.run_until_complete(main())


# ---- The loop's end -------------------------------------------------------------------------


def test_a_loop_closed_before_its_child() -> None:
    """The child lives until its transport is closed; no descriptor of the loop stays."""

    async def main() -> Any:
        return await execute("/bin/sleep", "60", stdin=None, stdout=None, stderr=None)

    before = descriptors_before()
    loop = Loop()
    protocol = loop.run_until_complete(main())
    child = protocol.transport.get_extra_info("subprocess")
    loop.close()
    assert descriptors() == before
    assert child.poll() is None
    protocol.transport.close()
    assert child.wait() == -signal.SIGKILL


def test_an_unclosed_process() -> None:
    async def main() -> Any:
        protocol = await execute("/bin/sleep", "60")
        return protocol.transport.get_extra_info("subprocess")

    def close() -> None:
        loop.close()
        gc.collect()

    loop = Loop()
    child = loop.run_until_complete(main())
    gc.collect()
    assert child.poll() is None  # the loop waits for it
    with pytest.warns(ResourceWarning) as warnings:
        close()
    assert any("unclosed transport" in str(warning.message) for warning in warnings)
    assert child.wait() == -signal.SIGKILL


def test_debug_mode(fluvial_loop: Loop, caplog: pytest.LogCaptureFixture) -> None:
    fluvial_loop.set_debug(True)
    fluvial_loop.slow_callback_duration = 100
    caplog.set_level(logging.DEBUG, "asyncio")

    async def main() -> None:
        process = await asyncio.create_subprocess_exec(sys.executable, "-c", "exit(2)")
        assert await process.wait() == 2

    fluvial_loop.run_until_complete(main())
    assert "exited with returncode 2" in caplog.text
