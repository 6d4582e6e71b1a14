"""The time of day jumps, and everything is stopped for a while: nothing else changes."""

from __future__ import annotations

import contextlib
import mmap
import os
import re
import signal
import ssl
import struct
import subprocess
import time
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import psutil
from support.certificate import make_certificate
from support.command import PATIENCE, ServerProcess, launched
from support.workers import until

if TYPE_CHECKING:
    from collections.abc import Iterator

SOURCE = Path(__file__).resolve().parents[1] / "support" / "wall_clock.c"
DAY = 86_400  # seconds
TIMEOUT = 3  # seconds that a worker's loop may stand still

APP = """
import asyncio, os
from fluvial import App, StreamingResponse

app = App()

@app.get("/pid")
async def pid():
    return os.getpid()

@app.get("/waits")
async def waits():
    async def pieces():
        yield b"a"
        await asyncio.sleep(0.2)
        yield b"b"
    return StreamingResponse(pieces())
"""


class Clock:
    """The time of day of processes that are started with `env`."""

    def __init__(self, folder: Path) -> None:
        cell, library = folder / "clock", folder / "wall_clock.so"
        command = ("cc", "-shared", "-fPIC", "-O1", "-o", str(library), str(SOURCE))
        plain = {name: text for name, text in os.environ.items() if name != "LD_PRELOAD"}
        subprocess.run(command, env=plain, check=True)
        cell.write_bytes(bytes(8))
        with cell.open("r+b") as file:
            self._cell = mmap.mmap(file.fileno(), 8)
        others = os.environ.get("LD_PRELOAD", "")
        self.env = {"WALL_CLOCK": str(cell), "LD_PRELOAD": f"{others} {library}".strip()}
        self.ahead = 0

    def jump(self, seconds: int) -> None:
        self.ahead += seconds
        self._cell[:] = struct.pack("q", self.ahead)

    def is_shown(self, shown: datetime) -> bool:
        """Whether it is about this time there now."""
        return abs(shown.timestamp() - time.time() - self.ahead) < DAY / 4


def workers_of(server: ServerProcess) -> set[int]:
    return {each.pid for each in psutil.Process(server.process.pid).children()}


def test_the_time_of_day_jumps(tmp_path: Path) -> None:
    (tmp_path / "it.py").write_text(APP)
    clock, made = Clock(tmp_path), make_certificate(tmp_path)
    options = ["--workers", "2", "--access-logformat", "combined"]
    options += ["--ssl-certfile", str(made.cert), "--ssl-keyfile", str(made.key)]
    trust = ssl.create_default_context(cafile=made.cert)
    with launched("it:app", *options, app_dir=tmp_path, env=clock.env) as server:
        server.expect("Fluvial running on", 2)
        pids = workers_of(server)
        with httpx.Client(base_url=server.url, verify=trust, timeout=PATIENCE) as client:
            pid = client.get("/pid").json()
            for days in (1, -2, 1):
                with client.stream("GET", "/waits") as answer:
                    pieces = answer.iter_raw()
                    assert next(pieces).startswith(b"a")
                    clock.jump(days * DAY)
                    list(pieces)  # the timer comes
                until(lambda: clock.is_shown(date_of(client)))
                assert client.get("/pid").json() == pid  # on the same connection
                until(lambda: clock.is_shown(last_logged(server)))
        assert workers_of(server) == pids
        assert "stood still" not in server.log
        assert "Traceback" not in server.log
        assert server.stop() == 0


def date_of(client: httpx.Client) -> datetime:
    return parsedate_to_datetime(client.get("/pid").headers["date"])


def last_logged(server: ServerProcess) -> datetime:
    found = re.findall(r'\[(\d+/\w+/\d+:\d+:\d+:\d+ [+-]\d+)\] "GET /pid', server.log)
    if not found:  # the line isn't here yet
        return datetime.fromtimestamp(0, UTC)
    return datetime.strptime(found[-1], "%d/%b/%Y:%H:%M:%S %z")


@contextlib.contextmanager
def all_stopped(server: ServerProcess) -> Iterator[None]:
    """As when a machine, its cgroup or a debugger stops them; the parent goes on first."""
    parent = psutil.Process(server.process.pid)
    processes = [parent, *parent.children()]
    for each in reversed(processes):
        each.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        for each in processes:
            each.send_signal(signal.SIGCONT)


def test_workers_that_were_stopped_with_their_parent_are_kept(tmp_path: Path) -> None:
    (tmp_path / "it.py").write_text(APP)
    options = ("--workers", "2", "--worker-timeout", str(TIMEOUT))
    with launched("it:app", *options, app_dir=tmp_path) as server:
        server.expect("Fluvial running on", 2)
        pids = workers_of(server)
        with all_stopped(server):
            time.sleep(TIMEOUT + 1)
        server.process.send_signal(signal.SIGTTIN)  # the parent looks at its workers, too
        server.expect("Fluvial running on", 3)
        assert pids < workers_of(server)
        assert "stood still" not in server.log
        assert server.stop() == 0
