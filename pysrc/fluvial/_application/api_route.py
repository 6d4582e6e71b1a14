"""Routes whose handlers' signatures are read, and whose handling of a request a class of the user's
may be around.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Coroutine, Mapping
from typing import TYPE_CHECKING, Any, Unpack

from .. import _core
from .._calling.callables import Flavour
from .._signature.body import ContentRule
from .._signature.foreign import check_model, check_returned
from .._signature.json_lines import response_class_of
from .._signature.lifetimes import uses_any
from .._signature.plan import make_target
from .._signature.results import (
    JSONWrap,
    ModelOptions,
    has_model,
    make_respond,
    make_wrap,
    returned_model,
    writers_of,
)
from .._signature.signature import Call, Overrides, Special, resolve_type, return_annotation
from .._signature.type_variables import settled
from .._validation.annotations import is_class
from .._validation.validators import make_adapter
from ..exceptions import FluvialError, HTTPException
from ..params import MISSING
from ..requests import Request
from ..responses import JSONResponse, Response, StreamingResponse
from .dependants import Dependant
from .manners import FLUVIAL
from .middleware import call_plan
from .paths import read_captures
from .plain_handlers import plan_around_request
from .read_signatures import (
    check_websocket,
    read_calls,
    respond_with_nothing,
    warn_of_untaken,
)
from .route_warnings import warn
from .routes import Route, RouteOptions, WebSocketRoute
from .timeouts import ends_of

if TYPE_CHECKING:
    from .dependencies import Dependencies

RouteHandler = Callable[[Request], Coroutine[Any, Any, Response]]


class APIRoute(Route):
    """One path with its handler.

    A class that derives from it may override `get_route_handler()`, to do something around every
    request of its routes: `APIRouter(route_class=…)`.
    """

    _within: _core.Plan | None = None  # what the user's class wraps
    # Attributes of FastAPI's that packages pass to its functions; here they mean nothing.
    body_field: Any = None
    _embed_body_fields = False

    def __init__(
        self,
        path: str,
        endpoint: Callable[..., Any],
        *,
        methods: Collection[str] | None = None,
        **options: Unpack[RouteOptions],
    ) -> None:
        super().__init__(path, endpoint, methods=methods or ("GET",), **options)
        # That of a partial is "partial" here, in URLs by name as in documents.
        name = getattr(endpoint, "__name__", type(endpoint).__name__)
        self.name = options.get("name") or name

    def get_route_handler(self) -> RouteHandler:
        """The function that handles a request of the route, to be called by an overriding one.

        It may be given another request, `MyRequest(request.scope, request.receive)`.
        """

        async def handle(request: Request) -> Response:
            plan = self._within or self.plan
            assert plan is not None
            return await _handle(plan, request)

        return handle

    def make_plan(self, dependencies: Dependencies) -> _core.Plan:
        """Reads the handler's signature.

        Raises: TypeError when the handler's signature or an option can't be used; NameError when
        an annotation uses a name that isn't defined yet.
        """
        calls = self._read(dependencies, {})
        warn_of_untaken(self.path, calls)
        self.calls = calls
        self.plan = self.compile(dependencies)
        return self.plan

    def _set_methods(self, names: tuple[str, ...]) -> None:
        """As FastAPI says them, without a HEAD that wasn't given."""
        self._methods, self._adds_head = set(names), False

    @property
    def response_model(self) -> Any:
        """The given one, or what the handler says that it returns, unless that is a response."""
        if "response_model" in self.options:
            return self.options["response_model"]
        try:
            model = return_annotation(self.endpoint)
        except NameError:
            return None
        return None if model is MISSING or is_class(model, Response) else model

    @response_model.setter
    def response_model(self, model: Any) -> None:
        self.options["response_model"] = model

    @property
    def dependant(self) -> Dependant:
        """The handler with what it depends on, for packages that look at it."""
        return Dependant.of(self)

    def _read(self, dependencies: Dependencies, overrides: Overrides) -> tuple[Call, ...]:
        before = (*dependencies.everywhere, *(self.options.get("dependencies") or ()))
        return read_calls(self.endpoint, self.path, before, Special.REQUEST, overrides)

    def compile(self, dependencies: Dependencies) -> _core.Plan:
        """A plan with the current overrides.

        Raises: TypeError when the signature can't be planned, NameError when an annotation isn't
        defined.
        """
        plan = self._compile(dependencies)
        if type(self).get_route_handler is APIRoute.get_route_handler:
            return plan
        self._within = plan
        return plan_around_request(self.get_route_handler(), self)

    def _compile(self, dependencies: Dependencies) -> _core.Plan:
        self.overridden = uses_any(self.calls, dependencies.overrides)
        calls = self._read(dependencies, dependencies.overrides) if self.overridden else self.calls
        dependencies.for_app.declare(calls)
        *before, call = calls
        target = make_target(
            call,
            before,
            read_captures(self.path),
            inline=self.options.get("inline", False),
            form_limits=self.options.get("form_limits"),
            content=self._content_rule(),
            streamed=is_class(self._response_class(), StreamingResponse),
        )
        wrap, status_code = self._wrap(), self.options.get("status_code") or 200
        plan = _core.Plan(
            target.handler,
            kind=target.kind,
            params=target.params,
            kwnames=target.kwnames,
            body=target.body,
            body_limit=self.options.get("body_limit"),
            **ends_of(self.options),
            status_code=status_code,
            **writers_of(wrap),
            info=self,
        )
        if target.program is not None:
            target.program.respond = make_respond(wrap, status_code)
            target.program.app_value = dependencies.for_app.value
        return plan

    def _content_rule(self) -> ContentRule:
        if self.options.get("strict_content_type") is False:
            return ContentRule.ASSUMED
        return self.options.get("manners", FLUVIAL).content

    def _response_class(self) -> type[Response] | None:
        return response_class_of(self.endpoint, self.options.get("response_class"))

    def _wrap(self) -> Callable[[Any], Response] | None:
        wrap, encode = self._make_wrap(), self.options.get("manners", FLUVIAL).encode
        if wrap is not None or encode is None:
            return wrap
        status_code = self.options.get("status_code") or 200
        return JSONWrap(encode, status_code, JSONResponse.media_type)

    def _make_wrap(self) -> Callable[[Any], Response] | None:
        options = self.options
        try:
            annotation = return_annotation(self.endpoint)
        except NameError:
            if "response_model" not in options:
                raise
            annotation = MISSING
        check_returned(annotation)
        strict = not options.get("manners", FLUVIAL).checks_results
        _check_described(options.get("responses") or {}, strict)
        model = self._given_model()
        if model is not MISSING:
            model = settled(model, "response_model", strict=strict)
        else:
            annotation = settled(annotation, "its return annotation", strict=strict)
            model = MISSING if strict else returned_model(annotation)
        if strict and (model is None or (model is MISSING and not has_model(annotation))):
            _warn_of_unused(options)
        try:
            return make_wrap(
                options.get("status_code"),
                self._response_class(),
                model,
                annotation,
                _model_options(options),
            )
        except TypeError as exc:
            if strict:
                raise
            raise FluvialError(f"not a valid Pydantic field type for a response: {exc}") from exc

    def _given_model(self) -> Any:
        """The option, in which a name's type takes the place of the name."""
        model = self.options.get("response_model", MISSING)
        if model is not MISSING and model is not None:
            model = self.options["response_model"] = resolve_type(model, self.endpoint)
        return model


def _check_described(responses: Mapping[int | str, dict[str, Any]], strict: bool) -> None:
    """Raises: TypeError for a model that is no type, and unless `strict` is set, FluvialError for
    one that pydantic has no schema for."""
    for status, response in responses.items():
        model, what = response.get("model"), f"responses[{status!r}]"
        check_model(model, f"the model of {what}")
        if model is not None and not strict:
            try:
                make_adapter(model)
            except TypeError as exc:
                raise FluvialError(f"not a valid Pydantic field type for {what}: {exc}") from exc


def _warn_of_unused(options: RouteOptions) -> None:
    """Warns of an option that picks fields of a response model, where there is none."""
    for name in ModelOptions.__annotations__:
        if name != "by_alias" and options.get(f"response_model_{name}"):
            warn(
                f"response_model_{name} has no effect: write response_model=…, or the type of the "
                "result as the handler's return annotation"
            )


def _model_options(options: RouteOptions) -> Any:
    return {
        name: options[f"response_model_{name}"]  # type: ignore[literal-required]  # all are options
        for name in ModelOptions.__annotations__
        if f"response_model_{name}" in options
    }


class APIWebSocketRoute(WebSocketRoute):
    """One path with a WebSocket handler whose signature is read."""

    def make_plan(self, dependencies: Dependencies) -> _core.Plan:
        """Reads the handler's signature.

        Raises: TypeError when the handler's signature can't be used; NameError when an annotation
        uses a name that isn't defined yet.
        """
        calls = self._read(dependencies, {})
        if calls[-1].flavour is not Flavour.ASYNC:
            raise TypeError("a WebSocket handler must be an `async def`")
        warn_of_untaken(self.path, calls)
        self.calls = calls
        self.plan = self.compile(dependencies)
        return self.plan

    def _read(self, dependencies: Dependencies, overrides: Overrides) -> tuple[Call, ...]:
        before = (*dependencies.everywhere, *self.dependencies)
        return read_calls(self.endpoint, self.path, before, Special.WEBSOCKET, overrides)

    def compile(self, dependencies: Dependencies) -> _core.Plan:
        """A plan with the current overrides.

        Raises: TypeError when the signature can't be planned, NameError when an annotation isn't
        defined.
        """
        self.overridden = uses_any(self.calls, dependencies.overrides)
        calls = self._read(dependencies, dependencies.overrides) if self.overridden else self.calls
        for each in calls:
            check_websocket(each)
        dependencies.for_app.declare(calls)
        target = make_target(calls[-1], list(calls[:-1]), read_captures(self.path))
        if target.program is not None:
            target.program.respond = respond_with_nothing
            target.program.app_value = dependencies.for_app.value
            target.program.late = False  # there is no response to wait for
        return _core.Plan(
            target.handler,
            kind=target.kind,
            params=target.params,
            kwnames=target.kwnames,
            body=_core.BODY_DISCARD,
            info=self,
        )


async def _handle(plan: _core.Plan, request: Request) -> Response:
    """Handles a request, or one that the user's class has made of its scope.

    Raises: what the handler raises, and HTTPException 413 for a body beyond the route's limit.
    """
    body = await request.body() if plan.body == _core.BODY_COLLECT else None
    if 0 <= plan.body_limit < len(body or b""):
        raise HTTPException(413)
    adopter = request.app.adopter()  # before it makes a request
    if request._scope is None:
        request = type(request)(request.scope, request.receive)
    if body is not None:
        adopter.collect(request, body, type(request).body is not Request.body)
    return await call_plan(plan, request)
