"""What this process's epoll sets watch, as the kernel tells in /proc."""

from __future__ import annotations

import os
import re
from contextlib import suppress


def epoll_sets() -> dict[int, list[int]]:
    """The numbers that each set watches, by the set's own number. A number occurs twice when it
    was closed and given to another file while the old one stays open elsewhere."""
    return {
        fd: [int(number) for number in re.findall(r"^tfd: +(\d+)", _read(fd), re.MULTILINE)]
        for fd in map(int, os.listdir("/proc/self/fd"))
        if _kind(fd) == "anon_inode:[eventpoll]"
    }


def times_watched(number: int) -> int:
    """How often a descriptor's number is watched in all sets together."""
    return sum(numbers.count(number) for numbers in epoll_sets().values())


def waits_for_users() -> bool:
    """Whether there is a loop that waits in the set of users' descriptors, which contains libuv's
    (the one with the eventfd that wakes it)."""
    sets = epoll_sets()
    inner = [number for numbers in sets.values() for number in numbers if number in sets]
    return any(_kind(n) == "anon_inode:[eventfd]" for fd in inner for n in sets[fd])


def _kind(fd: int) -> str:
    with suppress(OSError):
        return os.readlink(f"/proc/self/fd/{fd}")
    return ""


def _read(fd: int) -> str:
    with suppress(OSError), open(f"/proc/self/fdinfo/{fd}") as file:
        return file.read()
    return ""
