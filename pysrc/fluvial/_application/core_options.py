"""What every `_core.Server` is given, whether it serves connections or only adopts requests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .._validation.write_json import encode_fallback, encode_json
from ..exceptions import ClientDisconnect, HTTPException, RequestValidationError
from ..responses import Response

if TYPE_CHECKING:
    from .exception_handlers import ErrorHandlers


def core_options(errors: ErrorHandlers) -> dict[str, Any]:
    """The classes that C makes or raises, and the functions that it calls."""
    return {
        "response_type": Response,
        "validation_error": RequestValidationError,
        "http_exception": HTTPException,
        "client_disconnect": ClientDisconnect,
        "encode": encode_json,
        "encode_fallback": encode_fallback,
        "on_error": errors.respond_now,
    }
