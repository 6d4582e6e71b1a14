"""The same program on Fluvial and on FastAPI, asked the same."""

from __future__ import annotations

import importlib
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    import httpx
    from conftest import Serve

# What the two are called where their names differ.
_NAMES = {"App": "FastAPI"}
_PLACES = (
    "",
    "responses",
    "middleware",
    "middleware.cors",
    "middleware.gzip",
    "middleware.trustedhost",
    "middleware.httpsredirect",
)
_STARLETTE = (
    "authentication",
    "middleware.authentication",
    "middleware.base",
    "middleware.errors",
    "middleware.exceptions",
    "middleware.sessions",
    "staticfiles",
    "templating",
)
IGNORED = {"date", "server", "last-modified", "etag"}


def names_of(package: str) -> SimpleNamespace:
    """What programs import: all names of the modules, with Fluvial's spelling."""
    starlette = "starlette" if package == "fastapi" else package
    places = [f"{package}.{place}".rstrip(".") for place in _PLACES]
    places += [f"{starlette}.{place}" for place in _STARLETTE]
    found: dict[str, Any] = {}
    for place in places:
        found.update(vars(importlib.import_module(place)))
    if package == "fastapi":
        for ours, theirs in _NAMES.items():
            found[ours] = found[theirs]
    return SimpleNamespace(**found)


def tell(answer: httpx.Response, *ignored: str) -> tuple[int, str, list[tuple[str, str]]]:
    """Status, text and header fields, sorted, without those that always differ."""
    left_out = IGNORED | {*ignored}
    fields = [(n, v) for n, v in answer.headers.multi_items() if n not in left_out]
    return answer.status_code, answer.text, sorted(fields)


def serve_both(
    serve: Serve, make: Callable[[SimpleNamespace], Any]
) -> tuple[httpx.Client, httpx.Client]:
    """Clients of the program on Fluvial, and on FastAPI."""
    return serve(make(names_of("fluvial"))).client, serve(make(names_of("fastapi"))).client
