"""Unix sockets: whose file it is, who may connect, who removes it."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import signal
import socket
import stat
import threading
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from fluvial._serving import sockets
from support.command import PATIENCE, ServerProcess, launched

APP = """
import asyncio, os
from fluvial import App, Config

app = App()

@app.get("/pid")
def pid():
    return os.getpid()

@app.get("/slow")
async def slow():
    print("waits", flush=True)
    while not os.path.exists("go"):
        await asyncio.sleep(0.01)
    return "finished"

@app.get("/chdir")
def chdir():
    os.chdir("/")

if __name__ == "__main__":
    import fluvial
    fluvial.run(app, Config(uds="socket"))
"""
WORKERS = [(), ("--workers", "2")]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "it.py").write_text(APP)
    return tmp_path


def get(folder: Path, path: str) -> httpx.Response:
    with httpx.Client(transport=httpx.HTTPTransport(uds=str(folder / "socket"))) as client:
        return client.get(f"http://x{path}", timeout=PATIENCE)


def ready(server: ServerProcess, workers: tuple[str, ...]) -> None:
    server.expect("Fluvial running on unix:", 2 if workers else 1)


@pytest.mark.parametrize("workers", WORKERS)
def test_the_server_removes_its_file(folder: Path, workers: tuple[str, ...]) -> None:
    with launched("it:app", "--uds", "socket", *workers, app_dir=folder) as server:
        ready(server, workers)
        get(folder, "/chdir")
        assert server.stop() == 0
        assert not (folder / "socket").exists()


def test_a_worker_that_ends_leaves_the_file(folder: Path) -> None:
    with launched("it:app", "--uds", "socket", "--workers", "2", app_dir=folder) as server:
        ready(server, ("2",))
        for times, number in enumerate((signal.SIGTERM, signal.SIGINT, signal.SIGKILL)):
            worker = psutil.Process(server.process.pid).children()[0]
            worker.send_signal(number)
            server.expect(f"Worker {worker.pid} exited")
            assert get(folder, "/pid").status_code == 200
            server.expect("Fluvial running on", 3 + times)
        assert server.stop() == 0
        assert not (folder / "socket").exists()


@pytest.mark.parametrize("workers", WORKERS)
def test_an_old_server_leaves_the_new_one_s_file(folder: Path, workers: tuple[str, ...]) -> None:
    options = ("--uds", "socket", *workers)
    with launched("it:app", *options, app_dir=folder) as old:
        ready(old, workers)
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(folder / "socket"))
            client.settimeout(PATIENCE)
            client.sendall(b"GET /slow HTTP/1.1\r\nHost: h\r\n\r\n")
            old.expect("waits")
            old.process.send_signal(signal.SIGTERM)
            wait_until_refused(folder / "socket")
            with launched("it:app", *options, app_dir=folder) as new:
                ready(new, workers)
                (folder / "go").touch()
                assert client.recv(65536).endswith(b'"finished"')
                assert old.wait() == 0
                assert get(folder, "/pid").status_code == 200
                assert new.stop() == 0
                assert not (folder / "socket").exists()


SLOW_LIFESPAN = """
import asyncio, contextlib, os
from fluvial import App

@contextlib.asynccontextmanager
async def lifespan(app):
    print("starts", flush=True)
    while not os.path.exists("go"):
        await asyncio.sleep(0.01)
    yield

app = App(lifespan=lifespan)

@app.get("/pid")
def pid():
    return os.getpid()
"""


@pytest.mark.parametrize("left", [False, True])
@pytest.mark.parametrize("workers", WORKERS)
def test_a_server_that_is_still_starting_keeps_its_path(
    folder: Path, workers: tuple[str, ...], left: bool
) -> None:
    """It has bound the socket, but doesn't listen yet; with workers their parent does."""
    (folder / "slow.py").write_text(SLOW_LIFESPAN)
    if left:
        with socket.socket(socket.AF_UNIX) as sock:
            sock.bind(str(folder / "socket"))
    options = ("--uds", "socket", *workers)
    with launched("slow:app", *options, app_dir=folder) as first:
        first.expect("starts")
        with launched("it:app", *options, app_dir=folder) as second:
            does = "listens" if workers else "is starting"
            second.expect(f"Error: can't listen on socket: another server {does} there")
            assert second.wait() == 1
        (folder / "go").touch()
        ready(first, workers)
        assert get(folder, "/pid").status_code == 200
        assert first.stop() == 0


def test_two_that_find_the_same_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While one is about to remove it, the other doesn't put its own there."""
    path = str(tmp_path / "socket")
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(path)
    bound: list[Any] = []

    def try_to_bind() -> None:
        with contextlib.suppress(sockets.BindError):
            bound.append(sockets.bind_unix(path))

    other = threading.Thread(target=try_to_bind)

    def unlink(name: str) -> None:
        monkeypatch.undo()
        other.start()
        other.join(0.5)
        os.unlink(name)

    monkeypatch.setattr(sockets.os, "unlink", unlink)
    try_to_bind()
    other.join()
    for each in bound:
        each.close()
        each.remove_file()
    assert len(bound) == 1


def test_a_folder_without_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def flock(file: int, how: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(sockets.fcntl, "flock", flock)
    sock = sockets.bind_unix(str(tmp_path / "socket"))
    sock.close()
    sock.remove_file()
    assert not (tmp_path / "socket").exists()


def wait_until_refused(path: Path) -> None:
    """Returns when nobody listens: a drain has begun."""
    while True:
        with socket.socket(socket.AF_UNIX) as probe:
            try:
                probe.connect(str(path))
            except ConnectionRefusedError:
                return


def test_a_file_that_replaces_the_socket_is_left(folder: Path) -> None:
    with launched("it:app", "--uds", "socket", app_dir=folder) as server:
        ready(server, ())
        (folder / "socket").unlink()
        (folder / "socket").write_text("somebody else's")
        assert server.stop() == 0
        assert (folder / "socket").read_text() == "somebody else's"


@pytest.mark.parametrize("workers", WORKERS)
@pytest.mark.parametrize(
    ("options", "umask", "mode"),
    [
        ((), "022", 0o755),
        ((), "077", 0o700),
        (("--uds-mode", "660"), "022", 0o660),
        (("--uds-mode", "0o666"), "077", 0o666),
        (("--uds-mode", "0600"), "000", 0o600),
    ],
)
def test_who_may_connect(
    folder: Path, options: tuple[str, ...], umask: str, mode: int, workers: tuple[str, ...]
) -> None:
    prefix = ("sh", "-c", f'umask {umask}; exec "$@"', "sh")
    uds = ("--uds", "socket", *options, *workers)
    with launched("it:app", *uds, app_dir=folder, prefix=prefix) as server:
        ready(server, workers)
        assert stat.S_IMODE((folder / "socket").lstat().st_mode) == mode
        assert server.stop() == 0


@pytest.mark.parametrize("mode", ["abc", "8", "1777", "-1", ""])
def test_modes_are_octal(folder: Path, mode: str) -> None:
    uds = ("--uds", "socket", "--uds-mode", mode)
    with launched("it:app", *uds, app_dir=folder) as server:
        assert server.wait() == 2
        assert re.search("Invalid value for '--uds-mode'.* is not a mode", server.log)


def test_a_server_whose_queue_is_full_keeps_its_socket(folder: Path) -> None:
    """Connecting would wait then, for ever."""
    path = str(folder / "socket")
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(path)
        other.listen(0)
        waiting = []
        for _ in range(100):
            sock = socket.socket(socket.AF_UNIX)
            sock.setblocking(False)
            waiting.append(sock)
            if sock.connect_ex(path) != 0:
                break
        inode = os.lstat(path).st_ino
        with launched("it:app", "--uds", "socket", app_dir=folder) as server:
            assert server.wait() == 1
            assert "another server listens there" in server.log
        assert os.lstat(path).st_ino == inode
        for sock in waiting:
            sock.close()
