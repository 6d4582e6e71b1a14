"""What handlers return as JSON and texts, and what clients get."""

import array
import asyncio
import collections
import contextlib
import dataclasses
import datetime
import decimal
import enum
import functools
import ipaddress
import json
import pathlib
import re
import sqlite3
import uuid
from collections.abc import Iterator
from typing import Any, NamedTuple, Self

import httpx
import msgspec
import pydantic
import pytest
import sqlalchemy
from fluvial import (
    App,
    HTMLResponse,
    JSONResponse,
    PlainTextResponse,
    Request,
    Response,
)


class Color(enum.Enum):
    RED = "red"


@dataclasses.dataclass
class Data:
    a: int
    b: str = "é"


class Struct(msgspec.Struct):
    a: int
    inner: Data | None = None


class Model(pydantic.BaseModel):
    a: int = pydantic.Field(alias="A")
    when: datetime.date | None = None


class Plain:
    def __init__(self) -> None:
        self.shown = 1
        self._hidden = 2


class Pair(NamedTuple):
    x: int
    y: int


class Odd(enum.Enum):
    PATH = pathlib.PurePosixPath("/a")


def derived(base: type) -> type:
    """A class of an application's own, as numpy, asyncpg, pandas and pendulum have them."""
    return type(base.__name__, (base,), {})


class Fields:
    """Gives its fields with their values, as Tortoise's models do."""

    def __iter__(self) -> Iterator[tuple[str, Any]]:
        yield "a", 1
        yield "b", None

    def __await__(self) -> Iterator[Any]:
        raise NotImplementedError


class Numbers:
    def __iter__(self) -> Iterator[int]:
        yield from (1, 2)


class Scalar:
    """As one of numpy's."""

    def tolist(self) -> float:
        return 1.5


class LongDouble:
    """As numpy's, whose tolist() gives itself."""

    __slots__ = ()
    dtype = type("DType", (), {"kind": "f", "str": "<f16"})

    def tolist(self) -> Self:
        return self

    def __float__(self) -> float:
        return 1.5


class LongComplex(LongDouble):
    __slots__ = ()
    dtype = type("DType", (), {"kind": "c", "str": "<c32"})


class NaTType(datetime.datetime):
    """As pandas'."""

    __module__ = "pandas.api.typing"

    def date(self) -> datetime.date:
        raise ValueError


class Secret(pydantic.BaseModel):
    word: pydantic.SecretStr
    url: pydantic.HttpUrl
    text: Any = None


def row(factory: Any = sqlite3.Row) -> Any:
    with contextlib.closing(sqlite3.connect(":memory:")) as database:
        database.row_factory = factory
        return database.execute("select 1 as a, 'x' as b").fetchone()


def sqlalchemy_row() -> Any:
    engine = sqlalchemy.create_engine("sqlite://", poolclass=sqlalchemy.NullPool)
    with engine.connect() as connection:  # which NullPool closes
        return connection.execute(sqlalchemy.text("select 1 as a, 'x' as b")).one()


SECRET = Secret(word="w", url="http://a/b")  # type: ignore[arg-type]

SHOWN = '{"word":"**********","url":"http://a/b","text":%s}'

RESULTS: list[tuple[Any, str]] = [
    ({"a": 1, "b": [True, None, 1.5]}, '{"a":1,"b":[true,null,1.5]}'),
    ([1, "é"], '[1,"é"]'),
    ("text", '"text"'),
    (5, "5"),
    (2**80, str(2**80)),
    (1.5, "1.5"),
    (None, "null"),
    (True, "true"),
    ((1, 2), "[1,2]"),
    ({3}, "[3]"),
    (Data(1), '{"a":1,"b":"é"}'),
    (Struct(1, Data(2)), '{"a":1,"inner":{"a":2,"b":"é"}}'),
    (Model(A=1, when=datetime.date(2020, 1, 2)), '{"A":1,"when":"2020-01-02"}'),
    ([Model(A=1)], '[{"A":1,"when":null}]'),
    ({"m": {"n": Model(A=1)}}, '{"m":{"n":{"A":1,"when":null}}}'),
    (Plain(), '{"shown":1}'),
    (Pair(1, 2), "[1,2]"),
    (Color.RED, '"red"'),
    (datetime.datetime(2020, 1, 2, 3, 4, 5), '"2020-01-02T03:04:05"'),
    (uuid.UUID(int=1), '"00000000-0000-0000-0000-000000000001"'),
    (decimal.Decimal("1.10"), "1.10"),
    (pathlib.PurePosixPath("/a"), '"/a"'),
    (collections.deque([1]), "[1]"),
    (collections.OrderedDict(a=1), '{"a":1}'),
    (collections.ChainMap({"a": 1}), '{"a":1}'),
    (range(3), "[0,1,2]"),
    ({1: "a", 2.5: "b", Color.RED: "c"}, '{"1":"a","2.5":"b","red":"c"}'),
    ({None: 1, True: 2, "x": {3}}, '{"null":1,"true":2,"x":[3]}'),
    ("\ud800", '"\\ud800"'),
    (float("nan"), "null"),
    (["\ud800", float("inf"), decimal.Decimal("1.10")], '["\\ud800",null,1.10]'),
    ({"\udfff": [Data(1, "\ud800")]}, '{"\\udfff":[{"a":1,"b":"\\ud800"}]}'),
    ({None: decimal.Decimal("1.10"), 1: float("nan")}, '{"null":1.10,"1":null}'),
    (SECRET, SHOWN % "null"),
    ([SECRET.model_copy(update={"text": "\ud800"})], f"[{SHOWN}]" % '"\\ud800"'),
    ({"s": SECRET.word, "u": SECRET.url}, '{"s":"**********","u":"http://a/b"}'),
    ([decimal.Decimal("NaN")], "[null]"),
    (row(), '{"a":1,"b":"x"}'),
    ({"rows": [row()]}, '{"rows":[{"a":1,"b":"x"}]}'),
    (sqlalchemy_row(), '{"a":1,"b":"x"}'),
    ([sqlalchemy_row()._mapping], '[{"a":1,"b":"x"}]'),
    (Fields(), '{"a":1,"b":null}'),
    (Numbers(), "[1,2]"),
    (Scalar(), "1.5"),
    ([LongDouble()], "[1.5]"),
    ({"a": [NaTType(1, 1, 1)]}, '{"a":[null]}'),
    (array.array("i", [1, 2]), "[1,2]"),
    ({"a": 1}.keys(), '["a"]'),
    ({"a": 1}.values(), "[1]"),
    ({"a": 1}.items(), '[["a",1]]'),
    (collections.UserDict(a=1), '{"a":1}'),
    (collections.UserList([1]), "[1]"),
    (collections.UserString("x"), '"x"'),
    (re.compile("a+"), '"a+"'),
    (ipaddress.ip_address("::1"), '"::1"'),
    (ipaddress.ip_interface("10.0.0.1/8"), '"10.0.0.1/8"'),
    (Odd.PATH, '"/a"'),
    ([{"ctx": {"error": ValueError("x")}}], '[{"ctx":{"error":{}}}]'),
    ({pathlib.PurePosixPath("/a"): 1}, '{"/a":1}'),
    ([derived(str)("x"), derived(int)(1), derived(float)(1.5)], '["x",1,1.5]'),
    ([derived(bytes)(b"x"), derived(uuid.UUID)(int=1).hex], f'["eA==","{1:032x}"]'),
    (derived(uuid.UUID)(int=1), '"00000000-0000-0000-0000-000000000001"'),
    (derived(decimal.Decimal)("1.10"), "1.10"),
    (derived(datetime.datetime)(2020, 1, 2), '"2020-01-02T00:00:00"'),
    (derived(datetime.date)(2020, 1, 2), '"2020-01-02"'),
    (derived(datetime.time)(1, 2), '"01:02:00"'),
    (derived(datetime.timedelta)(1), '"P1D"'),
]


def test_an_iterator_is_read_once(serve) -> None:
    app = App()
    app.get("/generator")(lambda: (n for n in (1, 2)))
    app.get("/map")(lambda: {"a": map(str, [1]), "b": Data(1, zip("a", "b", strict=True))})  # type: ignore[arg-type]
    app.get("/odd")(lambda: {"a": iter([1]), None: iter("bc"), "d": "\ud800"})
    client = serve(app).client
    assert client.get("/generator").text == "[1,2]"
    assert client.get("/map").text == '{"a":["1"],"b":{"a":1,"b":[["a","b"]]}}'
    assert client.get("/odd").text == '{"a":[1],"null":["b","c"],"d":"\\ud800"}'


@pytest.mark.parametrize(
    ("result", "words"),
    [
        ({"a": [1, {"b": object()}]}, "result['a'][1]['b'] is of type builtins.object"),
        (Data(1, [1j]), "result.b[0] is of type builtins.complex"),  # type: ignore[arg-type]
        ([iter([Struct(object())])], "result[0][0].a is of type builtins.object"),  # type: ignore[arg-type]
        ({(1, 2): 3}, "a key of result is of type builtins.tuple"),
        ({"a": len}, "result['a'] is of type builtins.builtin_function_or_method"),
        ({"a": Color}, "result['a'] is of type enum.EnumType"),
        ({"a": asyncio.sleep}, "result['a'] is of type builtins.function"),
        ({"a": pathlib}, "result['a'] is of type builtins.module"),
        ([10**5000], "result[0] has too many digits"),
        ([LongComplex()], ".LongComplex, which has no"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_log_says_what_has_no_json_form(
    serve, caplog: pytest.LogCaptureFixture, result: Any, words: str
) -> None:
    app = App()
    app.get("/things/{number}")(lambda number: result)
    assert serve(app).client.get("/things/5").status_code == 500
    assert "/things/5 failed" in caplog.text
    assert words in caplog.text


def test_surrogates_through_response_models(serve) -> None:
    app = App()
    app.get("/model", response_model=Secret)(
        lambda: SECRET.model_copy(update={"text": ["\ud800", decimal.Decimal("1.10")]})
    )
    app.get("/data", response_model=Data)(lambda: Data(1, "\ud800"))
    app.get("/struct", response_model=Struct)(lambda: {"a": 1, "inner": {"a": 2, "b": "\ud800"}})
    client = serve(app).client
    assert client.get("/model").json()["text"][0] == "\ud800"
    assert client.get("/data").text == '{"a":1,"b":"\\ud800"}'
    assert client.get("/struct").text == '{"a":1,"inner":{"a":2,"b":"\\ud800"}}'


@pytest.fixture(scope="module")
def results_client():
    from support.serving import serving

    app = App()
    for number, (result, _) in enumerate(RESULTS):

        def sync_handler(result=result):
            return result

        async def async_handler(result=result):
            return result

        # A default is a parameter of the query; bound, it is none.
        app.get(f"/sync/{number}")(functools.partial(sync_handler, result=result))
        app.get(f"/async/{number}")(functools.partial(async_handler, result=result))
    with serving(app) as served:
        yield served.client


@pytest.mark.parametrize("mode", ["sync", "async"])
@pytest.mark.parametrize("number", range(len(RESULTS)), ids=lambda n: RESULTS[n][1][:30])
def test_results(results_client: httpx.Client, mode: str, number: int) -> None:
    response = results_client.get(f"/{mode}/{number}")
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    assert response.headers["content-length"] == str(len(response.content))
    assert response.content.decode() == RESULTS[number][1]


def test_results_without_a_json_form_are_errors(serve) -> None:
    app = App()

    @app.get("/object")
    def handler():
        return object()

    @app.get("/coroutine")
    def forgotten():
        coroutine = asyncio.sleep(0)
        coroutine.close()
        return coroutine

    @app.get("/cycle")
    async def cycle():
        value: list[Any] = []
        value.append(value)
        return value

    client = serve(app).client
    for path in ("/object", "/coroutine", "/cycle"):
        response = client.get(path)
        assert (response.status_code, response.text) == (500, "Internal Server Error")


class Indented(JSONResponse):
    def render(self, content: Any) -> bytes:
        return json.dumps(content, indent=1).encode()


class Json(Response):
    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        return json.dumps(content).encode()


class Problem(Json):
    media_type = "application/problem+json"


class Shown(PlainTextResponse):
    def render(self, content: Any) -> bytes:
        return repr(content).encode()


@pytest.mark.parametrize("kind", [Indented, Json, Problem])
def test_classes_that_write_json_get_what_json_knows(serve, kind: type[Response]) -> None:
    app = App()
    results: list[Any] = [
        *(Model(A=1, when=datetime.date(2020, 1, 2)), [Data(1)], {"d": datetime.date(2020, 1, 2)}),
        *(row(), [sqlalchemy_row()], {1}, decimal.Decimal("1.5"), "text", None, uuid.UUID(int=1)),
    ]
    for number, result in enumerate(results):
        app.get(f"/{number}", response_class=kind)(functools.partial(lambda it: it, result))
        app.get(f"/plain/{number}")(functools.partial(lambda it: it, result))
    client = serve(app).client
    for number in range(len(results)):
        response = client.get(f"/{number}")
        assert response.headers["content-type"] == kind.media_type
        assert response.json() == client.get(f"/plain/{number}").json()


def test_classes_that_write_something_else_get_the_result(serve) -> None:
    app = App()
    app.get("/", response_class=Shown)(lambda: {decimal.Decimal(1)})
    assert serve(app).client.get("/").text == "{Decimal('1')}"


class Text(str):
    """Not exactly a str."""


@pytest.mark.parametrize("way", ["async", "def", "middleware"])
@pytest.mark.parametrize("kind", [PlainTextResponse, HTMLResponse, Shown])
def test_texts_are_as_their_response_class_makes_them(
    serve, kind: type[Response], way: str
) -> None:
    app = App()
    results = ["plain", "é", "", b"\xff\x00", bytearray(b"x"), Text("x"), "ab" * 50_000, None]
    results += [7, "\ud800"]  # what none of the classes but Shown can send
    add: Any = app.add_api_route

    def give(result: Any) -> Any:
        async def later() -> Any:
            return result

        return (lambda: result) if way == "def" else later

    for number, result in enumerate(results):
        add(f"/text/{number}", give(result), response_class=kind, status_code=202)
        add(f"/made/{number}", functools.partial(lambda it: kind(it, 202), result))
    if way == "middleware":

        @app.middleware("http")
        async def outer(request: Request, call_next: Any) -> Any:
            return await call_next(request)

    client = serve(app).client
    for number in range(len(results)):
        text, made = client.get(f"/text/{number}"), client.get(f"/made/{number}")
        assert (text.status_code, text.content) == (made.status_code, made.content)
        for headers in (text.headers, made.headers):
            del headers["date"]
        assert text.headers == made.headers
        head = client.head(f"/text/{number}")
        assert head.headers.get("content-length") == made.headers.get("content-length")
    assert text.status_code == (202 if kind is Shown else 500)
