"""The part of a Python client that is the same for all: `python.py` copies what is below the rule.

It is a module so that the linters and the type checker see it; nothing imports it.
"""

from __future__ import annotations

# ---------------------------------------------------------------------------------------------
import base64 as _base64
import contextlib as _contextlib
import dataclasses as _dataclasses
import enum as _enum
import functools as _functools
import json as _json
import typing as _t
import urllib.parse as _parse
from collections.abc import AsyncIterator as _AsyncIterator
from collections.abc import Callable as _Callable
from collections.abc import Iterator as _Iterator
from collections.abc import Mapping as _Mapping

import httpx as _httpx  # noqa: TC002
import pydantic as _pydantic
import pydantic_core as _pydantic_core

_T = _t.TypeVar("_T")
FileContent: _t.TypeAlias = bytes | str | _t.IO[bytes]
File: _t.TypeAlias = (
    FileContent | tuple[str | None, FileContent] | tuple[str | None, FileContent, str | None]
)
"""What is uploaded: the content, or (file name, content), or (file name, content, media type)."""


class ApiError(Exception):
    """The server's response was none that the operation promises.

    Attributes: `status`, `content` (what was in it: of the documented type in the subclasses,
    otherwise JSON, or text), `response`.
    """

    content: _t.Any

    def __init__(self, response: _httpx.Response, content: _t.Any) -> None:
        super().__init__(f"{response.status_code} {response.reason_phrase}: {content!r}")
        self.status = response.status_code
        self.content = content
        self.response = response


class _Model(_pydantic.BaseModel):
    model_config = _pydantic.ConfigDict(populate_by_name=True, protected_namespaces=())
    _constant: _t.ClassVar[tuple[str, ...]] = ()  # fields that are sent even if nobody set them

    def model_post_init(self, context: _t.Any, /) -> None:
        self.__pydantic_fields_set__.update(self._constant)


class _Type:
    """A type, and how it is read and written; made when first used."""

    def __init__(self, get: _Callable[[], _t.Any]) -> None:
        self._get = get

    @_functools.cached_property
    def _adapter(self) -> _pydantic.TypeAdapter[_t.Any]:
        return _pydantic.TypeAdapter(self._get())

    def read(self, content: bytes) -> _t.Any:
        return self._adapter.validate_json(content)

    def write(self, value: _t.Any) -> bytes:
        return self._adapter.dump_json(value, by_alias=True, exclude_unset=True)


@_dataclasses.dataclass(frozen=True)
class _Call(_t.Generic[_T]):
    """One request, and what may come of it."""

    method: str
    path: str
    query: tuple[tuple[str, _t.Any], ...] = ()
    headers: tuple[tuple[str, _t.Any], ...] = ()
    cookies: tuple[tuple[str, _t.Any], ...] = ()
    content: bytes | None = None
    media_type: str | None = None
    form: tuple[tuple[str, _t.Any], ...] | None = None
    security: tuple[tuple[str, ...], ...] = ()
    success: _Mapping[str, _Type | str | None] = _dataclasses.field(default_factory=dict)
    errors: _Mapping[str, tuple[type[ApiError], _Type | str | None]] = _dataclasses.field(
        default_factory=dict
    )


def _object(*fields: tuple[str, _Type, _t.Any, bool]) -> bytes:
    """A JSON object of these fields; None is left out where the field isn't required."""
    parts = (
        _json.dumps(name).encode() + b":" + of.write(value)
        for name, of, value, required in fields
        if required or value is not None
    )
    return b"{" + b",".join(parts) + b"}"


def _text(value: _t.Any) -> str:
    """How a value is written in a path, a query, a field or a form."""
    if isinstance(value, _enum.Enum):
        value = value.value
    if isinstance(value, str):
        return value
    found: _t.Any = _pydantic_core.to_jsonable_python(value)
    return found if isinstance(found, str) else _json.dumps(found)


def _texts(pairs: tuple[tuple[str, _t.Any], ...]) -> _Iterator[tuple[str, str]]:
    """Each value on its own; None is left out."""
    for name, value in pairs:
        for each in value if isinstance(value, list | tuple) else [value]:
            if each is not None:
                yield name, _text(each)


def _segment(value: _t.Any) -> str:
    """A value in a path: one segment, which can't lead elsewhere."""
    text = _text(value)
    if text in {"", ".", ".."}:
        raise ValueError(f"{text!r} can't be sent as a part of a path")
    return _parse.quote(text, safe="")


def _cookie(name: str, value: str) -> str:
    if any(char in ';,"\\' or char <= " " or char > "~" for char in value):
        raise ValueError(f"the cookie {name!r} can't have the value {value!r}")
    return f"{name}={value}"


def _file(value: _t.Any) -> _t.Any:
    """A file as httpx takes it; one without a name gets one, since servers ask for it."""
    return ("upload", value) if isinstance(value, bytes | str) else value


def _form_part(name: str, value: _t.Any) -> _Iterator[tuple[str, _t.Any]]:
    for each in value if isinstance(value, list) else [value]:
        if isinstance(each, _Upload):
            yield name, _file(each.file)
        elif each is not None:
            yield name, (None, _text(each))


@_dataclasses.dataclass(frozen=True)
class _Upload:
    file: File


def _uploads(value: File | list[File] | None) -> _t.Any:
    """Says of a form's field that it is a file, or several."""
    if isinstance(value, list):
        return [_Upload(each) for each in value]
    return None if value is None else _Upload(value)


def _content_of(response: _httpx.Response) -> _t.Any:
    """What is in a response that isn't documented: JSON, text, or bytes."""
    kind = response.headers.get("content-type", "").partition(";")[0]
    if kind == "application/json" or kind.endswith("+json"):
        with _contextlib.suppress(ValueError):
            return response.json()
    return response.text if kind.startswith("text/") or not kind else response.content


def _find(table: _Mapping[str, _T], status: int, *more: str) -> _T | None:
    for key in (str(status), f"{status // 100}XX", *more):
        if key in table:
            return table[key]
    return None


def _read(response: _httpx.Response, of: _Type | str | None) -> _t.Any:
    """The content, as a type says; "text" and "bytes" are what they are."""
    if of is None:
        return None
    if of == "text":
        return response.text
    if of == "bytes":
        return response.content
    if of == "any":
        return _content_of(response)
    assert isinstance(of, _Type)
    return of.read(response.content)


def _error(call: _Call[_t.Any], response: _httpx.Response) -> ApiError:
    """The exception for a response; its class says that the content is of the documented type."""
    found = _find(call.errors, response.status_code, "default")
    if found is not None:
        with _contextlib.suppress(ValueError):
            return found[0](response, _read(response, found[1]))
    return ApiError(response, _content_of(response))


def _result(call: _Call[_T], response: _httpx.Response) -> _T:
    """What the operation returns. Raises: ApiError when the status says that it failed."""
    status = response.status_code
    fits = str(status) in call.success or f"{status // 100}XX" in call.success
    if not fits and not response.is_success:
        raise _error(call, response)
    others = [key for key in call.success if key[0] in "2d"]
    found = _find(call.success, status, *others)
    return _t.cast("_T", _read(response, found))


class _Base:
    """What both clients know: how to make a request, with the credentials that it needs."""

    credentials: _t.Any
    _SCHEMES: _t.ClassVar[_Mapping[str, tuple[str, str]]] = {}

    def _parts_of(self, call: _Call[_t.Any]) -> dict[str, _t.Any]:
        """The arguments of httpx's build_request."""
        headers = list(_texts(call.headers))
        query, cookies = list(_texts(call.query)), list(_texts(call.cookies))
        self._authorize(call, headers, query, cookies)
        if cookies:
            headers.append(("Cookie", "; ".join(_cookie(*pair) for pair in cookies)))
        parts: dict[str, _t.Any] = {"method": call.method, "url": call.path}
        if query:
            parts["params"] = query
        if call.form is not None and call.media_type == "multipart/form-data":
            files = [part for name, value in call.form for part in _form_part(name, value)]
            parts["files"] = files or None
        elif call.form is not None:
            parts["content"] = _parse.urlencode(list(_texts(call.form))).encode()
        else:
            parts["content"] = call.content
        if parts.get("content") is not None and call.media_type is not None:
            headers.append(("Content-Type", call.media_type))
        return {**parts, "headers": headers}

    def _authorize(
        self,
        call: _Call[_t.Any],
        headers: list[tuple[str, str]],
        query: list[tuple[str, str]],
        cookies: list[tuple[str, str]],
    ) -> None:
        """Adds those of the operation's sets of credentials that are there as a whole.

        Any of them would do by the document; FastAPI's say so, too, where all are needed.
        """
        places = {"query": query, "header": headers, "cookie": cookies}
        taken: set[tuple[str, str]] = set()
        for needed in call.security:
            known = {self._SCHEMES[name]: getattr(self.credentials, name) for name in needed}
            wanted = {_place_of(*scheme) for scheme in known}
            if None in known.values() or taken & wanted:
                continue
            taken |= wanted
            for (kind, name), value in known.items():
                place, parameter = _place_of(kind, name)
                if kind == "basic":
                    value = _base64.b64encode(":".join(value).encode()).decode()
                text = value if kind in places else f"{name} {value}"
                places[place].append((parameter, text))


def _place_of(kind: str, name: str) -> tuple[str, str]:
    """Where a scheme's credentials go: a kind of parameter, and its name."""
    return (kind, name) if kind in {"query", "header", "cookie"} else ("header", "Authorization")


class _SyncBase(_Base):
    """Sends requests by httpx.Client."""

    def __init__(self, http: _httpx.Client) -> None:
        self._http = http

    def _send(self, call: _Call[_T]) -> _T:
        return _result(call, self._http.send(self._http.build_request(**self._parts_of(call))))

    @_contextlib.contextmanager
    def _stream(self, call: _Call[_t.Any]) -> _Iterator[_httpx.Response]:
        request = self._http.build_request(**self._parts_of(call))
        response = self._http.send(request, stream=True)
        try:
            if not response.is_success:
                response.read()
                raise _error(call, response)
            yield response
        finally:
            response.close()

    def close(self) -> None:
        """Closes the connections."""
        self._http.close()

    def __enter__(self) -> _t.Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


class _AsyncBase(_Base):
    """Sends requests by httpx.AsyncClient."""

    def __init__(self, http: _httpx.AsyncClient) -> None:
        self._http = http

    async def _send(self, call: _Call[_T]) -> _T:
        request = self._http.build_request(**self._parts_of(call))
        return _result(call, await self._http.send(request))

    @_contextlib.asynccontextmanager
    async def _stream(self, call: _Call[_t.Any]) -> _AsyncIterator[_httpx.Response]:
        request = self._http.build_request(**self._parts_of(call))
        response = await self._http.send(request, stream=True)
        try:
            if not response.is_success:
                await response.aread()
                raise _error(call, response)
            yield response
        finally:
            await response.aclose()

    async def aclose(self) -> None:
        """Closes the connections."""
        await self._http.aclose()

    async def __aenter__(self) -> _t.Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.aclose()
