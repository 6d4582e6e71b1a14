"""What requests and WebSockets have in common: C's object with views of its parts."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar, cast

from . import _core
from ._cookies import parse_cookies
from ._datastructures import URL, Address, Headers, QueryParams, State

if TYPE_CHECKING:
    from ._asgi.protocol import Message

T = TypeVar("T")
_client = cast("Any", _core.Request.client)
_state = cast("Any", _core.Request.state)


class HTTPConnection(_core.Request):
    """A request or a WebSocket, for dependencies that serve both."""

    _scheme = "http"  # for connections without TLS of our own
    _scope: Message | None = None  # of what another ASGI server has received

    @property
    def headers(self) -> Headers:
        """The header fields."""
        return self._cached("headers", lambda: Headers(raw=self.raw_headers))

    @property
    def query_params(self) -> QueryParams:
        """The query, decoded."""
        return self._cached("query_params", lambda: QueryParams(self.query_string))

    @property
    def cookies(self) -> dict[str, str]:
        """The cookies that the client sent."""
        return self._cached("cookies", self._parse_cookies)

    @property
    def url(self) -> URL:
        """The URL as the client asked for it, from the Host header."""
        return self._cached("url", self._make_url)

    @property
    def base_url(self) -> URL:
        """The URL of the app's root."""
        return self.url.replace(path="/", query="", fragment="")

    @property
    def client(self) -> Address | None:
        """The other end of the connection."""
        address = _client.__get__(self)
        return None if address is None else Address(*address)

    @property
    def state(self) -> State:
        """Whatever the app keeps with this request; begins with what its lifespan yielded."""
        state = _state.__get__(self)
        if state is None:
            state = State(getattr(self.app, "lifespan_state", None))
            _state.__set__(self, state)
        return cast("State", state)

    @property
    def path_params(self) -> dict[str, Any]:  # type: ignore[override]  # not replaceable
        """What the path's parameters matched, as the pattern's converters make it."""
        return self._cached("path_params", self._convert_path_params)

    def _store(self) -> dict[str, Any]:
        store = self._cache
        if store is None:
            store = self._cache = {}
        return store

    def _cached(self, key: str, make: Callable[[], T]) -> T:
        store = self._store()
        if key not in store:
            store[key] = make()
        return cast("T", store[key])

    def _parse_cookies(self) -> dict[str, str]:
        cookies: dict[str, str] = {}
        for header in self.headers.getlist("cookie"):
            cookies.update(parse_cookies(header))
        return cookies

    def _make_url(self) -> URL:
        host = self.header("host")
        scheme = f"{self._scheme}s" if self.is_secure else self._scheme
        if host is None:
            name, port = self.server or ("localhost", None)
            usual = 443 if scheme.endswith("s") else 80
            host = name if port in (None, usual) else f"{name}:{port}"
        url = f"{scheme}://{host}{self.raw_path.decode('latin-1')}"
        query = self.query_string
        return URL(f"{url}?{query.decode('latin-1')}" if query else url, path=self.path)

    def _convert_path_params(self) -> dict[str, Any]:
        captures = _core.Request.path_params.__get__(self)  # type: ignore[attr-defined]  # a descriptor of C
        info = self.plan.info if self.plan is not None else None
        converters = getattr(info, "converters", {})
        return {
            name: converters[name](text) if name in converters else text
            for name, text in captures.items()
        }
