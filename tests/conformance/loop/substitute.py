"""Puts another event loop in the place of asyncio's own, for tests that make theirs by
`asyncio.SelectorEventLoop(selector)`, `asyncio.EventLoop()`, `asyncio.new_event_loop()`,
`asyncio.run()` and the like.

Nothing undoes `install`: it is meant for a process of its own. Loops of asyncio's own that are
made all the same are counted, too, so that the caller can refuse them.
"""

from __future__ import annotations

import asyncio
import importlib
from asyncio import unix_events
from dataclasses import dataclass
from typing import Any

# Where each loop is found. asyncio's own shows what the tests themselves are worth here.
LOOPS = {
    "fluvial": "fluvial:Loop",
    "asyncio": "asyncio:SelectorEventLoop",
}


@dataclass(slots=True)
class Count:
    """How many loops were made in this process: of the class that is judged, and others."""

    judged: int = 0
    stock: int = 0


def install(name: str) -> Count:
    """Makes the loop `name`, a key of LOOPS, asyncio's default, and counts from now on."""
    module, _, attribute = LOOPS[name].partition(":")
    base = getattr(importlib.import_module(module), attribute)
    count = Count()
    if name != "asyncio":
        _watch_stock(base, count)
    judged = _counted(base, count)
    for place in (asyncio, unix_events):
        for attribute in ("SelectorEventLoop", "EventLoop"):
            if hasattr(place, attribute):
                setattr(place, attribute, judged)
    for attribute in ("_UnixDefaultEventLoopPolicy", "_DefaultEventLoopPolicy"):
        if policy := getattr(unix_events, attribute, None):
            policy._loop_factory = judged
    if name == "fluvial":
        # A few tests take asyncio's abstract base and mock what it lacks; a whole loop will do.
        asyncio.BaseEventLoop = judged  # type: ignore[misc, assignment]
    return count


def _counted(base: type, count: Count) -> type:
    """`base`, taking the argument that asyncio's loop takes."""

    class Loop(base):  # type: ignore[misc, valid-type]
        def __init__(self, selector: Any = None) -> None:
            if selector is not None:
                selector.close()
            super().__init__()
            count.judged += 1

    return Loop


def _watch_stock(judged: type, count: Count) -> None:
    """Counts the loops of asyncio's own class that are not `judged`."""
    stock = unix_events._UnixSelectorEventLoop  # type: ignore[attr-defined]
    init = stock.__init__

    def counting_init(self: Any, selector: Any = None) -> None:
        if not isinstance(self, judged):
            count.stock += 1
        init(self, selector)

    stock.__init__ = counting_init
