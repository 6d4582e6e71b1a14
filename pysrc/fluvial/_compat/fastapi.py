"""FastAPI's own names: its application class and its logger."""

from __future__ import annotations

import logging
import warnings
from typing import Any

from .. import status
from .._application.manners import FASTAPI
from .._starlette import Debugged
from .exceptions import FastAPIDeprecationWarning

__version__ = "0.165.0"  # whose grammar this is
logger = logging.getLogger("fastapi")


class FastAPI(Debugged):
    """An App with FastAPI's defaults.

    With `debug`, the response to an exception that nothing handles is the traceback. `telemetry` is
    accepted and changes nothing: spans are made by OpenTelemetry's own instrumentation.
    """

    manners = FASTAPI

    def __init__(
        self, *, title: str = "FastAPI", debug: bool = False, telemetry: Any = None, **options: Any
    ) -> None:
        if options.get("root_path"):
            hint = (
                "give it to the server: `fastapi run --root-path`, here `fluvial run --root-path`"
            )
            message = f"FastAPI(root_path=…) is deprecated: {hint}"
            warnings.warn(message, FastAPIDeprecationWarning, stacklevel=2)
        super().__init__(title=title, **options)
        self.debug = debug
        self.telemetry = telemetry


__all__ = ["FastAPI", "__version__", "logger", "status"]
