"""Templates that a test wants to know of."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

# Set in the context of a test client's requests; called with each template and its values.
rendered: ContextVar[Callable[[Any, dict[str, Any]], None] | None] = ContextVar(
    "rendered", default=None
)
