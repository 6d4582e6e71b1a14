"""Response classes as FastAPI has them: two that are deprecated there, and that of events."""

from __future__ import annotations

import json
import warnings
from typing import Any

from .. import sse
from .._validation.write_json import to_json
from ..encoders import jsonable_encoder
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


def to_spaced_json(value: Any) -> bytes:
    """Encodes as json.dumps() does by default, with spaces; NaN and infinities are null."""
    plain = jsonable_encoder(value)
    try:
        return json.dumps(plain, allow_nan=False).encode()
    except ValueError:
        return json.dumps(json.loads(to_json(plain))).encode()


def to_event_json(value: Any) -> bytes:
    """Encodes the data of a ServerSentEvent: a model writes itself, without spaces."""
    dump = getattr(value, "model_dump_json", None)
    return to_spaced_json(value) if dump is None else dump().encode()


class EventSourceResponse(sse.EventSourceResponse):
    """Events whose field Cache-Control is FastAPI's. The data of a ServerSentEvent doesn't have to
    fit the response model."""

    cache_control = "no-cache"
    encode_data = staticmethod(to_spaced_json)
    encode_event_data = staticmethod(to_event_json)
