"""The memory in which a server's processes count; ext/http/metrics.h says what is where.

A parent hands it on to the one that takes its place (SIGUSR2), so that both count in it as long as
both serve. Each slot says whose it is.
"""

from __future__ import annotations

import contextlib
import fcntl
import mmap
import os
import zlib
from collections.abc import Iterator

from .. import _core

_WORD = 8
LAYOUT: dict[str, int] = _core.metrics_layout()
# Words of the head that the parents write.
_STARTS, _RESTARTS, _STOPPING, _KIND = (LAYOUT["parent"] + n for n in range(4))
SPARE_SLOTS = 32  # for workers that TTIN or SIGHUP adds, and for those that take others' places
# What must be the same for two versions of Fluvial that use the same memory.
KIND = zlib.crc32(repr((sorted(LAYOUT.items()), _core.metrics_bounds())).encode())


class MetricsMemory:
    """Slots for workers. It is made before they are forked, and has no name in any file system.

    `fd` is the memory of a parent whose place this one takes, as its `fd`; then what both have
    counted stands in it. Raises: ValueError when it is of another kind, or has another number of
    series.
    """

    def __init__(self, slots: int, series: int, fd: int = -1) -> None:
        self.slots = slots
        self._series = series
        self._owner = os.getpid()
        self.fd = fd if fd >= 0 or slots == 1 else _make_file()  # one process has no successor
        if fd >= 0:
            self._join(slots)
            return
        self._map()
        self.words[LAYOUT["capacity"]] = series
        self.words[LAYOUT["slots"]] = slots
        self.words[_KIND] = KIND
        self._enter_other()

    def _join(self, slots: int) -> None:
        """Uses what is in `fd`, and adds slots if there are too few that are free."""
        head = memoryview(os.pread(self.fd, LAYOUT["head"] * _WORD, 0)).cast("Q")
        if head[_KIND] != KIND or head[LAYOUT["capacity"]] != self._series:
            raise ValueError("the memory is of another kind")
        with self._locked():
            self.slots = head[LAYOUT["slots"]]
            self._map()
            free = sum(not self.words[self.at(n) + LAYOUT["owner"]] for n in range(self.slots))
            if free < slots:
                self.slots += slots - free
                os.ftruncate(self.fd, self._size())
                self._map()
                self.words[LAYOUT["slots"]] = self.slots

    def _size(self) -> int:
        return _core.metrics_size(self.slots, self._series)

    def _map(self) -> None:
        size = self._size()
        if self.fd >= 0 and os.fstat(self.fd).st_size < size:
            os.ftruncate(self.fd, size)
        self._memory = mmap.mmap(self.fd, size)
        self.words = memoryview(self._memory).cast("Q")

    def _enter_other(self) -> None:
        """Enters the first series, which counts what the others have no room for."""
        table = LAYOUT["head"] * _WORD
        other = b"other"
        entry = (1).to_bytes(4, "little") + bytes(2) + len(other).to_bytes(2, "little")
        entry += other.ljust(LAYOUT["method"], b"\0") + other
        self._memory[table : table + len(entry)] = entry
        self.words[LAYOUT["entered"]] = 1

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """No other parent takes or releases a slot meanwhile."""
        if self.fd < 0:
            yield
            return
        fcntl.lockf(self.fd, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.lockf(self.fd, fcntl.LOCK_UN)

    # ---- The parent's ---------------------------------------------------------------------------

    def take(self) -> int:
        """A free slot for a worker that is about to start; -1: there is none."""
        with self._locked():
            self.words[_STARTS] += 1
            for slot in range(self.slots):
                if not self.words[self.at(slot) + LAYOUT["owner"]]:
                    self._set(slot, "owner", self._owner)
                    return slot
        return -1

    def give_back(self, slot: int) -> None:
        """Releases a slot, whose worker has ended: it counts on, but no longer has anything."""
        if slot >= 0:
            self._clear(slot)
            self._set(slot, "owner", 0)

    def clear_strays(self) -> bool:
        """Releases what a parent has left that has ended without doing so; whether there may be
        more: workers that have outlived it."""
        more = False
        for slot in range(self.slots):
            owner, pid = (self.words[self.at(slot) + LAYOUT[name]] for name in ("owner", "pid"))
            if owner not in (0, self._owner):
                if _runs(owner) or _runs(pid):
                    more = True
                else:
                    self.give_back(slot)
        return more

    def note_restart(self) -> None:
        """Counts a worker that has taken another one's place."""
        with self._locked():
            self.words[_RESTARTS] += 1

    def note_stop(self) -> None:
        """Notes that the server as a whole is going to stop."""
        self.words[_STOPPING] = self._owner

    def close(self) -> None:
        """Closes the descriptor; the memory stays as long as this object."""
        if self.fd >= 0 and os.getpid() == self._owner:
            os.close(self.fd)
            self.fd = -1

    # ---- A worker's -----------------------------------------------------------------------------

    def begin(self, slot: int, threads: int) -> None:
        """Notes which process has the slot from now on."""
        self._clear(slot)
        self._set(slot, "pid", os.getpid())
        self._set(slot, "threads_most", threads)

    def set_ready(self, slot: int, ready: bool) -> None:
        """Notes whether the worker may get requests."""
        self._set(slot, "ready", int(ready))

    # ---- Anybody's ------------------------------------------------------------------------------

    def refresh(self) -> None:
        """Looks at the slots, too, that another parent has added."""
        if (slots := self.words[LAYOUT["slots"]]) > self.slots and self.fd >= 0:
            self.slots = slots
            self._map()

    @property
    def is_ready(self) -> bool:
        """Whether some worker may get requests, and the server isn't going to stop."""
        return self.words[_STOPPING] != self._owner and any(map(self._is_ready, self.used()))

    def _is_ready(self, slot: int) -> bool:
        return bool(self.words[self.at(slot) + LAYOUT["ready"]])

    @property
    def starts(self) -> int:
        """How many workers have been started."""
        return self.words[_STARTS]

    @property
    def restarts(self) -> int:
        """How many of them took the place of another one."""
        return self.words[_RESTARTS]

    def used(self) -> list[int]:
        """The slots that a process has."""
        return [n for n in range(self.slots) if self.words[self.at(n) + LAYOUT["pid"]]]

    def at(self, slot: int) -> int:
        """The index of a slot's first word."""
        size = LAYOUT["slot"] + self._series * LAYOUT["histogram"]
        return LAYOUT["head"] + self._series * LAYOUT["series"] + slot * size

    def _set(self, slot: int, name: str, value: int) -> None:
        self.words[self.at(slot) + LAYOUT[name]] = value

    def _clear(self, slot: int) -> None:
        at = self.at(slot)
        for index in range(at + LAYOUT["gauges"], at + LAYOUT["owner"]):
            self.words[index] = 0


def _make_file() -> int:
    """A descriptor of memory that other programs can share; -1 where there is no such thing."""
    try:
        return os.memfd_create("fluvial-metrics")
    except (AttributeError, OSError):
        return -1


def _runs(pid: int) -> bool:
    """Whether there is a process of this number."""
    try:
        if pid:
            os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        pass
    return pid != 0
