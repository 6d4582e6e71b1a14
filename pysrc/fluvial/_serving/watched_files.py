"""Which files a server is started again for, when they change."""

from __future__ import annotations

import contextlib
import fnmatch
import json
import os
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from watchfiles import Change

INCLUDED = ("*.py", "*.pyx", "*.pyd")
_TIMEOUT = 500  # milliseconds without a change, after the first of which watching has begun

# The clock of files' times, which is up to 10 ms behind the precise one.
_FILES_CLOCK = getattr(time, "CLOCK_REALTIME_COARSE", time.CLOCK_REALTIME)


@dataclass(frozen=True)
class WatchedFiles:
    """The files in `folders` that match one of the patterns in `included` and none in `excluded`.

    A pattern is for a file's name or, when it has a slash, for its path below the folder; `*`
    stands for slashes, too. A pattern without wildcards that names a folder excludes all in it.
    What nobody edits is never watched: caches, version control, virtual environments.
    """

    folders: tuple[str, ...]
    included: tuple[str, ...] = INCLUDED
    excluded: tuple[str, ...] = ()

    def watch(self, out: int, lifeline: int) -> None:
        """Writes a line for each lot of changes, a list of paths as JSON, until `lifeline` ends.

        Changes count from the call on: when watching has begun, which takes a moment, the files are
        looked at that have changed before.
        """
        began = time.clock_gettime_ns(_FILES_CLOCK)
        from watchfiles import Change, DefaultFilter, watch

        default = DefaultFilter()

        def wanted(change: Change, path: str) -> bool:
            return default(change, path) and self.has(path)

        over = threading.Event()

        def wait_for_parent() -> None:
            os.read(lifeline, 1)
            over.set()

        threading.Thread(target=wait_for_parent, daemon=True).start()
        lots = watch(
            *self.folders,
            watch_filter=wanted,
            stop_event=over,
            rust_timeout=_TIMEOUT,
            yield_on_timeout=True,
        )
        for number, changes in enumerate(lots):
            paths = {path for _, path in changes}
            if number == 0:
                early = self._changed_since(began, default.ignore_dirs)
                paths |= {path for path in early if wanted(Change.modified, path)}
            if paths:
                os.write(out, json.dumps(sorted(paths)).encode() + b"\n")

    def _changed_since(self, when: int, ignored: Sequence[str]) -> Iterator[str]:
        for folder in self.folders:
            for at, inside, names in os.walk(os.path.abspath(folder)):
                inside[:] = [name for name in inside if name not in ignored]
                for name in names:
                    path = os.path.join(at, name)
                    with contextlib.suppress(OSError):
                        if os.stat(path).st_ctime_ns >= when:
                            yield path

    def has(self, path: str) -> bool:
        """Whether a change of the file at `path`, which is absolute, counts."""
        names = [os.path.relpath(path, folder) for folder in self.folders]
        inside = [name for name in names if not name.startswith(os.pardir)]
        return _match(path, inside, self.included) and not _match(path, inside, self.excluded)


def _match(path: str, below: list[str], patterns: tuple[str, ...]) -> bool:
    for pattern in patterns:
        if fnmatch.fnmatch(os.path.basename(path), pattern):
            return True
        clean = os.path.normpath(pattern)
        for name in below:
            if fnmatch.fnmatch(name, clean) or fnmatch.fnmatch(name, os.path.join(clean, "*")):
                return True
        if os.path.isabs(clean) and (path == clean or path.startswith(clean + os.sep)):
            return True
    return False
