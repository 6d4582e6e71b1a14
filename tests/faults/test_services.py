"""A database or a cache that is killed below an app and started again: only what needs it fails,
with the library's own errors, as long as it is away; afterwards all is as before."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import shutil
import signal
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import asyncpg
import psutil
import pytest
import redis.asyncio as redis
from fluvial import App, Request
from fluvial.responses import JSONResponse
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from support.database_apps import asyncpg_app
from support.flat import MEMORY, descriptors, resident
from support.keeper import kept
from support.postgres import IMMEDIATE, cluster_command, find_programs, is_ready, made_cluster
from support.proxies import free_port
from support.serving import serving
from support.workers import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

TIMES = 20 if os.environ.get("FAULTS") else 2
AT_ONCE = 8  # requests, more than the pools have connections
ENVIRONMENT = {"PATH": os.environ["PATH"], "LC_ALL": "C"}


class Server:
    """A program in a folder, on the same port each time; it is started anew after it was killed."""

    def __init__(self, command: list[Any], folder: Path, answers: Callable[[], bool]) -> None:
        self._command = command
        self._folder = folder
        self._answers = answers
        self._running = contextlib.ExitStack()

    def start(self) -> None:
        keeper = kept(self._command, self._folder, stop=IMMEDIATE, env=ENVIRONMENT)
        process = self._running.enter_context(keeper)
        until(lambda: self._answers() or process.poll() is not None)
        assert process.poll() is None, (self._folder / "log").read_text()
        self._processes = psutil.Process(process.pid).children(recursive=True)

    def kill(self) -> None:
        """Ends it without a word; returns when none of its processes is left."""
        self._processes[0].send_signal(signal.SIGKILL)
        psutil.wait_procs(self._processes)
        self._running.close()

    def close(self) -> None:
        self._running.close()


@contextlib.contextmanager
def postgres() -> Iterator[tuple[Server, int]]:
    programs = find_programs()
    if programs is None:
        pytest.skip("no PostgreSQL here (Debian's package: postgresql)")
    with made_cluster(programs) as folder:
        port, state = free_port(), folder / "data" / "postmaster.pid"

        def answers() -> bool:
            with contextlib.suppress(FileNotFoundError):
                return is_ready(state) and psutil.pid_exists(int(state.read_text().split()[0]))
            return False

        yield Server(cluster_command(programs, folder, port), folder, answers), port


@contextlib.contextmanager
def redis_server() -> Iterator[tuple[Server, int]]:
    program = shutil.which("redis-server")
    if program is None:
        pytest.skip("no Redis here (Debian's package: redis-server)")
    with tempfile.TemporaryDirectory(prefix="fluvial-redis-") as name:
        port = free_port()
        command = [program, "--port", port, "--bind", "127.0.0.1", "--save", "", "--dir", name]

        def answers() -> bool:
            return b"PONG" in _say(port, b"PING\r\n")

        yield Server(command, Path(name), answers), port


def _say(port: int, line: bytes) -> bytes:
    import socket

    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)) as sock:
        sock.sendall(line)
        return sock.recv(100)
    return b""


def redis_app(port: int) -> App:
    # An idle connection that was cut is noticed when it is used: then it is made anew.
    again = Retry(NoBackoff(), 1)
    pool = redis.BlockingConnectionPool(host="127.0.0.1", port=port, max_connections=4, retry=again)
    client = redis.Redis(connection_pool=pool)

    @contextlib.asynccontextmanager
    async def lifespan(_: App) -> AsyncIterator[None]:
        yield
        await client.aclose()
        await pool.aclose()

    app = App(lifespan=lifespan)

    @app.get("/one")
    async def one() -> int:
        await client.set("key", 1)
        return int(await client.get("key"))

    return app


AWAY = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, redis.RedisError)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize(("run", "make"), [(postgres, asyncpg_app), (redis_server, redis_app)])
def test_a_service_is_killed_and_started_again(
    run: Any, make: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL, "fluvial")  # it would keep each exception, with its frames
    with run() as (server, port), contextlib.closing(server):
        server.start()
        app = make(port)
        seen: list[type[Exception]] = []

        @app.exception_handler(Exception)
        async def away(request: Request, exc: Exception) -> JSONResponse:
            seen.append(type(exc))
            assert isinstance(exc, AWAY)
            return JSONResponse({"detail": "away"}, status_code=503)

        @app.get("/other")
        async def other() -> str:
            await asyncio.sleep(0)
            return "other"

        with serving(app) as served:
            before = (0, 0)
            for times in range(TIMES):
                assert _together(served, "/one") == {200}
                server.kill()
                assert _together(served, "/one") == {503}
                assert _together(served, "/other") == {200}
                server.start()
                until(lambda: _together(served, "/one") == {200})
                assert _together(served, "/one") == {200}
                if times == min(4, TIMES - 2):
                    gc.collect()
                    before = (descriptors(), resident())
            gc.collect()
            assert descriptors() <= before[0] + 4
            assert resident() <= before[1] + MEMORY
            assert served.in_flight() == 0
        assert seen


def _together(served: Any, path: str) -> set[int]:
    """The statuses of several requests at once."""
    import httpx

    async def ask() -> set[int]:
        async with httpx.AsyncClient(base_url=served.url, timeout=60) as client:
            answers = await asyncio.gather(*(client.get(path) for _ in range(AT_ONCE)))
            return {answer.status_code for answer in answers}

    return asyncio.run(ask())
