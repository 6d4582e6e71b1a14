"""Every test that takes `loop` runs on asyncio's loop and on Fluvial's; `fluvial_loop` is ours."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from fluvial._loop import Loop


@pytest.fixture(params=[asyncio.SelectorEventLoop, Loop], ids=["asyncio", "fluvial"])
def loop(request: pytest.FixtureRequest) -> Iterator[asyncio.AbstractEventLoop]:
    loop = request.param()
    asyncio.set_event_loop(loop)
    yield loop
    shut(loop)


@pytest.fixture
def fluvial_loop() -> Iterator[Loop]:
    loop = Loop()
    asyncio.set_event_loop(loop)
    yield loop
    shut(loop)


def shut(loop: asyncio.AbstractEventLoop) -> None:
    if not loop.is_closed():
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()
    asyncio.set_event_loop(None)
