"""Defaults belong to one request: what a handler does to them, the next one never sees."""

import collections
import dataclasses
import datetime
import decimal
import enum
import pathlib
import re
import threading
import types
import uuid
from collections.abc import Callable
from typing import Annotated, Any, Generic, NamedTuple, TypeVar

import attrs
import msgspec
import pydantic
import pytest
from fluvial import App, Body, Cookie, Depends, Header, Query, WebSocket
from support.serving import serving
from support.ws_client import Client

T = TypeVar("T")


@dataclasses.dataclass
class Data:
    tags: list[str] = dataclasses.field(default_factory=list)


class Struct(msgspec.Struct):
    tags: list[str] = []


class Frozen(msgspec.Struct, frozen=True):
    tags: list[str] = []


class Model(pydantic.BaseModel):
    tags: list[str] = []


class FrozenModel(pydantic.BaseModel, frozen=True):
    tags: list[str] = []


@dataclasses.dataclass(frozen=True)
class FrozenData:
    tags: tuple[list[str], ...] = ([],)


class Named(NamedTuple):
    tags: list[str]


class Plain:
    def __init__(self) -> None:
        self.tags: list[str] = []


@attrs.define
class Attrs:
    tags: list[str] = attrs.Factory(list)


def count_first(value: Any) -> int:
    """Appends, and says how many there are."""
    tags = value.tags
    tags = tags[0] if isinstance(tags, tuple) else tags
    tags.append("x")
    return len(tags)


def count(value: Any) -> int:
    """The same for a container."""
    inner = next(iter(value.values() if isinstance(value, dict) else value), None)
    if isinstance(inner, (list, set, dict)):
        return count(inner)
    if inner is not None and hasattr(inner, "tags"):
        return count_first(inner)
    add = getattr(value, "add", None) or getattr(value, "append", None)
    if add is None:
        value[len(value)] = "x"
    else:
        add(120)
    return len(value)


# What is a default, its type, what changes it and says how much is in it.
BODIES: dict[str, tuple[Any, Any, Callable[[Any], int]]] = {
    "dataclass": (Data, Data(), count_first),
    "struct": (Struct, Struct(), count_first),
    "frozen struct": (Frozen, Frozen(), count_first),
    "model": (Model, Model(), count_first),
    "frozen model": (FrozenModel, FrozenModel(), count_first),
    "frozen dataclass": (FrozenData, FrozenData(([],)), count_first),
    "attrs": (Attrs, Attrs(), count_first),
    "named tuple": (Named, Named([]), count_first),
    "any": (Any, Plain(), count_first),
    "list": (list[int], [], count),
    "set": (set[int], set(), count),
    "dict": (dict[str, Any], {}, count),
    "tuple of lists": (tuple[list[int], ...], ([],), count),
    "list of models": (list[Model], [Model()], count),
    "dict of structs": (dict[str, Struct], {"a": Struct()}, count),
    "deep": (dict[str, Any], {"a": {"b": [{"c": []}]}}, count),
    "bytearray": (bytearray, bytearray(), count),
    "deque": (Any, collections.deque(), count),
    "defaultdict": (Any, collections.defaultdict(list), count),
    "proxy": (Any, types.MappingProxyType({"a": []}), lambda value: count(value["a"])),
}
TEXTS = {name: BODIES[name] for name in ("list", "set", "dataclass", "struct", "model")}


def twice(client: Any, method: str, path: str) -> list[int]:
    """The answers to two equal requests."""
    return [client.request(method, path).json() for _ in range(2)]


def handlers(kind: Any, marker: Any, default: Any, change: Any) -> dict[str, Any]:
    """Handlers of every kind with that default; `marker` is a class."""

    async def in_async(q: Any = None) -> int:
        return change(q)

    def in_def(q: Any = None) -> int:
        return change(q)

    def dependency(q: Any = None) -> Any:
        return q

    class Holder:
        def __init__(self, q: Any = None) -> None:
            self.q = q

    for func in (in_async, in_def, dependency, Holder.__init__):
        func.__annotations__["q"] = Annotated[kind, marker()]
        func.__defaults__ = (default,)

    def by_marker(q: Any = None) -> int:
        return change(q)

    by_marker.__annotations__["q"] = kind
    by_marker.__defaults__ = (marker(default=default),)

    def of_dependency(q: Any) -> int:
        return change(q)

    async def of_class(q: Any) -> int:
        return change(q.q)

    of_dependency.__defaults__ = (Depends(dependency),)
    of_class.__defaults__ = (Depends(Holder),)

    made = (in_async, in_def, by_marker, of_dependency, of_class)
    return {func.__name__: func for func in made}


@pytest.mark.parametrize("name", BODIES)
def test_bodies(name: str) -> None:
    kind, default, change = BODIES[name]
    app = App()
    made = handlers(kind, Body, default, change)
    for path, handler in made.items():
        app.post(f"/{path}")(handler)

    async def two(q: Any = default, other: Annotated[int, Body()] = 1) -> int:
        return change(q)

    two.__annotations__["q"] = Annotated[kind, Body()]
    app.post("/two")(two)
    with serving(app) as served:
        for path in (*made, "two"):
            first, second = twice(served.client, "POST", f"/{path}")
            assert (path, first) == (path, second)


@pytest.mark.parametrize("marker", [Query, Header, Cookie])
@pytest.mark.parametrize("name", TEXTS)
def test_texts(name: str, marker: Any) -> None:
    kind, default, change = TEXTS[name]
    app = App()
    made = handlers(kind, marker, default, change)
    for path, handler in made.items():
        app.get(f"/{path}")(handler)
    with serving(app) as served:
        for path in made:
            first, second = twice(served.client, "GET", f"/{path}")
            assert (path, first) == (path, second)


@pytest.mark.parametrize("name", TEXTS)
def test_websockets(name: str) -> None:
    kind, default, change = TEXTS[name]
    app = App()

    async def handler(websocket: WebSocket, q: Any = None) -> None:
        await websocket.accept()
        await websocket.send_text(str(change(q)))
        await websocket.close()

    handler.__annotations__["q"] = Annotated[kind, Query()]
    handler.__defaults__ = (default,)
    app.websocket("/")(handler)
    with serving(app) as served:
        answers = []
        for _ in range(2):
            with Client(served.connect()) as client:
                client.open("/")
                answers.append(client.read().payload)
    assert answers[0] == answers[1]


class Colour(enum.Enum):
    RED = 1


@dataclasses.dataclass(frozen=True)
class Point:
    x: int = 1
    at: datetime.date = datetime.date(2026, 1, 1)


class FrozenStruct(msgspec.Struct, frozen=True):
    x: int = 1
    more: tuple[int, ...] = ()


SHARED = [
    *("text", 10**30, 1.5, True, None, b"bytes", 1j, range(3), (), (1, ("a", None))),
    *(frozenset({1}), Colour.RED, uuid.UUID(int=1), decimal.Decimal(1), datetime.timedelta(1)),
    *(datetime.datetime.now(tz=datetime.UTC), pathlib.PurePosixPath("/"), re.compile("a")),
    *(Point(), (Point(), Point()), FrozenStruct()),
]


@pytest.mark.parametrize("number", range(len(SHARED)))
def test_what_nothing_can_change_is_shared(serve, number: int) -> None:
    default = SHARED[number]
    app = App()

    def handler(q: Annotated[Any, Body()] = default, r: Annotated[Any, Query()] = default) -> Any:
        return [q is default, r is default]

    app.post("/")(handler)
    assert serve(app).client.post("/").json() == [True, True]


def test_factories_are_called_for_each_request(serve) -> None:
    app = App()
    made: list[int] = []

    def make() -> Any:
        made.append(1)
        return Struct([str(len(made))])

    factory: Any = {"default_factory": make}

    @app.post("/body")
    def body(q: Annotated[Struct, Body(**factory)]) -> Any:
        return q.tags

    @app.get("/model")
    def model(q: Annotated[Struct, Query(**factory)]) -> Any:
        return q.tags

    @app.get("/text")
    async def text(q: Annotated[Any, Header(**factory)]) -> Any:
        return q.tags

    client = serve(app).client
    assert [client.post("/body").json() for _ in range(2)] == [["1"], ["2"]]
    assert [client.get("/model").json() for _ in range(2)] == [["3"], ["4"]]
    assert [client.get("/text").json() for _ in range(2)] == [["5"], ["6"]]
    assert client.post("/body", json={"tags": ["own"]}).json() == ["own"]
    assert client.get("/model?tags=own").json() == ["own"]
    assert len(made) == 6


class Page(pydantic.BaseModel):
    tags: list[str] = pydantic.Field(default_factory=lambda: ["made"])
    more: list[str] = []


@dataclasses.dataclass
class DataPage:
    tags: list[str] = dataclasses.field(default_factory=lambda: ["made"])


class StructPage(msgspec.Struct):
    tags: list[str] = msgspec.field(default_factory=lambda: ["made"])
    more: list[str] = []


@attrs.define
class AttrsPage:
    tags: list[str] = attrs.Factory(lambda: ["made"])


@pytest.mark.parametrize("page", [Page, DataPage, StructPage, AttrsPage])
def test_classes_with_factories_as_dependencies(serve, page: Any) -> None:
    app = App()

    def handler(it: Any = None) -> Any:
        it.tags.append("x")
        more = getattr(it, "more", [])
        more.append("x")
        assert more == ["x"]
        return it.tags

    handler.__annotations__["it"] = page
    handler.__defaults__ = (Depends(),)
    app.post("/")(handler)
    client = serve(app).client
    for _ in range(2):
        assert client.post("/").json() == ["made", "x"]


class Shared(msgspec.Struct):
    plain: Plain = Plain()
    tags: list[str] = []


@dataclasses.dataclass(eq=False)
class Inner:
    tags: list[str] = dataclasses.field(default_factory=list)


@dataclasses.dataclass
class Outer(Generic[T]):
    inner: Inner = Inner()  # noqa: RUF009 - what this is about
    item: T | None = None


@attrs.define
class AttrsOuter:
    inner: Inner = Inner()  # noqa: RUF009 - what this is about


class StructOuter(msgspec.Struct):
    inner: Inner = Inner()
    item: int = 0


class NamedOuter(NamedTuple):
    inner: Inner = Inner()
    item: int = 0


class Pair(NamedTuple):
    one: Outer[int]
    other: Outer[int] | None = None


@pytest.mark.parametrize("outer", [Outer, Outer[int], AttrsOuter, StructOuter, NamedOuter])
def test_defaults_of_a_models_fields(serve, outer: Any) -> None:
    app = App()

    def handler(q: Any) -> int:
        return count_first(q.inner)

    handler.__annotations__["q"] = outer
    app.post("/")(handler)
    client = serve(app).client
    for content in ({}, {}, {"inner": {}}, {"item": "5"}, {"item": "5"}):
        response = client.post("/", json=content)
        assert response.json() == 1 or response.status_code == 422


def test_defaults_of_models_in_a_named_tuple(serve) -> None:
    app = App()

    @app.post("/")
    def handler(q: Pair) -> int:
        return count_first(q.one.inner)

    client = serve(app).client
    for _ in range(2):
        assert client.post("/", json=[{}]).json() == 1


class WithHash(pydantic.BaseModel, arbitrary_types_allowed=True):
    """pydantic shares the defaults that have a hash."""

    plain: Plain = Plain()
    item: int = 0


class WithHashFrozen(WithHash, frozen=True):
    pass


class WithHashWithin(pydantic.BaseModel):
    models: list[WithHash] = []
    itself: "WithHashWithin | None" = None
    by_name: dict[str, WithHash | None] = {}


@dataclasses.dataclass
class WithHashOfData:
    model: WithHash


@pydantic.dataclasses.dataclass(config={"arbitrary_types_allowed": True})
class WithHashPydanticData:
    plain: Plain = dataclasses.field(default=Plain())


WITH_HASH: list[tuple[Any, Any, Callable[[Any], Any]]] = [
    (WithHash, {}, lambda q: q.plain),
    (WithHashFrozen, {"item": "5"}, lambda q: q.plain),
    (WithHash | None, {}, lambda q: q.plain),
    (list[WithHash], [{}], lambda q: q[0].plain),
    (WithHashWithin, {"models": [{}]}, lambda q: q.models[0].plain),
    (WithHashWithin, {"itself": {"models": [{}]}}, lambda q: q.itself.models[0].plain),
    (WithHashWithin, {"by_name": {"a": {}}}, lambda q: q.by_name["a"].plain),
    (WithHashOfData, {"model": {}}, lambda q: q.model.plain),
    (WithHashPydanticData, {}, lambda q: q.plain),
]


@pytest.mark.parametrize("number", range(len(WITH_HASH)))
def test_defaults_with_a_hash_in_models(serve, number: int) -> None:
    annotation, content, find = WITH_HASH[number]
    app = App()

    def handler(q: Any) -> int:
        return count_first(find(q))

    handler.__annotations__["q"] = annotation
    app.post("/")(handler)
    client = serve(app).client
    assert [client.post("/", json=content).json() for _ in range(3)] == [1, 1, 1]


@pytest.mark.parametrize("marker", [Query(), Header(), Cookie()])
def test_defaults_with_a_hash_in_parameter_models(serve, marker: Any) -> None:
    app = App()

    def handler(q: Any) -> int:
        return count_first(q.plain)

    handler.__annotations__["q"] = Annotated[WithHash, marker]
    app.get("/")(handler)
    client = serve(app).client
    assert [client.get("/").json() for _ in range(3)] == [1, 1, 1]


def test_sentinels_stay_themselves(serve) -> None:
    sentinel = object()
    app = App()
    app.get("/")(lambda q=sentinel: q is sentinel)
    assert serve(app).client.get("/").json() is True


@pytest.mark.parametrize("where", ["parameter", "model", "dataclass"])
def test_objects_without_anything_stay_themselves(serve, where: str) -> None:
    class Sentinel:
        pass

    sentinel = Sentinel()
    app = App()
    if where == "parameter":
        app.post("/")(lambda q=sentinel: q is sentinel)
    else:
        fields = {"a": (Any, sentinel)}
        model: Any = (
            pydantic.create_model("Made", **fields)
            if where == "model"
            else dataclasses.make_dataclass("Made", [("a", Any, sentinel)])
        )

        @app.post("/")
        def read(body: model) -> bool:
            return body.a is sentinel

    client = serve(app).client
    assert client.post("/", json={}).json() is True


def test_what_can_not_be_copied_is_refused() -> None:
    lock = threading.Lock()
    plain = Plain()
    plain.lock = lock  # type: ignore[attr-defined]
    for default in (lock, [lock], plain):
        with pytest.raises(TypeError, match=r"'q'.*copied for each request.*default_factory"):
            App().post("/")(lambda q=default: None)


def test_a_class_may_say_that_it_is_not_to_be_copied(serve) -> None:
    class Single:
        def __deepcopy__(self, memo: Any) -> Any:
            return self

    single = Single()
    app = App()
    app.post("/")(lambda q=single: q is single)
    assert serve(app).client.post("/").json() is True
