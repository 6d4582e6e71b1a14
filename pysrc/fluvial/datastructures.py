"""Views of the parts of requests and responses: header fields, query, URL, state."""

from __future__ import annotations

from collections.abc import (
    Iterator,
    Mapping,
    MutableMapping,
)
from typing import Any, BinaryIO, NamedTuple, TypeVar

from ._calling.threads import run_internal
from ._messages.header_fields import RawHeaders, field_name, field_value, header_field
from ._messages.multidict import ImmutableMultiDict, MultiDict, QueryParams
from ._messages.urls import URL, URLPath
from .config import CommaSeparatedStrings, Secret

__all__ = [
    "URL",
    "Address",
    "CommaSeparatedStrings",
    "FormData",
    "Headers",
    "ImmutableMultiDict",
    "MultiDict",
    "MutableHeaders",
    "QueryParams",
    "Secret",
    "State",
    "URLPath",
    "UploadFile",
]

V = TypeVar("V")


class Address(NamedTuple):
    """One end of a connection; `port` is 0 for a Unix socket."""

    host: str
    port: int


class Headers(Mapping[str, str]):
    """Header fields; names are case-insensitive. A look-up gives the first value, `getlist` all.

    Wraps a list of pairs of bytes, which are decoded as latin-1 (RFC 9110 section 5.5): `raw`, or
    that of an ASGI scope or message.
    """

    __slots__ = ("raw",)

    def __init__(
        self,
        headers: Mapping[str, str] | None = None,
        *,
        raw: RawHeaders | None = None,
        scope: MutableMapping[str, Any] | None = None,
    ) -> None:
        if scope is not None:  # or a message, whose fields are to be changed through this
            raw = scope["headers"] = list(scope.get("headers", ()))
        self.raw: RawHeaders = [] if raw is None else raw
        if headers is not None:
            self.raw = [header_field(name, value) for name, value in headers.items()]

    def getlist(self, key: str) -> list[str]:
        """All values of a name, in order."""
        wanted = field_name(key)
        return [value.decode("latin-1") for name, value in self.raw if name == wanted]

    def mutablecopy(self) -> MutableHeaders:
        """A copy that can be changed."""
        return MutableHeaders(raw=list(self.raw))

    def keys(self) -> list[str]:  # type: ignore[override]
        """The names in order, repeated as often as they were sent."""
        return [name.decode("latin-1") for name, _ in self.raw]

    def values(self) -> list[str]:  # type: ignore[override]
        """The values in order."""
        return [value.decode("latin-1") for _, value in self.raw]

    def items(self) -> list[tuple[str, str]]:  # type: ignore[override]
        """Pairs of name and value in order."""
        return [(name.decode("latin-1"), value.decode("latin-1")) for name, value in self.raw]

    def __getitem__(self, key: str) -> str:
        wanted = field_name(key)
        for name, value in self.raw:
            if name == wanted:
                return value.decode("latin-1")
        raise KeyError(key)

    def __contains__(self, key: object) -> bool:
        if not isinstance(key, str):
            return False
        wanted = field_name(key)
        return any(name == wanted for name, _ in self.raw)

    def __iter__(self) -> Iterator[str]:
        return iter(self.keys())

    def __len__(self) -> int:
        return len(self.raw)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Headers):
            return NotImplemented
        return sorted(self.raw) == sorted(other.raw)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        fields = dict(self.items())
        shown = repr(fields) if len(fields) == len(self.raw) else f"raw={self.raw!r}"
        return f"{type(self).__name__}({shown})"


class MutableHeaders(Headers, MutableMapping[str, str]):
    """Header fields of a response."""

    __slots__ = ()

    def __setitem__(self, key: str, value: str) -> None:
        name = field_name(key)
        pair = (name, field_value(value, key))
        places = [i for i, (other, _) in enumerate(self.raw) if other == name]
        for i in reversed(places[1:]):
            del self.raw[i]
        if places:
            self.raw[places[0]] = pair
        else:
            self.raw.append(pair)

    def __delitem__(self, key: str) -> None:
        name = field_name(key)
        kept = [pair for pair in self.raw if pair[0] != name]
        if len(kept) == len(self.raw):
            raise KeyError(key)
        self.raw[:] = kept

    def __or__(self, other: Mapping[str, str]) -> MutableHeaders:
        if not isinstance(other, Mapping):
            raise TypeError(f"expected a mapping of header fields, not {other!r}")
        return self.mutablecopy().__ior__(other)

    def __ior__(self, other: Mapping[str, str]) -> MutableHeaders:
        if not isinstance(other, Mapping):
            raise TypeError(f"expected a mapping of header fields, not {other!r}")
        self.update(other.items())
        return self

    def append(self, key: str, value: str) -> None:
        """Adds a field, and keeps those with the same name."""
        self.raw.append(header_field(key, value))

    def add_vary_header(self, vary: str) -> None:
        """Adds field names to Vary (RFC 9110 section 12.5.5)."""
        self["vary"] = ", ".join((*self.getlist("vary"), vary))


class UploadFile:
    """A file of a form.

    `file` is Python's file object, which blocks: for `def` functions. The methods do the same
    without blocking the loop. `size` is in bytes, `headers` are those of the part.
    """

    # The file itself is no part of what is written as JSON: that has the object's __dict__.
    __slots__ = ("__dict__", "__weakref__", "file")

    def __init__(
        self,
        file: BinaryIO,
        *,
        size: int | None = None,
        filename: str | None = None,
        headers: Headers | None = None,
    ) -> None:
        self.file = file
        self.size = size
        self.filename = filename
        self.headers = Headers() if headers is None else headers

    @property
    def content_type(self) -> str | None:
        """The type that the client says the file has."""
        return self.headers.get("content-type")

    @property
    def in_memory(self) -> bool:
        """Whether the file is small enough to be in memory, where nothing blocks."""
        return not getattr(self.file, "_rolled", True)

    async def read(self, size: int = -1) -> bytes:
        """At most `size` bytes from the current position; all that follows if it is negative."""
        if self.in_memory:
            return self.file.read(size)
        return await run_internal(self.file.read, size)

    async def write(self, data: bytes) -> None:
        """Writes at the current position."""
        if self.size is not None:
            self.size += len(data)
        room = getattr(self.file, "_max_size", 0) - self.file.tell() if self.in_memory else 0
        if len(data) < room:
            self.file.write(data)
        else:  # the file is on the disk, or will be
            await run_internal(self.file.write, data)

    async def seek(self, offset: int) -> None:
        """Moves to a position, in bytes from the file's start."""
        if self.in_memory:
            self.file.seek(offset)
        else:
            await run_internal(self.file.seek, offset)

    async def close(self) -> None:
        """Closes the file, and so removes it. This also happens after the response."""
        if self.in_memory:
            self.file.close()
        else:
            await run_internal(self.file.close)

    def __repr__(self) -> str:
        return (
            f"UploadFile(filename={self.filename!r}, size={self.size!r}, headers={self.headers!r})"
        )

    @classmethod
    def _validate(cls, value: Any, _: Any = None) -> UploadFile:
        if not isinstance(value, UploadFile):
            raise ValueError(f"Expected UploadFile, received: {type(value)}")
        return value

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> Any:
        from pydantic_core import core_schema

        return core_schema.with_info_plain_validator_function(cls._validate)

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: Any, handler: Any) -> dict[str, Any]:
        return {"type": "string", "contentMediaType": "application/octet-stream"}


class FormData(ImmutableMultiDict[UploadFile | str]):
    """The fields and files of a form, in the order in which they were sent."""

    __slots__ = ()

    async def close(self) -> None:
        """Closes all files."""
        for file in self.files():
            await file.close()

    def files(self) -> list[UploadFile]:
        """The files alone."""
        return [value for _, value in self._pairs if isinstance(value, UploadFile)]


class State:
    """Arbitrary data of an app or a request, as attributes or items."""

    _items: dict[str, Any]

    def __init__(self, items: Mapping[str, Any] | None = None) -> None:
        object.__setattr__(self, "_items", {} if items is None else dict(items))

    @property
    def _state(self) -> dict[str, Any]:
        """The data, under the name that it has in Starlette: programs look at it."""
        return self._items

    @classmethod
    def over(cls, items: dict[str, Any]) -> State:
        """A state whose items are those of the dict itself, so that others who have it see them."""
        state = cls()
        object.__setattr__(state, "_items", items)
        return state

    def __getattr__(self, name: str) -> Any:
        try:
            return self._items[name]
        except KeyError:
            raise AttributeError(f"the state has no attribute {name!r}") from None

    def __setattr__(self, name: str, value: Any) -> None:
        self._items[name] = value

    def __delattr__(self, name: str) -> None:
        try:
            del self._items[name]
        except KeyError:
            raise AttributeError(f"the state has no attribute {name!r}") from None

    def __getitem__(self, name: str) -> Any:
        return self._items[name]

    def __setitem__(self, name: str, value: Any) -> None:
        self._items[name] = value

    def __delitem__(self, name: str) -> None:
        del self._items[name]

    def __contains__(self, name: object) -> bool:
        return name in self._items

    def __iter__(self) -> Iterator[str]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)
