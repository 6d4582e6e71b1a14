"""A response model filters what it doesn't declare: at every depth, in every container."""

import collections
import contextlib
import dataclasses
import json
import sqlite3
from collections import ChainMap, OrderedDict, defaultdict
from collections.abc import (
    AsyncIterator,
    Callable,
    Collection,
    Container,
    Generator,
    ItemsView,
    Iterable,
    Iterator,
    Reversible,
    ValuesView,
)
from typing import Annotated, Any, Generic, Literal, NamedTuple, NotRequired, TypeVar
from typing import TypedDict as TypedDictOfTyping

import attrs
import msgspec
import pydantic
import pytest
from fluvial import App, EventSourceResponse, Response, ServerSentEvent
from fluvial._signature.shapes import reducer_of
from fluvial._validation.declared_fields import serializer_of
from support.serving import serving
from typing_extensions import TypedDict

T = TypeVar("T")
Deque = collections.deque


@dataclasses.dataclass
class Data:
    name: str


@dataclasses.dataclass
class DataRow(Data):
    password: str = "secret"


@dataclasses.dataclass(slots=True)
class Slotted:
    name: str


@dataclasses.dataclass(slots=True)
class SlottedRow(Slotted):
    password: str = "secret"


class Struct(msgspec.Struct):
    name: str


class StructRow(Struct):
    password: str = "secret"


class Renamed(msgspec.Struct, rename={"name": "NAME"}):
    name: str


class RenamedRow(Renamed, rename=None):
    password: str = "secret"


class Strict(msgspec.Struct, forbid_unknown_fields=True):
    name: str


class StrictRow(Strict):
    password: str = "secret"


class Tagged(msgspec.Struct, tag=True):
    name: str


class TaggedRow(Tagged):
    password: str = "secret"


class Cat(msgspec.Struct, tag=True):
    lives: int


class Row(msgspec.Struct, array_like=True):
    name: str


class LongRow(Row):
    password: str = "secret"


class Typed(TypedDict):
    name: str


@attrs.define
class Attrs:
    name: str


@attrs.define
class AttrsRow(Attrs):
    password: str = "secret"


@attrs.define(slots=False)
class Open:
    name: str


class Model(pydantic.BaseModel):
    name: str


class ModelRow(Model):
    password: str = "secret"


@pydantic.dataclasses.dataclass
class Checked:
    name: str


@pydantic.dataclasses.dataclass
class CheckedRow(Checked):
    password: str = "secret"


def with_more(value: Any) -> Any:
    value.password = "secret"
    return value


ANN = {"name": "ann"}
# A type, a value of more than that, and what is to be seen of it.
ITEMS: dict[str, tuple[Any, Any, Any]] = {
    "dataclass": (Data, DataRow("ann"), ANN),
    "slots": (Slotted, SlottedRow("ann"), ANN),
    "struct": (Struct, StructRow("ann"), ANN),
    "renamed": (Renamed, RenamedRow("ann"), {"NAME": "ann"}),
    "strict": (Strict, StrictRow("ann"), ANN),
    "tagged": (Tagged, TaggedRow("ann"), {"type": "Tagged", "name": "ann"}),
    "tagged union": (Tagged | Cat, TaggedRow("ann"), {"type": "Tagged", "name": "ann"}),
    "array": (Row, LongRow("ann"), ["ann"]),
    "typed dict": (Typed, {"name": "ann", "password": "secret"}, ANN),
    "attrs": (Attrs, AttrsRow("ann"), ANN),
    "attrs' __dict__": (Open, with_more(Open("ann")), ANN),
    "pydantic": (Model, ModelRow(name="ann"), ANN),
    "pydantic dataclass": (Checked, CheckedRow("ann"), ANN),
    "another class": (Data, StructRow("ann"), ANN),
    "a dict": (Struct, {"name": "ann", "password": "secret"}, ANN),
}
CONTAINERS: dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any]]] = {
    "list": (lambda kind: list[kind], lambda value: [value]),
    "dict": (lambda kind: dict[str, kind], lambda value: {"a": value}),
    "tuple": (lambda kind: tuple[kind, ...], lambda value: (value,)),
    "places": (lambda kind: tuple[int, kind], lambda value: (1, value)),
    "optional": (lambda kind: kind | None, lambda value: value),
    "union": (lambda kind: kind | int, lambda value: value),
    "list | None": (lambda kind: list[kind] | None, lambda value: [value]),
    "list of optional": (lambda kind: list[kind | None], lambda value: [None, value]),
    "deep": (lambda kind: dict[str, list[list[kind]]], lambda value: {"a": [[value]]}),
    "deque": (lambda kind: collections.deque[kind], lambda value: Deque([value])),
    "ordered": (lambda kind: OrderedDict[str, kind], lambda value: OrderedDict(a=value)),
    "annotated": (lambda kind: Annotated[list[kind], "text"], lambda value: [value]),
    "iterable": (lambda kind: Iterable[kind], lambda value: iter([value])),
}


def make_holders(kind: Any) -> dict[str, tuple[Any, Callable[[Any], Any]]]:
    """Classes with a field `held` of the type `kind`, and what makes one of a value."""
    fields = [("held", kind)]
    data = dataclasses.make_dataclass("HolderData", fields)
    struct = msgspec.defstruct("HolderStruct", fields)
    named = NamedTuple("HolderTuple", fields)
    typed = TypedDict("HolderTyped", {name: kind for name, kind in fields})

    class GenericData(msgspec.Struct, Generic[T]):
        held: T

    return {
        "dataclass": (data, data),
        "struct": (struct, struct),
        "named tuple": (named, named),
        "typed dict": (typed, lambda value: {"held": value}),
        "generic": (GenericData[kind], lambda value: GenericData(held=value)),
    }


def giving(make: Callable[[Any], Any], value: Any) -> Callable[[], Any]:
    """A handler."""

    def handler() -> Any:
        return make(value)

    return handler


def check(cases: list[tuple[str, Any, Callable[[Any], Any], Any, Any]]) -> None:
    """Asks for the values of all (name, model, make, value, what is to be seen)."""
    app = App()
    for number, (_, model, make, value, _) in enumerate(cases):
        app.get(f"/model/{number}", response_model=model)(giving(make, value))
        handler = giving(make, value)
        handler.__annotations__["return"] = model
        app.get(f"/annotation/{number}")(handler)
    with serving(app) as served:
        for number, (name, *_, seen) in enumerate(cases):
            for how in ("model", "annotation"):
                response = served.client.get(f"/{how}/{number}")
                assert (name, "secret" in response.text) == (name, False)
                assert (name, response.json()) == (name, seen)


def test_plain() -> None:
    check([(name, kind, lambda it: it, value, seen) for name, (kind, value, seen) in ITEMS.items()])


@pytest.mark.parametrize("container", CONTAINERS)
def test_containers(container: str) -> None:
    make_kind, make = CONTAINERS[container]
    check(
        [
            (name, make_kind(kind), make, value, as_json(make(seen)))
            for name, (kind, value, seen) in ITEMS.items()
        ]
    )


def as_json(value: Any) -> Any:
    """What a client reads of it."""
    return json.loads(json.dumps(value, default=dict if isinstance(value, ChainMap) else list))


# Containers that pydantic can't make, and so refuses around its own models.
MORE_CONTAINERS: dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any]]] = {
    "default": (lambda kind: defaultdict[str, kind], lambda value: defaultdict(None, a=value)),
    "chain": (lambda kind: ChainMap[str, kind], lambda value: ChainMap({"a": value})),
    "collection": (lambda kind: Collection[kind], lambda value: [value]),
    "container": (lambda kind: Container[kind], lambda value: [value]),
    "reversible": (lambda kind: Reversible[kind], lambda value: [value]),
    "values": (lambda kind: ValuesView[kind], lambda value: {"a": value}.values()),
    "items": (lambda kind: ItemsView[str, kind], lambda value: {"a": value}.items()),
    "iterator": (lambda kind: Iterator[kind], lambda value: iter([value])),
    "generator": (lambda kind: Generator[kind, None, None], lambda value: (it for it in [value])),
    "inside": (lambda kind: list[Deque[kind] | None], lambda value: [None, Deque([value])]),
}


@pytest.mark.parametrize("name", ["struct", "renamed", "tagged", "array", "attrs"])
def test_containers_that_msgspec_does_not_know(name: str) -> None:
    kind, value, seen = ITEMS[name]
    cases = []
    for container, (make_kind, make) in MORE_CONTAINERS.items():
        held = as_json(make(seen))
        cases.append((container, make_kind(kind), make, value, held))
        for holder, (model, hold) in make_holders(make_kind(kind)).items():
            expected = [held] if holder == "named tuple" else {"held": held}
            called = f"{container} in a {holder}"
            cases.append(
                (called, model, lambda it, make=make, hold=hold: hold(make(it)), value, expected)
            )
    check(cases)


class Kept(msgspec.Struct, Generic[T]):
    held: Deque[T]
    inner: "Deque[Kept[T]] | None" = None


class KeptStructs(Kept[Struct]):
    pass


class Sometimes(TypedDictOfTyping):
    user: NotRequired[Struct]


class Pile(list[Struct]):
    pass


def test_generic_classes_with_containers_that_msgspec_does_not_know() -> None:
    row = Deque([StructRow("ann")])
    seen = {"held": [ANN], "inner": [{"held": [ANN], "inner": None}]}
    check(
        [
            ("its own", Kept[Struct], lambda it: it, Kept(row, Deque([Kept(row)])), seen),
            ("its base's", KeptStructs, lambda it: it, KeptStructs(row, Deque([Kept(row)])), seen),
            ("not required", Sometimes, lambda it: {"user": it}, StructRow("ann"), {"user": ANN}),
            ("nothing", Sometimes, lambda it: {}, StructRow("ann"), {}),
        ]
    )


@pytest.mark.parametrize(
    "model", [Pile, Pile | None, list[Pile], msgspec.defstruct("H", [("x", Pile)])]
)
def test_containers_that_nobody_knows(model: Any) -> None:
    with pytest.raises(TypeError, match=r"GET / .*Pile.* can't be "):
        App().get("/", response_model=model)(lambda: None)


@pytest.mark.parametrize("container", [None, *list(CONTAINERS)[:-1]])
@pytest.mark.parametrize("holder", ["dataclass", "struct", "named tuple", "typed dict", "generic"])
def test_fields(holder: str, container: str | None) -> None:
    make_kind, make = CONTAINERS.get(container or "", (lambda kind: kind, lambda value: value))
    cases = []
    for name, (kind, value, seen) in ITEMS.items():
        if container == "union" and holder in ("struct", "generic") and "pydantic" in name:
            continue  # msgspec doesn't take models in unions
        model, hold = make_holders(make_kind(kind))[holder]
        held = as_json(make(seen))
        expected = [held] if holder == "named tuple" else {"held": held}
        cases.append((name, model, lambda it, hold=hold: hold(make(it)), value, expected))
        cases.append((name, list[model], lambda it, hold=hold: [hold(make(it))], value, [expected]))
    check(cases)


class Holder(pydantic.BaseModel):
    held: Model
    more: list[Model | Checked] | None = None
    data: dict[str, Data] = {}
    typed: Typed | None = None


class Numbers(msgspec.Struct):
    one: int
    two: int | None
    three: float


class Node(msgspec.Struct):
    user: Struct
    inner: "list[Node] | None" = None


def test_fields_of_models() -> None:
    row, data = ModelRow(name="ann"), DataRow("ann")
    holders = [
        Holder(held=row, more=[row, CheckedRow("ann")], data={"a": data}),
        # What was never validated.
        Holder.model_construct(held={"name": "ann", "password": "secret"}, more=[row]),
        Holder.model_construct(held=row, typed={"name": "ann", "password": "secret"}),
        Holder.model_construct(held=data),
    ]
    held, none = {"held": ANN}, {"more": None, "data": {}, "typed": None}
    seen: list[Any] = [
        held | {"more": [ANN, ANN], "data": {"a": ANN}, "typed": None},
        held | none | {"more": [ANN]},
        held | none | {"typed": ANN},
        held | none,
    ]
    check(
        [(str(n), Holder, lambda it: it, value, seen[n]) for n, value in enumerate(holders)]
        + [("list", list[Holder], lambda it: it, holders, seen)]
    )


def test_types_that_contain_themselves() -> None:
    node = Node(Struct("a"), [Node(Struct("b"), [Node(StructRow("ann"))])])
    leaf = {"user": ANN, "inner": None}
    seen = {
        "user": {"name": "a"},
        "inner": [{"user": {"name": "b"}, "inner": [leaf]}],
    }
    check([("node", Node, lambda it: it, node, seen)])


def test_what_fits_is_not_made_anew() -> None:
    """Validation of one's own objects would cost more than it gives, and loses what they are."""
    made: list[Any] = []

    class Counted(msgspec.Struct):
        name: str

        def __post_init__(self) -> None:
            made.append(self)

    one, many = Counted("ann"), [Counted("ann")]
    made.clear()
    check(
        [("one", Counted, lambda it: it, one, ANN), ("many", list[Counted], list, many, [ANN])],
    )
    assert made == []


def test_options_filter_inside(serve) -> None:
    app = App()

    @app.get("/", response_model=Holder, response_model_exclude_unset=True)
    def handler() -> Any:
        return Holder.model_construct(held={"name": "ann", "password": "secret"})

    assert serve(app).client.get("/").json() == {"held": ANN}


def test_a_response_beside_a_model_in_the_annotation(serve) -> None:
    app = App()

    @app.get("/{kind}")
    async def handler(kind: str) -> Data | Response:
        return DataRow("ann") if kind == "row" else Response("own")

    client = serve(app).client
    assert client.get("/row").json() == ANN
    assert client.get("/other").text == "own"


def test_results_that_do_not_fit_stay_inside(serve) -> None:
    app = App()
    app.get("/struct", response_model=list[Struct])(giving(list, [{"password": "secret"}]))
    holder = Holder.model_construct(held={"password": "secret"})
    app.get("/model", response_model=Holder)(giving(lambda it: it, holder))
    client = serve(app).client
    for path in ("/struct", "/model"):
        response = client.get(path)
        assert (response.status_code, response.text) == (500, "Internal Server Error")


@dataclasses.dataclass
class Init:
    held: Data
    once: dataclasses.InitVar[int] = 5


@attrs.define
class AttrsOfModel:
    held: Model


def test_what_msgspec_does_not_know_goes_to_pydantic(serve) -> None:
    app = App()
    row = DataRow("ann")
    cases: list[tuple[Any, Any, Any]] = [
        (collections.deque[Data], collections.deque([row]), [{"name": "ann"}]),
        (collections.OrderedDict[str, Data], {"a": row}, {"a": {"name": "ann"}}),
        (Init, Init(row), {"held": {"name": "ann"}}),
        (AttrsOfModel, AttrsOfModel(ModelRow(name="ann")), {"held": {"name": "ann"}}),
    ]
    for number, (model, value, _) in enumerate(cases):
        app.get(f"/{number}", response_model=model)(giving(lambda it: it, value))
    client = serve(app).client
    for number, (_, _, seen) in enumerate(cases):
        assert client.get(f"/{number}").json() == seen


VALUES = {"include": {"name"}, "exclude": {"name"}}  # of options that aren't flags


@pytest.mark.parametrize("option", ["include", "exclude", "exclude_none", "by_alias"])
@pytest.mark.parametrize("model", [Struct, list[Struct], AttrsOfModel])
def test_options_that_a_class_does_not_know(option: str, model: Any) -> None:
    options: dict[str, Any] = {f"response_model_{option}": VALUES.get(option, True)}
    with pytest.raises(TypeError, match=f"GET / .*response_model_{option} is not for Structs"):
        App().get("/", response_model=model, **options)(lambda: None)


def test_a_model_that_nobody_knows() -> None:
    for model in (contextlib.ExitStack, Model | contextlib.ExitStack):
        with pytest.raises(TypeError, match=r"GET / .*"):
            App().get("/", response_model=model)(lambda: None)


def test_events(serve) -> None:
    app = App()

    @app.get("/async", response_class=EventSourceResponse)
    async def stream() -> AsyncIterator[Data]:
        yield DataRow("ann")
        yield Data("bob")

    @app.get("/sync", response_class=EventSourceResponse)
    def iterate() -> Iterator[Struct | ServerSentEvent]:
        yield StructRow("ann")
        yield ServerSentEvent(data=StructRow("bob"), id="2")

    @app.get("/model", response_class=EventSourceResponse, response_model=Model)
    def model() -> Any:
        yield ModelRow(name="ann")

    @app.get("/own", response_class=EventSourceResponse)
    def own() -> Iterable[ServerSentEvent]:
        yield ServerSentEvent(data={"password": "mine"})

    client = serve(app).client
    assert client.get("/async").text == 'data: {"name":"ann"}\n\ndata: {"name":"bob"}\n\n'
    assert client.get("/sync").text == 'data: {"name":"ann"}\n\ndata: {"name":"bob"}\nid: 2\n\n'
    assert client.get("/model").text == 'data: {"name":"ann"}\n\n'
    assert client.get("/own").text == 'data: {"password":"mine"}\n\n'


class Other(pydantic.BaseModel):
    number: int


def test_rows_of_databases(serve) -> None:
    """Those of sqlite3 and asyncpg are neither mappings nor objects with attributes."""
    with contextlib.closing(sqlite3.connect(":memory:")) as database:
        database.row_factory = sqlite3.Row
        row = database.execute("select 'ann' as name, 'secret' as password").fetchone()
    app = App()
    for kind in (Data, Struct, Model, Typed):
        name = kind.__name__
        app.get(f"/{name}", response_model=kind)(giving(lambda it: it, row))
        app.get(f"/list/{name}", response_model=list[kind])(giving(lambda it: it, [row]))  # type: ignore[valid-type]
        inside = dict[str, tuple[kind, ...]]  # type: ignore[valid-type]
        app.get(f"/dict/{name}", response_model=inside)(giving(lambda it: it, {"a": (row,)}))
    app.get("/other", response_model=Other)(giving(lambda it: it, row))
    client = serve(app).client
    for kind in (Data, Struct, Model, Typed):
        assert client.get(f"/{kind.__name__}").json() == {"name": "ann"}
        assert client.get(f"/list/{kind.__name__}").json() == [{"name": "ann"}]
        assert client.get(f"/dict/{kind.__name__}").json() == {"a": [{"name": "ann"}]}
    assert client.get("/other").status_code == 500


def test_results_are_converted_to_simple_types(serve) -> None:
    app = App()
    cases: list[tuple[Any, Any, Any]] = [
        (int, "5", 5),
        (list[int], ["5", 6], [5, 6]),
        (dict[str, int], {"a": "5"}, {"a": 5}),
        (dict[int, int], {"1": 2}, {"1": 2}),
        (set[int], [1, 1], [1]),
        (list[Struct], [{"name": "a"}], [{"name": "a"}]),
        (Numbers, Numbers("1", None, 2), {"one": 1, "two": None, "three": 2.0}),
        (Numbers, Numbers(1, "2", 2.5), {"one": 1, "two": 2, "three": 2.5}),
    ]
    for number, (model, value, _) in enumerate(cases):
        app.get(f"/{number}", response_model=model)(giving(lambda it: it, value))
    limited = Annotated[int, msgspec.Meta(gt=5)]
    app.get("/limit", response_model=list[limited])(giving(lambda it: it, [1]))
    app.get("/literal", response_model=Literal["a"])(giving(lambda it: it, "b"))
    client = serve(app).client
    for number, (_, _, seen) in enumerate(cases):
        assert client.get(f"/{number}").json() == seen
    assert client.get("/limit").status_code == 500
    assert client.get("/literal").status_code == 500


@attrs.define
class AttrsOfStruct:
    held: Struct


def arbitrary(kind: Any) -> Any:
    """A model with a field that pydantic knows by its class alone."""
    config = pydantic.ConfigDict(arbitrary_types_allowed=True)
    return pydantic.create_model("Arbitrary", __config__=config, held=(kind, ...))


UNKNOWN = ("struct", "renamed", "strict", "tagged", "tagged union", "array", "attrs")
ARBITRARY: dict[str, tuple[Any, Any, Any]] = {
    **{name: ITEMS[name] for name in (*UNKNOWN, "attrs' __dict__")},
    "exact": (Struct, Struct("ann"), ANN),
    "inside": (AttrsOfStruct, AttrsOfStruct(StructRow("ann")), {"held": ANN}),
    "instance": (pydantic.InstanceOf[Struct], StructRow("ann"), ANN),
    "validated": (
        Annotated[Struct, pydantic.AfterValidator(lambda it: it)],
        StructRow("ann"),
        ANN,
    ),
    "a member of a union": (int | Attrs | Struct, StructRow("ann"), ANN),
    "another member": (Struct | Attrs | int, 5, 5),
}


@pytest.mark.parametrize("container", [None, "list", "dict", "optional", "tuple"])
def test_fields_of_models_that_pydantic_does_not_know(container: str | None) -> None:
    wrap: tuple[Any, Callable[[Any], Any]] = {
        None: (lambda kind: kind, lambda it: it),
        "list": (lambda kind: list[kind], lambda it: [it]),
        "dict": (lambda kind: dict[str, kind], lambda it: {"a": it}),
        "optional": (lambda kind: kind | None, lambda it: it),
        "tuple": (lambda kind: tuple[kind, int], lambda it: (it, 1)),
    }[container]
    cases: list[Any] = []
    for name, (kind, value, seen) in ARBITRARY.items():
        model = arbitrary(wrap[0](kind))
        result = model(held=wrap[1](value))
        expected = {"held": as_json(wrap[1](seen))}
        cases.append((name, model, lambda it: it, result, expected))
        cases.append((name, list[model], lambda it: [it], result, [expected]))
        for holder in ("dataclass", "struct"):
            held, hold = make_holders(model)[holder]
            cases.append((name, held, hold, result, {"held": expected}))
        twice = arbitrary(msgspec.defstruct("Twice", [("held", model)]))
        inner = twice.model_fields["held"].annotation
        outer = {"held": {"held": expected}}
        cases.append((name, twice, lambda it: it, twice(held=inner(result)), outer))
    check(cases)


class StructPlus(Struct):
    more: int = 1


class StructPlusRow(StructPlus):
    password: str = "secret"


@pytest.mark.parametrize("kind", [Struct | StructPlus, StructPlus | Struct | None])
def test_the_nearest_class_of_a_model_s_union(kind: Any) -> None:
    model = arbitrary(kind)
    values = {"plus": (StructPlusRow("ann"), ANN | {"more": 1}), "row": (StructRow("ann"), ANN)}
    check(
        [
            (name, model, lambda it: it, model(held=value), {"held": seen})
            for name, (value, seen) in values.items()
        ]
    )


def test_what_was_never_validated_of_an_unknown_class(serve) -> None:
    app = App()
    model = arbitrary(Struct)
    for number, held in enumerate([{"name": "ann", "password": "secret"}, AttrsRow("ann")]):
        result = model.model_construct(held=held)
        app.get(f"/{number}", response_model=model)(giving(lambda it: it, result))
    client = serve(app).client
    assert [client.get(f"/{number}").status_code for number in range(2)] == [500, 500]


def test_ordinary_models_keep_pydantic_s_serializer() -> None:
    assert serializer_of(Holder, reducer_of) is Holder.__pydantic_serializer__
