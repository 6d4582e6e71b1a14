"""Views of the parts of requests and responses: header fields, query, URL, state."""

from __future__ import annotations

from collections.abc import (
    ItemsView,
    Iterable,
    Iterator,
    KeysView,
    Mapping,
    MutableMapping,
    ValuesView,
)
from typing import Any, BinaryIO, Generic, NamedTuple, TypeVar
from urllib.parse import SplitResult, parse_qsl, quote, urlencode, urlsplit

from ._calling.threads import run_internal
from ._messages.header_fields import RawHeaders, field_name, field_value, header_field
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
        return f"{type(self).__name__}({self.items()!r})"


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

    def append(self, key: str, value: str) -> None:
        """Adds a field, and keeps those with the same name."""
        self.raw.append(header_field(key, value))

    def add_vary_header(self, vary: str) -> None:
        """Adds field names to Vary (RFC 9110 section 12.5.5)."""
        present = self.get("vary")
        self["vary"] = vary if present is None else f"{present}, {vary}"


class MultiDict(Mapping[str, V], Generic[V]):
    """Ordered pairs whose keys may repeat; a look-up gives the last value, `getlist` all."""

    __slots__ = ("_dict", "_pairs")

    def __init__(
        self, pairs: MultiDict[V] | Mapping[str, V] | Iterable[tuple[str, V]] = ()
    ) -> None:
        if isinstance(pairs, MultiDict):
            pairs = pairs.multi_items()
        elif isinstance(pairs, Mapping):
            pairs = pairs.items()
        self._pairs = list(pairs)
        self._dict = dict(self._pairs)

    def getlist(self, key: str) -> list[V]:
        """All values of a key, in order."""
        return [value for name, value in self._pairs if name == key]

    def multi_items(self) -> list[tuple[str, V]]:
        """All pairs in order."""
        return list(self._pairs)

    def keys(self) -> KeysView[str]:
        """Every key once."""
        return self._dict.keys()

    def values(self) -> ValuesView[V]:
        """The last value of each key."""
        return self._dict.values()

    def items(self) -> ItemsView[str, V]:
        """Each key with its last value."""
        return self._dict.items()

    def __getitem__(self, key: str) -> V:
        value: V = self._dict[key]
        return value

    def __iter__(self) -> Iterator[str]:
        return iter(self._dict)

    def __len__(self) -> int:
        return len(self._dict)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, MultiDict):
            return NotImplemented
        return sorted(self._pairs, key=str) == sorted(other._pairs, key=str)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._pairs!r})"


ImmutableMultiDict = MultiDict


class QueryParams(MultiDict[str]):
    """The query of a URL, decoded."""

    __slots__ = ()

    def __init__(self, query: str | bytes | Iterable[tuple[str, str]] = ()) -> None:
        if isinstance(query, bytes):
            query = query.decode("latin-1")
        if isinstance(query, str):
            query = parse_qsl(query, keep_blank_values=True)
        super().__init__(query)

    def __str__(self) -> str:
        return urlencode(self._pairs)


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
        return f"UploadFile(filename={self.filename!r}, size={self.size!r})"

    @classmethod
    def _validate(cls, value: Any) -> UploadFile:
        if not isinstance(value, UploadFile):
            raise ValueError(f"Expected UploadFile, received: {type(value)}")
        return value

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> Any:
        from pydantic_core import core_schema

        return core_schema.no_info_plain_validator_function(cls._validate)

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: Any, handler: Any) -> dict[str, Any]:
        return {"type": "string", "contentMediaType": "application/octet-stream"}


class FormData(MultiDict[UploadFile | str]):
    """The fields and files of a form, in the order in which they were sent."""

    __slots__ = ()

    async def close(self) -> None:
        """Closes all files."""
        for file in self.files():
            await file.close()

    def files(self) -> list[UploadFile]:
        """The files alone."""
        return [value for _, value in self._pairs if isinstance(value, UploadFile)]


class URL:
    """A URL and its parts.

    If `path` is given, it is the value of the property of this name. A request's URL has its
    percent-decoded path there, as the router sees it, so that percent-encoding can't evade a
    comparison. The URL's text stays as it was sent. Of a `scope` it is the URL that was requested.
    """

    __slots__ = ("_parts", "_path", "_text")

    def __init__(
        self, url: str = "", *, path: str | None = None, scope: Mapping[str, Any] | None = None
    ) -> None:
        if scope is not None:
            url, path = _scope_url(scope), scope["path"]
        self._text = url
        self._parts: SplitResult = urlsplit(url)
        self._path = path

    scheme = property(lambda self: self._parts.scheme)
    netloc = property(lambda self: self._parts.netloc)
    query = property(lambda self: self._parts.query)
    fragment = property(lambda self: self._parts.fragment)
    username = property(lambda self: self._parts.username)
    password = property(lambda self: self._parts.password)
    hostname = property(lambda self: self._parts.hostname)
    port = property(lambda self: self._parts.port)

    @property
    def path(self) -> str:
        """The path; decoded for a request's URL."""
        return self._parts.path if self._path is None else self._path

    @property
    def is_secure(self) -> bool:
        """Whether the scheme is https or wss."""
        return self._parts.scheme in ("https", "wss")

    def replace(self, **parts: str) -> URL:
        """A copy with `scheme`, `netloc`, `path`, `query` or `fragment` changed."""
        path = None if "path" in parts else self._path
        return URL(self._parts._replace(**parts).geturl(), path=path)

    def include_query_params(self, **params: object) -> URL:
        """A copy with these query parameters set."""
        pairs = [p for p in parse_qsl(self.query, keep_blank_values=True) if p[0] not in params]
        pairs += [(name, str(value)) for name, value in params.items()]
        return self.replace(query=urlencode(pairs))

    def __str__(self) -> str:
        return self._text

    def __repr__(self) -> str:
        return f"URL({self._text!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, (URL, str)) and str(self) == str(other)

    def __hash__(self) -> int:
        return hash(self._text)


def _scope_url(scope: Mapping[str, Any]) -> str:
    """The URL that an ASGI scope stands for, with the host of the Host field."""
    scheme = scope.get("scheme", "http")
    host = next(
        (value.decode("latin-1") for name, value in scope["headers"] if name == b"host"), ""
    )
    if not host and (server := scope.get("server")):
        usual = {"http": 80, "ws": 80, "https": 443, "wss": 443}.get(scheme)
        host = server[0] if server[1] in (None, usual) else f"{server[0]}:{server[1]}"
    raw_path = scope.get("raw_path")
    path = quote(scope["path"]) if raw_path is None else raw_path.decode("latin-1")
    query = scope.get("query_string", b"").decode("latin-1")
    return f"{scheme}://{host}{path}?{query}" if query else f"{scheme}://{host}{path}"


class URLPath(str):
    """The path of a route, percent-encoded; `protocol` is "http" or "websocket".

    `host` is that of a route of another host, or "".
    """

    __slots__ = ("host", "protocol")

    protocol: str
    host: str

    def __new__(cls, path: str, protocol: str = "http", host: str = "") -> URLPath:
        """A str with the attributes."""
        self = super().__new__(cls, path)
        self.protocol = protocol
        self.host = host
        return self

    def make_absolute_url(self, base_url: URL | str) -> URL:
        """The URL of the path below `base_url`, whose scheme says whether TLS is used."""
        base = URL(str(base_url))
        scheme = "http" if self.protocol == "http" else "ws"
        path = base.path.rstrip("/") + self
        netloc = self.host or base.netloc
        return base.replace(
            scheme=f"{scheme}s" if base.is_secure else scheme, netloc=netloc, path=path
        )


class State:
    """Arbitrary data of an app or a request, as attributes or items."""

    _items: dict[str, Any]

    def __init__(self, items: Mapping[str, Any] | None = None) -> None:
        object.__setattr__(self, "_items", {} if items is None else dict(items))

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
