"""What an operation's description is made from: a route's parameters, body, responses, schemes."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, get_args, get_origin

from .._application.api_route import APIRoute
from .._application.read_signatures import read_calls
from .._calling.callables import Flavour, callable_name, flavour, strip_partials
from .._signature.declared import Field
from .._signature.signature import Call, Special, return_annotation, scopes_of
from .._validation.annotations import is_class
from ..params import MISSING
from ..responses import JSONResponse, Response
from ..security.base import SecurityBase
from ..sse import EventSourceResponse, ServerSentEvent
from ._bodies import Body, body_of
from ._parts import Parameter, Part, make_part, parameters_of

if TYPE_CHECKING:
    from .._application.routes import Route

_SOURCES = ("path", "query", "header", "cookie")
_GENERATORS = (Flavour.SYNC_GENERATOR, Flavour.ASYNC_GENERATOR)
_STREAMS = (
    *("AsyncIterable", "AsyncIterator", "AsyncGenerator", "Iterable", "Iterator", "Generator"),
)


@dataclass(slots=True)
class Described:
    """One route. `security` has the scopes that each scheme requires."""

    route: Route
    unique_id: str
    parameters: list[Parameter]
    body: Body | None
    security: dict[SecurityBase[Any], list[str]]
    response_class: type[Response]
    takes_input: bool  # parameters that aren't shown count, too
    response: Part | None = None
    stream: str | None = None  # the media type of what a generator yields
    item: Part | None = None
    responses: dict[int | str, Part] = field(default_factory=dict)
    callbacks: list[Described] = field(default_factory=list)

    def parts(self) -> Iterator[Part]:
        """Everything that needs a schema."""
        for callback in self.callbacks:
            yield from callback.parts()
        if self.body is not None:
            yield self.body.part
        yield from (part for part in (self.response, self.item) if part is not None)
        yield from self.responses.values()
        yield from (parameter.part for parameter in self.parameters)


def describe(route: Route) -> Described:
    """Reads a route.

    Raises: TypeError or ValueError for a route that was never planned, when its signature or an
    option can't be used.
    """
    handler, calls = _calls(route)
    found = _Found()
    found.take_handler(handler, calls)
    unique_id = route.unique_id
    described = Described(
        route=route,
        unique_id=unique_id,
        parameters=[p for source in _SOURCES for f in found.fields[source] for p in _shown(f)],
        body=body_of(found.bodies, unique_id),
        security=found.security,
        response_class=route.options.get("response_class") or JSONResponse,
        takes_input=bool(found.bodies or any(found.fields.values())),
    )
    _describe_response(described)
    for status, response in (route.options.get("responses") or {}).items():
        model = response.get("model")
        if model is not None:
            name = f"Response_{status}_{unique_id}"
            described.responses[status] = make_part(model, name, "serialization")
    callbacks = route.options.get("callbacks") or ()
    described.callbacks = [describe(each) for each in callbacks if isinstance(each, APIRoute)]
    return described


def _calls(route: Route) -> tuple[Call, tuple[Call, ...]]:
    """The handler's call, and those of the dependencies beside the path."""
    if route.calls:
        return route.calls[-1], route.calls[:-1]
    before = route.options.get("dependencies") or ()
    calls = read_calls(route.endpoint, route.path, before, Special.REQUEST, {})
    return calls[-1], calls[:-1]


def _shown(field: Field) -> list[Parameter]:
    return list(parameters_of(field)) if field.marker.include_in_schema else []


class _Found:
    """What a handler and all that it depends on take from the request, and the schemes they use;
    each call once."""

    def __init__(self) -> None:
        self.fields: dict[str, list[Field]] = {source: [] for source in _SOURCES}
        self.bodies: list[Field] = []
        self.security: dict[SecurityBase[Any], list[str]] = {}
        self._seen: list[Any] = []

    def take_handler(self, handler: Call, before: Sequence[Call]) -> None:
        """Takes the handler's own fields, those of the calls `before` it, and of its others."""
        self._take_fields(handler)
        for call in (*before, *_inner(handler)):
            self._take(call, scopes_of(handler.marker))

    def _take(self, call: Call, inherited: tuple[str, ...]) -> None:
        """`inherited` are the scopes of those that depend on the call."""
        scopes = tuple(dict.fromkeys((*inherited, *scopes_of(call.marker))))
        target = strip_partials(call.origin)
        key = (target, tuple(sorted(scopes)) if _uses_scopes(call) else ())
        if key in self._seen:
            return
        self._seen.append(key)
        self._take_fields(call)
        scheme = inspect.unwrap(target)
        if isinstance(scheme, SecurityBase):
            asked = self.security.setdefault(scheme, [])
            asked.extend(scope for scope in scopes if scope not in asked)
        for inner in _inner(call):
            self._take(inner, scopes)

    def _take_fields(self, call: Call) -> None:
        for argument in call.arguments:
            if isinstance(argument.value, Field):
                self.fields.get(argument.value.source, self.bodies).append(argument.value)


def _inner(call: Call) -> list[Call]:
    return [each.value for each in call.arguments if isinstance(each.value, Call)]


def _uses_scopes(call: Call) -> bool:
    scheme = inspect.unwrap(strip_partials(call.origin))
    if scopes_of(call.marker) or isinstance(scheme, SecurityBase):
        return True
    if Special.SCOPES in [each.value for each in call.arguments] or (call.key and call.key[1]):
        return True
    return any(map(_uses_scopes, _inner(call)))


# ---- Responses ------------------------------------------------------------------------------


def _describe_response(described: Described) -> None:
    options: Mapping[str, Any] = described.route.options
    endpoint = described.route.endpoint
    yields = flavour(endpoint) in _GENERATORS
    response_class = options.get("response_class")
    if yields and response_class is None:
        described.stream = "application/jsonl"
    elif yields and is_class(response_class, EventSourceResponse):
        described.stream = "text/event-stream"
    model = options.get("response_model", MISSING)
    if model is MISSING:
        model = _returned(endpoint)
        item = _item_type(model) if yields else None
        if item is not None:
            if described.stream is not None and not is_class(item, ServerSentEvent):
                name = "StreamItem_" + described.unique_id
                described.item = make_part(item, name, "serialization")
            model = None
    if model is not None and model is not MISSING:
        name = "Response_" + described.unique_id
        described.response = make_part(model, name, "serialization")


def _returned(endpoint: Any) -> Any:
    """The return annotation; None where it names no model."""
    try:
        model = return_annotation(endpoint)
    except NameError:
        return None
    if model is type(None) or is_class(model, Response):
        return None
    return model


def _item_type(annotation: Any) -> Any:
    origin = get_origin(annotation)
    if getattr(origin, "__name__", "") not in _STREAMS:
        return None
    arguments = get_args(annotation)
    return arguments[0] if arguments else Any


def name_of(described: Described) -> str:
    """The handler's name, for messages."""
    return callable_name(described.route.endpoint)
