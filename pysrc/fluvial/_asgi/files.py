"""ASGI's http.response.pathsend and zerocopysend: examines the file and chooses how to send it.

Large files are copied by the kernel. Small ones are read, so that they are sent with the response's
head in one write. What isn't a regular file with a known size (a pipe, /proc) is read, too.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from io import FileIO
from typing import TYPE_CHECKING, NamedTuple

from .._calling.threads import run_internal

if TYPE_CHECKING:
    from .protocol import Message, Send

SMALL = 64 * 1024  # bytes; up to this size, reading is cheaper than a copy by the kernel
PIECE = 256 * 1024  # bytes that are read at once

# (descriptor, offset, size, more): sends the bytes as part of the body; returns how many were sent.
Copy = Callable[[int, int, int, bool], Awaitable[int]]


class _Part(NamedTuple):
    """A part of a file: `size` bytes (None: up to the end) from `offset`.

    Without an offset it starts at the descriptor's current position.
    """

    number: int
    offset: int | None
    size: int | None

    def after(self, size: int) -> _Part:
        """The rest after `size` bytes; the descriptor's position is already after them."""
        offset = self.offset
        return self._replace(
            offset=None if offset is None else offset + size,
            size=None if self.size is None else self.size - size,
        )


class _Look(NamedTuple):
    """What was found out about a part: where it starts, and its size.

    `size` is None unless the file is a regular one.
    """

    start: int
    size: int | None
    content: bytes | None  # that of a small file, which has been read already


async def send_file(send: Send, copy: Copy, message: Message) -> None:
    """Sends the file that a message of one of these two types names."""
    if message["type"] == "http.response.pathsend":
        with ExitStack() as closing:  # closes the file even if the app is cancelled during open()
            part, look = await run_internal(_open, message["path"], closing)
            await _send(send, copy, part, look, more=False)
        return
    file = message["file"]
    number = file if isinstance(file, int) else file.fileno()
    part = _Part(number, message.get("offset"), message.get("count"))
    look = await run_internal(_look, part)
    await _send(send, copy, part, look, more=bool(message.get("more_body", False)))


def _open(path: str, closing: ExitStack) -> tuple[_Part, _Look]:
    part = _Part(closing.enter_context(FileIO(path)).fileno(), None, None)
    return part, _look(part)


def _look(part: _Part) -> _Look:
    status = os.fstat(part.number)
    if not stat.S_ISREG(status.st_mode):
        return _Look(0, None, None)
    start = os.lseek(part.number, 0, os.SEEK_CUR) if part.offset is None else part.offset
    if status.st_size == 0 and os.pread(part.number, 1, start):  # a file of /proc
        return _Look(0, None, None)
    size = max(status.st_size - start, 0)
    if part.size is not None:
        size = max(min(size, part.size), 0)
    return _Look(start, size, _read(part, size) if size <= SMALL else None)


def _read(part: _Part, size: int) -> bytes:
    if part.offset is None:
        return os.read(part.number, size)
    return os.pread(part.number, size, part.offset)


async def _send(send: Send, copy: Copy, part: _Part, look: _Look, *, more: bool) -> None:
    if look.content is not None:
        await send({"type": "http.response.body", "body": look.content, "more_body": more})
        return
    if look.size is not None:
        copied = await copy(part.number, look.start, look.size, more)
        if part.offset is None:
            os.lseek(part.number, look.start + copied, os.SEEK_SET)
        part = part._replace(size=look.size).after(copied)
    await _send_by_reading(send, part, more=more)


async def _send_by_reading(send: Send, part: _Part, *, more: bool) -> None:
    while part.size is None or part.size > 0:
        size = PIECE if part.size is None else min(part.size, PIECE)
        piece = await run_internal(_read, part, size)
        if not piece:
            break
        part = part.after(len(piece))
        await send({"type": "http.response.body", "body": piece, "more_body": True})
    await send({"type": "http.response.body", "body": b"", "more_body": more})
