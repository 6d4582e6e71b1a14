"""What packages ask FastAPI's internals about a function's signature."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from .._signature.signature import own_parameters, return_annotation
from ..params import MISSING


def get_typed_signature(call: Callable[..., Any]) -> inspect.Signature:
    """The signature, in which annotations that are text have been read."""
    return inspect.Signature(list(own_parameters(call, strict=False)))


def get_typed_return_annotation(call: Callable[..., Any]) -> Any:
    """The return annotation, or None without one."""
    annotation = return_annotation(call)
    return None if annotation is MISSING else annotation
