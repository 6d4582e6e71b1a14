"""Starlette's own names."""

from __future__ import annotations

from .._starlette import Starlette

__version__ = "1.10.0"  # whose grammar this is

__all__ = ["Starlette", "__version__"]
