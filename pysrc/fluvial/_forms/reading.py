"""From a request to FormData."""

from __future__ import annotations

from collections.abc import Coroutine
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from python_multipart.multipart import parse_options_header

from ..datastructures import FormData, Headers, UploadFile
from .limits import KIB, refusal, too_many_fields, too_much_in_memory
from .multipart import Head, MultipartBody
from .spool import Memory, Spool, close_soon
from .urlencoded import UrlencodedBody

if TYPE_CHECKING:
    from .limits import FormLimits
    from .multipart import Event


async def read_form(request: Any, limits: FormLimits) -> FormData:
    """Reads the body of `request` as its Content-Type says; a form without fields for other types.

    Raises: HTTPException 400 when the body isn't well formed, 400 or 413 when it exceeds a limit,
    and what `Request.stream` raises. No file stays open then.
    """
    content_type = request.header("content-type", "")
    kind = parse_options_header(content_type)[0]
    if kind == b"multipart/form-data":
        gathered = _Gathered(MultipartBody(content_type, limits), limits)
        try:
            return await gathered.read(request)
        except BaseException:
            gathered.discard()
            raise
    if kind == b"application/x-www-form-urlencoded":
        form = UrlencodedBody(limits)
        async with aclosing(request.stream()) as stream:
            async for piece in stream:
                form.feed(piece)
        form.finish()
        return FormData(form.items)
    return FormData()


def close_files(form: FormData) -> None:
    """Closes the files of a form without waiting until it is done."""
    for file in form.files():
        close_soon(file.file)


class _Gathered:
    """The parts of a multipart form so far."""

    def __init__(self, body: MultipartBody, limits: FormLimits) -> None:
        self._body = body
        self._limits = limits
        self._items: list[tuple[str, str | UploadFile]] = []
        self._spools: list[Spool] = []
        self._memory = Memory()
        self._fields = 0
        self._field_bytes = 0
        # Of the part that is being received: its name, and its text or its file.
        self._name = ""
        self._text = bytearray()
        self._file: UploadFile | None = None

    async def read(self, request: Any) -> FormData:
        """Reads the whole body."""
        async with aclosing(request.stream()) as stream:
            async for piece in stream:
                for event in self._body.feed(piece):
                    writing = self._take(event)
                    if writing is not None:
                        await writing
        self._body.finish()
        return FormData(self._items)

    def discard(self) -> None:
        """Closes all files."""
        for spool in self._spools:
            spool.discard()

    def _take(self, event: Event) -> Coroutine[Any, Any, None] | None:
        """Handles an event. The caller awaits the result, if any, before the next event."""
        if isinstance(event, Head):
            self._begin(event)
        elif event is None:
            return self._end()
        elif self._file is None:
            self._add_text(event)
        elif self._spools[-1].add(event):
            return self._spools[-1].flush()
        return None

    def _begin(self, head: Head) -> None:
        self._name = head.name
        if head.filename is None:
            self._fields += 1
            if self._fields > self._limits.fields:
                raise too_many_fields(self._limits.fields)
            self._count(len(head.name))
            return
        if len(self._spools) >= self._limits.files:
            most = self._limits.files
            detail = f"Too many files. Maximum number of files is {most}."
            raise refusal("files", 400, detail)
        spool = Spool(self._limits, self._memory)
        self._spools.append(spool)
        headers = Headers(raw=head.headers)
        self._file = UploadFile(spool.binary, size=0, filename=head.filename, headers=headers)

    def _add_text(self, piece: bytes) -> None:
        most = self._limits.field_size
        if len(self._text) + len(piece) > most:
            detail = f"Part exceeded maximum size of {int(most / KIB)}KB."
            raise refusal("field_size", 400, detail)
        self._count(len(piece))
        self._text += piece

    def _count(self, size: int) -> None:
        self._field_bytes += size
        if self._field_bytes > self._limits.memory:
            raise too_much_in_memory(self._limits.memory)

    def _end(self) -> Coroutine[Any, Any, None] | None:
        file, self._file = self._file, None
        if file is None:
            self._items.append((self._name, self._body.decode(self._text)))
            self._text = bytearray()
            return None
        spool = self._spools[-1]
        file.size = spool.size
        self._items.append((self._name, file))
        return spool.finish()
