"""What packages ask FastAPI's internals about a function's signature."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from .._application.dependants import Dependant
from .._signature.signature import own_parameters, return_annotation
from ..params import MISSING


def get_typed_signature(call: Callable[..., Any]) -> inspect.Signature:
    """The signature, in which annotations that are text have been read."""
    return inspect.Signature(list(own_parameters(call, strict=False)))


def get_typed_return_annotation(call: Callable[..., Any]) -> Any:
    """The return annotation, or None without one."""
    annotation = return_annotation(call)
    return None if annotation is MISSING else annotation


def get_parameterless_sub_dependant(*, depends: Any, path: str) -> Dependant:
    """A dependency beside the path, as `route.dependant` has it."""
    return Dependant(depends.dependency, path)


def lenient_issubclass(cls: Any, classes: Any) -> bool:
    """As issubclass(), but False for what is no class."""
    return isinstance(cls, type) and issubclass(cls, classes)


def _get_flat_body_params(dependant: Dependant) -> list[Any]:
    """Nothing: plans are made of signatures, whatever packages say of bodies."""
    return []


def _get_body_field(**_: Any) -> None:
    """Nothing, likewise."""
