"""JSON bodies into every kind of type."""

import dataclasses
import json
from typing import Annotated, Any, Literal

import httpx
import msgspec
import pydantic
import pytest
from fluvial import App, Body, Path, Request

app = App()


@dataclasses.dataclass
class Data:
    name: str
    price: float
    tags: list[str] = dataclasses.field(default_factory=list)


class Struct(msgspec.Struct):
    name: str
    price: float
    tags: list[str] = []


class Strict(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    item_name: str


class Model(pydantic.BaseModel):
    name: str
    price: float = pydantic.Field(gt=0)
    tags: list[str] = []

    @pydantic.field_validator("name")
    @classmethod
    def not_evil(cls, name: str) -> str:
        if name == "evil":
            raise ValueError("no evil")
        return name


class Cat(msgspec.Struct, tag="cat"):
    lives: int


class Dog(msgspec.Struct, tag="dog"):
    barks: bool


class Holder(msgspec.Struct):
    model: Model


@dataclasses.dataclass
class Checked:
    low: int
    high: int

    def __post_init__(self) -> None:
        if self.low > self.high:
            raise ValueError("low is above high")


def echo(kind: Any) -> tuple[Any, Any]:
    def sync_handler(body: kind) -> Any:  # type: ignore[valid-type]
        return body

    async def async_handler(body: kind) -> Any:  # type: ignore[valid-type]
        return body

    return sync_handler, async_handler


KINDS = {
    **{"dict": dict, "dict-int": dict[str, int], "list": list[int], "dataclass": Data},
    **{"struct": Struct, "strict": Strict, "model": Model, "models": list[Model]},
    **{"tagged": Cat | Dog, "holder": Holder, "checked": Checked, "optional": Data | None},
    "default": Annotated[int, Body(gt=3)],
}
for name, kind in KINDS.items():
    for mode, handler in zip(("sync", "async"), echo(kind), strict=True):
        app.post(f"/{mode}/{name}")(handler)


@app.post("/any")
def any_body(body: Annotated[Any, Body()]) -> Any:
    return body


@app.post("/absent")
def absent(body: Annotated[Data | None, Body()] = None) -> Any:
    return body


@app.put("/several/{item_id}")
async def several(
    item_id: Annotated[int, Path(ge=1)],
    q: str | None = None,
    item: Data | None = None,
    *,
    user: Struct,
    importance: Annotated[int, Body(gt=0)] = 1,
) -> Any:
    return {"item_id": item_id, "q": q, "item": item, "user": user, "importance": importance}


@app.put("/embedded")
def embedded(item: Annotated[Model, Body(embed=True)]) -> Any:
    return item


@app.post("/limited", body_limit=10)
def limited(body: Annotated[Any, Body()]) -> Any:
    return body


@app.post("/raw/sync")
def raw_sync(request: Request) -> Any:
    return [request.body_nowait().decode(), request.json_nowait()]


@app.post("/raw/async")
async def raw_async(request: Request) -> Any:
    body = await request.body()
    return [body.decode(), await request.json(), await request.body() == body]


@app.post("/raw/stream")
async def raw_stream(request: Request) -> Any:
    sizes = [len(piece) async for piece in request.stream()]
    with pytest.raises(RuntimeError, match="consumed"):
        await request.body()
    return [sum(sizes), sizes[-1]]


@pytest.fixture(scope="module")
def client():
    from support.serving import serving

    with serving(app) as served:
        yield served.client


@pytest.fixture(params=["sync", "async"])
def mode(request: pytest.FixtureRequest) -> str:
    return request.param


ITEM = {"name": "a", "price": 2, "tags": ["x"]}
ITEM_OUT = {"name": "a", "price": 2.0, "tags": ["x"]}


@pytest.mark.parametrize(
    ("kind", "body", "expected"),
    [
        ("dict", {"a": [1, None]}, {"a": [1, None]}),
        ("dict-int", {"a": "1"}, {"a": 1}),
        ("list", [1, "2"], [1, 2]),
        ("dataclass", ITEM, ITEM_OUT),
        ("dataclass", {"name": "a", "price": "2.5"}, {"name": "a", "price": 2.5, "tags": []}),
        ("struct", ITEM, ITEM_OUT),
        ("strict", {"itemName": "x"}, {"itemName": "x"}),
        ("model", ITEM, ITEM_OUT),
        ("models", [ITEM], [ITEM_OUT]),
        ("tagged", {"type": "dog", "barks": True}, {"type": "dog", "barks": True}),
        ("tagged", {"type": "cat", "lives": 7}, {"type": "cat", "lives": 7}),
        ("holder", {"model": ITEM}, {"model": ITEM_OUT}),
        ("checked", {"low": 1, "high": 2}, {"low": 1, "high": 2}),
        ("optional", None, None),
        ("default", 4, 4),
    ],
)
def test_values(client: httpx.Client, mode: str, kind: str, body: Any, expected: Any) -> None:
    content = json.dumps(body)
    headers = {"content-type": "application/json"}
    response = client.post(f"/{mode}/{kind}", content=content, headers=headers)
    assert response.status_code == 200, response.text
    assert response.json() == expected


FLOAT = "Input should be a valid number, unable to parse string as a number"
OBJECT = "Input should be a valid dictionary or object to extract fields from"


@pytest.mark.parametrize(
    ("kind", "body", "problems"),
    [
        ("dict", [], [("dict_type", ["body"], "Input should be a valid dictionary", [])]),
        ("list", {}, [("list_type", ["body"], "Input should be a valid list", {})]),
        (
            *("dataclass", {"price": "x"}),
            [
                ("missing", ["body", "name"], "Field required", {"price": "x"}),
                ("float_parsing", ["body", "price"], FLOAT, "x"),
            ],
        ),
        (
            *("dataclass", 3),
            [
                (
                    *("dataclass_type", ["body"]),
                    *("Input should be a dictionary or an instance of Data", 3),
                )
            ],
        ),
        (
            *("struct", {"name": 1, "tags": "x"}),
            [
                ("string_type", ["body", "name"], "Input should be a valid string", 1),
                ("missing", ["body", "price"], "Field required", {"name": 1, "tags": "x"}),
                ("list_type", ["body", "tags"], "Input should be a valid list", "x"),
            ],
        ),
        ("struct", [], [("model_attributes_type", ["body"], OBJECT, [])]),
        (
            *("strict", {"itemName": "x", "b": 1}),
            [("extra_forbidden", ["body", "b"], "Extra inputs are not permitted", 1)],
        ),
        ("model", [], [("model_attributes_type", ["body"], OBJECT, [])]),
        (
            *("model", {"name": "evil", "price": 0}),
            [
                ("value_error", ["body", "name"], "Value error, no evil", "evil"),
                ("greater_than", ["body", "price"], "Input should be greater than 0", 0),
            ],
        ),
        (
            *("models", [{"name": "a"}]),
            [("missing", ["body", 0, "price"], "Field required", {"name": "a"})],
        ),
        (
            *("holder", {"model": {"name": "a"}}),
            [("missing", ["body", "model", "price"], "Field required", {"name": "a"})],
        ),
        (
            *("tagged", {"type": "cow"}),
            [
                (
                    *("union_tag_invalid", ["body"]),
                    "Input tag 'cow' found using 'type' does not match any of the expected tags: "
                    "'cat', 'dog'",
                    {"type": "cow"},
                )
            ],
        ),
        (
            *("tagged", {}),
            [
                (
                    *("union_tag_not_found", ["body"]),
                    *("Unable to extract tag using discriminator 'type'", {}),
                )
            ],
        ),
        (
            *("checked", {"low": 2, "high": 1}),
            [("value_error", ["body"], "Value error, low is above high", {"low": 2, "high": 1})],
        ),
        ("default", 3, [("greater_than", ["body"], "Input should be greater than 3", 3)]),
    ],
)
def test_problems(
    client: httpx.Client, mode: str, kind: str, body: Any, problems: list[Any]
) -> None:
    response = client.post(f"/{mode}/{kind}", json=body)
    assert response.status_code == 422
    found = response.json()["detail"]
    assert [(e["type"], e["loc"], e["msg"], e["input"]) for e in found] == problems


def test_value_errors_have_a_context_that_json_can_say(client: httpx.Client) -> None:
    response = client.post("/sync/model", json={"name": "evil", "price": 1})
    assert response.json()["detail"][0]["ctx"] == {"error": {}}


@pytest.mark.parametrize("kind", ["dict", "list", "dataclass", "struct", "model", "default"])
def test_an_empty_body_is_missing(client: httpx.Client, mode: str, kind: str) -> None:
    expected = {"type": "missing", "loc": ["body"], "msg": "Field required", "input": None}
    response = client.post(f"/{mode}/{kind}")
    assert response.status_code == 422
    assert response.json() == {"detail": [expected]}


def test_an_empty_body_takes_the_default(client: httpx.Client) -> None:
    assert client.post("/absent").json() is None


@pytest.mark.parametrize(
    ("content", "position", "error"),
    [
        (b"{", 1, "Expecting property name enclosed in double quotes"),
        (b'{"a"', 4, "Expecting ':' delimiter"),
        (b"[1 2]", 3, "Expecting ',' delimiter"),
        (b"[1] x", 4, "Extra data"),
    ],
)
@pytest.mark.parametrize("kind", ["dict", "list", "dataclass", "struct", "model"])
def test_invalid_json(
    client: httpx.Client, kind: str, content: bytes, position: int, error: str
) -> None:
    headers = {"content-type": "application/json"}
    response = client.post(f"/async/{kind}", content=content, headers=headers)
    assert response.status_code == 422
    expected = {
        **{"type": "json_invalid", "loc": ["body", position], "msg": "JSON decode error"},
        **{"input": {}, "ctx": {"error": error}},
    }
    assert response.json() == {"detail": [expected]}


@pytest.mark.parametrize(
    ("content_type", "status"),
    [
        ("application/json", 200),
        ("application/json; charset=utf-8", 200),
        ('Application/JSON; charset="UTF-8"', 200),
        ("application/problem+json", 200),
        (None, 415),
        ("text/plain", 415),
        ("application/x-www-form-urlencoded", 415),
        ("image/svg+json", 415),
        ("application/json; charset=latin-1", 415),
        ("nonsense", 415),
    ],
)
@pytest.mark.parametrize("kind", ["dict", "model"])
def test_content_types(
    client: httpx.Client, kind: str, content_type: str | None, status: int
) -> None:
    headers = {} if content_type is None else {"content-type": content_type}
    content = json.dumps(ITEM)
    response = client.post(f"/sync/{kind}", content=content, headers=headers)
    assert response.status_code == status, response.text
    if status == 415:
        assert "nsupported" in response.json()["detail"]


def test_a_byte_order_mark_is_ignored(client: httpx.Client) -> None:
    headers = {"content-type": "application/json"}
    for kind in ("dict", "model"):
        content = b"\xef\xbb\xbf" + json.dumps(ITEM).encode()
        assert client.post(f"/sync/{kind}", content=content, headers=headers).status_code == 200


@pytest.mark.parametrize("kind", ["dict", "struct", "model", "list"])
def test_not_utf8(client: httpx.Client, kind: str) -> None:
    headers = {"content-type": "application/json"}
    response = client.post(f"/sync/{kind}", content=b'{"name": "\xff"}', headers=headers)
    assert response.status_code == 400
    assert response.json() == {"detail": "The body is not valid UTF-8"}


@pytest.mark.parametrize("path", ["/sync/dict", "/sync/struct", "/sync/model", "/any"])
def test_deep_nesting_is_refused(client: httpx.Client, path: str) -> None:
    content = b'{"a":' * 100_000
    response = client.post(path, content=content, headers={"content-type": "application/json"})
    assert response.status_code in (400, 422)


def test_encoded_bodies_are_refused(client: httpx.Client) -> None:
    headers = {"content-type": "application/json", "content-encoding": "gzip"}
    response = client.post("/sync/dict", content=b"\x1f\x8b", headers=headers)
    assert response.status_code == 415
    headers["content-encoding"] = "identity"
    assert client.post("/sync/dict", content=b"{}", headers=headers).status_code == 200


def test_too_large(client: httpx.Client) -> None:
    assert client.post("/limited", json="x" * 8).status_code == 200
    assert client.post("/limited", json="x" * 9).status_code == 413
    for text, status in (("x" * 8, 200), ("x" * 9, 413)):
        pieces = iter([b'"', text.encode(), b'"'])
        headers = {"content-type": "application/json"}
        assert client.post("/limited", content=pieces, headers=headers).status_code == status


def test_a_route_may_take_more_than_the_server(serve) -> None:
    other = App()
    other.post("/small")(any_body)
    other.post("/large", body_limit=100)(any_body)
    client = serve(other, limits={"body": 10}).client
    assert client.post("/small", json="x" * 9).status_code == 413
    assert client.post("/large", json="x" * 98).status_code == 200
    assert client.post("/large", json="x" * 99).status_code == 413


def test_several_parameters_share_the_body(client: httpx.Client) -> None:
    user = {"name": "u", "price": 1}
    response = client.put("/several/5?q=x", json={"item": ITEM, "user": user, "importance": 2})
    assert response.json() == {
        **{"item_id": 5, "q": "x", "item": ITEM_OUT, "importance": 2},
        "user": {"name": "u", "price": 1.0, "tags": []},
    }
    response = client.put("/several/5", json={"user": user})
    assert response.json()["item"] is None
    assert response.json()["importance"] == 1


def test_problems_of_several_parameters(client: httpx.Client) -> None:
    body = {"item": {"name": "a"}, "importance": 0}
    response = client.put("/several/0", json=body)
    found = [(e["type"], e["loc"]) for e in response.json()["detail"]]
    assert found == [
        ("greater_than_equal", ["path", "item_id"]),
        ("missing", ["body", "item", "price"]),
        ("missing", ["body", "user"]),
        ("greater_than", ["body", "importance"]),
    ]
    response = client.put("/several/1", json=[])
    assert [e["loc"] for e in response.json()["detail"]] == [
        ["body", "item"],
        ["body", "user"],
        ["body", "importance"],
    ]


def test_embedded(client: httpx.Client) -> None:
    assert client.put("/embedded", json={"item": ITEM}).json() == ITEM_OUT
    problem = client.put("/embedded", json=ITEM).json()["detail"][0]
    assert problem["loc"] == ["body", "item"]


def test_request_objects_give_the_body(client: httpx.Client) -> None:
    assert client.post("/raw/sync", json=[1]).json() == ["[1]", [1]]
    assert client.post("/raw/async", json=[1]).json() == ["[1]", [1], True]
    content = b"x" * 1_000_000
    assert client.post("/raw/stream", content=content).json() == [1_000_000, 0]
    pieces = iter([b"a" * 1000] * 50)
    assert client.post("/raw/stream", content=pieces).json() == [50_000, 0]


def test_any_takes_any(client: httpx.Client) -> None:
    for value in (None, 1.5, "x", [], {"a": {"b": [True]}}, 2**70):
        headers = {"content-type": "application/json"}
        response = client.post("/any", content=json.dumps(value), headers=headers)
        assert response.json() == value


def test_literal_and_handlers_without_annotations(serve) -> None:
    other = App()

    @other.post("/")
    def literal(kind: Annotated[Literal["b", "a"], Body()]):
        return kind

    client = serve(other).client
    assert client.post("/", json="a").json() == "a"
    problem = client.post("/", json="c").json()["detail"][0]
    assert problem["msg"] == "Input should be 'b' or 'a'"
