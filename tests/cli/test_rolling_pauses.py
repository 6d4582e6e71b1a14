"""How often workers that are to replace others are started when they fail."""

from __future__ import annotations

import errno
import itertools
import os
import signal
from types import SimpleNamespace
from typing import Any

import pytest
from fluvial._serving import rolling, stacks, supervisor
from fluvial._serving.supervisor import Place, Supervisor
from support.rolling import make_rolling

pytestmark = pytest.mark.own_process


class Clock:
    """time.monotonic() that a test moves on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        fake = SimpleNamespace(monotonic=lambda: self.now)
        monkeypatch.setattr(rolling, "time", fake)
        monkeypatch.setattr(supervisor, "time", fake)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def work(held: Any, supervised: Any) -> int:
    raise AssertionError("no process is started here")


def make_aged(**options: Any) -> tuple[rolling.Rolling, Place]:
    """A supervisor whose one worker, which serves, has lived for long enough."""
    made = make_rolling(work, workers=2, max_lifetime=1, **options)
    place = Place(pid=os.getpid(), started=0.0, ready=True, cell=made._cells.take())
    made._places[:] = [place]
    return made, place


def test_replacements_that_fail_are_tried_ever_more_seldom(
    monkeypatch: pytest.MonkeyPatch, clock: Clock
) -> None:
    made, place = make_aged()
    starts: list[float] = []

    def start(self: Supervisor, coming: Place, held: Any) -> None:
        starts.append(clock.now)
        coming.pid = 2

    monkeypatch.setattr(Supervisor, "_start", start)
    while clock.now < 1100:
        made._look_after([])
        for coming in list(made._coming.values()):
            made._ended(coming, 1)
        clock.now += 0.1
    pauses = [round(b - a) for a, b in itertools.pairwise(starts)]
    assert pauses[1:5] == [1, 2, 4, 8], pauses
    assert set(pauses[5:]) == {10}
    assert place.pid == os.getpid()


def test_a_process_that_cannot_be_made_is_tried_again_later(
    monkeypatch: pytest.MonkeyPatch, clock: Clock
) -> None:
    """The workers that serve stay, and so does the parent."""

    def fork() -> int:
        raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    monkeypatch.setattr(os, "fork", fork)
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    made, place = make_aged()
    made._look_after([])
    assert made._coming == {}
    assert (place.pid, place.ready) == (os.getpid(), True)
    empty = Place()
    made._places.append(empty)
    made._served = True
    made._start_due([])
    assert (empty.pid, empty.cell) == (0, -1)
    assert empty.due > clock.now
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == mask


def test_retired_workers_are_killed_while_the_server_stops(
    monkeypatch: pytest.MonkeyPatch, clock: Clock
) -> None:
    """Their time comes, too; else the parent would wait for it without a pause."""
    made, place = make_aged(graceful_timeout=1)
    killed: list[tuple[int, int]] = []
    monkeypatch.setattr(rolling, "_kill", lambda pid, number: killed.append((pid, number)))
    old = Place(pid=77, ready=True)
    made._retire(old, signal.SIGTERM)
    made._stopping = True
    clock.now += 60
    made._look_after([])
    assert killed == [(77, signal.SIGTERM), (77, signal.SIGKILL)]
    assert min(made._times()) > clock.now
    assert place.pid == os.getpid()


def test_a_replacement_that_does_not_start_holds_up_no_other(
    monkeypatch: pytest.MonkeyPatch, clock: Clock
) -> None:
    """It writes its stacks and is killed; then the other worker has its turn."""
    made, first = make_aged(startup_timeout=60)
    second = Place(pid=os.getpid(), started=0.0, ready=True, cell=made._cells.take())
    made._places.append(second)
    starts: list[float] = []
    killed: list[tuple[int, int]] = []

    def start(self: Supervisor, coming: Place, held: Any) -> None:
        starts.append(clock.now)
        coming.pid, coming.started = 77, clock.now

    monkeypatch.setattr(Supervisor, "_start", start)
    monkeypatch.setattr(rolling, "_kill", lambda pid, number: killed.append((pid, number)))
    made._look_after([])
    (coming,) = made._coming.values()
    clock.now += 59
    made._look_after([])
    assert killed == []
    assert min(made._times()) <= clock.now + 1
    for _ in range(2):
        clock.now += 1
        made._look_after([])
    assert killed == [(77, stacks.SIGNAL), (77, signal.SIGKILL)]
    made._ended(coming, -9)
    clock.now += 60
    made._look_after([])
    assert len(starts) == 2
    assert (first.pid, second.pid) == (os.getpid(), os.getpid())
