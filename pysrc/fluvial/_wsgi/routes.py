"""Which route a WSGI framework has found for a request, by what it leaves in the environ or in its
response. It is asked only where requests are counted.
"""

from __future__ import annotations

from typing import Any


def route_of(environ: dict[str, Any], result: Any) -> str | None:
    """The route's path as the app has declared it, with names instead of values; None: there is
    none, or the framework doesn't tell. `result` is what the app has returned."""
    path: Any = None
    if (request := environ.get("werkzeug.request")) is not None:  # Flask
        path = _at(request, "url_rule", "rule")
    elif (route := environ.get("bottle.route")) is not None:
        path = _at(route, "rule")
    else:  # Django's responses know the request, which they close
        for closer in getattr(result, "_resource_closers", ()):
            path = _at(closer, "__self__", "resolver_match", "route") or path
        path = f"/{path.removeprefix('/')}" if isinstance(path, str) else None
    return path if type(path) is str else None


def _at(found: Any, *names: str) -> Any:
    for name in names:
        found = getattr(found, name, None)
    return found
