"""Files on their way from a body to memory, or past a bound to the disk, in a thread."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable, Coroutine
from tempfile import SpooledTemporaryFile
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from .._calling.threads import to_its_end

if TYPE_CHECKING:
    from .limits import FormLimits

# Bytes that are gathered before a thread writes them, while another such lot is being written.
# Each lot is a trip to a thread: 38 of them for 20 MB took a tenth of an upload's CPU time.
_LOT = 1024 * 1024
_MANY = 512  # pieces; writev() takes 1,024 (IOV_MAX)


class Memory:
    """How many bytes of a form's files are in memory."""

    def __init__(self) -> None:
        self.used = 0


class Spool:
    """One file that is being received."""

    def __init__(self, limits: FormLimits, memory: Memory) -> None:
        self.file: SpooledTemporaryFile[bytes] = SpooledTemporaryFile(max_size=limits.spool)  # noqa: SIM115 - closed after the response
        self.binary = cast("BinaryIO", self.file)
        self.size = 0
        self._limits = limits
        self._memory = memory
        self._on_disk = False
        self._descriptor = -1  # of the file on the disk
        self._pending: list[bytes] = []
        self._pending_size = 0
        self._writing: asyncio.Future[None] | None = None

    def add(self, piece: bytes) -> bool:
        """Appends a piece. Returns whether `flush` is to be called before the next one."""
        size = len(piece)
        self.size += size
        if not self._on_disk and self._fits(size):
            self._memory.used += size
            self.file.write(piece)
            return False
        if not self._on_disk:
            self._on_disk = True
            self._memory.used -= self.size - size
        self._pending.append(piece)
        self._pending_size += size
        return self._pending_size >= _LOT

    def _fits(self, size: int) -> bool:
        return self.size <= self._limits.spool and self._memory.used + size <= self._limits.memory

    async def flush(self) -> None:
        """Has a thread write what was added, once it has written what was added before."""
        await self._written()
        if self._pending:
            pieces, self._pending, self._pending_size = self._pending, [], 0
            self._submit(self._write, pieces)

    def _write(self, pieces: list[bytes]) -> None:
        """Appends the pieces by one system call, which gives the GIL away once. In a thread."""
        if self._descriptor < 0:
            self.file.rollover()
            self.file.flush()
            self._descriptor = self.file.fileno()
        if len(pieces) > _MANY:
            pieces = [b"".join(pieces)]
        rest = memoryview(b"")
        try:
            written = os.writev(self._descriptor, pieces)
            if written < sum(map(len, pieces)):  # the disk is nearly full
                rest = memoryview(b"".join(pieces))[written:]
                while rest:
                    rest = rest[os.write(self._descriptor, rest) :]
        finally:  # or the traceback would keep them
            pieces, rest = [], memoryview(b"")

    def finish(self) -> Coroutine[Any, Any, None] | None:
        """Moves to the start of the file, once all is written. What it returns is to be awaited."""
        if self._on_disk:
            return self._rewind()
        self.file.seek(0)
        return None

    async def _rewind(self) -> None:
        await self.flush()
        await self._written()
        self._submit(self.file.seek, 0)
        await self._written()

    def _submit(self, func: Callable[..., Any], *args: Any) -> None:
        self._writing = asyncio.get_running_loop().run_in_executor(None, func, *args)

    async def _written(self) -> None:
        writing = self._writing
        if writing is not None:
            await to_its_end(writing)
            self._writing = None

    def discard(self) -> None:
        """Closes the file, when no thread is writing to it any more."""
        if self._writing is None:
            close_soon(self.file)
        else:
            self._writing.add_done_callback(self._close_after)

    def _close_after(self, writing: asyncio.Future[None]) -> None:
        if not writing.cancelled():
            writing.exception()  # nobody waits for it any more
        close_soon(self.file)


def close_soon(file: Any) -> None:
    """Closes a file: at once if it is in memory, else in a thread, since to free blocks of the disk
    takes time."""
    if getattr(file, "_rolled", True) and not file.closed:
        with contextlib.suppress(RuntimeError):  # no loop runs, or its threads have ended
            closing = asyncio.get_running_loop().run_in_executor(None, file.close)
            closing.add_done_callback(_forget)
            return
    file.close()


def _forget(closing: asyncio.Future[Any]) -> None:
    if not closing.cancelled():
        closing.exception()
