"""A finished response of HTTP/2 does not wait for a handler that blocks after it (ADR 16)."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import pytest
from fluvial import App, StreamingResponse
from support import needs
from support.blocking import OWN, PATIENCE, Alone, second_mounted, second_native
from support.h2_client import END_HEADERS, END_STREAM, HEADERS, H2Client, frame
from support.serving import Served, serving

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from support.certificate import Certificate

pytestmark = needs.HTTP2


@pytest.fixture(params=["plain", "tls"])
def options(request: pytest.FixtureRequest) -> dict[str, Any]:
    found: dict[str, Any] = {"http": "auto"}
    if request.param == "tls":
        certificate: Certificate = request.getfixturevalue("certificate")
        found |= {"ssl_certfile": str(certificate.cert), "ssl_keyfile": str(certificate.key)}
    return found


def at_once(client: H2Client, *paths: str) -> list[int]:
    """Sends several requests in one piece; returns their streams."""
    first = client.next_stream
    streams = list(range(first, first + 2 * len(paths), 2))
    client.next_stream += 2 * len(paths)
    client.send(
        b"".join(
            frame(HEADERS, END_HEADERS | END_STREAM, stream, client.head(path))
            for stream, path in zip(streams, paths, strict=True)
        )
    )
    return streams


def stream_then_native(alone: Alone) -> App:
    """The first response is streamed, by what the loop calls when the other request was handled."""
    app = App()

    @app.get("/")
    async def handler() -> StreamingResponse:
        async def pieces() -> AsyncIterator[bytes]:
            yield b"fi"
            yield b"rst"

        return StreamingResponse(pieces())

    @app.get("/blocks")
    async def blocks() -> str:
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        alone.block()
        return "second"

    return app


def later_step(alone: Alone) -> App:
    """Both go on in callbacks of one turn of the loop."""
    app = App()

    @app.get("/")
    async def handler() -> str:
        await asyncio.sleep(0)
        return "first"

    @app.get("/blocks")
    async def blocks() -> str:
        await asyncio.sleep(0)
        alone.block()
        return "second"

    return app


@pytest.mark.parametrize("before", [1, 2, 5])
@pytest.mark.parametrize("make", [second_native, second_mounted, stream_then_native, later_step])
def test_a_response_does_not_wait_for_the_next_request_of_its_connection(
    options: dict[str, Any], make: Callable[[Alone], App], before: int
) -> None:
    """Requests of one read are handled one after the other."""
    alone = Alone()
    with serving(make(alone), **options) as served, H2Client.to(served) as client:
        client.settled()
        for _ in range(2):  # the second time more responses are expected than the first time
            alone.received.clear()
            *streams, blocks = at_once(client, *["/"] * before, "/blocks")
            assert all(b"first" in client.answer(stream).body for stream in streams)
            alone.received.set()
            assert alone.notes.next() is True
            assert b"second" in client.answer(blocks).body


@pytest.mark.parametrize("make", OWN)
def test_what_is_written_does_not_wait_for_its_own_handler(
    options: dict[str, Any], make: Callable[[Alone], Any]
) -> None:
    alone = Alone()
    with serving(make(alone), **options) as served, H2Client.to(served) as client:
        client.settled()
        stream = client.request()
        while True:
            assert client.read() is not None
            answer = client.answers.get(stream)
            if answer is not None and (answer.body or answer.heads[0].get("link")):
                break
        alone.received.set()
        assert alone.notes.next() is True
        assert client.answer(stream).reset is None


class Worker:
    """Two responses of the one thread of the pool: the first is handed to the loop while that is
    held up, and the second shows that it was. Then a callback blocks the loop."""

    def __init__(self, alone: Alone) -> None:
        self.alone = alone
        self.gate_entered, self.second_begun = threading.Event(), threading.Event()

    def work(self, path: str) -> str:
        if path == "/second":
            self.second_begun.set()
            return "second"
        self.gate_entered.wait(PATIENCE)
        return "first"

    def gate(self) -> None:
        self.gate_entered.set()
        self.second_begun.wait(PATIENCE)
        asyncio.get_running_loop().call_soon(self.alone.block)


def by_thread(worker: Worker) -> App:
    app = App()

    @app.get("/work/{name}")
    def work(name: str) -> str:
        return worker.work(f"/{name}")

    return app


def by_wsgi(worker: Worker) -> App:
    def inner(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [worker.work(environ["PATH_INFO"]).encode()]

    app = App()
    app.mount("/work", inner)
    return app


def check_worker(served: Served, alone: Alone) -> None:
    with H2Client.to(served) as client:
        client.settled()
        first, second = at_once(client, "/work/first", "/work/second")
        client.settled()
        gate = client.request("/gate")
        assert b"first" in client.answer(first).body
        alone.received.set()
        assert alone.notes.next() is True
        assert b"second" in client.answer(second).body
        assert client.answer(gate).status == 200


@pytest.mark.parametrize("make", [by_thread, by_wsgi])
def test_a_response_of_a_thread_does_not_wait_for_a_callback(
    options: dict[str, Any], make: Callable[[Worker], App]
) -> None:
    alone = Alone()
    worker = Worker(alone)
    app = make(worker)

    @app.get("/gate")
    async def gate() -> None:
        worker.gate()

    with serving(app, threads=1, **options) as served:
        check_worker(served, alone)


@pytest.mark.parametrize("count", [3, 40])
def test_the_bytes_are_whole_and_in_order(options: dict[str, Any], count: int) -> None:
    app = App()

    @app.get("/{number}")
    async def handler(number: int) -> str:
        return f"{number}" * number

    with serving(app, **options) as served, H2Client.to(served) as client:
        client.settled()
        for _ in range(3):
            streams = at_once(client, *(f"/{number}" for number in range(count)))
            for number, stream in enumerate(streams):
                assert client.answer(stream).body == f'"{str(number) * number}"'.encode()
