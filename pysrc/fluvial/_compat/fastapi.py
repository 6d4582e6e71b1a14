"""FastAPI's own names: its application class and its logger."""

from __future__ import annotations

import logging
import sys
import warnings
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from .. import status
from .._application.manners import FASTAPI
from .._asgi import connections
from .._starlette import Router, Starlette
from ..middleware.errors import ServerErrorMiddleware
from .exceptions import FastAPIDeprecationWarning

if TYPE_CHECKING:
    from .._application.stack import Stack

__version__ = "0.165.0"  # whose grammar this is
logger = logging.getLogger("fastapi")
TELEMETRY = {
    *("tracer_provider", "meter_provider", "logger_provider", "tracing", "metrics", "logs"),
    *("operation_spans", "auto_configure", "exclude"),
}


class FastAPI(Starlette):
    """An App with FastAPI's defaults.

    With `debug`, the response to an exception that nothing handles is the traceback. `telemetry` is
    a TelemetryConfig: spans, metrics and log records of OpenTelemetry's are made of requests where
    it is given, or the program imports OpenTelemetry's SDK, unless another instrumentation does.
    """

    manners = FASTAPI

    def __init__(
        self,
        *,
        title: str = "FastAPI",
        debug: bool = False,
        telemetry: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> None:
        if options.get("root_path"):
            hint = (
                "give it to the server: `fastapi run --root-path`, here `fluvial run --root-path`"
            )
            message = f"FastAPI(root_path=…) is deprecated: {hint}"
            warnings.warn(message, FastAPIDeprecationWarning, stacklevel=2)
        super(Router, self).__init__(title=title, **options)  # not as a Starlette app
        self.debug = debug
        self._telemetry = dict(telemetry or {})
        if unknown := self._telemetry.keys() - TELEMETRY:
            raise TypeError(f"FastAPI(telemetry=…): unknown: {', '.join(sorted(unknown))}")

    def compile_middleware(self) -> Stack:
        """The middleware, with what makes spans around it."""
        fresh = self._stack is None
        stack = super().compile_middleware()
        if fresh and stack.watched is None and self._has_telemetry():
            from .telemetry import NotingFailures, Telemetry

            inner = NotingFailures(connections.Layers(self))
            answering = ServerErrorMiddleware(inner, self.errors.last_resort())
            self._stack = replace(stack, watched=Telemetry(answering, self._telemetry))
        return self._stack or stack

    def _has_telemetry(self) -> bool:
        others = (each.cls.__module__ for each in self.user_middleware)
        if any(name.startswith("opentelemetry.instrumentation") for name in others):
            return False
        return bool(self._telemetry) or "opentelemetry.sdk" in sys.modules


__all__ = ["FastAPI", "__version__", "logger", "status"]
