"""Objects in a signature that hold a function which nothing calls, of classes that nobody knows."""

from __future__ import annotations

import dataclasses
import enum
import functools
import types
from collections.abc import AsyncIterator, Callable
from typing import Annotated, Any, ClassVar

import annotated_types
import fastapi
import msgspec
import pydantic
import pytest
import sqlalchemy.orm
import typing_extensions
from fluvial import APIRouter, App, Body, Depends, Query, WebSocket


def auth() -> str:
    return "nobody"


class Depends2:
    """A marker of a library that nobody knows; it says so by its name."""


class Needs:
    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function


class NeedsInASlot:
    __slots__ = ("unset", "what")

    def __init__(self, what: Any) -> None:
        self.what = what


@dataclasses.dataclass(frozen=True)
class Marker:
    dependency: Any = None


class StructMarker(msgspec.Struct):
    what: Any


class DependsOn(enum.Enum):
    """Named like a marker, which it isn't."""

    ALL = "all"


class Filters(pydantic.BaseModel):
    """Has a field that is called like a marker's."""

    dependency: str | None = None
    on: DependsOn = DependsOn.ALL


class Op(enum.Enum):
    """Its members hold functions, and are values."""

    ADD = enum.member(functools.partial(sum))


class Sentinel:
    """A default that says: nothing was sent."""

    kind: ClassVar[Any] = auth


class Even(annotated_types.Predicate):
    """Metadata that pydantic reads."""


FROM_QUERY, FROM_BODY = Query(), Body()
MARKERS = [
    Depends2(),
    Needs(auth),
    Needs(functools.partial(auth)),
    NeedsInASlot(auth),
    NeedsInASlot(Needs(auth).__init__),
    Marker(),
    Marker(auth),
    Marker(Needs),
    StructMarker(auth),
    types.SimpleNamespace(dependency=auth),
    fastapi.Depends(auth),
    fastapi.Security(auth),
]


@pytest.mark.parametrize("marker", MARKERS, ids=range(len(MARKERS)))
def test_markers_are_refused(marker: Any) -> None:
    app = App(openapi_url=None)

    def annotated(user: str) -> str:
        return user

    annotated.__annotations__["user"] = Annotated[str, marker]

    def default(user: str = marker) -> str:
        return user

    def wrapped(user: str = Query(marker)) -> str:
        return user

    def inside(user: list[str] = [marker]) -> str:  # noqa: B006
        return ""

    def items(user: Any = FROM_QUERY) -> str:
        return ""

    items.__annotations__["user"] = list[Annotated[str, marker]]

    def no_type(user=marker) -> str:  # type: ignore[no-untyped-def]
        return ""

    def itself(user: Any) -> str:
        return ""

    itself.__annotations__["user"] = marker
    for handler in (annotated, default, wrapped, inside, items, no_type, itself):
        match = r"'user'.*write fluvial\.(Depends|Security)\("
        with pytest.raises(TypeError, match=f"GET / .*{match}"):
            app.get("/")(handler)
        with pytest.raises(TypeError, match=f"GET / .*{match}"):
            app.get("/", dependencies=[Depends(handler)])(lambda: None)
    assert app.routes == []


@pytest.mark.parametrize("marker", MARKERS, ids=range(len(MARKERS)))
def test_markers_elsewhere_are_refused(marker: Any) -> None:
    app = App(openapi_url=None)
    match = r"write fluvial\.(Depends|Security)\("

    async def socket(websocket: WebSocket, user: str = marker) -> None: ...
    def callback(request: Any, exc: Exception, user: Any = marker) -> Any: ...
    def returns() -> Any: ...

    returns.__annotations__["return"] = Annotated[str, marker]
    with pytest.raises(TypeError, match=match):
        app.websocket("/")(socket)
    with pytest.raises(TypeError, match=match):
        app.exception_handler(ValueError)(callback)
    with pytest.raises(TypeError, match=match):
        APIRouter(dependencies=[marker])
    with pytest.raises(TypeError, match=match):
        app.get("/")(returns)
    for model in (marker, Annotated[str, marker], list[Annotated[str, marker]]):
        with pytest.raises(TypeError, match=match):
            app.get("/", response_model=model)(auth)


@pytest.mark.parametrize("marker", [Marker(auth), fastapi.Depends(auth), Depends2()])
def test_markers_on_fields_are_refused(marker: Any) -> None:
    model = pydantic.create_model("Filters", user=(Annotated[str, marker], "x"))
    data = dataclasses.make_dataclass("Data", [("user", Annotated[str, marker])])
    for kind in (model, data, list[model]):  # type: ignore[valid-type]

        def handler(it: Any = FROM_BODY) -> None: ...

        handler.__annotations__["it"] = kind
        with pytest.raises(TypeError, match=r"field 'user' of .*write fluvial\.Depends"):
            App().post("/")(handler)


@pytest.mark.parametrize(
    ("metadata", "default", "expected"),
    [
        (annotated_types.Predicate(str.islower), "a", "a"),
        (Even(str.islower), "a", "a"),
        (pydantic.AfterValidator(str.lower), "a", "a"),
        (sqlalchemy.orm.mapped_column(primary_key=True), "a", "a"),
        (Marker, "", None),
        (Sentinel(), "a", "a"),
        (types.SimpleNamespace(text="words"), "a", "a"),
        ("words", Sentinel(), "Sentinel"),
        ("words", object(), "object"),
        ("words", Op.ADD, "Op"),
        ("words", DependsOn.ALL, "DependsOn"),
    ],
)
def test_what_is_no_marker(serve, metadata: Any, default: Any, expected: str | None) -> None:
    app = App(openapi_url=None)

    def handler(user: Any = default) -> str:
        return user if isinstance(user, str) else type(user).__name__

    handler.__annotations__["user"] = Annotated[str, metadata]
    if expected is None:  # a class, which is a marker whose parentheses were forgotten
        with pytest.raises(TypeError, match="where it has no effect"):
            app.get("/")(handler)
        return
    app.get("/")(handler)
    assert serve(app).client.get("/").json() == expected


@pytest.mark.parametrize(
    ("model", "match"),
    [
        (Depends(auth), r"Depends\(.*dependencies=\[Depends\(function\)\]"),
        (Depends, r"Depends.*dependencies=\[Depends\(function\)\]"),
        (Annotated[str, Depends(auth)], r"dependencies=\[Depends\(function\)\]"),
        (list[Annotated[str, Depends(auth)]], r"dependencies=\[Depends\(function\)\]"),
        (fastapi.Depends(auth), r"fastapi\.params\.Depends means nothing"),
        (fastapi.Depends, r"fastapi.*Depends means nothing"),
        (auth, "must be a type, not <function auth"),
        (5, "must be a type, not 5"),
        (..., "must be a type, not Ellipsis"),
        ([str], r"write list\[…\]"),
        (pydantic.create_model("Item", x=(int, 1))(), "an object; write its class, Item"),
        (dataclasses.make_dataclass("Item", [])(), "an object; write its class, Item"),
        (msgspec.defstruct("Item", [])(), "an object; write its class, Item"),
    ],
)
def test_models_that_are_no_types(model: Any, match: str) -> None:
    app = App()

    def handler() -> Any: ...

    handler.__annotations__["return"] = model
    with pytest.raises(TypeError, match=rf"(?s)GET / .*{match}"):
        app.get("/", response_model=model)(lambda: None)
    with pytest.raises(TypeError, match=rf"(?s)GET / .*{match}"):
        app.get("/", responses={404: {"model": model}})(lambda: None)
    with pytest.raises(TypeError, match=rf"(?s)GET / .*{match}"):
        app.get("/")(handler)


def test_annotations_that_are_objects() -> None:
    item = pydantic.create_model("Item", x=(int, 1))()
    for annotation, match in ((item, "write its class, Item"), (5, "must be a type, not 5")):

        def handler(q: Any) -> None: ...

        handler.__annotations__["q"] = annotation
        with pytest.raises(TypeError, match=f"GET / .*'q'.*{match}"):
            App().get("/")(handler)


def test_a_model_may_have_fields_that_are_called_so(serve) -> None:
    app = App()

    @app.get("/")
    def handler(filters: Annotated[Filters, Query()] = Filters()) -> Filters:  # noqa: B008
        return filters

    @app.post("/")
    def create(filters: Filters) -> Filters:
        return filters

    client = serve(app).client
    assert client.get("/?dependency=a").json() == {"dependency": "a", "on": "all"}
    assert client.post("/", json={}).json() == {"dependency": None, "on": "all"}


DISPLAYS: dict[str, Any] = {
    "list": [Depends(auth)],
    "tuple": (Depends(auth),),
    "set": frozenset({Depends(auth)}),
    "dict": {"a": Depends(auth)},
    "deep": {"a": [(Depends(auth),)]},
    "query": [Query(min_length=3)],
    "class": [Depends],
    "foreign": [fastapi.Depends(auth)],
    "function": [auth],
    "holder": Marker(Depends(auth)),
}


@pytest.mark.parametrize("display", DISPLAYS)
@pytest.mark.parametrize("place", ["metadata", "inside", "default", "default's own"])
def test_markers_in_displays_are_refused(display: str, place: str) -> None:
    """Nothing would call what they name, which may be an authentication."""
    item = DISPLAYS[display]

    async def handler(x: Any = None) -> Any: ...

    if "default" in place:
        handler.__defaults__ = (item if place == "default" else Query([item]),)
    else:
        annotation: Any = Annotated[str, item]
        handler.__annotations__["x"] = annotation if place == "metadata" else list[annotation]
    with pytest.raises(TypeError):
        App().get("/")(handler)
    with pytest.raises(TypeError):
        App().get("/", dependencies=[Depends(handler)])(lambda: None)


@pytest.mark.parametrize("display", sorted(DISPLAYS.keys() - {"holder"}))
def test_markers_in_displays_of_return_annotations_are_refused(display: str) -> None:
    async def handler() -> Any: ...

    handler.__annotations__["return"] = Annotated[str, DISPLAYS[display]]
    with pytest.raises(TypeError):
        App().get("/")(handler)


MODELS: dict[str, Any] = {
    "pydantic": lambda field: pydantic.create_model("M", x=(field, "1")),
    "struct": lambda field: msgspec.defstruct("M", [("x", field, "1")]),
    "dataclass": lambda field: dataclasses.make_dataclass("M", [("x", field, "1")]),
    "typed dict": lambda field: typing_extensions.TypedDict("M", {"x": field}),
}


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("display", ["list", "deep", "query"])
def test_markers_in_displays_on_fields_are_refused(model: str, display: str) -> None:
    made = MODELS[model](Annotated[str, DISPLAYS[display]])

    async def handler(body: Any) -> None: ...

    handler.__annotations__["body"] = made
    with pytest.raises(TypeError, match="for parameters of functions"):
        App().post("/")(handler)


@pytest.mark.parametrize("metadata", [["text", 1], {"call": auth}, ({"a": [None]},)])
def test_displays_without_markers(metadata: Any) -> None:
    async def handler(x: Any) -> Any: ...

    handler.__annotations__["x"] = Annotated[str, metadata]
    App().get("/")(handler)


def test_markers_of_functions_that_the_app_calls() -> None:
    async def needs(x: str = Depends(auth)) -> None: ...

    async def lifespan(app: App, x: str = Depends(auth)) -> AsyncIterator[None]:
        yield

    for options in ({"on_startup": [needs]}, {"on_shutdown": [needs]}, {"lifespan": lifespan}):
        with pytest.raises(TypeError, match="nothing would fill in"):
            App(**options)
        with pytest.raises(TypeError, match="nothing would fill in"):
            APIRouter(**options)
    with pytest.raises(TypeError, match="nothing would fill in"):
        App().add_event_handler("startup", needs)
