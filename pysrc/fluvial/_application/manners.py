"""The one switch between Fluvial's ways and FastAPI's, where they differ on purpose.

docs/guide/from-fastapi.md says why they do. Programs that run by `fluvial.compat` expect FastAPI's.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .._signature.body import ContentRule
from ..encoders import encode_as_fastapi


@dataclass(frozen=True, slots=True)
class Manners:
    """How an app behaves.

    `content` says how a body is read whose Content-Type isn't JSON. `warns_of_duplicates` says
    whether a second handler for the same method and path is a RouteWarning. `checks_results` says
    whether a return annotation is a response model also where nothing in it has fields, as in
    `-> dict[str, int]`. `raises_failures` says whether what nothing has handled is raised, after
    the response, to the ASGI server or test that called the app, instead of logged. `closes_unfit`
    says whether a WebSocket that doesn't fit its parameters is closed with 1008, which before its
    acceptance is a bare 403, instead of refused with a 422 that says why. `encode` writes results
    without a model; None stands for msgspec, by which bytes are Base64, and times ISO 8601.
    """

    content: ContentRule
    warns_of_duplicates: bool
    checks_results: bool
    raises_failures: bool = False
    closes_unfit: bool = False
    encode: Callable[[Any], bytes] | None = None


FLUVIAL = Manners(ContentRule.REFUSED, warns_of_duplicates=True, checks_results=False)
STARLETTE = Manners(
    ContentRule.TEXT, warns_of_duplicates=False, checks_results=False, raises_failures=True
)
FASTAPI = Manners(
    ContentRule.TEXT,
    warns_of_duplicates=False,
    checks_results=True,
    raises_failures=True,
    closes_unfit=True,
    encode=encode_as_fastapi,
)
