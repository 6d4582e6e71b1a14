"""URLs and their parts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import SplitResult, parse_qsl, quote, urlencode, urlsplit

from .hosts import split_host

_USUAL_PORTS = {"http": 80, "ws": 80, "https": 443, "wss": 443}
# What a segment and a path may hold unencoded besides letters, digits and "-._~" (RFC 3986 section
# 3.3).
SEGMENT_SAFE = ":@!$&'()*+,;="
PATH_SAFE = "/" + SEGMENT_SAFE
_AUTHORITY = ("hostname", "port", "username", "password")


class URL:
    """A URL and its parts.

    If `path` is given, it is the value of the property of this name. A request's URL has its
    percent-decoded path there, as the router sees it, so that percent-encoding can't evade a
    comparison. The URL's text stays as it was sent. Of a `scope` it is the URL that was requested;
    other parts are those of `replace`.
    """

    __slots__ = ("_parts", "_path", "_text")

    def __init__(
        self,
        url: str = "",
        *,
        path: str | None = None,
        scope: Mapping[str, Any] | None = None,
        **parts: Any,
    ) -> None:
        if scope is not None:
            url, path = _scope_url(scope), scope["path"]
        if parts:
            if path is not None:
                parts["path"] = path
            url, path = str(URL(url).replace(**parts)), None
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
    components = property(lambda self: self._parts)

    @property
    def path(self) -> str:
        """The path; decoded for a request's URL."""
        return self._parts.path if self._path is None else self._path

    @property
    def is_secure(self) -> bool:
        """Whether the scheme is https or wss."""
        return self._parts.scheme in ("https", "wss")

    def replace(self, **parts: Any) -> URL:
        """A copy with other parts: `scheme`, `netloc`, `path`, `query`, `fragment`.

        Also `hostname`, `port`, `username` and `password`, which are parts of `netloc`.
        """
        path = None if "path" in parts else self._path
        changed = {name: parts.pop(name) for name in _AUTHORITY if name in parts}
        if changed:
            parts["netloc"] = self._make_netloc(changed)
        return URL(self._parts._replace(**parts).geturl(), path=path)

    def _make_netloc(self, changed: dict[str, Any]) -> str:
        now = {name: getattr(self._parts, name) for name in _AUTHORITY}
        parts = {**now, **changed}
        host = parts["hostname"] or ""
        if host.count(":") > 1 and not host.startswith("["):
            host = f"[{host}]"
        text = host if parts["port"] is None else f"{host}:{parts['port']}"
        if parts["username"] is None:
            return text
        secret = "" if parts["password"] is None else f":{parts['password']}"
        return f"{parts['username']}{secret}@{text}"

    def include_query_params(self, **params: object) -> URL:
        """A copy with these query parameters set."""
        given = parse_qsl(self.query, keep_blank_values=True)
        values = {name: value for name, value in params.items()}
        pairs = [(name, value) for name, value in given if name not in values]
        return self._with_query([*pairs, *values.items()])

    def replace_query_params(self, **params: object) -> URL:
        """A copy with these query parameters alone."""
        return self._with_query(params.items())

    def remove_query_params(self, keys: str | Iterable[str]) -> URL:
        """A copy without these query parameters."""
        names = {keys} if isinstance(keys, str) else set(keys)
        given = parse_qsl(self.query, keep_blank_values=True)
        return self._with_query(pair for pair in given if pair[0] not in names)

    def _with_query(self, pairs: Iterable[tuple[str, object]]) -> URL:
        return self.replace(query=urlencode([(name, str(value)) for name, value in pairs]))

    def __str__(self) -> str:
        return self._text

    def __repr__(self) -> str:
        shown = self if not self.password else self.replace(password="********")
        return f"URL({shown._text!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, (URL, str)) and str(self) == str(other)

    def __hash__(self) -> int:
        return hash(self._text)


def _scope_url(scope: Mapping[str, Any]) -> str:
    """The URL that an ASGI scope stands for, with the host of the Host field.

    Whatever is in the path can't become another part of the URL.
    """
    scheme = scope.get("scheme", "http")
    sent = next((value.decode("latin-1") for n, value in scope["headers"] if n == b"host"), "")
    host = sent if sent and split_host(sent) is not None else ""
    if not host and (server := scope.get("server")):
        name = f"[{server[0]}]" if ":" in server[0] else server[0]
        usual = server[1] in (None, _USUAL_PORTS.get(scheme))
        host = name if usual else f"{name}:{server[1]}"
    raw_path = scope.get("raw_path")
    path = quote(scope["path"], safe=PATH_SAFE) if raw_path is None else raw_path.decode("latin-1")
    if not path.startswith("/"):
        path = f"/{path}"
    if not host and path.startswith("//"):
        path = f"/%2F{path[2:]}"
    query = scope.get("query_string", b"").decode("latin-1")
    text = f"{path}?{query}" if query else path
    return f"{scheme}://{host}{text}" if host else text


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
