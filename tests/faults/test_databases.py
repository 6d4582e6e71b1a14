"""A database that goes away below an app and comes back: requests that need it fail meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
import os
import selectors
import socket
import threading
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from fluvial import App
from sqlalchemy.ext.asyncio import create_async_engine
from support.database_apps import asyncpg_app
from support.flat import descriptors
from support.postgres import Postgres, find_programs, running_postgres
from support.proxies import free_port
from support.serving import serving
from support.workers import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

TIMES = 100 if os.environ.get("FAULTS") else 3


class Line:
    """A TCP port that leads to another one, and that can be cut: as when the server there, its
    machine or the network between ends, every connection is reset, and new ones are refused."""

    def __init__(self, to: int) -> None:
        self._to = to
        self.port = free_port()
        self._pairs: dict[socket.socket, socket.socket] = {}
        self._listener: socket.socket | None = None
        self._thread: threading.Thread | None = None
        self._wakeup = socket.socketpair()

    def open(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", self.port))
        self._thread = threading.Thread(target=self._run, name="line")
        self._thread.start()

    def cut(self) -> None:
        if self._thread is not None:
            self._wakeup[1].send(b"x")
            self._thread.join()
            self._thread = None

    def close(self) -> None:
        self.cut()
        for sock in self._wakeup:
            sock.close()

    def _run(self) -> None:
        assert self._listener is not None
        with selectors.DefaultSelector() as selector:
            selector.register(self._listener, selectors.EVENT_READ)
            selector.register(self._wakeup[0], selectors.EVENT_READ)
            while True:
                ready = [key.fileobj for key, _ in selector.select()]
                if self._wakeup[0] in ready:
                    break
                for sock in ready:
                    self._serve(selector, sock)
        self._wakeup[0].recv(1)
        for sock in (self._listener, *self._pairs):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            sock.close()
        self._pairs.clear()

    def _serve(self, selector: selectors.BaseSelector, sock: Any) -> None:
        if sock is self._listener:
            pair = (sock.accept()[0], socket.create_connection(("127.0.0.1", self._to)))
            self._pairs |= {pair[0]: pair[1], pair[1]: pair[0]}
            for each in pair:
                selector.register(each, selectors.EVENT_READ)
        elif sock in self._pairs:
            data = b""
            with contextlib.suppress(OSError):
                data = sock.recv(65536)
            if data:
                with contextlib.suppress(OSError):
                    self._pairs[sock].sendall(data)
            else:
                self._end(selector, sock)

    def _end(self, selector: selectors.BaseSelector, sock: socket.socket) -> None:
        for each in (sock, self._pairs[sock]):
            selector.unregister(each)
            del self._pairs[each]
            each.close()


def sqlalchemy_app(port: int) -> App:
    engine = create_async_engine(f"postgresql+asyncpg://postgres@127.0.0.1:{port}/postgres")

    @contextlib.asynccontextmanager
    async def lifespan(_: App) -> AsyncIterator[None]:
        yield
        await engine.dispose()

    app = App(lifespan=lifespan)

    @app.get("/one")
    async def one() -> int:
        async with engine.connect() as connection:
            return int((await connection.execute(sa.text("select 1"))).scalar_one())

    return app


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    programs = find_programs()
    if programs is None:
        pytest.skip("no PostgreSQL here (Debian's package: postgresql)")
    with running_postgres(programs) as it:
        yield it


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("make", [asyncpg_app, sqlalchemy_app])
def test_a_database_goes_away_and_comes_back(postgres: Postgres, make: Any) -> None:
    line = Line(postgres.port)
    line.open()
    app = make(line.port)

    @app.get("/other")
    async def other() -> str:
        await asyncio.sleep(0)
        return "other"

    with contextlib.closing(line), serving(app) as served:
        client = served.new_client()
        before = 0
        for times in range(TIMES):
            until(lambda: client.get("/one").status_code == 200)
            assert client.get("/one").json() == 1
            line.cut()
            assert client.get("/one").status_code == 500
            assert client.get("/other").json() == "other"
            line.open()
            if times == 0:
                until(lambda: client.get("/one").status_code == 200)
                before = descriptors()
        until(lambda: client.get("/one").status_code == 200)
        assert descriptors() <= before + 4
        assert served.in_flight() == 0
