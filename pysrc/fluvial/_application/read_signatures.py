"""The signatures of a route's handler and dependencies, as the route needs them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from .._calling.callables import callable_name
from .._signature.declared import Field
from .._signature.lifetimes import check_lifetimes
from .._signature.signature import (
    Call,
    Overrides,
    Special,
    read_call,
    read_dependency,
    settle_connection,
    settle_scopes,
)
from ..responses import Response
from .paths import read_captures
from .route_warnings import untaken

if TYPE_CHECKING:
    from ..params import Depends


def read_calls(
    endpoint: Callable[..., Any],
    path: str,
    before: Sequence[Depends],
    connection: Special,
    overrides: Overrides,
) -> tuple[Call, ...]:
    """Reads the signatures of the dependencies that are called before a handler, and its own.

    Raises: TypeError when one can't be called for a request; NameError as `read_call`.
    """
    captures = read_captures(path)
    calls: list[Call] = []
    try:
        for depends in before:
            if depends.dependency is None:
                raise TypeError("Depends() beside the path needs a callable")
            calls.append(read_dependency(depends.dependency, depends, captures, overrides))
        calls.append(read_call(endpoint, captures, overrides))
    except RecursionError:
        raise TypeError("one of its dependencies depends on itself") from None
    for each in calls:
        settle_connection(each, connection)
        settle_scopes(each)
        check_lifetimes(each)
    return tuple(calls)


def warn_of_untaken(path: str, calls: Sequence[Call]) -> None:
    """Warns of each name in the path that is probably misspelt in the signature."""
    captures = read_captures(path)
    fields = [field for call in calls for field in _fields(call)]
    taken = {field.alias for field in fields if field.source == "path"}
    untaken(captures, taken, {field.alias for field in fields if field.source != "path"})


def _fields(call: Call) -> list[Field]:
    values = [argument.value for argument in call.arguments]
    inner = [field for value in values if isinstance(value, Call) for field in _fields(value)]
    return [value for value in values if isinstance(value, Field)] + inner


def check_websocket(call: Call, *, inner: bool = False) -> None:
    """Raises: TypeError for a parameter that needs a body, or a response in the handler itself.

    Dependencies may have one, since requests may need them, too; what they set has no effect.
    """
    for argument in call.arguments:
        value = argument.value
        if isinstance(value, Call):
            check_websocket(value, inner=True)
            continue
        has_body = isinstance(value, Field) and value.source == "body"
        if has_body or (not inner and value in (Special.RESPONSE, Special.BACKGROUND)):
            what = "the body" if has_body else "a response"
            raise TypeError(
                f"parameter {argument.name!r} of {callable_name(call.func)} is for {what}, "
                "which a WebSocket doesn't have"
            )


def respond_with_nothing(_: Any) -> Response:
    """A Response in place of the handler's result, which is ignored; its clean-ups run at once."""
    return Response()
