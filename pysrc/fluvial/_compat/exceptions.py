"""Exceptions and warnings that only FastAPI has. Programs catch and filter them."""

from __future__ import annotations

from ..exceptions import FastAPIDeprecationWarning as FastAPIDeprecationWarning
from ..exceptions import FastAPIError


class PydanticV1NotSupportedError(FastAPIError):
    """A model of pydantic's first version."""


class StarletteDeprecationWarning(UserWarning):
    """Something that Starlette is going to drop."""
