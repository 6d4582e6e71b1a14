"""Programs: a handler and its dependencies as a list of steps that share one list of values.

C binds the parameters of the whole graph and calls the program like a handler. If every step is a
`def`, the program is a `def` too, and runs in one call on the pool. Otherwise it is a coroutine;
consecutive `def` steps then share one call on the pool.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AsyncExitStack, nullcontext
from contextvars import Context, copy_context
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from .._calling.callables import Flavour
from .._calling.shields import Shield, shield_here
from .._calling.threads import (
    adopt_context,
    run_internal,
    run_later,
    submit_request,
    to_its_end,
    update_context,
)
from ..background import BackgroundTasks
from ..exceptions import FluvialError, RequestValidationError
from ..params import MISSING, Depends, Instance
from ..responses import Response
from .generators import Generators
from .results import NoContent

if TYPE_CHECKING:
    from .form_fields import FormBody

Values = list[Any]
UNSET = 0  # the status of a Response parameter until the user sets it
_ASYNC = (Flavour.ASYNC, Flavour.ASYNC_GENERATOR)


@dataclass(frozen=True, slots=True)
class Step:
    """One call. The numbers are places in the list of values; the result goes to `slot`.

    For a dependency that is a generator, `func` makes its context manager. `marker` is HANDLER for
    the handler itself.
    """

    func: Callable[..., Any]
    flavour: Flavour
    positional: tuple[int, ...]
    named: tuple[tuple[str, int], ...]
    slot: int
    marker: Depends

    def call(self, values: Values) -> Any:
        """Calls `func` with its arguments."""
        args = map(values.__getitem__, self.positional)
        if not self.named:
            return self.func(*args)
        return self.func(*args, **{name: values[place] for name, place in self.named})

    def is_blocked(self, values: Values) -> bool:
        """Whether one of the arguments failed validation."""
        places = (*self.positional, *(place for _, place in self.named))
        return any(type(values[place]) is RequestValidationError for place in places)


@dataclass(frozen=True, slots=True)
class Layout:
    """What the list of values contains in addition to the steps' results.

    First come the parameters that C binds. `factories` make the values of absent ones. The tuple at
    place `body` is spread over the places `members`; so is what `form` reads. `models` are read
    from the request, which is at place `request`. Places that are not used are -1.
    """

    size: int
    factories: tuple[tuple[int, Callable[[], Any]], ...]
    request: int
    body: int
    form: FormBody | None
    members: tuple[int, ...]
    models: tuple[tuple[int, Callable[[Any], Any]], ...]
    response: int
    background: int
    for_app: tuple[tuple[int, Any], ...]  # places and keys of what is made when the app starts
    # Which parameters to check for errors, in order. A shared dependency's are reported at each
    # use. Empty: all.
    told: tuple[int, ...]

    def fill(self, params: tuple[Any, ...], app_value: Callable[[Any], Any] | None) -> Values:
        """Makes the list of values for the first step."""
        values = [*params, *([None] * (self.size - len(params)))]
        if app_value is not None:
            for place, key in self.for_app:
                values[place] = app_value(key)
        for place, factory in self.factories:
            if values[place] is MISSING:
                try:
                    values[place] = factory()
                except RequestValidationError as exc:  # of a default that is validated
                    values[place] = exc
        for place, read in self.models:
            try:
                values[place] = read(values[self.request])
            except RequestValidationError as exc:
                values[place] = exc
        self._spread(values)
        if self.response >= 0:
            values[self.response] = response = Response()
            response.status_code = UNSET
        if self.background >= 0:
            values[self.background] = BackgroundTasks()
        return values

    async def fill_form(self, values: Values) -> None:
        """Reads the form, if there is one.

        Raises: HTTPException 400 or 413 when the form is malformed or exceeds a limit,
        ClientDisconnect when the client leaves before its end.
        """
        if self.form is not None:
            read = await self.form(values[self.request])
            for place, value in zip(self.members, read, strict=True):
                values[place] = value

    def _spread(self, values: Values) -> None:
        if self.body < 0:
            return
        body = values[self.body]
        failed = type(body) is RequestValidationError
        for number, place in enumerate(self.members):
            values[place] = body if failed else body[number]


class Program:
    """The steps of one route. The last step is the handler."""

    def __init__(self, layout: Layout, steps: list[Step], *, finish: bool) -> None:
        self.layout = layout
        self.steps = steps
        awaits = any(step.flavour in _ASYNC or _is_limited(step) for step in steps)
        self.is_async = awaits or layout.form is not None
        managed = [step.marker.scope for step in steps if "GENERATOR" in step.flavour.name]
        self._managed = bool(managed)
        if not self.is_async:  # then there is no need for their context managers
            self.steps = [_without_manager(step) for step in steps]
        self._early = "function" in managed
        # Whether clean-ups run after every response. Set to false where none is sent.
        self.late = "request" in managed
        self._finishes = finish or self._managed
        self._segments = _segments(steps)
        # Makes a Response of a result. Set once the plan exists.
        self.respond: Callable[[Any], Response] | None = None
        # Gives the result of a dependency that is made when the app starts. Set likewise.
        self.app_value: Callable[[Any], Any] | None = None

    def run(self, *params: Any) -> Any:
        """The program as a `def` handler."""
        values = self.layout.fill(params, self.app_value)
        if not self._managed:
            run_steps(self._unblocked(values), values, None)
            return self._finished(values)
        context = copy_context()
        try:
            return context.run(self._run_managed, values, context)
        finally:
            adopt_context(context)

    def _run_managed(self, values: Values, context: Context) -> Any:
        """Runs the steps in `context`. A clean-up after the response runs in the same context."""
        response = None
        with Generators() as stack:
            if self._early:
                with Generators() as inner:
                    run_steps(self._unblocked(values), values, stack, inner)
                    response = self._finished(values)
            else:
                run_steps(self._unblocked(values), values, stack)
                response = self._finished(values)
            if self.late or _not_swallowed(response).body is None:
                close = stack.pop_all().close
                _not_swallowed(response).clean_up_after(lambda: run_later(context, close))
        return _not_swallowed(response)

    async def run_async(self, *params: Any) -> Any:
        """The program as an `async def` handler."""
        values = self.layout.fill(params, self.app_value)
        await self.layout.fill_form(values)
        if not self._managed:
            await self._run_segments(values, None)
            return self._finished(values)
        shield = shield_here()
        if shield is None:
            return await self._run_async_managed(values, None)
        try:
            return await self._run_async_managed(values, shield)
        except BaseException:
            shield.leave()
            raise
        finally:
            if not (shield.left or shield.stays):
                shield.leave()

    async def _run_async_managed(self, values: Values, shield: Shield | None) -> Any:
        """Runs the steps. With a shield, what cleans up is not interrupted by anyio."""
        response = None
        async with AsyncExitStack() as stack:
            async with AsyncExitStack() if self._early else nullcontext(stack) as inner:
                try:
                    await self._run_segments(values, stack, inner)
                    response = self._finished(values)
                finally:
                    if shield is not None:
                        shield.up()
            if self.late or _not_swallowed(response).body is None:
                close = stack.pop_all().aclose
                later = close if shield is None else shield.after_response(close)
                _not_swallowed(response).clean_up_after(later)
        return _not_swallowed(response)

    async def _run_segments(
        self, values: Values, outer: AsyncExitStack | None, inner: AsyncExitStack | None = None
    ) -> None:
        threads = _Threads()
        for segment in self._segments_for(values):
            first = segment[0]
            stack = inner if first.marker.scope == "function" else outer
            if not _is_limited(first):
                await _run_segment(threads, segment, values, stack)
            elif stack is not None and "GENERATOR" in first.flavour.name:
                await stack.enter_async_context(first.marker.get_semaphore())
                await _run_segment(threads, segment, values, stack)
            else:
                async with first.marker.get_semaphore():
                    await _run_segment(threads, segment, values, stack)
        self._raise_problems(values)

    def _segments_for(self, values: Values) -> Any:
        """The segments to run. If parameters failed, only the steps that don't need them, each by
        itself; whether a step can run is decided when its turn comes."""
        if not _has_problems(values):
            return self._segments
        return ([step] for step in self._unblocked(values))

    def _unblocked(self, values: Values) -> Any:
        """The steps to run: all of them, or if parameters failed, those that don't need them."""
        if not _has_problems(values):
            return self.steps
        return self._steps_despite_problems(values)

    def _steps_despite_problems(self, values: Values) -> Any:
        for step in self.steps[:-1]:
            if step.is_blocked(values):
                values[step.slot] = RequestValidationError([])
            else:
                yield step
        self._raise_problems(values)

    def _raise_problems(self, values: Values) -> None:
        """If parameters failed, raises one RequestValidationError with all of their problems."""
        failed = {id(v): v for v in values if type(v) is RequestValidationError}
        if not failed:
            return
        again = [v for v in map(values.__getitem__, self.layout.told) if id(v) in failed]
        shown = {id(v) for v in again}
        every = [*again, *(v for v in failed.values() if id(v) not in shown)]
        errors = [dict(error) for exc in every for error in exc.errors()]
        bodies = [exc.body for exc in every if exc.body is not None]
        raise RequestValidationError(errors, body=bodies[0] if bodies else None)

    def _finished(self, values: Values) -> Any:
        """The handler's result. It is made a Response if something must be added to it, or must
        stay open until it has been sent."""
        result = values[self.steps[-1].slot]
        if not self._finishes or self.respond is None:
            return result
        response = self.respond(result)
        layout = self.layout
        if layout.response >= 0 and response is not result:
            extra: Response = values[layout.response]
            if extra.status_code != UNSET:
                if isinstance(response, NoContent):
                    response = response.changed_to(extra.status_code)
                response.status_code = extra.status_code
            response.raw_headers.extend(extra.raw_headers)
        if layout.background >= 0 and values[layout.background].tasks:
            response.run_after(values[layout.background])
        return response


class _Threads:
    """The calls of one request on the pool. They share one context, so that a clean-up sees the
    context variables that its set-up has set."""

    def __init__(self) -> None:
        self._context: Context | None = None

    async def run(self, steps: list[Step], values: Values, stack: AsyncExitStack | None) -> None:
        """Runs `def` steps in the pool. Context variables are copied there and back."""
        if self._context is None:
            self._context = copy_context()
        else:
            update_context(self._context)
        try:
            # Wait for the thread even when cancelled: the context managers that it enters must be
            # on the stack before the stack unwinds.
            await to_its_end(submit_request(self._context, self._run, steps, values, stack))
        finally:
            adopt_context(self._context)

    def _run(self, steps: list[Step], values: Values, stack: AsyncExitStack | None) -> None:
        if stack is None:
            run_steps(steps, values, None)
            return
        for step in steps:
            if step.flavour is Flavour.SYNC_GENERATOR:
                manager = step.call(values)
                values[step.slot] = manager.__enter__()
                stack.push_async_exit(self._exit_of(manager))
            else:
                run_steps([step], values, None)

    def _exit_of(self, manager: Any) -> Callable[..., Any]:
        async def leave(*exc_info: Any) -> Any:
            assert self._context is not None
            update_context(self._context)
            return await run_internal(self._context.run, manager.__exit__, *exc_info)

        return leave


async def _run_segment(
    threads: _Threads, segment: list[Step], values: Values, stack: AsyncExitStack | None
) -> None:
    first = segment[0]
    if type(first.marker) is Instance:
        run_steps(segment, values, None)
    elif first.flavour not in _ASYNC:
        await threads.run(segment, values, stack)
    elif first.flavour is Flavour.ASYNC or stack is None:
        values[first.slot] = await first.call(values)
    else:
        values[first.slot] = await stack.enter_async_context(first.call(values))


def run_steps(
    steps: Any, values: Values, outer: Generators | None, inner: Generators | None = None
) -> None:
    """Runs `def` steps in the current thread. Generators are closed by `inner` if their scope is
    the handler's call, else by `outer`."""
    for step in steps:
        if outer is not None and step.flavour is Flavour.SYNC_GENERATOR:
            stack = inner if inner is not None and step.marker.scope == "function" else outer
            values[step.slot] = stack.enter(step.call(values))
            continue
        try:
            values[step.slot] = step.call(values)
        except StopIteration as exc:  # a coroutine or future can't pass it on as an exception
            raise RuntimeError("a handler or dependency raised StopIteration") from exc


def _without_manager(step: Step) -> Step:
    if step.flavour is not Flavour.SYNC_GENERATOR:
        return step
    func: Any = step.func
    return replace(step, func=func.__wrapped__)


def _segments(steps: list[Step]) -> list[list[Step]]:
    """Groups consecutive `def` steps that are closed together; every other step is a segment of its
    own."""
    segments: list[list[Step]] = []
    for step in steps:
        last = segments[-1][0] if segments else None
        if last is not None and _is_plain(step) and _is_plain(last) and _same_end(last, step):
            segments[-1].append(step)
        else:
            segments.append([step])
    return segments


def _is_plain(step: Step) -> bool:
    return (
        step.flavour not in _ASYNC and not _is_limited(step) and type(step.marker) is not Instance
    )


def _same_end(one: Step, other: Step) -> bool:
    return (one.marker.scope == "function") == (other.marker.scope == "function")


def _is_limited(step: Step) -> bool:
    return step.marker.max_concurrency is not None


def _has_problems(values: Values) -> bool:
    for value in values:  # noqa: SIM110 - any() on a generator takes twice as long
        if type(value) is RequestValidationError:
            return True
    return False


def _not_swallowed(response: Any) -> Any:
    if response is None:
        raise FluvialError(
            # FastAPI's words, which programs' tests look for
            "no response: that comes of a handler raising an exception and a dependency with yield "
            "that catches it without raising it again"
        )
    return response
