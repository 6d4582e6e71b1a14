"""Starlette's own names."""

from __future__ import annotations

from ..applications import App

__version__ = "1.10.0"  # whose grammar this is
Starlette = App

__all__ = ["Starlette", "__version__"]
