"""What anyio.from_thread needs to know of our threads: anyio notes it in those that it starts.

The names are private to anyio 4. Nothing is imported here: without anyio there is nothing to do.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    import asyncio

T = TypeVar("T")
MODULE = "anyio._core._eventloop"


def greet(loop: asyncio.AbstractEventLoop) -> None:
    """Tells anyio that the calling thread works for `loop`, if anyio has been imported."""
    known: Any = getattr(sys.modules.get(MODULE), "threadlocals", None)
    if known is None or getattr(known, "current_token", None) is not None:
        return
    from anyio._backends._asyncio import AsyncIOBackend
    from anyio.lowlevel import EventLoopToken

    known.current_token = EventLoopToken(AsyncIOBackend, loop)
    known.current_cancel_scope = None


def call_within(scope: Any, func: Callable[..., T], *args: Any) -> T:
    """Calls `func`; what it does by anyio.from_thread is cancelled when `scope` is."""
    known: Any = getattr(sys.modules[MODULE], "threadlocals", None)
    known.current_cancel_scope = scope
    try:
        return func(*args)
    finally:
        known.current_cancel_scope = None


def greeting(loop: asyncio.AbstractEventLoop) -> tuple[str, Any]:
    """The same for the threads of a _core.Pool."""
    return MODULE, partial(greet, loop)
