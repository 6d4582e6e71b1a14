"""An app within another."""

from __future__ import annotations

from typing import Any

from fluvial import App


def mounted(app: Any) -> App:
    """Another app that it is mounted in, so that what it serves comes by ASGI."""
    outer = App()
    outer.mount("/", app)
    return outer
