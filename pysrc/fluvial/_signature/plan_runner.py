"""Programs: a handler and its dependencies as a list of steps that share one list of values.

C binds the parameters of the whole graph and calls the program like a handler. If every step is a
`def`, the program is a `def` too, and runs in one call on the pool. Otherwise it is a coroutine;
consecutive `def` steps then share one call on the pool.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AsyncExitStack, ExitStack
from contextvars import Context, copy_context
from dataclasses import dataclass
from typing import Any

from .._calling.callables import Flavour
from .._calling.threads import (
    adopt_context,
    run_internal,
    run_later,
    submit,
    to_its_end,
    update_context,
)
from ..background import BackgroundTasks
from ..exceptions import RequestValidationError
from ..params import MISSING
from ..responses import Response

Values = list[Any]
UNSET = 0  # the status of a Response parameter until the user sets it
_ASYNC = (Flavour.ASYNC, Flavour.ASYNC_GENERATOR)


@dataclass(frozen=True, slots=True)
class Step:
    """One call. The numbers are places in the list of values; the result goes to `slot`.

    For a dependency that is a generator, `func` makes its context manager.
    """

    func: Callable[..., Any]
    flavour: Flavour
    positional: tuple[int, ...]
    named: tuple[tuple[str, int], ...]
    slot: int

    def call(self, values: Values) -> Any:
        """Calls `func` with its arguments."""
        args = [values[place] for place in self.positional]
        return self.func(*args, **{name: values[place] for name, place in self.named})

    def is_blocked(self, values: Values) -> bool:
        """Whether one of the arguments failed validation."""
        places = (*self.positional, *(place for _, place in self.named))
        return any(type(values[place]) is RequestValidationError for place in places)


@dataclass(frozen=True, slots=True)
class Layout:
    """What the list of values contains in addition to the steps' results.

    First come the parameters that C binds. `factories` make the values of absent ones. The tuple at
    place `body` is spread over the places `members`. `models` are read from the request, which is
    at place `request`. Places that are not used are -1.
    """

    size: int
    factories: tuple[tuple[int, Callable[[], Any]], ...]
    request: int
    body: int
    members: tuple[int, ...]
    models: tuple[tuple[int, Callable[[Any], Any]], ...]
    response: int
    background: int

    def fill(self, params: tuple[Any, ...]) -> Values:
        """Makes the list of values for the first step."""
        values = [*params, *([None] * (self.size - len(params)))]
        for place, factory in self.factories:
            if values[place] is MISSING:
                values[place] = factory()
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
        self.is_async = any(step.flavour in _ASYNC for step in steps)
        self._managed = any("GENERATOR" in step.flavour.name for step in steps)
        self._finishes = finish or self._managed
        self._segments = _segments(steps)
        # Makes a Response of a result. Set once the plan exists.
        self.respond: Callable[[Any], Response] | None = None

    def run(self, *params: Any) -> Any:
        """The program as a `def` handler."""
        values = self.layout.fill(params)
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
        with ExitStack() as stack:
            run_steps(self._unblocked(values), values, stack)
            response = self._finished(values)
            if response.body is None:
                close = stack.pop_all().close
                response.clean_up_after(lambda: run_later(context, close))
        return _not_swallowed(response)

    async def run_async(self, *params: Any) -> Any:
        """The program as an `async def` handler."""
        values = self.layout.fill(params)
        if not self._managed:
            await self._run_segments(values, None)
            return self._finished(values)
        response = None
        async with AsyncExitStack() as stack:
            await self._run_segments(values, stack)
            response = self._finished(values)
            if response.body is None:
                response.clean_up_after(stack.pop_all().aclose)
        return _not_swallowed(response)

    async def _run_segments(self, values: Values, stack: AsyncExitStack | None) -> None:
        threads = _Threads()
        for segment in self._segments_for(values):
            first = segment[0]
            if first.flavour not in _ASYNC:
                await threads.run(segment, values, stack)
            elif first.flavour is Flavour.ASYNC or stack is None:
                values[first.slot] = await first.call(values)
            else:
                values[first.slot] = await stack.enter_async_context(first.call(values))
        _raise_problems(values)

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
        _raise_problems(values)

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
            response.raw_headers.extend(extra.raw_headers)
            if extra.status_code != UNSET:
                response.status_code = extra.status_code
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
            await to_its_end(submit(self._context, self._run, steps, values, stack))
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


def run_steps(steps: Any, values: Values, stack: ExitStack | None) -> None:
    """Runs `def` steps in the current thread."""
    for step in steps:
        if stack is not None and step.flavour is Flavour.SYNC_GENERATOR:
            values[step.slot] = stack.enter_context(step.call(values))
            continue
        try:
            values[step.slot] = step.call(values)
        except StopIteration as exc:  # a coroutine or future can't pass it on as an exception
            raise RuntimeError("a handler or dependency raised StopIteration") from exc


def _segments(steps: list[Step]) -> list[list[Step]]:
    """Groups consecutive `def` steps; every other step is a segment of its own."""
    segments: list[list[Step]] = []
    for step in steps:
        together = step.flavour not in _ASYNC and segments
        if together and segments[-1][0].flavour not in _ASYNC:
            segments[-1].append(step)
        else:
            segments.append([step])
    return segments


def _has_problems(values: Values) -> bool:
    return any(type(value) is RequestValidationError for value in values)


def _raise_problems(values: Values) -> None:
    """If parameters failed, raises one RequestValidationError with all of their problems."""
    failed = {id(v): v for v in values if type(v) is RequestValidationError}
    if failed:
        errors = [error for exc in failed.values() for error in exc.errors()]
        bodies = [exc.body for exc in failed.values() if exc.body is not None]
        raise RequestValidationError(errors, body=bodies[0] if bodies else None)


def _not_swallowed(response: Any) -> Any:
    if response is None:
        raise RuntimeError(
            "a dependency with yield caught the handler's exception and did not raise again"
        )
    return response
