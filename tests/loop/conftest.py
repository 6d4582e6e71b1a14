"""Every test that takes `loop` runs on asyncio's loop and on Fluvial's; `fluvial_loop` is ours.

Under the sanitizer on ours alone: it sees nothing of asyncio's, and what asyncio does is compared
with in every other run.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from fluvial._loop import Loop
from support.sanitizer import SANITIZED
from support.tls import Contexts, make_client_context, make_server_context

if TYPE_CHECKING:
    import ssl

    from support.certificate import Certificate


LOOPS = {"asyncio": asyncio.SelectorEventLoop, "fluvial": Loop}
if SANITIZED:
    del LOOPS["asyncio"]


@pytest.fixture(params=LOOPS.values(), ids=LOOPS)
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


@pytest.fixture
def server_context(certificate: Certificate) -> ssl.SSLContext:
    return make_server_context(certificate)


@pytest.fixture
def client_context(certificate: Certificate) -> ssl.SSLContext:
    return make_client_context(certificate)


@pytest.fixture
def tls(server_context: ssl.SSLContext, client_context: ssl.SSLContext) -> Contexts:
    return Contexts(server_context, client_context)


def shut(loop: asyncio.AbstractEventLoop) -> None:
    if not loop.is_closed():
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()
    asyncio.set_event_loop(None)
