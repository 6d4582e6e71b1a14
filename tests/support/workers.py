"""The workers of a server that a test has started, by its log and by what they answer."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING

import httpx
from support.command import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.command import ServerProcess


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def workers_of(server: ServerProcess) -> set[int]:
    return {int(pid) for pid in re.findall(r"Started worker (\d+)", server.log)}


def pids_that_answer(server: ServerProcess, count: int) -> set[int]:
    found: set[int] = set()

    def ask() -> bool:
        try:
            found.add(httpx.get(f"{server.url}/pid", timeout=PATIENCE).json())
        except httpx.TransportError:
            return False
        return len(found) >= count

    until(ask)
    return found
