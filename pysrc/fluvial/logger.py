"""The logger of Fluvial, for programs that write to it."""

import logging

__all__ = ["logger"]

logger = logging.getLogger("fluvial")
