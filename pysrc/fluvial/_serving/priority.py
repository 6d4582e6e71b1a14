"""Requests that are never one too many: those for the server's own probes, and for users' paths."""

from __future__ import annotations

import re
from collections.abc import Sequence

# A path as it stands in a request, RFC 3986 section 3.3: C compares the bytes.
_PATH = re.compile(r"/(?:[!$&'()*+,;=:@._~/0-9A-Za-z-]|%[0-9A-Fa-f]{2})*")


def check_paths(paths: Sequence[str]) -> None:
    """Raises: ValueError when one isn't a path as a client sends it."""
    for path in paths:
        if not isinstance(path, str) or not _PATH.fullmatch(path):
            raise ValueError(
                f"priority_path must be a path as clients send it, such as /health, not {path!r}"
            )
