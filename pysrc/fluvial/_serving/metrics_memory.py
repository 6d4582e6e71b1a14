"""The memory in which a server's processes count; ext/http/metrics.h says what is where."""

from __future__ import annotations

import mmap
import os

from .. import _core

_WORD = 8
LAYOUT: dict[str, int] = _core.metrics_layout()
# Words of the head that the parent writes.
_STARTS, _RESTARTS, _STOPPING = (LAYOUT["parent"] + n for n in range(3))
SPARE_SLOTS = 32  # for workers that TTIN or SIGHUP adds, and for those that take others' places


class MetricsMemory:
    """Slots for workers. It is made before they are forked, and no file holds it."""

    def __init__(self, slots: int, series: int) -> None:
        self.slots = slots
        size = _core.metrics_size(slots, series)
        self._memory = mmap.mmap(-1, size)
        self.words = memoryview(self._memory).cast("Q")
        self.words[LAYOUT["capacity"]] = series
        self.words[LAYOUT["slots"]] = slots
        self._enter_other()
        self._free = list(range(slots - 1, -1, -1))

    def _enter_other(self) -> None:
        """Enters the first series, which counts what the others have no room for."""
        table = LAYOUT["head"] * _WORD
        other = b"other"
        entry = (1).to_bytes(4, "little") + bytes(2) + len(other).to_bytes(2, "little")
        entry += other.ljust(LAYOUT["method"], b"\0") + other
        self._memory[table : table + len(entry)] = entry
        self.words[LAYOUT["entered"]] = 1

    # ---- The parent's ---------------------------------------------------------------------------

    def take(self) -> int:
        """A free slot for a worker that is about to start; -1: there is none."""
        slot = self._free.pop() if self._free else -1
        self.words[_STARTS] += 1
        return slot

    def give_back(self, slot: int) -> None:
        """Releases a slot, whose worker has ended: it counts on, but no longer has anything."""
        if slot >= 0:
            self._clear(slot)
            self._free.append(slot)

    def note_restart(self) -> None:
        """Counts a worker that has taken another one's place."""
        self.words[_RESTARTS] += 1

    def note_stop(self) -> None:
        """Notes that the server as a whole is going to stop."""
        self.words[_STOPPING] = 1

    # ---- A worker's -----------------------------------------------------------------------------

    def begin(self, slot: int, threads: int) -> None:
        """Notes who has the slot from now on."""
        self._clear(slot)
        self._set(slot, "pid", os.getpid())
        self._set(slot, "threads_most", threads)

    def set_ready(self, slot: int, ready: bool) -> None:
        """Notes whether the worker may get requests."""
        self._set(slot, "ready", int(ready))

    # ---- Anybody's ------------------------------------------------------------------------------

    @property
    def is_ready(self) -> bool:
        """Whether some worker may get requests, and the server isn't going to stop."""
        return not self.words[_STOPPING] and any(map(self._is_ready, self.used()))

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
        series = self.words[LAYOUT["capacity"]]
        size = LAYOUT["slot"] + series * LAYOUT["histogram"]
        return LAYOUT["head"] + series * LAYOUT["series"] + slot * size

    def _set(self, slot: int, name: str, value: int) -> None:
        self.words[self.at(slot) + LAYOUT[name]] = value

    def _clear(self, slot: int) -> None:
        at = self.at(slot)
        for index in range(at + LAYOUT["gauges"], at + LAYOUT["slot"]):
            self.words[index] = 0
