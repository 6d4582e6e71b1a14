"""Forms from streams of bytes: what `await request.form()` does, without a request."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable
from enum import Enum
from typing import TYPE_CHECKING

from ._forms.limits import DEFAULTS
from ._forms.reading import read_form
from .exceptions import HTTPException

if TYPE_CHECKING:
    from ._forms.limits import FormLimits
    from .datastructures import FormData, Headers

__all__ = ["FormMessage", "FormParser", "MultiPartException", "MultiPartParser"]


class MultiPartException(HTTPException):
    """A form isn't well formed, or exceeds a limit: what `request.form()` raises without an app."""

    def __init__(self, message: str, status_code: int = 400) -> None:
        super().__init__(status_code, message)
        self.message = message


class FormMessage(Enum):
    """The events of an urlencoded form in older parsers; nothing here makes them."""

    FIELD_START = 1
    FIELD_NAME = 2
    FIELD_DATA = 3
    FIELD_END = 4
    END = 5


class _Parser:
    def __init__(self, headers: Headers, stream: AsyncIterable[bytes], limits: FormLimits) -> None:
        self.headers = headers
        self._pieces = stream
        self._limits = limits

    def header(self, name: str, default: str = "") -> str:
        return self.headers.get(name, default)

    async def stream(self) -> AsyncGenerator[bytes, None]:
        async for piece in self._pieces:
            yield piece

    async def parse(self) -> FormData:
        """The form. Raises: MultiPartException when it isn't one, or exceeds a limit."""
        try:
            return await read_form(self, self._limits)
        except HTTPException as exc:
            raise MultiPartException(str(exc.detail), exc.status_code) from exc


class FormParser(_Parser):
    """An urlencoded form. `max_part_size` is the most bytes of a name or a value."""

    def __init__(
        self,
        headers: Headers,
        stream: AsyncIterable[bytes],
        *,
        max_fields: int | float = 1000,
        max_part_size: int = 1024 * 1024,
    ) -> None:
        limits = DEFAULTS.changed(max_fields=max_fields, max_part_size=max_part_size)
        super().__init__(headers, stream, limits)


class MultiPartParser(_Parser):
    """A multipart form (RFC 7578). `max_part_size` is the most bytes of a field; not of a file."""

    def __init__(
        self,
        headers: Headers,
        stream: AsyncIterable[bytes],
        *,
        max_files: int | float = 1000,
        max_fields: int | float = 1000,
        max_part_size: int = 1024 * 1024,
    ) -> None:
        limits = DEFAULTS.changed(max_files, max_fields, max_part_size)
        super().__init__(headers, stream, limits)
