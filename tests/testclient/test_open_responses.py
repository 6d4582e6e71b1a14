"""The end of a client while responses are still open."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any

import fluvial
import pytest
from fluvial import App, StreamingResponse
from fluvial.testclient import AsyncClient, TestClient

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

PATHS = ["/waits", "/endless", "/thread"]


@pytest.fixture
def ended() -> list[str]:
    return []


@pytest.fixture
def app(ended: list[str]) -> App:
    app = App()

    async def waiting() -> AsyncIterator[bytes]:
        try:
            yield b"first"
            await asyncio.Event().wait()
        finally:
            ended.append("/waits")

    async def endless() -> AsyncIterator[bytes]:
        try:
            while True:
                yield b"more" * 1000
        finally:
            ended.append("/endless")

    def thread() -> Iterator[bytes]:
        try:
            while True:
                yield b"more" * 1000
        finally:
            ended.append("/thread")

    for path, pieces in zip(PATHS, (waiting, endless, thread), strict=True):
        app.get(path)(make_handler(pieces))
    return app


def make_handler(pieces: Any) -> Any:
    def handler() -> StreamingResponse:
        return StreamingResponse(pieces())

    return handler


def threads() -> set[threading.Thread]:
    return {each for each in threading.enumerate() if each.name == "fluvial-testclient"}


def test_the_end_of_the_block_closes_them(app: App, ended: list[str]) -> None:
    before = threads()
    with TestClient(app) as client:
        opened = [client.send(client.build_request("GET", path), stream=True) for path in PATHS]
        readers = [response.iter_raw() for response in opened]
        assert all(map(next, readers))
        assert ended == []
    assert sorted(ended) == sorted(PATHS)
    assert threads() == before
    for response in opened:
        response.close()  # nothing is left to be done, and nothing is raised


@pytest.mark.parametrize("loop", [asyncio.new_event_loop, fluvial.Loop])
def test_that_of_an_async_client_too(app: App, ended: list[str], loop: Any) -> None:
    async def main() -> None:
        async with AsyncClient(app) as client:
            asked = [client.build_request("GET", path) for path in PATHS]
            opened = [await client.send(each, stream=True) for each in asked]
            assert ended == []
        assert sorted(ended) == sorted(PATHS)
        for response in opened:
            await response.aclose()

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(main())


def test_what_the_app_raised_meanwhile_is_raised_when_they_are_closed() -> None:
    app = App()

    @app.get("/")
    async def fail() -> StreamingResponse:
        async def pieces() -> AsyncIterator[bytes]:
            yield b"first"
            try:
                await asyncio.Event().wait()
            finally:
                raise ValueError("in the end")

        return StreamingResponse(pieces())

    with TestClient(app) as client:
        response = client.send(client.build_request("GET", "/"), stream=True)
    with pytest.raises(ValueError, match="in the end"):
        response.close()
