"""What stands in a signature or a decorator and isn't understood is refused at registration."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import inspect
import re
import typing
import warnings
from typing import Annotated, Any, Generic, NamedTuple, TypeVar

import aiohttp.web
import annotated_types
import blacksheep
import fastapi
import fastapi.security
import fluvial
import litestar
import litestar.di
import litestar.params
import msgspec
import pydantic
import pytest
import starlette.requests
import starlette.responses
import starlette.websockets
from fluvial import (
    App,
    BackgroundTasks,
    Body,
    Cookie,
    Depends,
    Header,
    HTTPConnection,
    Path,
    Query,
    Request,
    RouteWarning,
    WebSocket,
)
from fluvial._asgi.foreign_app import InterfaceError
from typing_extensions import Doc

T = TypeVar("T")
called: list[str] = []


def auth(q: str = "nobody") -> str:
    called.append(q)
    return q


def signature(annotation: Any = Any, default: Any = inspect.Parameter.empty) -> Any:
    """A function with one parameter `q`."""

    def handler(q: Any) -> Any:
        return q

    parameter = inspect.Parameter(
        "q", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=annotation, default=default
    )
    handler.__signature__ = inspect.Signature([parameter])
    return handler


def own_class(name: str) -> Any:
    """An instance of a class of that name, as a framework that nobody knows would have it."""
    return type(name, (), {})()


class Injected(NamedTuple):
    """A marker that means nothing here."""

    item: Any
    instead: str


FOREIGN_DEPENDS = fastapi.Depends(auth)


class FiltersStruct(msgspec.Struct):
    tags: Annotated[str, Query()] = ""


class FiltersModel(pydantic.BaseModel):
    tags: Annotated[str, Header()] = ""


@dataclasses.dataclass
class FiltersData:
    user: Any = FOREIGN_DEPENDS


@dataclasses.dataclass
class Holder:
    inner: FiltersData


class WithUpload(pydantic.BaseModel):
    file: fastapi.UploadFile


class WithSession(pydantic.BaseModel, arbitrary_types_allowed=True):
    """A model of somebody's own affairs."""

    session: aiohttp.ClientSession | None = None
    kind: type = aiohttp.ClientError
    number: int = 1


class Tagged:
    """Metadata of a library that has nothing to do with requests."""


FOREIGN = [
    Injected(fastapi.Depends(auth), "fluvial.Depends"),
    Injected(fastapi.Security(auth), "fluvial.Security"),
    Injected(fastapi.Query(gt=1), "fluvial.Query"),
    Injected(fastapi.Path(gt=1), "fluvial.Path"),
    Injected(fastapi.Header(), "fluvial.Header"),
    Injected(fastapi.Cookie(), "fluvial.Cookie"),
    Injected(fastapi.Body(), "fluvial.Body"),
    Injected(fastapi.Form(), "fluvial.F"),
    Injected(fastapi.File(), "fluvial.F"),
    Injected(fastapi.Depends, "fluvial.Depends"),
    Injected(fastapi.Query, "fluvial.Query"),
    Injected(type("Own", (fastapi.params.Query,), {})(), "fluvial.Query"),
    Injected(litestar.params.Parameter(gt=1), "fluvial.Query"),
    Injected(litestar.di.NamedDependency[int].__metadata__[0], "fluvial.Depends"),
    Injected(litestar.params.Body(), "fluvial.Body"),
    Injected(own_class("Depends"), "fluvial.Depends"),
    Injected(own_class("Inject"), "fluvial.Depends"),
]


@pytest.mark.parametrize("marker", FOREIGN, ids=[str(n) for n in range(len(FOREIGN))])
def test_markers_of_other_frameworks(marker: Injected) -> None:
    app = App(openapi_url=None)
    item = marker.item
    where = rf"(?s)GET /path .*'q'.*{re.escape(marker.instead)}"
    for annotation, default in (
        (str, item),
        (Annotated[str, item], inspect.Parameter.empty),
        (Annotated[str, item, Query()], "x"),
        (Annotated[Annotated[str, item], Doc("text")], inspect.Parameter.empty),
        (Annotated[str, item] | None, None),
        (list[Annotated[str, item]], Query()),
        (Request, item),
        (Annotated[Request, item], inspect.Parameter.empty),
    ):
        with pytest.raises(TypeError, match=where):
            app.get("/path")(signature(annotation, default))
    with pytest.raises(TypeError, match=where):
        app.get("/path")(signature(str, Depends(signature(Annotated[str, item]))))
    with pytest.raises(TypeError, match=where):
        app.get("/path", dependencies=[Depends(signature(str, item))])(lambda: None)
    assert app.routes == []


@pytest.mark.parametrize("marker", FOREIGN, ids=[str(n) for n in range(len(FOREIGN))])
def test_foreign_dependencies_beside_the_path(marker: Injected) -> None:
    app = App()
    match = re.escape(marker.instead)
    with pytest.raises(TypeError, match=rf"App\(\).*{match}"):
        App(dependencies=[marker.item])
    with pytest.raises(TypeError, match=match):
        app.get("/", dependencies=[marker.item])
    with pytest.raises(TypeError, match=match):
        app.websocket("/", dependencies=[marker.item])
    with pytest.raises(TypeError, match=match):
        app.add_api_route("/", auth, dependencies=[Depends(auth), marker.item])


@pytest.mark.parametrize("marker", FOREIGN, ids=[str(n) for n in range(len(FOREIGN))])
def test_websockets_refuse_foreign_markers(marker: Injected) -> None:
    app = App()

    async def handler(websocket: WebSocket, q: Any = marker.item) -> None: ...
    async def annotated(websocket: Annotated[WebSocket, marker.item]) -> None: ...

    annotated.__annotations__["websocket"] = Annotated[WebSocket, marker.item]
    for each in (handler, annotated):
        with pytest.raises(TypeError, match=rf"WebSocket /ws .*{re.escape(marker.instead)}"):
            app.websocket("/ws")(each)


@pytest.mark.parametrize("kind", [fastapi.WebSocket, starlette.requests.HTTPConnection])
def test_websockets_refuse_foreign_classes(kind: Any) -> None:
    async def handler(q: Any) -> None: ...

    handler.__annotations__["q"] = kind
    with pytest.raises(TypeError, match=rf"WebSocket /ws .*write fluvial\.{kind.__name__}"):
        App().websocket("/ws")(handler)


class Pager:
    def __init__(self, q: str = fastapi.Depends(auth)) -> None: ...


@dataclasses.dataclass
class PagerData:
    q: Annotated[int, fastapi.Query(ge=1)] = 1


class GenericPager(Generic[T]):
    def __init__(self, q: str = fastapi.Depends(auth)) -> None: ...


class Checker:
    def __call__(self, q: str = fastapi.Depends(auth)) -> str:
        return q

    def check(self, q: str = fastapi.Depends(auth)) -> str:
        return q


@pytest.mark.parametrize(
    "dependency",
    [
        Pager,
        PagerData,
        GenericPager[int],
        Checker(),
        Checker().check,
        functools.partial(signature(str, fastapi.Depends(auth))),
        Depends(auth),
        fastapi.Depends(auth),
    ],
)
def test_class_dependencies_and_their_like(dependency: Any) -> None:
    app = App()
    with pytest.raises(TypeError, match=r"GET / .*(fluvial\.(Depends|Query)|needs a callable)"):
        app.get("/")(signature(Any, Depends(dependency)))
    with pytest.raises(TypeError, match=r"GET / .*(fluvial\.(Depends|Query)|needs a callable)"):
        app.get("/", dependencies=[Depends(dependency)])(lambda: None)


def test_a_generic_class_is_read_as_its_origin(serve) -> None:
    class Page(Generic[T]):
        def __init__(self, page: int = 1) -> None:
            self.page = page

    app = App()
    app.get("/")(signature(Any, Depends(Page[int])))
    page = Depends(Page[int])
    app.get("/page")(lambda it=page: it.page)
    assert serve(app).client.get("/page?page=5").json() == 5


@pytest.mark.parametrize(
    ("annotation", "instead"),
    [
        (starlette.requests.Request, "fluvial.Request"),
        (fastapi.Request | None, "fluvial.Request"),
        (type("Mine", (starlette.requests.Request,), {}), "fluvial.Request"),
        (starlette.requests.HTTPConnection, "fluvial.HTTPConnection"),
        (starlette.websockets.WebSocket, "fluvial.WebSocket"),
        (starlette.responses.Response, "fluvial.Response"),
        (starlette.responses.JSONResponse, "fluvial.Response"),
        (fastapi.BackgroundTasks, "fluvial.BackgroundTasks"),
        (fastapi.security.SecurityScopes, "fluvial.security.SecurityScopes"),
        (fastapi.UploadFile, "fluvial.UploadFile"),
        (list[fastapi.UploadFile], "fluvial.UploadFile"),
        (WithUpload, "fluvial.UploadFile"),
        (aiohttp.web.Request, "fluvial.Request"),
        (litestar.Request, "fluvial.Request"),
        (litestar.WebSocket, "fluvial.WebSocket"),
        (blacksheep.Request, "fluvial.Request"),
        (blacksheep.FromQuery[int], "fluvial.Query"),
        (blacksheep.FromJSON[dict], "fluvial.Body"),
        (blacksheep.FromServices[int], "fluvial.Depends"),
        (Annotated[fastapi.UploadFile, Body()], "fluvial.UploadFile"),
        (Request | WebSocket, "HTTPConnection"),
        (list[Request], "alone"),
    ],
)
def test_classes_that_are_not_ours(annotation: Any, instead: str) -> None:
    app = App()
    with pytest.raises(TypeError, match=rf"GET / .*'q'.*{re.escape(instead)}"):
        app.get("/")(signature(annotation))
    with pytest.raises(TypeError, match=rf"GET / .*'q'.*{re.escape(instead)}"):
        app.get("/")(signature(Any, Depends(signature(annotation))))


def test_classes_of_others_in_the_annotation_of_a_dependency_are_nobodys_business(serve) -> None:
    app = App()
    session = Annotated[starlette.requests.Request, Depends(auth)]
    app.get("/")(signature(session))
    app.get("/default")(signature(starlette.requests.Request, Depends(auth)))
    client = serve(app).client
    assert client.get("/?q=a").json() == "a"
    assert client.get("/default?q=b").json() == "b"


def test_fields_of_others_in_a_model_are_nobodys_business(serve) -> None:
    app = App()
    model = Depends(signature(Annotated[WithSession, Body()]))
    app.post("/number")(lambda q=model: q.number)
    assert serve(app).client.post("/number", json={"number": 5}).json() == 5


def test_responses_of_others_are_refused_as_what_a_handler_returns() -> None:
    app = App()

    def handler() -> starlette.responses.JSONResponse: ...

    with pytest.raises(TypeError, match=r"GET / .*write fluvial\.JSONResponse"):
        app.get("/")(handler)
    with pytest.raises(TypeError, match=r"response_class.*fluvial"):
        app.get("/", response_class=starlette.responses.JSONResponse)


@pytest.mark.parametrize(
    ("annotation", "default", "match"),
    [
        (Annotated[int, Depends], inspect.Parameter.empty, r"write Depends\(function\)"),
        (Annotated[int, Depends] | None, None, "around the whole"),
        (int, Depends, r"write Depends\(function\)"),
        (int, Query, r"write Query\(\)"),
        (str, Path, r"write Path\(\)"),
        (str, Body, r"write Body\(\)"),
        (Annotated[str, auth], inspect.Parameter.empty, r"write Depends\(auth\)"),
        (Annotated[str, Checker()], inspect.Parameter.empty, r"write Depends\(Checker\)"),
        (Annotated[str, Checker], inspect.Parameter.empty, r"Depends\(Checker\)"),
        (Annotated[str, functools.partial(auth)], inspect.Parameter.empty, "write Depends"),
        (list[Annotated[str, auth]], Query(), r"write Depends\(auth\)"),
        (Annotated[str, annotated_types.Gt], inspect.Parameter.empty, r"Gt\(…\)"),
        (str, auth, r"write Depends\(auth\)"),
        (str, Checker, r"Depends\(Checker\)"),
        (str, Checker(), r"Depends\(Checker\)"),
        (str, Query(auth), r"Depends\(auth\)"),
        (int, pydantic.Field(gt=1), r"write Query\("),
        (int, msgspec.field(default=1), r"write Query\("),
        (int, dataclasses.field(default=1), r"write Query\("),
        (Annotated[str, Query(), Header()], inspect.Parameter.empty, "keep one"),
        (Annotated[str, Query(), Query()], inspect.Parameter.empty, "keep one"),
        (Annotated[Annotated[str, Query()], Depends(auth)], inspect.Parameter.empty, "keep one"),
        (Annotated[str, Query], Depends(auth), "keep one"),
        (Annotated[str, Depends(auth)] | None, None, "around the whole"),
        (list[Annotated[str, Query(max_length=3)]], Query(), "around the whole"),
        (dict[str, Annotated[str, Header()]], Body(), "around the whole"),
        (Annotated[BackgroundTasks, Query()], inspect.Parameter.empty, "remove one"),
        (HTTPConnection, Cookie(), "remove one"),
        (FiltersStruct, Query(), r"field 'tags' of FiltersStruct"),
        (FiltersModel, Query(), r"field 'tags' of FiltersModel"),
        (FiltersData, Body(), r"field 'user' of FiltersData"),
        (list[Holder], Body(), r"field 'user' of FiltersData"),
        (Any, Depends(), r"write Depends\(function\)"),
        (int | None, Depends(), "needs a callable"),
        (typing.Optional[Pager], Depends(), "needs a callable"),  # noqa: UP045
        (Any, Depends(5), "needs a callable"),
        (Any, Depends("auth"), "needs a callable"),
        (Any, Depends(0), "needs a callable"),
        (auth, inspect.Parameter.empty, r"no type.*Depends\(auth\)"),
        (auth, Query(), r"no type.*Depends\(auth\)"),
        (Depends(auth), inspect.Parameter.empty, r"annotation.*Annotated\[T, Depends"),
        (Query(), "x", r"annotation.*Annotated\[T, Query"),
        (Query, inspect.Parameter.empty, r"annotation.*Annotated\[T, Query"),
        (fastapi.Depends(auth), inspect.Parameter.empty, r"fluvial\.Depends"),
        (fastapi.Query(), inspect.Parameter.empty, r"fluvial\.Query"),
        ([int], inspect.Parameter.empty, "no type"),
        ({"a": int}, inspect.Parameter.empty, "no type"),
        (list, [Depends(auth)], "where it has no effect"),
        (Any, (Query(),), "where it has no effect"),
        (dict, {"user": fastapi.Depends(auth)}, r"fluvial\.Depends"),
        (Tagged | None, None, r"can't be validated.*write Depends\(function\)"),
        (set[Tagged], Query(), r"can't be validated"),
        (list[Tagged], Query(), r"can't be validated.*write Depends\(function\)"),
        (dict[str, int | Tagged], Body(), r"can't be validated.*write Depends\(function\)"),
        (tuple[int, Tagged], Body(), r"can't be validated.*write Depends\(function\)"),
    ],
)
def test_what_is_not_meant(annotation: Any, default: Any, match: str) -> None:
    with pytest.raises(TypeError, match=rf"GET / .*'q'.*{match}"):
        App().get("/")(signature(annotation, default))


def test_handlers_and_models_that_are_none() -> None:
    app = App(openapi_url=None)
    for handler in (5, None, "handler"):
        with pytest.raises(TypeError, match=r"GET / .*must be a function, not"):
            app.get("/")(handler)  # type: ignore[type-var]
    for model in (auth, 5, Depends(auth)):
        with pytest.raises(TypeError, match="GET /"):
            app.get("/", response_model=model)(lambda: None)
    assert app.routes == []


def test_a_type_may_stand_behind_a_dependency(serve) -> None:
    """The annotation is what an empty Depends() calls; beside another it is nobody's business."""
    app = App()
    app.get("/")(signature(auth, Depends()))
    app.get("/other")(signature(Tagged | None, Depends(auth)))
    client = serve(app).client
    assert client.get("/?q=a").json() == client.get("/other?q=a").json() == "a"


def test_depends_of_what_a_function_returned() -> None:
    async def user() -> str:
        return ""

    with pytest.raises(TypeError, match=r"'q'.*without \(\)"):
        App().get("/")(signature(Any, Depends(user())))
    with pytest.raises(TypeError, match=r"GET / .*without \(\)"):
        App().get("/", dependencies=[Depends(user())])(lambda: None)


def test_registrations_that_nothing_would_come_to() -> None:
    app = App()
    with pytest.raises(TypeError, match="methods must be a list of names"):
        app.api_route("/", methods=[])
    with pytest.raises(ValueError, match="status of 100 to 599, not 700"):
        app.exception_handler(700)
    with pytest.raises(InterfaceError, match=r"mounted at '/m' is not an app.*then call it"):
        app.mount("/m", lambda: app)
    for register in (app.mount, app.websocket, app.include_router):
        with pytest.raises(TypeError, match=rf"^app\.{register.__name__}\(\) has no option 'nme'"):
            register("/", nme="x")  # type: ignore[operator]


def test_parameters_that_nothing_fills_in() -> None:
    """As a decorator's wrapper has, whose function would be called without dependencies."""

    def handler(user: Annotated[str, Depends(auth)]) -> None: ...

    def args(*q: Any) -> None: ...
    def kwargs(a: int = 1, **q: Any) -> None: ...

    class Taking:
        def __init__(self, *q: Any) -> None: ...

    for function in (args, kwargs):
        with pytest.raises(TypeError, match=r"parameter 'q' .*functools\.wraps"):
            App().get("/")(function)
        with pytest.raises(TypeError, match=r"parameter 'q' .*functools\.wraps"):
            App().websocket("/")(function)
        with pytest.raises(TypeError, match=r"parameter 'q' .*functools\.wraps"):
            App().get("/", dependencies=[Depends(function)])(lambda: None)
    with pytest.raises(TypeError, match=r"parameter 'q' .*functools\.wraps"):
        App().get("/")(signature(Any, Depends(Taking)))
    App().get("/")(functools.wraps(handler)(args))


@pytest.mark.parametrize(
    ("annotation", "query", "expected"),
    [
        (Annotated[int, "text"], "5", 5),
        (Annotated[int, Doc("text")], "5", 5),
        (Annotated[int, Tagged(), 7, ("a",), {"b": 1}, None], "5", 5),
        (Annotated[int, annotated_types.Gt(3)], "5", 5),
        (Annotated[int, pydantic.Field(gt=3)], "5", 5),
        (Annotated[int, pydantic.AfterValidator(lambda value: value + 1)], "5", 6),
        (Annotated[int, msgspec.Meta(gt=3)], "5", 5),
        (Annotated[str, pydantic.StringConstraints(to_upper=True)], "a", "A"),
        (Annotated[int, Query], "5", 5),
        (Annotated[Annotated[int, "text"], Query(gt=3)], "5", 5),
        (Annotated[list[Annotated[int, "text"]], Query()], "5", [5]),
    ],
)
def test_metadata_that_does_no_harm(serve, annotation: Any, query: str, expected: Any) -> None:
    app = App()
    app.get("/")(signature(annotation))
    assert serve(app).client.get("/", params={"q": query}).json() == expected


@pytest.mark.parametrize("marker", [fastapi.Depends(auth), Depends(auth)])
def test_handlers_that_are_called_with_fixed_arguments(marker: Any) -> None:
    app = App()

    async def middleware(request: Request, call_next: Any, user: Any = marker) -> Any: ...
    def handler(request: Request, exc: Exception, user: Any = marker) -> Any: ...

    with pytest.raises(TypeError, match=r"middleware .*'user'.*(fluvial\.Depends|fill in)"):
        app.middleware("http")(middleware)
    with pytest.raises(TypeError, match=r"exception handler .*'user'.*(fluvial\.Depends|fill in)"):
        app.exception_handler(ValueError)(handler)
    with pytest.raises(TypeError, match=r"exception handler .*'user'"):
        app.add_exception_handler(404, handler)
    with pytest.raises(TypeError, match=r"exception handler .*'user'"):
        App(exception_handlers={ValueError: handler})


def test_handlers_that_can_not_be_called() -> None:
    app = App()

    async def no_next(request: Request) -> Any: ...
    def foreign(request: starlette.requests.Request, exc: Exception) -> Any: ...
    def response(request: Request, exc: Exception) -> starlette.responses.PlainTextResponse: ...

    with pytest.raises(TypeError, match=r"middleware .*no_next must take \(request, call_next\)"):
        app.middleware("http")(no_next)
    with pytest.raises(TypeError, match=r"must take \(request, exc\)"):
        app.exception_handler(404)(lambda request: None)
    with pytest.raises(TypeError, match=r"'request'.*write fluvial\.Request"):
        app.exception_handler(404)(foreign)
    with pytest.raises(TypeError, match=r"write fluvial\.PlainTextResponse"):
        app.exception_handler(404)(response)
    with pytest.raises(TypeError, match="must be a function"):
        app.add_exception_handler(404, "text")
    with pytest.raises(TypeError, match=r"write fluvial\.RequestValidationError"):
        app.exception_handler(fastapi.exceptions.RequestValidationError)


# ---- decorators ----------------------------------------------------------------------------

METHODS = ("get", "post", "put", "patch", "delete", "head", "options", "trace")


@pytest.mark.parametrize("name", [*METHODS, "api_route", "route"])
@pytest.mark.parametrize(
    ("option", "meant"),
    [
        ("statuscode", "status_code"),
        ("respons_model", "response_model"),
        ("ResponseModel", "response_model"),
        ("dependancies", "dependencies"),
        ("response_model_exclude_unsed", "response_model_exclude_unset"),
        ("bodylimit", "body_limit"),
    ],
)
def test_unknown_options(name: str, option: str, meant: str) -> None:
    app = App()
    with pytest.raises(TypeError, match=rf"{option}.*did you mean '{meant}'"):
        getattr(app, name)("/", **{option: 1})
    with pytest.raises(TypeError, match=rf"{option}.*did you mean '{meant}'"):
        app.add_api_route("/", auth, **{option: 1})


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda app: app.get("/", zzz=1), r"no option 'zzz'; it has .*status_code"),
        (lambda app: app.websocket("/", dependancies=[]), "did you mean 'dependencies'"),
        (
            lambda app: app.add_api_websocket_route("/", auth, dependancies=[]),
            "did you mean 'dependencies'",
        ),
        (lambda app: app.middleware(king="http"), "did you mean 'kind'"),
        (lambda app: app.exception_handler(keys=404), "did you mean 'key'"),
        (lambda app: app.add_exception_handler(404, handlr=auth), "did you mean 'handler'"),
        (lambda app: app.mount("/", app, interfaces="asgi3"), "did you mean 'interface'"),
        (lambda _: App(lifespans=None), "did you mean 'lifespan'"),
        (lambda _: App(exception_handler={}), "did you mean 'exception_handlers'"),
        (lambda _: Depends(auth, usecache=False), "did you mean 'use_cache'"),
        (lambda _: Query(maxlength=3), r"Query\(\).*did you mean 'max_length'"),
        (lambda _: Path(max_len=3), r"Path\(\).*did you mean 'max_length'"),
        (lambda _: Header(convert_underscore=False), "did you mean 'convert_underscores'"),
        (lambda _: Cookie(aliass="x"), "did you mean 'alias'"),
        (lambda _: Body(embedded=True), "did you mean 'embed'"),
        (lambda app: app.get("/", status_code="201"), "status_code must be an int"),
        (lambda app: app.get("/", dependencies=Depends(auth)), r"dependencies=\[Depends"),
        (lambda app: app.get("/", dependencies=[auth]), r"write Depends\(auth\)"),
        (lambda app: app.get("/", dependencies=[Depends]), r"write Depends\(function\)"),
        (lambda _: App(dependencies=[auth]), r"App\(\).*write Depends\(auth\)"),
        (lambda app: app.api_route("/", methods="POST"), r"\[\"GET\"\], not 'POST'"),
        (lambda app: app.get("/", response_class=dict), "response_class"),
    ],
)
def test_what_decorators_refuse(call: Any, match: str) -> None:
    with pytest.raises(TypeError, match=match):
        call(App())


@pytest.mark.parametrize("status", [0, False, 1, 99, 600])
def test_statuses_that_a_response_cannot_have(status: int) -> None:
    app = App()
    with pytest.raises(ValueError, match="must be 200 to 599"):
        app.get("/", status_code=status)(lambda: 1)


@pytest.mark.parametrize("name", [*METHODS, "api_route", "route", "websocket", "middleware"])
def test_decorators_without_parentheses(name: str) -> None:
    app = App(openapi_url=None)

    async def forgotten() -> None: ...

    with pytest.raises(TypeError, match=r"(?s)write @app\..*parentheses, above .*forgotten"):
        getattr(app, name)(forgotten)
    with pytest.raises(TypeError, match=r"(?s)write @app\..*parentheses, above .*Checker"):
        getattr(app, name)(Checker())
    assert app.routes == []
    assert app.middlewares == []


def test_an_exception_handler_without_parentheses() -> None:
    with pytest.raises(TypeError, match=r"write @app.exception_handler\(…\), with parentheses"):

        @App().exception_handler
        def handler(request: Request, exc: Exception) -> None: ...


# ---- paths -----------------------------------------------------------------------------------


def test_path_for_a_name_that_is_not_in_the_path() -> None:
    app = App(dependencies=[Depends(signature(str, Path()))])

    async def socket(q: str = Path()) -> None: ...

    for register in (
        lambda: App().get("/{p}")(signature(int, Path())),
        lambda: App().get("/{q}")(signature(int, Path(alias="p"))),
        lambda: App().get("/")(signature(Any, Depends(signature(int, Path())))),
        lambda: App().get("/", dependencies=[Depends(signature(int, Path()))])(auth),
        lambda: app.get("/")(auth),
        lambda: App().websocket("/")(socket),
    ):
        with pytest.raises(TypeError, match=r"route .* / ?.*the path has no {[pq]}|the path has"):
            register()


def test_path_by_alias(serve) -> None:
    app = App()
    app.get("/{p}")(signature(int, Path(alias="p")))
    assert serve(app).client.get("/5").json() == 5


def test_a_misspelt_name_of_the_path_is_warned_of() -> None:
    app = App()
    with pytest.warns(RouteWarning, match=r"takes {item_id}.*'itemid'") as caught:
        app.get("/items/{item_id}")(lambda itemid: None)
    assert caught[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        app.get("/pages/{path:path}")(lambda: None)  # a catch-all
        app.get("/one/{item_id}")(lambda item_id, itemid=1: None)


def first() -> None: ...
def second() -> None: ...


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ("/a", "/a"),
        ("/a/{x}", "/a/{y}"),
        ("/a/{x}", "/a/{y:str}"),
        ("/a/{x:int}/b", "/a/{y:int}/b"),
        ("/{rest:path}", "/{other:path}"),
    ],
)
def test_two_handlers_for_one_path(serve, one: str, two: str) -> None:
    app = App()
    app.get(one)(first)
    lines = [func.__code__.co_firstlineno for func in (first, second)]
    match = rf"GET {re.escape(two)}.*first \(.*{lines[0]}\) .*second \(.*{lines[1]}\)"
    with pytest.warns(RouteWarning, match=match) as caught:
        app.get(two)(second)
    line = inspect.currentframe().f_lineno - 1
    assert (caught[0].filename, caught[0].lineno) == (__file__, line)
    app.get("/both")(first)
    with pytest.warns(RouteWarning, match=r"GET /both"):
        app.api_route("/both", methods=["get", "POST"])(second)


def test_what_is_not_twice() -> None:
    app = App()

    async def socket(websocket: WebSocket) -> None: ...

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        app.get("/a")(first)
        app.post("/a")(second)
        app.get("/a/")(second)
        app.get("/a/{x:int}")(first)
        app.get("/a/{x}")(second)
        app.websocket("/a")(socket)
        App().get("/a")(first)
        app.mount("/a", App())


def test_two_websockets_and_two_mounts() -> None:
    app = App()

    async def one(websocket: WebSocket) -> None: ...
    async def two(websocket: WebSocket) -> None: ...

    app.websocket("/{a}")(one)
    with pytest.warns(RouteWarning, match=r"WebSocket /{b}.*\.one \(.*\.two \(") as caught:
        app.websocket("/{b}")(two)
    assert caught[0].filename == __file__
    app.mount("/sub", App())
    with pytest.warns(RouteWarning, match=r"mount /sub"):
        app.mount("/sub/", App())


def test_a_second_handler_is_told_of_where_names_come_later() -> None:
    app = App()
    source = (
        "from __future__ import annotations\n"
        "@app.get('/late')\n"
        "def one(value: Later): return 1\n"
        "@app.get('/late')\n"
        "def two(value: Later): return 2\n"
        "Later = int\n"
    )
    with pytest.warns(RouteWarning, match=r"one \(.*two \("):
        exec(source, {"app": app})


def test_route_warning_can_be_silenced() -> None:
    assert issubclass(RouteWarning, UserWarning)
    assert "RouteWarning" in fluvial.__all__
    app = App()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", RouteWarning)
        app.get("/")(first)
        with contextlib.suppress(TypeError):
            app.get("/")(signature(Annotated[str, auth]))
        app.get("/")(second)


def test_what_a_decorator_has_made_is_called_by_name(serve: Any) -> None:
    def swapping(func: Any) -> Any:
        @functools.wraps(func)
        async def call(*args: Any, **kwargs: Any) -> Any:
            return await func("first", *args, **kwargs)

        parameters = list(inspect.signature(func).parameters.values())[1:]
        call.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
            [each.replace(kind=inspect.Parameter.POSITIONAL_ONLY) for each in parameters]
        )
        return call

    def wrapping(func: Any) -> Any:
        @functools.wraps(func)
        async def call(**kwargs: Any) -> Any:
            return await func(**kwargs)

        return call

    async def show(one: str, two: str = "", three: str = "") -> list[str]:
        return [one, two, three]

    app = App()
    app.get("/stated")(swapping(show))
    app.get("/wrapped")(wrapping(show))
    client = serve(app).client
    assert client.get("/stated?two=b&three=c").json() == ["first", "b", "c"]
    assert client.get("/wrapped?one=a&two=b").json() == ["a", "b", ""]
