"""An URL-encoded form, parsed by python-multipart as its pieces arrive."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import unquote_plus

from python_multipart.multipart import QuerystringParser

from .limits import FLAGS, KIB, refusal, too_many_fields, too_much_in_memory

if TYPE_CHECKING:
    from .limits import FormLimits


# Where a field is empty. The parser skips each of these bytes by itself, in Python.
_EMPTY = re.compile(rb"&&+")


class UrlencodedBody:
    """Gathers the fields in `items`, as pairs of name and value."""

    def __init__(self, limits: FormLimits) -> None:
        self.items: list[tuple[str, str]] = []
        self._limits = limits
        self._received = 0
        self._name, self._value = bytearray(), bytearray()
        self._parser = QuerystringParser(
            {
                "on_field_name": self._name_data,
                "on_field_data": self._value_data,
                "on_field_end": self._field_ends,
            }
        )

    def feed(self, piece: bytes) -> None:
        """Takes a piece of the body. Raises: HTTPException 400 or 413 when a limit is exceeded."""
        self._received += len(piece)
        if self._received > self._limits.memory:
            raise too_much_in_memory(self._limits.memory)
        self._parser.write(_EMPTY.sub(b"&", piece) if b"&&" in piece else piece)

    def finish(self) -> None:
        """To be called at the body's end.

        Raises: HTTPException 400 or 413 when the last field exceeds a limit.
        """
        self._parser.finalize()

    def _name_data(self, data: bytes, start: int, end: int) -> None:
        most = self._limits.name
        if len(self._name) + end - start > most:
            detail = f"The name of a field is longer than {most} bytes ({FLAGS['name']})"
            raise refusal("name", 400, detail)
        self._name += data[start:end]

    def _value_data(self, data: bytes, start: int, end: int) -> None:
        most = self._limits.field_size
        if len(self._name) + len(self._value) + end - start > most:
            detail = f"Field exceeded maximum size of {int(most / KIB)}KB."
            raise refusal("field_size", 400, detail)
        self._value += data[start:end]

    def _field_ends(self) -> None:
        if len(self.items) >= self._limits.fields:
            raise too_many_fields(self._limits.fields)
        self.items.append((_text(self._name), _text(self._value)))
        self._name, self._value = bytearray(), bytearray()


def _text(data: bytearray) -> str:
    return unquote_plus(data.decode("latin-1"))
