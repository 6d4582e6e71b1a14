"""What a parent process passes on to its workers while they serve: bytes in memory that they share.

There is one newest posting, and no queue: a worker that looks seldom sees the last of several. A
worker that looks while something is being posted sees a checksum that doesn't fit, and looks again.
"""

from __future__ import annotations

import hashlib
import os
import struct
import tempfile

_HEAD = struct.Struct("=QQ32s")  # the posting's number, its length, its checksum
_NOTHING = 0


class SharedBytes:
    """A place for postings. Processes that are forked after it was made share it."""

    def __init__(self) -> None:
        if hasattr(os, "memfd_create"):
            self._fd = os.memfd_create("fluvial")
        else:
            with tempfile.TemporaryFile() as file:
                self._fd = os.dup(file.fileno())
        self._number = _NOTHING  # of the last that this process has posted or taken

    def close(self) -> None:
        """Ends this process's share of it."""
        os.close(self._fd)

    def post(self, data: bytes) -> None:
        """For the parent."""
        self._number += 1
        os.pwrite(self._fd, data, _HEAD.size)
        head = _HEAD.pack(self._number, len(data), hashlib.sha256(data).digest())
        os.pwrite(self._fd, head, 0)

    def take(self) -> bytes | None:
        """What was posted since the last call, for a worker; None for nothing new."""
        head = os.pread(self._fd, _HEAD.size, 0)
        if len(head) < _HEAD.size:
            return None
        number, length, checksum = _HEAD.unpack(head)
        if number == self._number:
            return None
        data = os.pread(self._fd, length, _HEAD.size)
        if hashlib.sha256(data).digest() != checksum:
            return None
        self._number = number
        return data
