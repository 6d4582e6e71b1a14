"""Whether work that is repeated leaves something behind."""

from __future__ import annotations

import gc
import operator
import os
import sys
import time
from collections.abc import Callable

ATTEMPTS = 3  # a leak grows each time; a thread that the load calls for, once
PATIENCE = 10  # seconds for connections and tasks to end


def figures() -> tuple[int, int, int]:
    """Objects that the collector knows, blocks of Python's allocator, descriptors."""
    gc.collect()
    return len(gc.get_objects()), sys.getallocatedblocks(), len(os.listdir("/proc/self/fd"))


def settled(limits: tuple[int, int, int]) -> tuple[int, int, int]:
    """What is left when connections and tasks have had time to end."""
    deadline = time.monotonic() + PATIENCE
    while True:
        found = figures()
        if all(map(operator.le, found, limits)) or time.monotonic() > deadline:
            return found
        time.sleep(0.02)


def assert_flat(one_round: Callable[[], None], *, rounds: int, few: int) -> None:
    """Repeats the round: at most `few` objects or blocks of memory more, and no descriptor."""
    _, _, idle = figures()
    one_round()
    found = [settled((sys.maxsize, sys.maxsize, idle))]
    for _ in range(ATTEMPTS):
        limits = (found[-1][0] + few, found[-1][1] + few, idle)
        for _ in range(rounds):
            one_round()
        found.append(settled(limits))
        if all(map(operator.le, found[-1], limits)):
            return
    raise AssertionError(f"objects, blocks and descriptors grow: {found}")
