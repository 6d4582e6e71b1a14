"""What a worker reports to its supervisor: its start, its loop's turns, and its requests."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

from .worker_cells import note_requests, pulse_of

if TYPE_CHECKING:
    from .._loop import Loop
    from .server import Service
    from .supervisor import Supervised

# What asks a worker to end when another one has taken its place. Its default is to do nothing.
RETIRE = signal.SIGWINCH
_BEAT = 0.5  # seconds between two beats of the pulse
_COUNT = 0.5  # seconds between two reports of the number of requests


def report(supervised: Supervised, loop: Loop, service: Service) -> None:
    """Tells the supervisor that this worker is ready, and begins to report. On the loop."""
    if supervised.cell is not None:
        loop._pulse(pulse_of(supervised.cell), _BEAT)
        _report_requests(supervised.cell, loop, service)
    supervised.tell_ready()


def _report_requests(cell: memoryview, loop: Loop, service: Service) -> None:
    if not service.is_over:
        note_requests(cell, service.server.stats()["requests"])
        loop.call_later(_COUNT, _report_requests, cell, loop, service)
