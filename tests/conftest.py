"""Fixtures of all tests."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, Protocol

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.serving import Served


class Serve(Protocol):
    """What the `serve` fixture gives."""

    def __call__(self, app: Any, **options: Any) -> Served:
        """Serves `app`, of any kind, until the test ends; `options` are those of Config."""


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Serves apps on free ports through the real server."""
    from support.serving import serving

    with contextlib.ExitStack() as stack:
        yield lambda app, **options: stack.enter_context(serving(app, **options))
