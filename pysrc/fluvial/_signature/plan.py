"""From a handler's signature to the plan that C executes."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .. import _core
from .._calling.callables import Flavour
from ..params import Body
from .body import ContentRule, EmbeddedBody, WholeBody
from .declared import Field
from .fields import (
    by_order,
    is_read_in_python,
    make_body_field,
    make_param,
    make_reader,
)
from .form_fields import FormBody, is_form
from .lifetimes import MANAGERS
from .plan_runner import Layout, Program, Step
from .signature import Argument, Call, Special

if TYPE_CHECKING:
    from .._forms.limits import FormOptions

Captures = Mapping[str, tuple[int, Any]]
_TOLD_MAX = 1000  # calls and parameters; each dependency may double their number


@dataclass(frozen=True, slots=True)
class Target:
    """What a plan calls, and with which arguments."""

    handler: Callable[..., Any]
    kind: int
    params: tuple[_core.Param, ...]
    kwnames: tuple[str, ...]
    body: int
    program: Program | None


def make_target(
    call: Call,
    before: list[Call],
    captures: Captures,
    *,
    inline: bool = False,
    streamed: bool = False,
    form_limits: FormOptions | None = None,
    content: ContentRule = ContentRule.REFUSED,
) -> Target:
    """The target for a handler; the dependencies in `before` are called only for their effects.

    If `streamed`, what a generator yields is sent piece by piece. `form_limits` are arguments of
    `Request.form`; `content` is for bodies that don't say that they are JSON.

    Raises: TypeError when the handler is an async generator and isn't streamed, or when nothing
    can validate a parameter's annotation.
    """
    yields = call.flavour in MANAGERS
    if call.flavour is Flavour.ASYNC_GENERATOR and not streamed:
        raise TypeError(
            "an async generator's items need a response class that streams: leave out "
            "response_class for JSON lines, or say StreamingResponse or EventSourceResponse"
        )
    if _is_direct(call, before):
        # Calling a generator function runs none of its code, so it can't block the loop.
        return _direct(call, captures, inline or (yields and streamed), content)
    return _Builder(captures, form_limits, content).build(call, before, inline)


def _is_direct(call: Call, before: list[Call]) -> bool:
    """Whether C can call the handler directly, without a Program."""
    fields = [a.value for a in call.arguments if isinstance(a.value, Field)]
    others = [a.value for a in call.arguments if not isinstance(a.value, Field)]
    if before or any(other is not Special.REQUEST for other in others):
        return False
    bodies = [field for field in fields if field.source == "body"]
    if len(bodies) > 1 or any(_is_embedded(field) or is_form(field) for field in bodies):
        return False
    rest = [field for field in fields if field.source != "body"]
    return not any(field.needs_python or is_read_in_python(field) for field in rest)


def _direct(call: Call, captures: Captures, inline: bool, content: ContentRule) -> Target:
    arguments = _told_in_order(call.arguments)
    params = tuple(_direct_param(argument, captures, content) for argument in arguments)
    kwnames = [a.name for a in arguments if not a.positional]
    kind = _kind(call.flavour is Flavour.ASYNC, inline)
    body = _body_mode(arguments, kind == _core.TASK)
    return Target(call.func, kind, params, tuple(kwnames), body, None)


def _told_in_order(arguments: list[Argument]) -> list[Argument]:
    """The arguments in the order in which problems are reported.

    If that isn't the handler's own order, all of them are passed by keyword.
    """
    orders = [by_order(a.value) for a in arguments if isinstance(a.value, Field)]
    if orders == sorted(orders) or any(a.positional_only for a in arguments):
        return arguments
    ordered = sorted(
        arguments, key=lambda a: by_order(a.value) if isinstance(a.value, Field) else -1
    )
    return [Argument(a.name, False, False, a.value) for a in ordered]


def _direct_param(argument: Argument, captures: Captures, content: ContentRule) -> _core.Param:
    value = argument.value
    if not isinstance(value, Field):
        return _core.Param(_core.REQUEST, argument.name, argument.name)
    if value.source == "body":
        return _body_param(WholeBody(make_body_field(value), content), defer=False)
    return make_param(value, captures, defer=False)


def _body_param(convert: WholeBody | EmbeddedBody, *, defer: bool) -> _core.Param:
    from_json = convert.from_json
    return _core.Param(
        _core.BODY, "body", "body", convert=convert, defer=defer, from_json=from_json
    )


def _is_embedded(field: Field) -> bool:
    return isinstance(field.marker, Body) and bool(field.marker.embed)


def _is_shared(bodies: list[Field]) -> bool:
    """Whether each field takes the whole body: there is only one, or all have the same name, in
    the handler and in dependencies."""
    return len({field.alias for field in bodies}) == 1 and not any(map(_is_embedded, bodies))


def _kind(is_async: bool, inline: bool) -> int:
    if is_async:
        return _core.TASK
    return _core.INLINE if inline else _core.POOL


def _body_mode(arguments: list[Argument], is_async: bool) -> int:
    """How C passes the body on. It is collected for a parameter, or for a `def` that takes the
    Request, and streamed to an `async def` that takes the Request."""
    values = [argument.value for argument in arguments]
    if any(isinstance(value, Field) and value.source == "body" for value in values):
        return _core.BODY_COLLECT
    if Special.REQUEST in values:
        return _core.BODY_STREAM if is_async else _core.BODY_COLLECT
    return _core.BODY_DISCARD


class _Builder:
    """Assigns a place to each value of a graph of calls: parameters, values made from them, and
    results."""

    def __init__(
        self, captures: Captures, form_limits: FormOptions | None, content: ContentRule
    ) -> None:
        self._content = content
        self._captures = captures
        self._form_limits = form_limits
        self._params: list[_core.Param] = []
        self._factories: list[tuple[int, Callable[[], Any]]] = []
        self._places: dict[int, int] = {}
        self._calls: dict[Any, int] = {}
        self._order: list[Call] = []
        self._bodies: list[Field] = []
        self._models: list[Field] = []
        self._for_app: list[Call] = []
        self._specials: set[Special] = set()

    def build(self, call: Call, before: list[Call], inline: bool) -> Target:
        """The target whose handler is a Program that runs the graph."""
        for dependency in before:
            if self._known(dependency) is None:
                self._gather(dependency)
        self._gather(call)
        request = self._add_request() if self._wants_request() else -1
        form = self._make_form()
        body = self._add_body() if self._bodies and form is None else -1
        roots = [*(self._known(each) or each for each in before), call]
        layout, special = self._layout(request, body, form, roots)
        steps = [self._step(each, special, is_handler=each is call) for each in self._order]
        finish = bool(self._specials - {Special.REQUEST})
        program = Program(layout, steps, finish=finish)
        handler = program.run_async if program.is_async else program.run
        kind = _kind(program.is_async, inline)
        mode = self._body_mode(program.is_async)
        return Target(handler, kind, tuple(self._params), (), mode, program)

    def _gather(self, call: Call) -> None:
        """Adds a call after its dependencies. Dependencies that were added before are shared,
        unless `use_cache` is off."""
        self._calls[call] = -1
        if call.marker.scope == "app":
            self._for_app.append(call)
            return
        for argument in call.arguments:
            if isinstance(argument.value, Call) and self._known(argument.value) is None:
                self._gather(argument.value)
        for field in sorted(
            (a.value for a in call.arguments if isinstance(a.value, Field)), key=by_order
        ):
            self._add_field(field)
        self._specials |= {a.value for a in call.arguments if isinstance(a.value, Special)}
        self._order.append(call)

    def _known(self, call: Call) -> Call | None:
        """The call added before whose result `call` shares, or None."""
        if call.marker.use_cache or call.marker.scope == "app":
            for other in (*self._for_app, *self._order):
                if (other.marker.use_cache or other.marker.scope == "app") and (
                    other.key == call.key
                ):
                    return other
        return None

    def _add_field(self, field: Field) -> None:
        if field.source == "body":
            self._bodies.append(field)
        elif is_read_in_python(field):
            self._models.append(field)
        else:
            place = len(self._params)
            self._params.append(make_param(field, self._captures, defer=True))
            self._places[id(field)] = place
            if field.needs_python:
                make = functools.partial(field.absent, (field.source, field.alias))
                self._factories.append((place, make))

    def _wants_request(self) -> bool:
        return Special.REQUEST in self._specials or bool(self._models) or self._has_form()

    def _has_form(self) -> bool:
        """Whether the body is a form. If one parameter is a part of it, then all that are not
        from elsewhere are."""
        return any(map(is_form, self._bodies))

    def _make_form(self) -> FormBody | None:
        return FormBody(self._bodies, self._form_limits) if self._has_form() else None

    def _add_request(self) -> int:
        self._params.append(_core.Param(_core.REQUEST, "request", "request"))
        return len(self._params) - 1

    def _add_body(self) -> int:
        """The place of the tuple with a member for each field; -1 if each takes the whole body."""
        fields = [make_body_field(field) for field in self._bodies]
        first = len(self._params)
        if _is_shared(self._bodies):
            for number, field in enumerate(fields):
                self._params.append(_body_param(WholeBody(field, self._content), defer=True))
                self._places[id(self._bodies[number])] = first + number
            return -1
        self._params.append(_body_param(EmbeddedBody(fields, self._content), defer=True))
        return first

    def _layout(
        self, request: int, body: int, form: FormBody | None, roots: list[Call]
    ) -> tuple[Layout, dict[Special, int]]:
        numbers = itertools.count(len(self._params))
        members = self._bodies if body >= 0 or form is not None else []
        for field in (*members, *self._models):
            self._places[id(field)] = next(numbers)
        special = {Special.REQUEST: request}
        for each in (Special.RESPONSE, Special.BACKGROUND):
            special[each] = next(numbers) if each in self._specials else -1
        for call in (*self._for_app, *self._order):
            self._calls[call] = next(numbers)
        layout = Layout(
            size=next(numbers),
            factories=tuple(self._factories),
            request=request,
            body=body,
            form=form,
            members=tuple(self._places[id(field)] for field in members),
            models=tuple((self._places[id(f)], make_reader(f)) for f in self._models),
            response=special[Special.RESPONSE],
            background=special[Special.BACKGROUND],
            for_app=tuple((self._calls[call], call.key) for call in self._for_app),
            told=self._told(roots),
        )
        return layout, special

    def _told(self, roots: list[Call]) -> tuple[int, ...]:
        """The places of all parameters but those of the body, in the order of FastAPI's errors.

        Those of a dependency occur once per use. Empty when no dependency is used twice, or when
        there would be too many.
        """
        visited: list[int] = []
        for root in roots:
            self._tell(root, visited)
        told = [place for place in visited if place >= 0]
        repeated = len(told) > len(set(told))
        return tuple(told) if repeated and len(visited) < _TOLD_MAX else ()

    def _tell(self, call: Call, visited: list[int]) -> None:
        if len(visited) >= _TOLD_MAX or call.marker.scope == "app":
            return
        visited.append(-1)  # of a call, so that their number is bounded, too
        for inner in (a.value for a in call.arguments if isinstance(a.value, Call)):
            self._tell(self._known(inner) or inner, visited)
        fields = (a.value for a in call.arguments if isinstance(a.value, Field))
        own = (field for field in sorted(fields, key=by_order) if field.source != "body")
        visited += [self._places[id(field)] for field in own]

    def _step(self, call: Call, special: dict[Special, int], *, is_handler: bool) -> Step:
        places = {a.name: self._place(a.value, special) for a in call.arguments}
        positional = [places[a.name] for a in call.arguments if a.positional_only]
        named = [(a.name, places[a.name]) for a in call.arguments if not a.positional_only]
        func, flavour = call.func, call.flavour
        if is_handler and flavour in MANAGERS:
            flavour = Flavour.SYNC  # what it yields is the response
        elif flavour in MANAGERS:
            func = MANAGERS[flavour](func)
        return Step(func, flavour, tuple(positional), tuple(named), self._calls[call], call.marker)

    def _place(self, value: Field | Special | Call, special: dict[Special, int]) -> int:
        if isinstance(value, Special):
            return special[value]
        if isinstance(value, Field):
            return self._places[id(value)]
        return self._calls[self._known(value) or value]

    def _body_mode(self, is_async: bool) -> int:
        if self._has_form():
            return _core.BODY_STREAM
        if self._bodies:
            return _core.BODY_COLLECT
        if Special.REQUEST not in self._specials:
            return _core.BODY_DISCARD
        sync_readers = any(
            call.flavour in (Flavour.SYNC, Flavour.SYNC_GENERATOR)
            for call in self._order
            if any(a.value is Special.REQUEST for a in call.arguments)
        )
        return _core.BODY_COLLECT if sync_readers or not is_async else _core.BODY_STREAM
