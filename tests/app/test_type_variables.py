"""Type variables and sets in the types of results: only the declared fields are sent."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import AsyncIterator
from collections.abc import Set as AbstractSet
from typing import Annotated, Any, Generic, Literal, NamedTuple, TypeVar

import msgspec
import pydantic
import pytest
from fluvial import App, Response
from fluvial._compat.fastapi import FastAPI
from typing_extensions import TypedDict


class User(pydantic.BaseModel):
    name: str = "ann"


class UserRow(User):
    password: str = "secret"


class StructUser(msgspec.Struct):
    name: str = "ann"


class StructRow(StructUser):
    password: str = "secret"


@dataclasses.dataclass(frozen=True)
class DataUser:
    name: str = "ann"


@dataclasses.dataclass(frozen=True)
class DataRow(DataUser):
    password: str = "secret"


T = TypeVar("T")
OfModel = TypeVar("OfModel", bound=User)
ByName = TypeVar("ByName", bound="User")
OfStruct = TypeVar("OfStruct", bound=StructUser)
OfData = TypeVar("OfData", bound=DataUser)
OneOf = TypeVar("OneOf", User, DataUser)
Answer = TypeVar("Answer", bound=Response)


class Page(pydantic.BaseModel, Generic[OfModel]):
    items: list[OfModel]


class Pair(pydantic.BaseModel, Generic[T, OfModel]):
    first: T
    second: OfModel


@dataclasses.dataclass
class DataPage(Generic[OfData]):
    items: list[OfData]


class StructPage(msgspec.Struct, Generic[OfStruct]):
    items: list[OfStruct]


ANN = {"name": "ann"}
CASES: list[tuple[Any, Any, Any]] = [
    (OfModel, UserRow(), ANN),
    (ByName, UserRow(), ANN),
    (OfModel | None, UserRow(), ANN),
    (list[OfModel], [UserRow()], [ANN]),
    (dict[str, list[OfModel]], {"a": [UserRow()]}, {"a": [ANN]}),
    (tuple[OfModel, ...], (UserRow(),), [ANN]),
    (Annotated[list[OfModel], "words"], [UserRow()], [ANN]),
    (list[Annotated[OfModel, "words"]], [UserRow()], [ANN]),
    (list[OfModel | Literal["none"]], [UserRow(), "none"], [ANN, "none"]),
    (list[OfStruct], [StructRow()], [ANN]),
    (list[OfData], [DataRow()], [ANN]),
    (OneOf, UserRow(), ANN),
    (list[OneOf], [DataRow(), UserRow()], [ANN, ANN]),
    (Page, Page(items=[UserRow()]), {"items": [ANN]}),
    (Page[OfModel], Page(items=[UserRow()]), {"items": [ANN]}),
    (list[Page], [Page(items=[UserRow()])], [{"items": [ANN]}]),
    (Pair, Pair(first=1, second=UserRow()), {"first": 1, "second": ANN}),
    (Pair[int, OfModel], Pair(first=1, second=UserRow()), {"first": 1, "second": ANN}),
    (DataPage, DataPage([DataRow()]), {"items": [ANN]}),
    (DataPage[OfData], DataPage([DataRow()]), {"items": [ANN]}),
    (StructPage, StructPage([StructRow()]), {"items": [ANN]}),
    (list[int], [1], [1]),
]


def returning(kind: Any, result: Any) -> Any:
    def handler() -> Any:
        return result

    handler.__annotations__["return"] = kind
    return handler


def test_a_variable_stands_for_its_bound(serve) -> None:
    app, compat = App(), FastAPI()
    for number, (kind, result, _) in enumerate(CASES):
        handler = returning(kind, result)
        app.get(f"/{number}")(handler)
        app.get(f"/{number}/model", response_model=kind)(handler)
        if "Struct" not in str(kind):
            compat.get(f"/{number}")(handler)
    client, other = serve(app).client, serve(compat).client
    for number, (kind, _, expected) in enumerate(CASES):
        assert client.get(f"/{number}").json() == expected, kind
        assert client.get(f"/{number}/model").json() == expected, kind
        if "Struct" not in str(kind):
            assert other.get(f"/{number}").json() == expected, kind


def test_responses_by_a_variable(serve) -> None:
    app = App()

    def handler() -> Answer:  # type: ignore[type-var]
        return Response(b"own")  # type: ignore[return-value]

    app.get("/")(handler)
    assert serve(app).client.get("/").text == "own"


@pytest.mark.parametrize("kind", [T, list[T], dict[str, T], T | None, AsyncIterator[T]])
def test_a_variable_that_stands_for_nothing(serve, kind: Any) -> None:
    """FastAPI takes it for Any and sends all fields, as in its compatibility mode here."""

    handler = returning(kind, [1])
    with pytest.raises(TypeError, match=r"GET / .*return annotation.*variable T.*write a class"):
        App().get("/")(handler)
    with pytest.raises(TypeError, match=r"GET / .*response_model.*variable T.*write a class"):
        App().get("/", response_model=kind)(lambda: None)
    app = App()
    app.get("/", response_model=None)(handler)
    assert serve(app).client.get("/").json() == [1]


def test_fastapi_programs_may_have_such_variables(serve) -> None:
    app = FastAPI()

    def handler() -> list[T]:  # type: ignore[type-var]
        return [1]  # type: ignore[list-item]

    app.get("/")(handler)
    assert serve(app).client.get("/").json() == [1]


# ---- Generic classes without arguments in the fields of others --------------------------------

Bound = TypeVar("Bound", bound=User)


class Box(pydantic.BaseModel, Generic[Bound]):
    user: Bound


class Boxes(pydantic.BaseModel, Generic[Bound]):
    users: list[Bound]
    named: dict[str, Bound]
    maybe: Bound | None


class Deeper(pydantic.BaseModel, Generic[Bound]):
    box: Box[Bound]


class Several(pydantic.RootModel[list[Bound]], Generic[Bound]):
    pass


class Tree(pydantic.BaseModel, Generic[Bound]):
    user: Bound
    under: list[Tree[Bound]] = []


@dataclasses.dataclass
class DataBox(Generic[Bound]):
    user: Bound


class DictBox(TypedDict, Generic[Bound]):
    user: Bound


class TupleBox(NamedTuple, Generic[Bound]):
    user: Bound


class StructBox(msgspec.Struct, Generic[Bound]):
    user: Bound


class Computed(pydantic.BaseModel):
    @pydantic.computed_field
    def box(self) -> Box:  # type: ignore[type-arg]
        return Box(user=UserRow())


class ComputedUser(pydantic.BaseModel, Generic[Bound]):
    hidden: Bound = pydantic.Field(exclude=True)

    @pydantic.computed_field
    def user(self) -> Bound:
        return self.hidden


BOX = {"user": ANN}
FIELDS: dict[str, tuple[Any, Any, Any]] = {
    "model": (Box, Box(user=UserRow()), BOX),
    "list": (list[Box], [Box(user=UserRow())], [BOX]),
    "dict": (dict[str, Box], {"a": Box(user=UserRow())}, {"a": BOX}),
    "optional": (Box | None, Box(user=UserRow()), BOX),
    "tuple": (tuple[Box, ...], (Box(user=UserRow()),), [BOX]),
    "annotated": (Annotated[Box, "words"], Box(user=UserRow()), BOX),
    "containers": (
        Boxes,
        Boxes(users=[UserRow()], named={"a": UserRow()}, maybe=UserRow()),
        {"users": [ANN], "named": {"a": ANN}, "maybe": ANN},
    ),
    "deeper": (Deeper, Deeper(box=Box(user=UserRow())), {"box": BOX}),
    "root": (Several, Several([UserRow()]), [ANN]),
    "tree": (
        Tree,
        Tree(user=UserRow(), under=[Tree(user=UserRow())]),
        {"user": ANN, "under": [{"user": ANN, "under": []}]},
    ),
    "dataclass": (DataBox, DataBox(UserRow()), BOX),
    "TypedDict": (DictBox, {"user": UserRow()}, BOX),
    "NamedTuple": (TupleBox, TupleBox(UserRow()), [ANN]),
    "Struct": (StructBox, StructBox(UserRow()), BOX),
    "computed": (Computed, Computed(), {"box": BOX}),
    "computed variable": (ComputedUser, ComputedUser(hidden=UserRow()), BOX),
}


def holders(kind: Any, value: Any, expected: Any) -> dict[str, tuple[Any, Any, Any]]:
    """Classes with a field of this kind, with an instance and what is to be sent of it."""
    named = {"it": expected}
    struct = msgspec.defstruct("Holder", [("it", kind)])
    if "StructBox" in str(kind):
        return {"struct": (struct, struct(value), named)}
    model = pydantic.create_model("Holder", it=(kind, ...))
    made = model.model_construct(it=value)
    outer = msgspec.defstruct("Outer", [("it", model)])
    data = dataclasses.make_dataclass("Holder", [("it", kind)])
    pair = NamedTuple("pair", [("it", kind)])  # type: ignore[misc]  # noqa: UP014
    return {
        "alone": (kind, value, expected),
        "model": (model, made, named),
        "models": (list[model], [made], [named]),  # type: ignore[valid-type]
        "dataclass": (data, data(value), named),
        "TypedDict": (TypedDict("Holder", {"it": kind}), {"it": value}, named),  # type: ignore[misc]
        "NamedTuple": (pair, pair(value), [expected]),
        "struct": (struct, struct(value), named),
        "model in a struct": (outer, outer(made), {"it": named}),
    }


@pytest.mark.parametrize("name", FIELDS)
def test_variables_of_a_field_s_generic_class(serve, name: str) -> None:
    app, cases = App(), holders(*FIELDS[name])
    for holder, (kind, value, _) in cases.items():
        app.get(f"/{holder}")(returning(kind, value))
    client = serve(app).client
    for holder, (_, _, expected) in cases.items():
        assert client.get(f"/{holder}").json() == expected, holder


def test_what_is_asked_for_is_sent(serve) -> None:
    """`SerializeAsAny` is pydantic's word for the value's own class."""

    class Asked(pydantic.BaseModel, Generic[Bound]):
        one: pydantic.SerializeAsAny[User]
        variable: pydantic.SerializeAsAny[Bound]
        box: Box  # type: ignore[type-arg]

    class Holder(pydantic.BaseModel):
        asked: Asked  # type: ignore[type-arg]

    asked = Asked(one=UserRow(), variable=UserRow(), box=Box(user=UserRow()))
    app = App()
    app.get("/", response_model=Holder)(lambda: Holder(asked=asked))
    row = {"name": "ann", "password": "secret"}
    expected = {"asked": {"one": row, "variable": row, "box": BOX}}
    assert serve(app).client.get("/").json() == expected


def test_a_class_that_is_defined_after_the_route(serve) -> None:
    class Early(pydantic.BaseModel):
        box: "Late"  # noqa: UP037 - isn't defined yet

    app = App()
    app.get("/", response_model=Early)(lambda: Early(box=Late(user=UserRow())))

    class Late(pydantic.BaseModel, Generic[Bound]):
        user: Bound

    Early.model_rebuild(_types_namespace={"Late": Late})
    assert serve(app).client.get("/").json() == {"box": BOX}


def test_lone_surrogates_beside_a_variable(serve) -> None:
    """JSON in UTF-8 can't hold them, so that the response takes another way."""
    holder = msgspec.defstruct("Holder", [("it", Box), ("word", str)])
    app = App()
    app.get("/", response_model=holder)(lambda: holder(Box(user=UserRow()), "\ud800"))
    response = serve(app).client.get("/")
    assert response.text == '{"it":{"user":{"name":"ann"}},"word":"\\ud800"}'


# ---- Sets of models, which pydantic can't dump to Python objects ----------------------------


class FrozenUser(pydantic.BaseModel, frozen=True):
    name: str = "ann"


class FrozenRow(FrozenUser, frozen=True):
    password: str = "secret"


@dataclasses.dataclass(frozen=True)
class Team:
    users: AbstractSet[DataUser]
    others: frozenset[FrozenUser] = frozenset()


class Club(pydantic.BaseModel):
    users: AbstractSet[DataUser]


class StrictClub(pydantic.BaseModel, strict=True):
    users: frozenset[FrozenUser]


SETS: list[tuple[Any, Any, Any]] = [
    (set[DataUser], {DataRow()}, [ANN]),
    (AbstractSet[DataUser], {DataRow()}, [ANN]),
    (frozenset[FrozenUser], {FrozenRow()}, [ANN]),
    (Team, Team({DataRow()}), {"users": [ANN], "others": []}),
    (Team, Team(frozenset(), {FrozenRow()}), {"users": [], "others": [ANN]}),  # type: ignore[arg-type]
    (list[Team], [Team({DataUser()})], [{"users": [ANN], "others": []}]),
    (Club, Club.model_construct(users={DataRow()}), {"users": [ANN]}),
    (StrictClub, StrictClub.model_construct(users={FrozenRow()}), {"users": [ANN]}),
]


def test_sets_of_models(serve) -> None:
    app = App()
    for number, (kind, result, _) in enumerate(SETS):
        app.get(f"/{number}", response_model=kind)(functools.partial(lambda it: it, result))
    client = serve(app).client
    for number, (kind, _, expected) in enumerate(SETS):
        assert client.get(f"/{number}").json() == expected, kind


def test_sets_with_what_the_model_does_not_have(serve) -> None:
    app = App()
    app.get("/", response_model=Team)(lambda: Team({5}))  # type: ignore[arg-type]
    response = serve(app).client.get("/")
    assert response.status_code == 500


def test_annotations_that_cannot_be_resolved(serve) -> None:
    """Of a class that only its function knows: pydantic looks there, typing doesn't."""

    class Local(pydantic.BaseModel):
        pass

    @dataclasses.dataclass
    class LocalBox(Generic[Bound]):
        user: Bound
        local: Local | None = None

    class Holder(pydantic.BaseModel):
        box: LocalBox  # type: ignore[type-arg]

    app = App()

    @app.get("/", response_model=Holder)
    def read() -> Any:
        return Holder(box=LocalBox(UserRow()))

    assert serve(app).client.get("/").json() == {"box": {"user": {"name": "ann"}, "local": None}}


class Deferred(pydantic.BaseModel, Generic[Bound]):
    model_config = pydantic.ConfigDict(defer_build=True)
    user: Bound


class HoldsDeferred(msgspec.Struct):
    deferred: Deferred  # type: ignore[type-arg]


def test_models_that_are_built_when_first_needed(serve) -> None:
    app = App()

    @app.get("/")
    def read() -> HoldsDeferred:
        return HoldsDeferred(Deferred.model_construct(user=UserRow()))

    client = serve(app).client
    for _ in range(2):
        assert client.get("/").json() == {"deferred": {"user": {"name": "ann"}}}
