"""Response classes that only FastAPI has. Ours writes JSON as fast as either."""

from __future__ import annotations

import warnings
from typing import Any

from ..responses import JSONResponse
from .exceptions import FastAPIDeprecationWarning


class _Deprecated(JSONResponse):
    def __init__(self, *args: Any, **options: Any) -> None:
        message = f"{type(self).__name__} is deprecated: JSONResponse is as fast"
        warnings.warn(message, FastAPIDeprecationWarning, stacklevel=2)
        super().__init__(*args, **options)


class ORJSONResponse(_Deprecated):
    """A JSONResponse."""


class UJSONResponse(_Deprecated):
    """A JSONResponse."""
