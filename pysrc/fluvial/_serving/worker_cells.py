"""Memory that a supervisor shares with its workers: their loops' pulses, their requests."""

from __future__ import annotations

import mmap

_SIZE = 64  # bytes of a cell, a cache line
_PULSE, _REQUESTS = 0, 1  # indices of the numbers in a cell, of 8 bytes each


class WorkerCells:
    """Cells for `count` workers. It must be made before they are forked."""

    def __init__(self, count: int) -> None:
        self._numbers = memoryview(mmap.mmap(-1, count * _SIZE)).cast("Q")
        self._free = list(range(count))

    def take(self) -> int:
        """A cell's number; the cell is zeroed."""
        cell = self._free.pop()
        self.view(cell)[:] = memoryview(bytes(_SIZE)).cast("Q")
        return cell

    def give_back(self, cell: int) -> None:
        """Releases a cell, whose worker has ended."""
        self._free.append(cell)

    def view(self, cell: int) -> memoryview:
        """The numbers of a cell."""
        each = _SIZE // 8
        return self._numbers[cell * each : (cell + 1) * each]

    def pulse(self, cell: int) -> float:
        """When the worker's loop last ran, by time.monotonic(); 0.0: never."""
        return float(self.view(cell)[_PULSE]) / 1e9

    def requests(self, cell: int) -> int:
        """How many requests the worker has had."""
        return int(self.view(cell)[_REQUESTS])


def pulse_of(cell: memoryview) -> memoryview:
    """The part of a worker's own cell that its loop writes to."""
    return cell[_PULSE : _PULSE + 1]


def note_requests(cell: memoryview, count: int) -> None:
    """Writes the number of requests into a worker's own cell."""
    cell[_REQUESTS] = count
