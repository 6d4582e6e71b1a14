"""Apps that respond for other hosts than the app that has them: `app.host("api.example", api)`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .._messages.hosts import split_host
from ..datastructures import Headers, URLPath

if TYPE_CHECKING:
    from .mounts import Mount
    from .protocol import Asgi3, Message, Receive, Send

_CAPTURE = re.compile(r"\{([A-Za-z_]\w*)\}")


@dataclass(slots=True, eq=False)
class Host:
    """An app for a host, of which `{name}` is a label of any text, without regard to case."""

    host: str
    mount: Mount
    pattern: re.Pattern[str]
    captures: frozenset[str]

    def values(self, host: str) -> dict[str, str] | None:
        """What the host has in the place of the captures; None when it is another host."""
        match = self.pattern.fullmatch(host)
        return None if match is None else match.groupdict()

    def url_path_for(self, name: str, values: dict[str, Any]) -> URLPath | None:
        """The path, with the host, of what has this name in the app; None when nothing has."""
        if not self.captures <= values.keys():
            return None
        inner = {key: value for key, value in values.items() if key not in self.captures}
        found = self.mount.url_path_for(name, inner)
        if found is None:
            return None
        host = _CAPTURE.sub(lambda capture: str(values[capture[1]]), self.host)
        return URLPath(str(found), found.protocol, host)


def make_host(host: str, mount: Mount) -> Host:
    """Raises: ValueError when `host` isn't a name, or has one capture twice."""
    without = _CAPTURE.sub("x", host)
    if split_host(without) is None:
        raise ValueError(f"a host is a name such as 'api.example.org', not {host!r}")
    names = _CAPTURE.findall(host)
    if len(set(names)) < len(names):
        raise ValueError(f"the host {host!r} has a capture twice")
    texts = map(re.escape, _CAPTURE.split(host)[::2])
    groups = [f"(?P<{name}>[^.]+)" for name in names] + [""]
    joined = "".join(text + group for text, group in zip(texts, groups, strict=True))
    return Host(host, mount, re.compile(joined, re.IGNORECASE), frozenset(names))


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
            name, port = split_host(Headers(raw=scope["headers"]).get("host")) or ("", "")
            for host in self.hosts:
                values = host.values(name)
                if values is None and port:
                    values = host.values(f"{name}:{port}")
                if values is not None:
                    inner = host.mount.below(scope)
                    inner["path_params"] = {**scope.get("path_params", {}), **values}
                    await host.mount.asgi(inner, receive, send)
                    return
        await self.app(scope, receive, send)
