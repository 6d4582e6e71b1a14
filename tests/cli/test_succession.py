"""SIGUSR2: another process takes over the listening sockets, and no request fails for it."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
from typing import TYPE_CHECKING

import psutil
import pytest
from fluvial._serving.succession import Legacy, Predecessor, start_successor
from support.command import PATIENCE, ServerProcess, ending_successors, launched
from support.workers import Load, pids_that_answer, until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

APP = """
import os
from fluvial import App

if os.path.exists("broken"):
    raise RuntimeError("no such thing")
app = App()

@app.get("/pid")
async def pid():
    return os.getpid()

@app.get("/parent")
async def parent():
    return os.getppid()
"""
READY = "Fluvial running on"
ADDRESSES = ("--bind", "127.0.0.1:0", "--bind", "unix:sock", "--pid", "pid")
PATIENT = ("--graceful-timeout", "30", "--cleanup-timeout", "5", "--no-access-log")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "it.py").write_text(APP)
    return tmp_path


@contextlib.contextmanager
def running(folder: Path, *options: str) -> Iterator[ServerProcess]:
    env = {"NOTIFY_SOCKET": str(folder / "notify")}  # where nobody may listen
    options = (*ADDRESSES, *PATIENT, *options)
    # Started for real: a successor is the same command in the environment that /proc has of it.
    with (
        launched("it:app", *options, app_dir=folder, env=env, fork=False) as server,
        ending_successors(folder),
    ):
        yield server


def succeed(server: ServerProcess, times: int = 1) -> int:
    server.process.send_signal(signal.SIGUSR2)
    return int(server.expect(r"Started process (\d+) on the same sockets", times)[-1])


def answers_on(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(PATIENCE)
        sock.connect(str(path))
        sock.sendall(b"GET /parent HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        return sock.recv(100).startswith(b"HTTP/1.1 200")


def told(manager: socket.socket) -> list[str]:
    """What a service manager has been told until it was told of another process."""
    manager.settimeout(PATIENCE)
    messages: list[str] = []
    while not any(each.startswith("MAINPID=") for each in messages):
        messages.append(manager.recv(4096).decode())
    return messages


def test_a_successor_takes_over_under_load(folder: Path) -> None:
    with contextlib.ExitStack() as stack:
        manager = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
        manager.bind(str(folder / "notify"))
        server = stack.enter_context(running(folder, "--workers", "2"))
        server.expect(READY, 2)
        with Load(server.url) as load:
            new = succeed(server)
            server.expect(READY, 4)
            assert (folder / "pid").read_text() == f"{server.process.pid}\n"
            assert (folder / "pid.2").read_text() == f"{new}\n"
            load.wait_for(20)
            server.process.send_signal(signal.SIGTERM)
            assert server.process.wait(PATIENCE) == 0
            *before, last = told(manager)
            assert last == f"MAINPID={new}"
            assert all(each.startswith("READY=1") for each in before)
            server.expect(f"Process {server.process.pid} has exited; this one takes its place")
            load.wait_for(20)
        until(lambda: not (folder / "pid.2").exists())
        assert (folder / "pid").read_text() == f"{new}\n"
        assert answers_on(folder / "sock")
        workers = {child.pid for child in psutil.Process(new).children()}
        assert pids_that_answer(server, 2) == workers
        os.kill(new, signal.SIGTERM)
        server.wait()
        assert not (folder / "sock").exists()
        assert not (folder / "pid").exists()


def test_a_successor_and_the_end_in_one_breath(folder: Path) -> None:
    """Both signals are there before the first is handled."""
    with running(folder, "--workers", "2") as server:
        server.expect(READY, 2)
        parent = psutil.Process(server.process.pid)
        parent.suspend()
        until(lambda: parent.status() == psutil.STATUS_STOPPED)
        server.process.send_signal(signal.SIGUSR2)
        server.process.send_signal(signal.SIGTERM)
        parent.resume()
        (new,) = server.expect(r"Started process (\d+) on the same sockets")
        assert server.process.wait(PATIENCE) == 0
        server.expect(READY, 4)
        assert len(pids_that_answer(server, 2)) == 2
        os.kill(int(new), signal.SIGTERM)
        server.wait()


def test_a_successor_that_ends_leaves_the_old_process_as_it_was(folder: Path) -> None:
    """It doesn't start, or is told to stop; then there may be another one."""
    with running(folder, "--worker-timeout", "0", "--max-lifetime", "10000") as server:
        server.expect(READY)
        (worker,) = pids_that_answer(server, 1)
        (folder / "broken").touch()
        new = succeed(server)
        server.expect(f"Process {new} exited with status 1; this one keeps serving")
        (folder / "broken").unlink()
        new = succeed(server, 2)
        server.expect(READY, 2)
        server.process.send_signal(signal.SIGUSR2)
        server.expect(f"Ignoring SIGUSR2: process {new} already shares these sockets")
        os.kill(new, signal.SIGTERM)
        server.expect(f"Process {new} exited with status 0; this one keeps serving")
        assert pids_that_answer(server, 1) == {worker}
        assert answers_on(folder / "sock")
        assert (folder / "pid").read_text() == f"{server.process.pid}\n"
        assert not (folder / "pid.2").exists()
        assert server.stop() == 0
        assert not (folder / "sock").exists()


@pytest.mark.own_process
def test_signals_are_heard_after_a_fork_that_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    def fork() -> int:
        raise BlockingIOError("there are too many processes")

    monkeypatch.setattr(os, "fork", fork)
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    with pytest.raises(BlockingIOError):
        start_successor([], (), Legacy())
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == before


def test_a_predecessor_may_have_ended_already(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its sockets are there all the same, and would block the address otherwise."""
    monkeypatch.setenv("_FLUVIAL_TAKES_OVER", f"{2**30} 7 8")
    found = Predecessor.from_environment()
    assert (found.fds, found.runs()) == ((7, 8), False)
    assert "_FLUVIAL_TAKES_OVER" not in os.environ
