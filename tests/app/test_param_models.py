"""Models as query, headers and cookies; aliases and limits of single parameters."""

import dataclasses
import decimal
from typing import Annotated, Any, Literal

import msgspec
import pydantic
import pytest
from fluvial import App, Body, Cookie, Header, Path, Query
from pydantic import AliasChoices, AliasPath, ConfigDict, Field


class Aliased(pydantic.BaseModel):
    alias: str | None = Field(None, alias="a-alias")
    validation: str | None = Field(None, validation_alias="v")
    choice: str | None = Field(None, validation_alias=AliasChoices("c1", "c2"))
    choices: list[str] = Field([], validation_alias=AliasChoices("l1", "l2"))
    place: str | None = Field(None, validation_alias=AliasPath("p", 1))


class ByName(pydantic.BaseModel):
    model_config = ConfigDict(populate_by_name=True)
    one: str | None = Field(None, alias="uno")
    many: list[str] = Field([], alias="muchos")


class Forbid(pydantic.BaseModel):
    model_config = ConfigDict(extra="forbid")
    a: str | None = None


class Allow(pydantic.BaseModel):
    model_config = ConfigDict(extra="allow")
    a: str | None = None


class Strict(msgspec.Struct, forbid_unknown_fields=True):
    a: str | None = None


class Before(pydantic.BaseModel):
    names: list[str] = []

    @pydantic.model_validator(mode="before")
    @classmethod
    def gather(cls, data: Any) -> Any:
        return {"names": sorted(data)}


class Required(pydantic.BaseModel):
    a: int


@dataclasses.dataclass
class RequiredData:
    a: int


class Spelt(pydantic.BaseModel):
    x_plain: str | None = None
    exact: str | None = Field(None, alias="x_exact")


def ask(serve: Any, annotation: Any, *requests: str, default: Any = dataclasses.MISSING) -> Any:
    """The answers' JSON to requests "a=1&b=2", sent as the marker says."""

    def handler(q: Any) -> Any:
        return q.model_dump() if isinstance(q, pydantic.BaseModel) else q

    handler.__annotations__["q"] = annotation
    if default is not dataclasses.MISSING:
        handler.__defaults__ = (default,)
    app = App()
    app.get("/")(handler)
    client = serve(app).client
    (marker,) = (item for item in annotation.__metadata__ if hasattr(item, "source"))
    answers = []
    for text in requests:
        pairs = [tuple(pair.split("=", 1)) for pair in text.split("&")] if text else []
        cookies = "; ".join(f"{name}={value}" for name, value in pairs)
        options: dict[str, Any] = {
            "query": {"params": pairs},
            "header": {"headers": pairs},
            "cookie": {"headers": {"Cookie": cookies} if pairs else {}},
        }[marker.source]
        answers.append(client.get("/", **options).json())
    return answers


def types(answer: Any) -> list[Any]:
    """Types and places of the problems."""
    return [(problem["type"], problem["loc"]) for problem in answer["detail"]]


@pytest.mark.parametrize("marker", [Query, Header, Cookie])
def test_aliases_of_fields(serve, marker: Any) -> None:
    answers = ask(
        serve,
        Annotated[Aliased, marker()],
        "a-alias=1&v=2&c1=3&l1=4&l1=5&p=6&p=7",
        "c2=3&l2=4",
        "c1=1&c2=2",
        "alias=1&validation=2&choice=3&choices=4",
        "",
    )
    nothing = {"alias": None, "validation": None, "choice": None, "choices": [], "place": None}
    full = {"alias": "1", "validation": "2", "choice": "3", "choices": ["4", "5"], "place": "7"}
    assert answers == [
        full,
        nothing | {"choice": "3", "choices": ["4"]},
        nothing | {"choice": "1"},
        nothing,
        nothing,
    ]


@pytest.mark.parametrize("marker", [Query, Header, Cookie])
def test_fields_by_name_and_by_alias(serve, marker: Any) -> None:
    answers = ask(
        serve, Annotated[ByName, marker()], "one=1&many=2&many=3", "uno=1&muchos=2&muchos=3"
    )
    assert answers == [{"one": "1", "many": ["2", "3"]}] * 2


@pytest.mark.parametrize("marker", [Query, Cookie, Header])
@pytest.mark.parametrize("model", [Forbid, Strict])
def test_extra_is_forbidden(serve, marker: Any, model: Any) -> None:
    fine, extra = ask(serve, Annotated[model, marker()], "a=1", "a=1&b=2&b=3")
    found = types(extra)
    assert ("extra_forbidden", [marker.source, "b"]) in found
    if marker is Header:  # a client's own are extra, too
        assert ("extra_forbidden", ["header", "user-agent"]) in types(fine)
    else:
        assert (fine, len(found)) == ({"a": "1"}, 1)


@pytest.mark.parametrize("marker", [Query, Header, Cookie])
def test_extra_is_allowed(serve, marker: Any) -> None:
    (answer,) = ask(serve, Annotated[Allow, marker()], "a=1&b-c=2&d=3&d=4")
    assert answer.items() >= {"a": "1", "b-c": "2", "d": ["3", "4"]}.items()
    assert ("user-agent" in answer) is (marker is Header)


def test_extra_is_seen_by_a_models_validator(serve) -> None:
    assert ask(serve, Annotated[Before, Query()], "b=1&a=2") == [{"names": ["a", "b"]}]


@pytest.mark.parametrize("marker", [Query, Header, Cookie])
@pytest.mark.parametrize("model", [Required, RequiredData])
def test_a_default_holds_where_no_field_was_sent(serve, marker: Any, model: Any) -> None:
    annotation = Annotated[model | None, marker()]
    nothing, unrelated, own, wrong = ask(serve, annotation, "", "utm=1", "a=1", "a=x", default=None)
    assert (nothing, unrelated, own) == (None, None, {"a": 1})
    assert types(wrong) == [("int_parsing", [marker.source, "a"])]


@pytest.mark.parametrize("marker", [Query, Header, Cookie])
def test_extra_is_a_value_where_it_is_allowed(serve, marker: Any) -> None:
    """There are header fields in any request."""
    annotation = Annotated[Allow | None, marker()]
    nothing, extra = ask(serve, annotation, "", "utm=1", default=None)
    assert (nothing is None) == (marker is not Header)
    assert {"a": None, "utm": "1"}.items() <= extra.items()


@pytest.mark.parametrize("marker", [Query, Header, Cookie])
def test_a_model_that_may_be_none_is_required_without_a_default(serve, marker: Any) -> None:
    nothing, own = ask(serve, Annotated[Required | None, marker()], "", "a=1")
    assert types(nothing) == [("missing", [marker.source])]
    assert own == {"a": 1}


def test_a_default_does_not_allow_what_is_forbidden(serve) -> None:
    nothing, extra = ask(serve, Annotated[Forbid, Query()], "", "utm=1", default=Forbid(a="x"))
    assert nothing == {"a": "x"}
    assert types(extra) == [("extra_forbidden", ["query", "utm"])]


def test_underscores_of_headers(serve) -> None:
    plain, exact, other, hyphen = ask(
        serve, Annotated[Spelt, Header()], "x-plain=1", "x_exact=1", "x_plain=1", "x-exact=1"
    )
    assert (plain["x_plain"], exact["exact"]) == ("1", "1")
    assert (other["x_plain"], hyphen["exact"]) == (None, None)  # an alias is meant as it is
    unchanged = ask(serve, Annotated[Spelt, Header(convert_underscores=False)], "x_plain=1")
    assert unchanged[0]["x_plain"] == "1"


@pytest.mark.parametrize("marker", [Query, Header, Cookie])
def test_aliases_of_parameters(serve, marker: Any) -> None:
    one = Annotated[int, marker(validation_alias="v", alias="a")]
    assert ask(serve, one, "v=1") == [1]
    assert types(ask(serve, one, "a=1")[0]) == [("missing", [marker.source, "v"])]
    several = Annotated[int, marker(validation_alias=AliasChoices("v", "w"))]
    first, second, both, neither, wrong = ask(serve, several, "v=1", "w=2", "w=2&v=1", "x=1", "w=x")
    assert (first, second, both) == (1, 2, 1)
    assert types(neither) == [("missing", [marker.source, "v"])]
    assert types(wrong) == [("int_parsing", [marker.source, "w"])]
    many = Annotated[list[int], marker(validation_alias=AliasChoices("v", "w"))]
    assert ask(serve, many, "w=1&w=2", "", default=[5]) == [[1, 2], [5]]


def test_choices_of_aliases_in_path_and_body(serve) -> None:
    app = App()
    Item = Annotated[int, Path(alias="z", validation_alias=AliasChoices("item", "id"), ge=1)]

    @app.post("/items/{item}")
    @app.post("/ids/{id}")
    def handler(
        it: Item,
        one: Annotated[int, Body(validation_alias=AliasChoices("uno", "un"))],
        two: Annotated[int, Body(validation_alias=AliasChoices("dos", "deux"))] = 2,
    ) -> Any:
        return [it, one, two]

    client = serve(app).client
    assert client.post("/items/1", json={"un": 3, "deux": 4}).json() == [1, 3, 4]
    assert client.post("/ids/1", json={"un": 3, "uno": 4}).json() == [1, 4, 2]
    answer = client.post("/ids/0", json={"deux": "x"}).json()
    assert types(answer) == [
        ("greater_than_equal", ["path", "id"]),
        ("missing", ["body", "uno"]),
        ("int_parsing", ["body", "deux"]),
    ]


def test_parameters_that_are_json(serve) -> None:
    app = App()

    @app.get("/")
    def handler(
        items: Annotated[pydantic.Json[list[int]], Query()],
        model: Annotated[pydantic.Json[Required], Header()],
        any_json: pydantic.Json[Any] = None,
    ) -> Any:
        return [items, model, any_json]

    client = serve(app).client
    answer = client.get("/?items=[1,2]&any_json={}", headers={"model": '{"a": "3"}'})
    assert answer.json() == [[1, 2], {"a": 3}, {}]
    answer = client.get("/?items=[1,2", headers={"model": "{}"}).json()
    assert types(answer) == [
        ("json_invalid", ["query", "items"]),
        ("missing", ["header", "model", "a"]),
    ]


def test_aliases_of_path_and_body(serve) -> None:
    app = App()

    @app.post("/{p}")
    def handler(
        it: Annotated[int, Path(validation_alias="p")],
        one: Annotated[int, Body(validation_alias="uno")],
        two: Annotated[int, Body(alias="dos")],
    ) -> Any:
        return [it, one, two]

    assert serve(app).client.post("/1", json={"uno": 2, "dos": 3}).json() == [1, 2, 3]

    with pytest.raises(TypeError, match="an alias is a str"):
        Query(validation_alias=AliasChoices("a", AliasPath("b", 0)))


@pytest.mark.parametrize(
    ("kind", "options", "fine", "wrong", "problem"),
    [
        (int, {"strict": True}, None, "5", "int_type"),
        (str, {"strict": True}, "5", None, None),
        (decimal.Decimal, {"max_digits": 3}, "1.25", "1.255", "decimal_max_digits"),
        (decimal.Decimal, {"decimal_places": 1}, "1.5", "1.25", "decimal_max_places"),
        (float, {"allow_inf_nan": False}, "1.5", "nan", "finite_number"),
        (float, {"allow_inf_nan": False, "gt": 1}, "1.5", "inf", "finite_number"),
        (float, {"allow_inf_nan": True}, "1.5", None, None),
        (int, {"le": 10**30}, "5", str(10**31), "less_than_equal"),
        (int, {"gt": -(10**30)}, "5", str(-(10**31)), "greater_than"),
        (int, {"le": 10**30}, str(10**29), None, None),
        (list[int], {"le": 10**30}, None, "x", "int_parsing"),
        (int | None, {"le": 10**30}, "5", str(10**31), "less_than_equal"),
        (str, {"pattern": "^a(?!b)"}, "ac", None, None),
        pytest.param(
            *(str, {"regex": "^a$"}, "a", "b", "string_pattern_mismatch"),
            marks=pytest.mark.filterwarnings("ignore:`regex` is deprecated"),
        ),
        (float, {"gt": decimal.Decimal("1.5")}, "2", "1", "greater_than"),
    ],
)
@pytest.mark.parametrize("marker", [Query, Header, Cookie])
def test_limits(
    serve, marker: Any, kind: Any, options: Any, fine: Any, wrong: Any, problem: Any
) -> None:
    if kind == list[int]:
        options = {}
        kind = list[Annotated[int, Field(le=10**30)]]
    annotation = Annotated[kind, marker(**options)]
    if fine is not None:
        (answer,) = ask(serve, annotation, f"q={fine}")
        assert str(answer) in (fine, f"{fine}.0")
    if wrong is not None:
        (answer,) = ask(serve, annotation, f"q={wrong}")
        assert [error["type"] for error in answer["detail"]] == [problem]


class Cat(pydantic.BaseModel):
    kind: Literal["cat"]


class Dog(pydantic.BaseModel):
    kind: Literal["dog"]


def test_a_discriminator(serve) -> None:
    app = App()

    @app.post("/")
    def handler(pet: Annotated[Cat | Dog, Body(discriminator="kind")]) -> str:
        return type(pet).__name__

    client = serve(app).client
    assert client.post("/", json={"kind": "dog"}).json() == "Dog"
    answer = client.post("/", json={"kind": "cow"}).json()
    assert types(answer) == [("union_tag_invalid", ["body"])]


def test_limits_in_path_and_body(serve) -> None:
    app = App()

    @app.post("/{p}")
    def handler(
        p: Annotated[int, Path(le=10**30)], b: Annotated[int, Body(strict=True, le=10**30)]
    ) -> Any:
        return [p, b]

    client = serve(app).client
    assert client.post("/5", json=6).json() == [5, 6]
    answer = client.post(f"/{10**31}", json="6").json()
    assert types(answer) == [("less_than_equal", ["path", "p"]), ("int_type", ["body"])]


@pytest.mark.parametrize(
    ("kind", "options"),
    [(int, {"max_length": 3}), (str, {"pattern": "("}), (int, {"gt": "x"})],
)
def test_limits_that_can_not_be_are_named(kind: Any, options: Any) -> None:
    def handler(q: Any) -> None: ...

    handler.__annotations__["q"] = Annotated[kind, Query(**options)]
    with pytest.raises(TypeError, match=r"GET / .*'q'"):
        App().get("/")(handler)
