"""Which results are exactly of their declared type, so that they are written as they are."""

from __future__ import annotations

import datetime
import enum
import gc
import weakref
from functools import cached_property, partial
from typing import Annotated, Any, Generic, Literal, TypeVar

import attrs
import pydantic
import pytest
from fluvial import App, _core
from fluvial._signature.model_shapes import make_model_shape
from fluvial.testclient import TestClient
from typing_extensions import TypeAliasType

T = TypeVar("T")


class Thing:
    def __init__(self, **fields: Any) -> None:
        self.__dict__.update(fields)


class SubThing(Thing):
    pass


class Number(int):
    pass


def shape(kind: int, *parts: Any, classes: tuple[type, ...] = (), names: tuple[str, ...] = ()):
    made = _core.Shape(kind, classes, names)
    if kind not in (_core.SHAPE_EXACT, _core.SHAPE_INSTANCE):
        made.settle(parts)
    return made


INT = shape(_core.SHAPE_EXACT, classes=(int,))
STR = shape(_core.SHAPE_EXACT, classes=(str,))
OBJECT = shape(_core.SHAPE_OBJECT, INT, classes=(Thing,), names=("a",))
OWN = shape(_core.SHAPE_OWN, INT, classes=(Thing,), names=("a",))
MODEL = shape(_core.SHAPE_MODEL, INT, None, classes=(Thing,), names=("a", "b"))
MEMBERS = shape(_core.SHAPE_MEMBERS, INT, STR, names=("a", "b"))
ITEMS = shape(_core.SHAPE_ITEMS, INT, classes=(list, tuple, set))
TUPLE = shape(_core.SHAPE_TUPLE, INT, STR, classes=(tuple,))
DICT = shape(_core.SHAPE_DICT, STR, INT)
UNION = shape(_core.SHAPE_UNION, INT, OBJECT)


@pytest.mark.parametrize(
    ("tested", "value", "fits"),
    [
        (INT, 1, True),
        (INT, True, False),
        (INT, Number(1), False),
        (shape(_core.SHAPE_INSTANCE, classes=(int,)), Number(1), True),
        (OBJECT, Thing(a=1), True),
        (OBJECT, Thing(a=1, b=2), True),
        (OBJECT, Thing(a="1"), False),
        (OBJECT, Thing(), False),
        (OBJECT, SubThing(a=1), False),
        (OWN, Thing(a=1), True),
        (OWN, Thing(a=1, b=2), False),
        (MODEL, Thing(a=1, b=object()), True),
        (MODEL, Thing(a=1), False),
        (MODEL, Thing(a=1, b=2, c=3), False),
        (MODEL, Thing(a=1, c=3), False),
        (MODEL, SubThing(a=1, b=2), False),
        (MEMBERS, {"a": 1, "b": ""}, True),
        (MEMBERS, {"b": ""}, True),
        (MEMBERS, {"a": 1, "c": 1}, False),
        (MEMBERS, {"a": 1, 5: 1}, False),
        (MEMBERS, Thing(a=1), False),
        (ITEMS, [1, 2], True),
        (ITEMS, [1, "2"], False),
        (ITEMS, {1, 2}, True),
        (ITEMS, {1, "2"}, False),
        (ITEMS, frozenset({1}), False),
        (TUPLE, (1, "2"), True),
        (TUPLE, ("1", 2), False),
        (TUPLE, (1,), False),
        (TUPLE, [1, "2"], False),
        (DICT, {"a": 1}, True),
        (DICT, {1: 1}, False),
        (DICT, {"a": "1"}, False),
        (DICT, [], False),
        (UNION, 1, True),
        (UNION, Thing(a=1), True),
        (UNION, Thing(a=None), False),
    ],
)
def test_what_fits(tested: _core.Shape, value: Any, fits: bool) -> None:
    assert tested.fits(value) is fits


def test_exactly_of_a_class() -> None:
    assert not OBJECT.fits(SubThing(a=1))
    assert not ITEMS.fits(type("Listed", (list,), {})([1]))


def test_a_shape_within_itself() -> None:
    node = _core.Shape(_core.SHAPE_OBJECT, (Thing,), ("next",))
    nothing = shape(_core.SHAPE_EXACT, classes=(type(None),))
    assert not node.fits(Thing(next=None))  # it isn't settled
    node.settle((shape(_core.SHAPE_UNION, node, nothing),))
    assert node.fits(Thing(next=Thing(next=None)))
    endless = Thing()
    endless.next = endless
    assert not node.fits(endless)


def test_circles_are_collected() -> None:
    class Local:
        kept: Any

    node = _core.Shape(_core.SHAPE_OBJECT, (Local,), ("next",))
    node.settle((node,))
    Local.kept = node
    gone = weakref.ref(Local)
    del Local, node
    gc.collect()
    assert gone() is None


def test_values_that_change_while_they_are_looked_at() -> None:
    class Item:
        def __init__(self, box: Any) -> None:
            self.box = box

        @property
        def a(self) -> int:
            self.box.clear()
            return 1

    item = shape(_core.SHAPE_OBJECT, INT, classes=(Item,), names=("a",))
    items: list[Any] = []
    items += [Item(items) for _ in range(5)]
    assert shape(_core.SHAPE_ITEMS, item, classes=(list,)).fits(items)
    members: dict[str, Any] = {}
    members |= {str(i): Item(members) for i in range(5)}
    assert shape(_core.SHAPE_DICT, STR, item).fits(members)


def test_errors_of_properties_are_raised() -> None:
    class Broken:
        @property
        def a(self) -> int:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        shape(_core.SHAPE_OBJECT, INT, classes=(Broken,), names=("a",)).fits(Broken())


@pytest.mark.parametrize(
    ("kind", "names", "parts", "error"),
    [
        (99, (), None, ValueError),
        (_core.SHAPE_OBJECT, (1,), None, TypeError),
        (_core.SHAPE_OBJECT, ("a",), (), ValueError),
        (_core.SHAPE_DICT, (), (None,), ValueError),
        (_core.SHAPE_ITEMS, (), (int,), TypeError),
        (_core.SHAPE_ITEMS, (), [None], TypeError),
    ],
)
def test_what_a_shape_refuses(kind: int, names: Any, parts: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        _core.Shape(kind, (), names).settle(parts)


class Color(enum.Enum):
    RED = "red"


class Row(pydantic.BaseModel):
    name: Annotated[str, pydantic.Field(max_length=5)]
    price: float | None = None
    tags: list[str] = []
    when: datetime.datetime = datetime.datetime(2026, 1, 1)
    color: Color = Color.RED
    more: dict[str, int] = {}
    next: Row | None = None


class SubRow(Row):
    password: str = "secret"


def shape_of(kind: Any) -> _core.Shape:
    return make_model_shape(pydantic.TypeAdapter(kind).core_schema)


def test_models_that_fit() -> None:
    row = Row(name="a", next=Row(name="b", price=1.5, tags=["x"], more={"y": 1}))
    assert shape_of(Row).fits(row)
    assert shape_of(list[Row]).fits([row, row])
    assert shape_of(Row | None).fits(None)
    assert not shape_of(pydantic.JsonValue).fits(1)
    for other in (
        Row(name="a", next=SubRow(name="b")),
        Row.model_construct(),  # without a name
        row.model_copy(update={"price": 1}),
        row.model_copy(update={"tags": ("x",)}),
        row.model_copy(update={"color": "red"}),
        {"name": "a"},
    ):
        assert not shape_of(Row).fits(other)


Json = TypeAliasType("Json", "dict[str, Json] | list[Json] | str | int | None")


class Documents(pydantic.BaseModel):
    json_: Json


class Later(pydantic.BaseModel):
    next: Later | None = None

    @pydantic.model_validator(mode="after")
    def check(self) -> Later:
        return self


class Outer(pydantic.BaseModel):
    node: Later


class Tree(pydantic.BaseModel):
    kids: dict[str, list[Tree | None]] | None = None


def test_types_within_themselves_that_are_no_models() -> None:
    """pydantic looks at them."""
    app = App(openapi_url=None)

    @app.get("/json")
    async def documents() -> Documents:
        return Documents(json_={"a": [1, {"b": None}]})

    @app.get("/outer")
    async def outer() -> Outer:
        return Outer(node=Later(next=Later()))

    with TestClient(app) as client:
        assert client.get("/json").json() == {"json_": {"a": [1, {"b": None}]}}
        assert client.get("/outer").json() == {"node": {"next": {"next": None}}}


def test_what_is_too_deep_to_be_looked_at() -> None:
    deep = Tree()
    for _ in range(20_000):  # from 3.12 on C's own limit is at 10,000
        deep = Tree.model_construct(kids={"x": [deep]})
    fits = shape_of(Tree).fits(deep)  # no part of an assertion, which would show `deep`
    assert not fits


class Secret:
    __slots__ = ("password",)


@attrs.define
class Slotted(Secret):
    x: int


@attrs.define
class Pair:
    x: int
    y: int


@attrs.define(slots=False)
class Open(Pair):
    z: int = 3


@attrs.define
class Cached:
    x: int

    @cached_property
    def secret(self) -> str:
        return "secret"


def test_what_attrs_classes_have_beside_their_fields() -> None:
    """msgspec would write it."""
    slotted, opened, cached = Slotted(1), Open(1, 2), Cached(1)
    slotted.password = opened.secret = cached.secret  # type: ignore[attr-defined]
    app = App(openapi_url=None)
    for name, value in (("slotted", slotted), ("opened", opened), ("cached", cached)):
        app.get(f"/{name}", response_model=type(value))(partial(lambda it: it, value))
    with TestClient(app) as client:
        assert client.get("/slotted").json() == {"x": 1}
        assert client.get("/opened").json() == {"x": 1, "y": 2, "z": 3}
        assert client.get("/cached").json() == {"x": 1}


class Serialized(pydantic.BaseModel):
    name: str

    @pydantic.field_serializer("name")
    def write(self, value: str) -> int:
        return 5


class Computed(pydantic.BaseModel):
    name: str = ""

    @pydantic.computed_field
    def other(self) -> int:
        return 5


class Extra(pydantic.BaseModel, extra="allow"):
    name: str = ""


class Again(pydantic.BaseModel, revalidate_instances="always"):
    name: str = ""


class Checked(pydantic.BaseModel):
    name: str = ""

    @pydantic.model_validator(mode="after")
    def check(self) -> Checked:
        return self


class Root(pydantic.RootModel[int]):
    pass


class Chosen(pydantic.BaseModel):
    kind: Literal["a"] = "a"


class Box(pydantic.BaseModel, Generic[T]):
    item: T


@pytest.mark.parametrize(
    "value",
    [Serialized(name=""), Computed(), Extra(), Again(), Checked(), Root(1), Chosen()],
)
def test_models_that_pydantic_must_look_at(value: pydantic.BaseModel) -> None:
    assert not shape_of(type(value)).fits(value)
    holder = pydantic.create_model("Holder", item=(type(value), ...))
    whole = holder(item=value)
    # Within another model nothing is validated again.
    assert shape_of(holder).fits(whole) is (type(value) is Checked)


def test_limits_around_a_model_are_checked() -> None:
    limited = Annotated[list[Row], pydantic.Field(max_length=1)]
    assert not shape_of(limited).fits([Row(name="a")])
    assert not shape_of(Annotated[Row, pydantic.AfterValidator(lambda row: row)]).fits(
        Row(name="a")
    )


def test_generic_models() -> None:
    assert shape_of(Box[Row]).fits(Box[Row](item=Row(name="a")))
    assert not shape_of(Box[Row]).fits(Box[Row](item=SubRow(name="a")))


def test_fit_or_not_the_json_is_the_same() -> None:
    app = App()
    results: list[Any] = []

    @app.get("/")
    async def read() -> Row:
        return results.pop()

    @app.get("/aliased", response_model_exclude_none=True, response_model_exclude={"when"})
    async def read_some() -> Row:
        return results.pop()

    with TestClient(app) as client:
        for path in ("/", "/aliased"):
            fitting = Row(name="a", next=Row(name="b"))
            results.append(fitting)
            expected = client.get(path).json()
            assert ("when" in expected) is (path == "/")
            results.append(fitting)  # shapes are made at the first response
            assert client.get(path).json() == expected
            results.append(Row(name="a", next=SubRow(name="b")))
            assert client.get(path).json() == expected
            results.append({"name": "a", "next": {"name": "b"}})
            got = client.get(path).json()
            assert got == expected
            results.append(Row.model_construct(**{**dict(fitting), "name": "\ud800"}))
            assert client.get(path).status_code == 200
