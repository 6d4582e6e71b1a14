"""Apps that respond for other hosts than the app that has them: `app.host("api.example", api)`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from .._application.matching import Match
from .._application.plain_handlers import router_makers
from .._messages.hosts import split_host
from ..datastructures import Headers, URLPath
from ..exceptions import NoMatchFound
from .mounts import Mount

if TYPE_CHECKING:
    from .protocol import Asgi3, Message, Receive, Send

_CAPTURE = re.compile(r"\{([A-Za-z_]\w*)\}")


class Host:
    """An app for a host name, in which `{name}` stands for any label. Case is ignored."""

    def __init__(self, host: str, app: Any, name: str | None = None) -> None:
        """Raises: ValueError when `host` isn't a name, or has one capture twice."""
        self.host = host
        self.mount = app if isinstance(app, Mount) else Mount("", app, name=name)
        self.pattern, self.captures = _read(host)

    def __repr__(self) -> str:
        return f"Host(host={self.host!r}, name={self.name!r}, app={self.app!r})"

    @property
    def app(self) -> Any:
        """The app."""
        return self.mount.app

    @property
    def name(self) -> str | None:
        """The name, for url_path_for."""
        return self.mount.name

    @property
    def routes(self) -> list[Any]:
        """The routes of the app, if it has any."""
        return self.mount.routes

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """The host alone, as an ASGI app."""
        await router_makers[0]([self])(scope, receive, send)

    def matches(self, scope: Message) -> tuple[Match, dict[str, Any]]:
        """Whether an ASGI scope is for this host, and what its scope has, as in Starlette."""
        if scope["type"] not in ("http", "websocket"):
            return Match.NONE, {}
        values = self.asked_for(scope)
        if values is None:
            return Match.NONE, {}
        params = {**scope.get("path_params", {}), **values}
        return Match.FULL, {"path_params": params, "endpoint": self.app}

    def asked_for(self, scope: Message) -> dict[str, str] | None:
        """What the scope's host has in the place of the captures; None for another host."""
        name, port = split_host(Headers(raw=scope["headers"]).get("host")) or ("", "")
        values = self.values(name)
        return self.values(f"{name}:{port}") if values is None and port else values

    def values(self, host: str) -> dict[str, str] | None:
        """The values of the captures in the host name, which has no case; None when it doesn't
        match."""
        match = self.pattern.fullmatch(host)
        if match is None:
            return None
        return {key: value.lower() for key, value in match.groupdict().items()}

    def url_path_for(self, name: str, /, **path_params: Any) -> URLPath:
        """The path, with the host, of what has this name. Raises: NoMatchFound if nothing has."""
        found = self.find_path(name, path_params)
        if found is None:
            raise NoMatchFound(name, path_params)
        return found

    def find_path(self, name: str, values: dict[str, Any]) -> URLPath | None:
        """Host and path of the route with this name in the app; None when there is none."""
        if not self.captures <= values.keys():
            return None
        inner = {key: value for key, value in values.items() if key not in self.captures}
        found = self.mount.find_path(name, inner)
        if found is None:
            return None
        host = _CAPTURE.sub(lambda capture: str(values[capture[1]]), self.host)
        return URLPath(str(found), found.protocol, host)


def _read(host: str) -> tuple[re.Pattern[str], frozenset[str]]:
    without = _CAPTURE.sub("x", host)
    if split_host(without) is None:
        raise ValueError(f"a host is a name such as 'api.example.org', not {host!r}")
    names = _CAPTURE.findall(host)
    if len(set(names)) < len(names):
        raise ValueError(f"the host {host!r} has a capture twice")
    texts = map(re.escape, _CAPTURE.split(host)[::2])
    groups = [f"(?P<{name}>[^.]+)" for name in names] + [""]
    joined = "".join(text + group for text, group in zip(texts, groups, strict=True))
    return re.compile(joined, re.IGNORECASE), frozenset(names)


class HostRouting:
    """Middleware, innermost, that calls the apps of other hosts; the first host that fits counts.

    A host that is registered with a port must be asked for with it; without, any port fits.
    """

    def __init__(self, app: Asgi3, hosts: list[Host]) -> None:
        self.app = app
        self.hosts = hosts

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """The middleware as an ASGI app."""
        if scope["type"] in ("http", "websocket"):
            for host in self.hosts:
                values = host.asked_for(scope)
                if values is not None:
                    inner = host.mount.below(scope)
                    inner["path_params"] = {**scope.get("path_params", {}), **values}
                    await host.mount.asgi(inner, receive, send)
                    return
        await self.app(scope, receive, send)
