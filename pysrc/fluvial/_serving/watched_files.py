"""Which files a server is started again for, when they change."""

from __future__ import annotations

import fnmatch
import json
import os
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from watchfiles import Change

INCLUDED = ("*.py", "*.pyx", "*.pyd")


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
        """Writes a line for each lot of changes, a list of paths as JSON, until `lifeline` ends."""
        from watchfiles import DefaultFilter, watch

        default = DefaultFilter()

        def wanted(change: Change, path: str) -> bool:
            return default(change, path) and self.has(path)

        over = threading.Event()

        def wait_for_parent() -> None:
            os.read(lifeline, 1)
            over.set()

        threading.Thread(target=wait_for_parent, daemon=True).start()
        for changes in watch(*self.folders, watch_filter=wanted, stop_event=over):
            os.write(out, json.dumps(sorted(path for _, path in changes)).encode() + b"\n")

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
