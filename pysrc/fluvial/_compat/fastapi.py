"""FastAPI's own names: its application class and its logger."""

from __future__ import annotations

import logging

from .. import status
from ..applications import App

__version__ = "0.165.0"  # whose grammar this is
logger = logging.getLogger("fastapi")
FastAPI = App

__all__ = ["FastAPI", "__version__", "logger", "status"]
