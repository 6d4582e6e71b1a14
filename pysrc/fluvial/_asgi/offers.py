"""Which of ASGI's extensions apps within a layer are offered."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .protocol import Message

PATHSEND = "http.response.pathsend"


def takes_paths(scope: Message | None) -> bool:
    """Whether the server, or a layer around, sends files by their paths."""
    return scope is not None and PATHSEND in (scope.get("extensions") or {})


def offer_no_paths(scope: Message) -> None:
    """Takes that offer back, for a layer which must see the content of responses."""
    if takes_paths(scope):
        scope["extensions"] = {k: v for k, v in scope["extensions"].items() if k != PATHSEND}
