"""The policy of how many workers may be busy, shown what a monitor would see."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import pytest
from support import probe as native_probe

if TYPE_CHECKING:
    from types import ModuleType

LOOK = 2_000_000  # ns between two looks


@pytest.fixture(scope="module")
def probe(tmp_path_factory: pytest.TempPathFactory) -> ModuleType:
    return native_probe.load(tmp_path_factory.mktemp("probe"))


class Watched:
    """A Limit, and the looks it is shown. CPU use is given in percent of one core."""

    def __init__(self, probe: ModuleType, *, size: int = 64, cores: int = 1) -> None:
        self.probe = probe
        self.state: Any
        self.state, self.value = probe.limit_init(size, cores)

    def look(
        self,
        *,
        workers: float = 0,
        top: float | None = None,
        loop: float = 0,
        loop_waits: int = 0,
        busy: int | None = None,
        blocked: int = 0,
        hot: int = 0,
        queued: int = 0,
        left: int | None = None,
        elapsed: int = LOOK,
    ) -> int:
        busy = self.value if busy is None else busy
        top = workers / (1 if hot else max(1, busy)) if top is None else top
        times = (*(int(cpu * elapsed / 100) for cpu in (workers, top, loop)), loop_waits)
        left = queued if left is None else left
        look = (elapsed, *times, busy, blocked, hot, queued, left)
        self.state, self.value = self.probe.limit_look(self.state, look)
        return self.value

    def looks_until(self, value: int, most: int, **look: Any) -> int:
        """How many looks it takes until the limit is `value`."""
        for count in range(1, most + 1):
            if self.look(**look) == value:
                return count
        raise AssertionError(f"{self.value} after {most} looks, not {value}")


def test_begins_with_one(probe: ModuleType) -> None:
    assert Watched(probe).value == 1


def test_jobs_that_block_get_all_threads_soon(probe: ModuleType) -> None:
    """64 jobs that sleep 10 ms: two looks to be sure, then one for each doubling."""
    limit = Watched(probe)
    assert limit.looks_until(64, most=8, workers=5, loop=10, queued=60) <= 8


def test_an_empty_queue_never_grows(probe: ModuleType) -> None:
    limit = Watched(probe)
    assert {limit.look(busy=1) for _ in range(100)} == {1}


def test_waits_for_workers_that_are_on_their_way(probe: ModuleType) -> None:
    limit = Watched(probe)
    limit.looks_until(2, most=5, queued=50)
    assert {limit.look(busy=1, queued=50) for _ in range(100)} == {2}


def test_a_single_idle_look_is_no_reason(probe: ModuleType) -> None:
    """The CPU may have been taken by another process."""
    limit = Watched(probe)
    for _ in range(100):
        assert limit.look(queued=8) == 1
        assert limit.look(workers=95, hot=1, queued=8) == 1


def test_jobs_that_compute_stay_alone_on_one_core(probe: ModuleType) -> None:
    limit = Watched(probe)
    for turn in range(1000):
        loop_has_gil = turn % 5 < 2
        workers, loop = (0, 95) if loop_has_gil else (95, 2)
        assert limit.look(workers=workers, loop=loop, hot=1, queued=8) == 1


def test_a_queue_that_moves_grows_slowly(probe: ModuleType) -> None:
    """Short jobs pass through; that some wait at any moment means little."""
    limit = Watched(probe)
    assert limit.looks_until(2, most=20, workers=15, queued=3, left=0) > 4


def test_short_jobs_in_one_worker_are_no_reason(probe: ModuleType) -> None:
    limit = Watched(probe)
    assert {limit.look(workers=45, loop=50, queued=30) for _ in range(500)} == {1}
    assert {limit.look(workers=30, loop=25, queued=30) for _ in range(500)} == {1}


def test_a_full_core_needs_no_more_workers(probe: ModuleType) -> None:
    """Jobs that block shortly, many times a second."""
    limit = Watched(probe)
    limit.looks_until(8, most=8, workers=5, loop=10, queued=60)
    assert {limit.look(workers=55, loop=43, queued=40) for _ in range(500)} == {8}
    assert limit.looks_until(64, most=60, workers=50, loop=35, queued=40)


def test_jobs_that_block_grow_beside_a_busy_loop(probe: ModuleType) -> None:
    limit = Watched(probe)
    count = limit.looks_until(64, most=60, workers=2, loop=97, queued=60)
    assert count > 6, "longer than a turn of the GIL: one that waits for it looks the same"


def test_blocked_workers_do_not_count(probe: ModuleType) -> None:
    limit = Watched(probe)
    assert limit.look(workers=95, hot=1, busy=9, blocked=8, queued=3) == 9
    assert limit.look(workers=95, hot=1, busy=64, blocked=64, queued=3) == 64


def test_shrinks_while_the_loop_starves(probe: ModuleType) -> None:
    limit = Watched(probe)
    limit.looks_until(64, most=8, queued=60)
    starving = {"workers": 98, "loop_waits": 3 * LOOK, "hot": 3, "queued": 9, "busy": 8}
    assert limit.looks_until(1, most=6, **starving) <= 6


def test_shrinks_to_no_less_than_the_blocked_and_one(probe: ModuleType) -> None:
    limit = Watched(probe)
    limit.looks_until(64, most=8, queued=60)
    starving = {"workers": 98, "loop_waits": 3 * LOOK, "hot": 3, "busy": 30, "blocked": 20}
    for _ in range(50):
        limit.look(**starving)
    assert limit.value == 21


@pytest.mark.parametrize(
    "look",
    [
        {"workers": 98, "hot": 3, "loop_waits": 0},
        {"workers": 98, "hot": 3, "loop_waits": LOOK // 2},
        {"workers": 98, "hot": 1, "loop_waits": 3 * LOOK},
        {"workers": 98, "hot": 0, "loop_waits": 3 * LOOK},
    ],
    ids=["loop-rests", "loop-waits-shortly", "one-computes", "none-computes"],
)
def test_does_not_shrink_without_need(probe: ModuleType, look: dict[str, Any]) -> None:
    limit = Watched(probe)
    limit.looks_until(64, most=8, queued=60)
    assert {limit.look(**look) for _ in range(100)} == {64}


def test_work_without_the_gil_gets_all_cores_and_no_more(probe: ModuleType) -> None:
    limit = Watched(probe, cores=4)
    for _ in range(1000):
        limit.look(workers=min(limit.value, 4) * 98, hot=min(limit.value, 4), queued=8)
    assert limit.value == 4


def test_work_with_the_gil_is_tried_in_parallel_ever_less(probe: ModuleType) -> None:
    limit = Watched(probe, cores=4)
    seconds = 30 * 500
    tried = 0
    for _ in range(seconds):
        value = limit.look(workers=98, hot=limit.value, queued=8)
        tried += value > 1
        assert value <= 2
    assert 0 < tried < seconds / 100
    assert limit.value == 1


def test_a_trial_gives_the_extra_worker_time_to_begin(probe: ModuleType) -> None:
    limit = Watched(probe, cores=2)
    limit.looks_until(2, most=100, workers=98, hot=1, queued=8)
    assert {limit.look(workers=98, hot=1, queued=8) for _ in range(3)} == {2}
    assert {limit.look(workers=196, hot=2, queued=8) for _ in range(60)} == {2}


def test_a_trial_that_gains_little_is_over(probe: ModuleType) -> None:
    limit = Watched(probe, cores=2)
    limit.looks_until(2, most=100, workers=98, hot=1, queued=8)
    limit.looks_until(1, most=5, workers=110, hot=2, queued=8)


def test_trials_go_on_after_minutes_in_vain(probe: ModuleType) -> None:
    limit = Watched(probe, cores=2)
    for _ in range(2 * 60 * 500):
        limit.look(workers=98, hot=limit.value, queued=8)
    limit.looks_until(2, most=2600, workers=98, hot=1, queued=8)


def test_a_trial_ends_when_the_loop_starves(probe: ModuleType) -> None:
    limit = Watched(probe, cores=2)
    limit.looks_until(2, most=100, workers=98, hot=1, queued=8)
    starving = {"workers": 98, "loop_waits": 2 * LOOK, "hot": 2, "queued": 8}
    assert limit.looks_until(1, most=2, **starving) == 2
    assert {limit.look(workers=98, hot=1, queued=8) for _ in range(60)} == {1}


def test_stays_in_bounds_whatever_it_sees(probe: ModuleType) -> None:
    chance = random.Random(20)
    for _ in range(50):
        size, cores = chance.choice([1, 2, 7, 64]), chance.choice([1, 2, 16])
        limit = Watched(probe, size=size, cores=cores)
        for _ in range(500):
            busy = chance.randint(0, size)
            blocked = chance.randint(0, busy)
            queued = chance.choice([0, 1, 50])
            limit.look(
                workers=chance.choice([0, 10, 50, 100, 300]),
                top=chance.choice([0, 50, None]),
                loop=chance.choice([0, 50, 100]),
                loop_waits=chance.choice([0, LOOK, 9 * LOOK]),
                busy=busy,
                blocked=blocked,
                hot=chance.randint(0, busy),
                queued=queued,
                left=chance.randint(0, queued),
                elapsed=chance.choice([LOOK, 5 * LOOK, 1]),
            )
            assert 1 <= limit.value <= size
