"""The server's log: loggers below "fluvial", on stderr."""

from __future__ import annotations

import logging

logger = logging.getLogger("fluvial")


def configure(level: str) -> None:
    """Sends the log to stderr, unless the app has set up handlers for it."""
    logger.setLevel(level.upper())
    if logger.handlers or logging.getLogger().handlers:
        return
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    logger.addHandler(handler)
    logger.propagate = False
