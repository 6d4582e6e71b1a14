"""How many processors this process may use: `--workers auto`."""

from __future__ import annotations

import contextlib
import math
import os
from pathlib import Path, PurePosixPath

_CGROUPS = Path("/sys/fs/cgroup")


def usable_cpus(cgroups: Path = _CGROUPS, own: Path = Path("/proc/self/cgroup")) -> int:
    """The processors of the affinity mask, or fewer where a cgroup limits their time; at least 1.

    A limit of 1.5 processors counts as two.
    """
    affinity = getattr(os, "sched_getaffinity", None)
    count = len(affinity(0)) if affinity is not None else os.cpu_count() or 1
    limit = _limit(cgroups, own)
    return max(1, count if limit is None else min(count, math.ceil(limit)))


def _limit(cgroups: Path, own: Path) -> float | None:
    """The least limit of the process's cgroups and those above them; None: there is none."""
    limits = [
        limit
        for version, path in _paths(own)
        for limit in _limits(cgroups, version, path)
        if limit is not None
    ]
    return min(limits, default=None)


def _paths(own: Path) -> list[tuple[int, PurePosixPath]]:
    """The versions and paths of this process's cgroups that may limit processors."""
    found = []
    with contextlib.suppress(OSError, ValueError):
        for line in own.read_text().splitlines():
            number, controllers, path = line.split(":", 2)
            if number == "0" and not controllers:
                found.append((2, PurePosixPath(path)))
            elif "cpu" in controllers.split(","):
                found.append((1, PurePosixPath(path)))
    return found


def _limits(cgroups: Path, version: int, path: PurePosixPath) -> list[float | None]:
    # In a container the path may be the host's, but what the container sees is its own group.
    roots = [cgroups] if version == 2 else [cgroups / "cpu", cgroups / "cpu,cpuacct"]
    folders = [root / str(each).lstrip("/") for root in roots for each in (path, *path.parents)]
    return [(_limit_2 if version == 2 else _limit_1)(folder) for folder in folders]


def _limit_2(folder: Path) -> float | None:
    with contextlib.suppress(OSError, ValueError):
        quota, period = (folder / "cpu.max").read_text().split()
        return None if quota == "max" else int(quota) / int(period)
    return None


def _limit_1(folder: Path) -> float | None:
    with contextlib.suppress(OSError, ValueError):
        quota = int((folder / "cpu.cfs_quota_us").read_text())
        period = int((folder / "cpu.cfs_period_us").read_text())
        return None if quota <= 0 else quota / period
    return None
