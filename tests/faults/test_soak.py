"""Traffic of all kinds with a restart each minute: no request fails, and nothing grows.

DURATION is how many seconds it takes: 600 in `make soak`, and a few in `make test`, which has two
restarts all the same.
"""

from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING

import httpx
import psutil
import websockets.exceptions
from support.command import PATIENCE, ServerProcess, launched
from support.workers import Load, Threads, until
from websockets.sync.client import connect

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

DURATION = float(os.environ.get("DURATION", "2"))
RESTARTS = max(2, int(DURATION // 60))
MEMORY = 24 * 1024 * 1024  # bytes by which a process may grow

APP = """
import asyncio, os
from fluvial import App, Request, StreamingResponse, UploadFile, WebSocket

app = App()

@app.get("/pid")
async def pid():
    return os.getpid()

@app.get("/def")
def plain():
    return "def"

@app.post("/upload")
async def upload(file: UploadFile):
    return len(await file.read())

@app.get("/stream")
async def stream():
    async def pieces():
        for _ in range(20):
            yield b"x" * 10_000
            await asyncio.sleep(0)
    return StreamingResponse(pieces())

@app.get("/fails")
async def fails():
    raise RuntimeError("on purpose")

@app.websocket("/ws")
async def echo(ws: WebSocket):
    await ws.accept()
    async for text in ws.iter_text():
        await ws.send_text(text)
"""


class Traffic(Threads):
    """Threads that each repeat one kind of exchange until the block ends."""

    def __init__(self, url: str) -> None:
        kinds: list[Callable[[], None]] = [self.requests, self.uploads, self.leaves, self.websocket]
        super().__init__(self._repeat, kinds)
        self._url = url
        self.times: dict[str, int] = {}

    def requests(self) -> None:
        with httpx.Client(base_url=self._url, timeout=PATIENCE) as client:
            assert client.get("/def").json() == "def"
            assert len(client.get("/stream").content) == 200_000
            assert client.get("/fails").status_code == 500
            assert client.get("/absent").status_code == 404

    def uploads(self) -> None:
        files = {"file": b"x" * 2_000_000}  # more than is kept in memory
        answer = httpx.post(f"{self._url}/upload", files=files, timeout=PATIENCE)
        assert answer.json() == 2_000_000

    def leaves(self) -> None:
        with httpx.stream("GET", f"{self._url}/stream", timeout=PATIENCE) as answer:
            next(answer.iter_raw())

    def websocket(self) -> None:
        try:
            with connect(f"{self._url.replace('http', 'ws', 1)}/ws") as ws:
                for number in range(100):
                    ws.send(str(number))
                    assert ws.recv(PATIENCE) == str(number)
        except websockets.exceptions.ConnectionClosed as exc:
            if exc.rcvd is None or exc.rcvd.code != 1012:  # the worker was replaced, and said so
                raise

    def _repeat(self, kind: Callable[[], None]) -> None:
        try:
            while not self._over.is_set():
                kind()
                self.times[kind.__name__] = self.times.get(kind.__name__, 0) + 1
        except BaseException as exc:
            exc.add_note(kind.__name__)
            self.failures.append(exc)

    def has_each(self) -> bool:
        return len(self.times) == len(self._threads) or bool(self.failures)


def workers(server: ServerProcess) -> list[psutil.Process]:
    return psutil.Process(server.process.pid).children()


def test_traffic_with_restarts(tmp_path: Path) -> None:
    (tmp_path / "it.py").write_text(APP)
    options = ("--workers", "2", "--no-access-log", "--graceful-timeout", "30")
    with launched("it:app", *options, app_dir=tmp_path, fork=False) as server:
        server.expect("Fluvial running on", 2)
        parent = psutil.Process(server.process.pid)
        largest: list[int] = []  # of the workers, at the end of each generation
        figures: list[tuple[int, int, int]] = []
        with Load(server.url) as load, Traffic(server.url) as traffic:
            for times in range(1, RESTARTS + 1):
                until(traffic.has_each)
                load.wait_for(20)
                end = time.monotonic() + DURATION / RESTARTS
                until(lambda end=end: time.monotonic() > end or bool(traffic.failures))  # type: ignore[misc]
                largest.append(max(worker.memory_info().rss for worker in workers(server)))
                server.process.send_signal(signal.SIGHUP)
                server.expect("takes the place of worker", 2 * times)
                server.expect("has ended", 2 * times)
                until(lambda: len(workers(server)) == 2)
                figures.append((parent.num_fds(), parent.num_threads(), parent.memory_info().rss))
                traffic.times.clear()
            until(traffic.has_each)
        assert figures[-1][:2] == figures[0][:2]
        assert figures[-1][2] - figures[0][2] < MEMORY
        assert largest[-1] - largest[0] < MEMORY
        assert "killed" not in server.log
        assert server.stop() == 0
