"""Clean-ups of dependencies within cancel scopes of anyio's, which cancel at every await."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, Literal

import anyio
import pytest
from fluvial import App, Depends, StreamingResponse

SCOPE = {
    "type": "http",
    "method": "GET",
    "path": "/",
    "headers": [],
    "query_string": b"",
    "http_version": "1.1",
}
Scope = Literal["function", "request"]


async def receive() -> Any:
    await asyncio.Event().wait()


async def send(message: Any) -> None:
    await asyncio.sleep(0)


@pytest.mark.parametrize("scope", ["function", "request"])
@pytest.mark.parametrize("cancels", ["handler", "clean-up", "nobody"])
def test_clean_up_comes_to_its_end(scope: Scope, cancels: str) -> None:
    events: list[str] = []

    async def main() -> bool:
        outer = anyio.CancelScope()

        async def plain() -> AsyncIterator[None]:
            try:
                yield
            finally:
                if cancels == "clean-up":
                    outer.cancel()
                await asyncio.sleep(0)
                await asyncio.sleep(0)
                events.append("cleaned up")

        app = App()

        @app.get("/")
        async def handler(_: None = Depends(plain, scope=scope)) -> str:
            if cancels == "handler":
                outer.cancel()
                await asyncio.sleep(0)
            return "done"

        with anyio.fail_after(20), outer:
            await app(dict(SCOPE), receive, send)
        return outer.cancelled_caught

    caught = asyncio.run(main())
    assert events == ["cleaned up"]
    if cancels != "clean-up":  # there, it is late: the response may be complete before it
        assert caught is (cancels == "handler")


def test_a_response_can_still_be_cancelled() -> None:
    events: list[str] = []

    async def main() -> bool:
        outer = anyio.CancelScope()

        async def dependency() -> AsyncIterator[None]:
            yield
            await asyncio.sleep(0)
            events.append("cleaned up")

        async def pieces() -> AsyncIterator[bytes]:
            yield b"first"
            outer.cancel()
            await asyncio.sleep(0)
            events.append("not reached")

        app = App()

        @app.get("/")
        async def handler(_: None = Depends(dependency)) -> StreamingResponse:
            return StreamingResponse(pieces())

        with anyio.fail_after(20), outer:
            await app(dict(SCOPE), receive, send)
        return outer.cancelled_caught

    assert asyncio.run(main())
    assert events == ["cleaned up"]
