"""What the loop overrides takes every argument that asyncio's own code passes, in this Python."""

from __future__ import annotations

import asyncio
import inspect
from asyncio import sslproto
from typing import TYPE_CHECKING, Any

import pytest
from fluvial import Loop
from fluvial._loop.tls import SSLProtocol

if TYPE_CHECKING:
    from collections.abc import Iterator

Parameter = inspect.Parameter
POSITIONAL = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)


def overridden(ours: type, theirs: type) -> Iterator[tuple[str, Any, Any]]:
    """Methods of `theirs` that `ours` replaces: name, ours, theirs."""
    above = set(theirs.__mro__)
    for kind in ours.__mro__:
        if kind in above:
            continue
        for name, method in vars(kind).items():
            if callable(method) and callable(getattr(theirs, name, None)):
                yield name, method, getattr(theirs, name)


def signature(method: Any) -> inspect.Signature | None:
    """None where a C function tells nothing."""
    try:
        return inspect.signature(method, follow_wrapped=False)
    except ValueError:
        return None


def lacking(ours: inspect.Signature, theirs: inspect.Signature) -> list[str]:
    """The parameters of theirs that ours can't be called with."""
    kinds = {parameter.kind for parameter in ours.parameters.values()}
    by_place = [name for name, p in ours.parameters.items() if p.kind in POSITIONAL]
    only_by_place = sum(
        parameter.kind is Parameter.POSITIONAL_ONLY for parameter in ours.parameters.values()
    )
    found = []
    for place, (name, parameter) in enumerate(theirs.parameters.items()):
        if parameter.kind in POSITIONAL:
            known = by_place[place : place + 1] == [name] or place < only_by_place
            taken = known or Parameter.VAR_POSITIONAL in kinds
        elif parameter.kind is Parameter.KEYWORD_ONLY:
            taken = name in ours.parameters or Parameter.VAR_KEYWORD in kinds
        else:
            taken = parameter.kind in kinds
        if not taken:
            found.append(name)
    return found


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [(Loop, asyncio.SelectorEventLoop), (SSLProtocol, sslproto.SSLProtocol)],
)
def test_nothing_that_asyncio_passes_is_refused(ours: type, theirs: type) -> None:
    compared = 0
    faults = {}
    for name, method, original in overridden(ours, theirs):
        own, asked = signature(method), signature(original)
        if own is None or asked is None or name in ("__init__", "__init_subclass__"):
            continue
        compared += 1
        if found := lacking(own, asked):
            faults[name] = f"{own} lacks {found}"
    assert faults == {}
    assert compared > 5


def test_a_parameter_that_is_new_is_noticed() -> None:
    def ours(self: Any, sock: Any, *, extra: Any = None) -> None: ...
    def theirs(self: Any, sock: Any, server: Any = None, *, extra: Any, context: Any) -> None: ...

    assert lacking(inspect.signature(ours), inspect.signature(theirs)) == ["server", "context"]
