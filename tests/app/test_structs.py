"""msgspec's Structs beside pydantic's models of the same fields: values, words, JSON Schema."""

import dataclasses
import datetime
import enum
import json
import uuid
from decimal import Decimal
from typing import Annotated, Any, Generic, Literal, NamedTuple, TypedDict, TypeVar

import attrs
import msgspec
import pydantic
import pytest
from fluvial import App, Body, Query, RequestValidationError
from fluvial._validation.validators import (
    PydanticValidator,
    StructValidator,
    make_adapter,
    make_validator,
)

T = TypeVar("T")


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Inner(msgspec.Struct):
    a: int
    tags: list[str] = []


class InnerModel(pydantic.BaseModel):
    a: int
    tags: list[str] = []


class Outer(msgspec.Struct, rename={"price": "Price"}):
    name: Annotated[str, msgspec.Meta(min_length=2, max_length=5, pattern="^[a-z]")]
    price: Decimal = Decimal(1)
    weight: Annotated[float, msgspec.Meta(gt=0)] = 1.0
    inner: Inner | None = None
    many: dict[str, list[Inner]] = {}
    colour: Colour = Colour.RED
    kind: Literal["x", "y"] = "x"
    at: datetime.datetime | None = None
    id: uuid.UUID | None = None
    pair: tuple[int, Inner] | None = None
    size: int | msgspec.UnsetType | None = msgspec.UNSET


class OuterModel(pydantic.BaseModel):
    name: str = pydantic.Field(min_length=2, max_length=5, pattern="^[a-z]")
    price: Decimal = pydantic.Field(Decimal(1), alias="Price")
    weight: float = pydantic.Field(1.0, gt=0)
    inner: InnerModel | None = None
    many: dict[str, list[InnerModel]] = {}
    colour: Colour = Colour.RED
    kind: Literal["x", "y"] = "x"
    at: datetime.datetime | None = None
    id: uuid.UUID | None = None
    pair: tuple[int, InnerModel] | None = None
    size: int | None = None


VALUES: list[Any] = [
    *({}, [], 3, None, "x", {"name": "ok"}, {"name": "a"}, {"name": "ABC"}, {"name": 5}),
    {"name": "ok", "weight": -1, "inner": {}, "colour": "green", "kind": "z"},
    {"name": "ok", "Price": "1.50", "inner": {"a": "7", "tags": ["x"]}, "unknown": 1},
    {"name": "ok", "many": {"k": [{"a": 1}, {"a": "x"}, 3]}, "at": "2020-13-01", "id": "q"},
    {"name": "ok", "many": {"k": [{"a": 1.0}]}, "at": 1577934245, "pair": [1, {"a": 2}]},
    {"name": "ok", "pair": [1], "size": "3"},
    {"name": "ok", "Price": "nan"},
    {"name": "ok", "inner": {"a": 1, "tags": [1]}},
]


def outcome(validator: Any, value: Any, *, as_json: bool) -> Any:
    try:
        if as_json:
            made = validator.from_json(json.dumps(value).encode(), ("body",))
        else:
            made = validator.from_python(value, ("body",))
    except RequestValidationError as exc:
        return [{**error, "ctx": str(error.get("ctx"))} for error in exc.errors()]
    return json.loads(
        msgspec.json.encode(made, enc_hook=lambda model: model.model_dump(by_alias=True))
    )


@pytest.mark.parametrize("as_json", [False, True])
@pytest.mark.parametrize("value", VALUES, ids=str)
def test_the_same_as_a_model(value: Any, as_json: bool) -> None:
    struct, model = make_validator(Outer, {}, lambda: make_adapter(Outer)), make_adapter(OuterModel)
    assert isinstance(struct, StructValidator)
    expected = outcome(PydanticValidator(model), value, as_json=as_json)
    if isinstance(expected, dict) and "size" not in value:
        del expected["size"]
    assert outcome(struct, value, as_json=as_json) == expected


def test_the_same_schema() -> None:
    def schema(kind: Any) -> str:
        made = make_adapter(kind).json_schema()
        del made["properties"]["size"]
        return json.dumps(made, sort_keys=True).replace("Model", "")

    assert schema(Outer) == schema(OuterModel)


class Cat(msgspec.Struct, tag_field="kind", tag="cat"):
    lives: int = 9


class Dog(msgspec.Struct, tag_field="kind", tag="dog"):
    name: str


class Node(msgspec.Struct):
    pet: Cat | Dog | None = None
    children: "list[Node]" = []


class Box(msgspec.Struct, Generic[T]):
    item: T
    items: list[T] = []


class Closed(msgspec.Struct, forbid_unknown_fields=True):
    a: int = 0


class Row(msgspec.Struct, array_like=True):
    a: int


@attrs.define
class Attrs:
    a: int
    b: str = "x"


@dataclasses.dataclass
class Data:
    inner: Inner
    more: int = 1


class Named(NamedTuple):
    inner: Inner
    more: int = 1


class Typed(TypedDict):
    inner: Inner


class Checked(msgspec.Struct):
    a: int

    def __post_init__(self) -> None:
        if self.a > 5:
            raise ValueError("too much")
        if self.a > 4:
            raise TypeError("nearly")


def problems(kind: Any, value: Any) -> Any:
    validator = make_validator(kind, {}, lambda: make_adapter(kind))
    try:
        return validator.from_json(json.dumps(value).encode(), ("body",))
    except RequestValidationError as exc:
        return [(error["type"], *error["loc"][1:]) for error in exc.errors()]


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        (Cat | Dog, {"kind": "cat", "lives": "3"}, Cat(3)),
        (Cat | Dog, {"kind": "cow"}, [("union_tag_invalid",)]),
        (Cat | Dog, {}, [("union_tag_not_found",)]),
        (Cat | Dog, {"kind": "dog"}, [("missing", "dog", "name")]),
        (Cat, {"kind": "cat", "lives": "1"}, Cat(1)),
        (Cat, {"kind": "dog", "lives": 1}, [("literal_error", "kind")]),
        (Node, {"children": [{"children": [{"pet": {"kind": "cat"}}]}]}, None),
        (
            Node,
            {"children": [{"children": [{"pet": {"kind": "dog"}}, 3]}]},
            [
                ("missing", "children", 0, "children", 0, "pet", "dog", "name"),
                ("model_attributes_type", "children", 0, "children", 1),
            ],
        ),
        (Box[int], {"item": "1", "items": ["x"]}, [("int_parsing", "items", 0)]),
        (Box[Inner], {"item": {"a": "1"}}, Box(Inner(1))),
        (Closed, {"b": 1}, [("extra_forbidden", "b")]),
        (Row, ["x"], [("value_error",)]),
        (Row, ["3"], Row(3)),
        (Attrs, {"a": "1"}, Attrs(1)),
        (Attrs, {"b": 1}, [("missing", "a"), ("string_type", "b")]),
        (Data, {"inner": {"a": "1"}}, Data(Inner(1))),
        (Data, {"inner": {}}, [("missing", "inner", "a")]),
        (Named, [{"a": "1"}], Named(Inner(1))),
        (Named, [{"a": "x"}], [("int_parsing", 0, "a")]),
        (Typed, {"inner": {"a": "1"}, "other": 1}, {"inner": Inner(1)}),
        (Typed, {}, [("missing", "inner")]),
        (Checked, {"a": 6}, [("value_error",)]),
        (Checked, {"a": 5}, [("value_error",)]),
        (list[Inner | int], [{"a": 1}, 3], [Inner(1), 3]),
        (Annotated[int, msgspec.Meta(ge=3)], 2, [("greater_than_equal",)]),
        (dict[str, bytes], {"a": "YWI=", "b": "!"}, [("bytes_invalid_encoding", "b")]),
    ],
    ids=str,
)
def test_kinds(kind: Any, value: Any, expected: Any) -> None:
    if kind == dict[str, bytes]:
        kind = Annotated[kind, msgspec.Meta(title="t")]
    found = problems(kind, value)
    if expected is None:
        expected = Node(children=[Node(children=[Node(pet=Cat())])])
    assert found == expected


def test_schemas_of_what_contains_itself() -> None:
    schema = make_adapter(Node).json_schema()
    assert schema["$defs"]["Node"]["properties"]["children"] == {
        "default": [],
        "items": {"$ref": "#/$defs/Node"},
        "title": "Children",
        "type": "array",
    }
    pet = schema["$defs"]["Node"]["properties"]["pet"]["anyOf"][0]
    assert pet["discriminator"]["propertyName"] == "kind"
    assert schema["$defs"]["Cat"]["properties"]["kind"]["const"] == "cat"


def test_lists_with_limits_and_queries(serve) -> None:
    app = App()

    @app.post("/")
    def handler(
        items: Annotated[list[Inner], Body(max_length=2, embed=True)],
        filters: Annotated[Inner, Query()],
        strict: Annotated[list[Inner] | None, Body(strict=True)] = None,
    ) -> Any:
        return [items, filters]

    client = serve(app).client
    response = client.post("/?a=5&tags=x&tags=y", json={"items": [{"a": 1}]})
    assert response.json() == [[{"a": 1, "tags": []}], {"a": 5, "tags": ["x", "y"]}]
    response = client.post("/?a=x", json={"items": [{"a": 1}, {}]})
    found = [(error["type"], *error["loc"]) for error in response.json()["detail"]]
    assert sorted(found, key=str) == [
        ("int_parsing", "query", "a"),
        ("missing", "body", "items", 1, "a"),
    ]


def test_json_numbers_beyond_64_bits_are_exact() -> None:
    number = 123456789012345678901234567890
    assert problems(Inner, {"a": number}) == Inner(number)


def test_a_type_that_nobody_knows_is_refused() -> None:
    class Unknown: ...

    with pytest.raises(TypeError, match="Unknown"):
        make_validator(Unknown, {}, lambda: make_adapter(Unknown))
