"""What handlers return and what clients get."""

import array
import asyncio
import collections
import contextlib
import ctypes
import dataclasses
import datetime
import decimal
import enum
import functools
import http.cookies
import ipaddress
import json
import pathlib
import re
import socket
import sqlite3
import threading
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Annotated, Any, NamedTuple, Self, TypedDict

import httpx
import msgspec
import pydantic
import pytest
import sqlalchemy
import starlette.requests
import typing_extensions
from fluvial import (
    URL,
    App,
    BackgroundTask,
    Cookie,
    Depends,
    EventSourceResponse,
    FileResponse,
    HTMLResponse,
    JSONResponse,
    PlainTextResponse,
    RedirectResponse,
    Request,
    Response,
    ServerSentEvent,
    StreamingResponse,
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


@pytest.mark.parametrize("is_async", [False, True])
def test_response_classes(serve, is_async: bool) -> None:
    app = App()
    made = {
        "plain": lambda: PlainTextResponse("é"),
        "html": lambda: HTMLResponse("<p>", headers={"X-A": "b"}, status_code=201),
        "json": lambda: JSONResponse({"a": {1}}, media_type="application/problem+json"),
        "bytes": lambda: Response(b"\x00\xff", media_type="application/octet-stream"),
        "empty": lambda: Response(status_code=204),
        "redirect": lambda: RedirectResponse("/a b?c=é", status_code=303),
    }

    def sync_handler(name: str):
        return made[name]()

    async def async_handler(name: str):
        return made[name]()

    app.get("/{name}")(async_handler if is_async else sync_handler)
    client = serve(app).client
    response = client.get("/plain")
    assert response.headers["content-type"] == "text/plain; charset=utf-8"
    assert response.text == "é"
    response = client.get("/html")
    assert (response.status_code, response.headers["x-a"], response.text) == (201, "b", "<p>")
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    response = client.get("/json")
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json() == {"a": [1]}
    assert client.get("/bytes").content == b"\x00\xff"
    response = client.get("/empty")
    assert (response.status_code, response.content) == (204, b"")
    assert "content-length" not in response.headers
    response = client.get("/redirect")
    assert (response.status_code, response.headers["location"]) == (303, "/a%20b?c=%C3%A9")


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


def test_route_options(serve) -> None:
    app = App()

    @app.post("/created", status_code=201)
    def created():
        return {"a": 1}

    @app.delete("/nothing", status_code=204)
    async def nothing():
        return None

    @app.get("/html", response_class=HTMLResponse)
    def html():
        return "<p>"

    @app.get("/html/own", response_class=HTMLResponse, status_code=202)
    async def own():
        return Response("own", 203)

    @app.get("/reset", status_code=205)
    async def reset():
        return {"a": 1}

    @app.get("/redirect", response_class=RedirectResponse)
    def redirect():
        return "/html"

    @app.get("/redirect/302", response_class=RedirectResponse, status_code=302)
    def redirect_302():
        return "/html"

    @app.get("/file", response_class=FileResponse)
    async def file():
        return __file__

    client = serve(app).client
    response = client.get("/reset")
    assert (response.status_code, response.content) == (205, b"")
    response = client.get("/redirect")
    assert (response.status_code, response.headers["location"]) == (307, "/html")
    assert client.get("/redirect/302").status_code == 302
    assert client.get("/file").content == pathlib.Path(__file__).read_bytes()
    assert client.post("/created").status_code == 201
    response = client.delete("/nothing")
    assert (response.status_code, response.content) == (204, b"")
    response = client.get("/html")
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    assert response.text == "<p>"
    assert (client.get("/html/own").status_code, client.get("/html/own").text) == (203, "own")


def test_headers_and_cookies(serve) -> None:
    app = App()

    @app.get("/")
    def handler():
        response = JSONResponse({})
        response.headers["X-One"] = "1"
        response.headers["x-one"] = "2"
        response.headers.append("X-Two", "a")
        response.headers.append("X-Two", "b")
        response.headers["gone"] = "x"
        del response.headers["Gone"]
        response.set_cookie("plain", "value", max_age=60, httponly=True, secure=True)
        response.set_cookie("odd", 'a "b"; é', path="/sub", samesite="strict", domain="example.org")
        response.delete_cookie("old")
        return response

    response = serve(app).client.get("/")
    assert response.headers["x-one"] == "2"
    assert response.headers.get_list("x-two") == ["a", "b"]
    assert "gone" not in response.headers
    first, second, third = response.headers.get_list("set-cookie")
    assert first == "plain=value; HttpOnly; Max-Age=60; Path=/; SameSite=lax; Secure"
    assert second == ('odd="a \\"b\\"\\073 \\351"; Domain=example.org; Path=/sub; SameSite=strict')
    assert third.startswith("old=; expires=")
    assert "Max-Age=0" in third


VALUES = [
    "",
    "plain",
    'a "b"; é\\',
    "=",
    "a,b",
    '"',
    '"quoted"',
    "\\",
    "\\073",
    " x ",
    "a%20b",
    "\0",
]


def test_cookies_come_back_as_they_were_set(serve) -> None:
    """As read by us in Python and in C, by Starlette and by http.cookies."""
    app = App()

    @app.get("/set")
    def set_cookie(value: str) -> Response:
        response = Response()
        response.set_cookie("k", value)
        return response

    @app.get("/get")
    def get_cookie(request: Request, k: Annotated[str, Cookie()]) -> Any:
        return [request.cookies["k"], k]

    client = serve(app).client
    for value in (*VALUES, *map(chr, range(256))):
        header = client.get("/set", params={"value": value}).headers["set-cookie"]
        pair = header.partition(";")[0]
        client.cookies.clear()
        sent = client.get("/get", headers={"cookie": f"x=1; {pair}; y=2"})
        assert sent.json() == [value, value]
        assert starlette.requests.cookie_parser(f"x=1; {pair}")["k"] == value
        if not re.search(r"[\x00-\x1f\x7f]", value):  # which http.cookies refuses since 3.15
            assert http.cookies.SimpleCookie(pair)["k"].value == value


@pytest.mark.parametrize("value", ["한글", "a\u0100", "\ud800", "🍪"])
def test_cookies_that_would_read_back_differently(serve, value: str) -> None:
    response = Response()
    with pytest.raises(ValueError, match=r"the cookie 'name' .* write urllib.parse.quote"):
        response.set_cookie("name", value)
    assert response.raw_headers == []
    app = App()

    @app.get("/")
    def handler(response: Response) -> None:
        response.set_cookie("name", value)

    assert serve(app).client.get("/").status_code == 500


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        *(({"key": key}, "cookie's name") for key in ("", "a b", "a=b", "é", "a;", "a\r\nb", "\0")),
        *(({"path": path}, "cookie's Path") for path in ("/;x", "/\r\nx: y", "/é", "/\0", "/\x7f")),
        *(({"domain": name}, "cookie's Domain") for name in ("a;b", "a\r\nb", "ü.org")),
        *(({"samesite": name}, "cookie's SameSite") for name in ("", "laxer", "lax; Secure")),
        ({"expires": "now; HttpOnly"}, "cookie's expires"),
    ],
    ids=repr,
)
def test_what_a_cookie_can_not_have(bad: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Response().set_cookie(**{"key": "k", "value": "v"} | bad)
    if bad.keys() <= {"key", "path", "domain", "samesite"}:
        with pytest.raises(ValueError, match=words):
            Response().delete_cookie(**{"key": "k"} | bad)


def test_kinds_of_what_a_cookie_has() -> None:
    response = Response()
    response.set_cookie("n", 5, max_age=1.5, expires=0.5, samesite="Strict")  # type: ignore[arg-type]
    header = response.headers["set-cookie"]
    assert header.startswith("n=5; expires=")
    assert "Max-Age=1;" in header
    assert "SameSite=Strict" in header
    for bad in ({"value": None}, {"value": b"x"}, {"max_age": "5"}, {"expires": [1]}):
        with pytest.raises(TypeError, match="cookie"):
            Response().set_cookie(**{"key": "k"} | bad)


@pytest.mark.parametrize("name", ["x", "content-type"])
def test_headers_that_are_not_latin_1(serve, caplog: pytest.LogCaptureFixture, name: str) -> None:
    app = App()
    app.get("/made")(lambda: Response("x", headers={name: "한"}))
    app.get("/number")(lambda: Response("x", headers={name: 5}))  # type: ignore[dict-item]

    @app.get("/later")
    def later(response: Response) -> None:
        response.headers[name] = "한"

    @app.get("/type")
    def media_type() -> Response:
        return Response("x", media_type="text/한")

    client = serve(app).client
    for path in ("/made", "/number", "/later", "/type"):
        assert client.get(path).status_code == 500
    words = "characters that aren't Latin-1: '한'; percent-encode them"
    assert caplog.text.count(f"the value of the header field '{name}' has {words}") == 2
    assert f"the value of the header field '{name}' is a str, not 5" in caplog.text
    assert "the value of the header field 'content-type' has" in caplog.text


@pytest.mark.parametrize("by", ["handler", "dependency"])
@pytest.mark.parametrize("status", [204, 304, 400])
def test_a_status_without_content_may_be_changed_to_one_with(serve, by: str, status: int) -> None:
    """By the Response parameter, as in FastAPI."""

    def change(response: Response) -> None:
        response.status_code = status
        response.headers["x-by"] = by

    app = App()
    nothing = None if by == "handler" else Depends(change)

    @app.delete("/", status_code=204, dependencies=[nothing] if nothing else [])
    async def delete(response: Response) -> dict[str, str]:
        if by == "handler":
            change(response)
        return {"detail": "not deleted"}

    answer = serve(app).client.delete("/")
    assert (answer.status_code, answer.headers["x-by"]) == (status, by)
    assert answer.content == (b'{"detail":"not deleted"}' if status == 400 else b"")
    assert ("content-type" in answer.headers) == (status == 400)


@pytest.mark.parametrize("stream", [False, True])
def test_malformed_headers_never_reach_another_server(stream: bool) -> None:
    app = App()
    headers = {"x": "a\r\nset-cookie: b"}
    content: Any = (
        StreamingResponse(["x"], headers=headers) if stream else Response("x", 200, headers)
    )
    closed = []

    def dependency() -> Iterator[None]:
        yield
        closed.append(True)

    app.get("/", dependencies=[Depends(dependency)])(lambda: content)
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "http.request"}

    scope = {"type": "http", "method": "GET", "path": "/", "headers": [], "server": ("test", 80)}
    asyncio.run(app(scope, receive, send))
    assert sent[0]["status"] == 500
    assert closed == [True]


def test_malformed_headers_never_reach_the_wire(serve) -> None:
    app = App()

    @app.get("/value")
    def value():
        return Response("x", headers={"X-A": "a\r\nSet-Cookie: b=c"})

    @app.get("/name")
    async def name():
        return Response("x", headers={"X A": "a"})

    @app.get("/stream")
    async def stream():
        return StreamingResponse(iter(["x"]), headers={"X-A": "a\nb"})

    client = serve(app).client
    for path in ("/value", "/name", "/stream"):
        response = client.get(path)
        assert response.status_code == 500
        assert "set-cookie" not in response.headers


# ---- Streaming -----------------------------------------------------------------------------


def make_streams(closed: list[str]) -> dict[str, Any]:
    def sync_generator() -> Iterator[str]:
        try:
            yield from ("a", "b", "é")
        finally:
            closed.append(threading.current_thread().name)

    async def async_generator() -> AsyncIterator[bytes]:
        try:
            for piece in (b"a", b"b"):
                yield piece
                await asyncio.sleep(0)
            yield "é".encode()
        finally:
            closed.append("loop")

    class Iterable:
        def __iter__(self) -> Iterator[bytes]:
            return iter([b"ab", "é".encode()])

    return {"sync": sync_generator, "async": async_generator, "iterable": Iterable}


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize("kind", ["sync", "async", "iterable"])
def test_streaming(serve, kind: str, is_async: bool) -> None:
    closed: list[str] = []
    app = App()

    def sync_handler():
        stream = make_streams(closed)[kind]()
        return StreamingResponse(stream, media_type="text/csv", status_code=202)

    async def async_handler():
        return sync_handler()

    app.get("/")(async_handler if is_async else sync_handler)
    app.head("/")(async_handler if is_async else sync_handler)
    served = serve(app)
    response = served.client.get("/")
    assert (response.status_code, response.text) == (202, "abé")
    assert response.headers["transfer-encoding"] == "chunked"
    assert response.headers["content-type"] == "text/csv; charset=utf-8"
    assert served.client.head("/").content == b""
    assert served.client.get("/").text == "abé"
    assert len(closed) == (0 if kind == "iterable" else 2)  # HEAD needs none of it
    raw = served.exchange(b"GET / HTTP/1.0\r\nHost: x\r\n\r\n")
    assert raw.endswith(b"\r\n\r\n" + "abé".encode())


def test_large_streams_arrive_whole(serve) -> None:
    app = App()

    @app.get("/")
    async def handler():
        return StreamingResponse(bytes([n % 256]) * 100_000 for n in range(100))

    expected = b"".join(bytes([n % 256]) * 100_000 for n in range(100))
    assert serve(app).client.get("/").content == expected


@pytest.mark.parametrize("is_async", [False, True])
def test_a_stream_that_fails_is_cut_off(serve, is_async: bool) -> None:
    app = App()

    def sync_generator() -> Iterator[str]:
        yield "a"
        raise ValueError("broken")

    async def async_generator() -> AsyncIterator[str]:
        yield "a"
        raise ValueError("broken")

    def early() -> Iterator[str]:
        raise ValueError("broken")
        yield

    @app.get("/")
    def handler():
        return StreamingResponse(async_generator() if is_async else sync_generator())

    client = serve(app).client
    with pytest.raises(httpx.RemoteProtocolError):
        client.get("/")
    with pytest.raises(httpx.RemoteProtocolError):
        client.get("/")


def test_streams_end_when_the_client_goes_away(serve) -> None:
    app = App()
    closed = threading.Event()
    started = threading.Event()

    async def endless() -> AsyncIterator[bytes]:
        try:
            while True:
                yield b"x" * 65536
                started.set()
        finally:
            closed.set()

    @app.get("/")
    async def handler():
        return StreamingResponse(endless())

    with serve(app).connect() as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert started.wait(20)
    assert closed.wait(20)


def test_endless_streams_leave_others_their_turn(serve) -> None:
    app = App()

    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b"x" * 65536

    @app.get("/endless")
    async def handler():
        return StreamingResponse(endless())

    @app.get("/")
    async def other():
        return "other"

    served = serve(app)
    stop = threading.Event()

    def read(sock: socket.socket) -> None:
        while not stop.is_set() and sock.recv(1 << 20):
            continue

    with served.connect() as sock:
        sock.sendall(b"GET /endless HTTP/1.1\r\nHost: x\r\n\r\n")
        reader = threading.Thread(target=read, args=(sock,))
        reader.start()
        for _ in range(20):
            assert served.client.get("/").json() == "other"
        stop.set()
        reader.join()


@pytest.mark.parametrize("earlier", ["", "GET /go HTTP/1.1\r\nHost: a\r\n\r\n"])
def test_streams_that_begin_after_the_client_went_away_end(serve, earlier: str) -> None:
    app = App()
    gone, closed = threading.Event(), threading.Event()

    async def waiting() -> AsyncIterator[bytes]:
        try:
            yield b"x"
            await asyncio.Event().wait()
        finally:
            closed.set()

    async def until_gone(request: Request) -> None:
        while not request.disconnected:  # noqa: ASYNC110 - there is no event for it
            await asyncio.sleep(0.001)
        gone.set()

    @app.get("/go")
    async def go(request: Request):
        await until_gone(request)

    @app.get("/")
    async def handler(request: Request):
        await until_gone(request)
        return StreamingResponse(waiting())

    served = serve(app)
    with served.connect() as sock:
        sock.sendall(f"{earlier}GET / HTTP/1.1\r\nHost: a\r\n\r\n".encode())
    assert gone.wait(20)
    assert closed.wait(20)


def test_an_iterator_at_work_is_closed_when_its_client_went_away(serve) -> None:
    app = App()
    working, gone, closed = threading.Event(), threading.Event(), threading.Event()

    def pieces() -> Iterator[str]:
        try:
            yield "a"
            working.set()
            assert gone.wait(30)
            yield "b"
        finally:
            closed.set()

    @app.get("/")
    def handler(request: Request):
        return StreamingResponse(pieces())

    @app.get("/seen")
    async def seen():
        gone.set()

    served = serve(app)
    with served.connect() as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert sock.recv(65536)
        assert working.wait(30)
    served.client.get("/seen")  # its connection was accepted after the other was closed
    assert closed.wait(30)


def test_streams_that_wait_end_when_the_client_goes_away(serve) -> None:
    app = App()
    closed = threading.Event()

    async def waiting() -> AsyncIterator[bytes]:
        try:
            yield b"x"
            await asyncio.Event().wait()
        finally:
            closed.set()

    @app.get("/")
    async def handler():
        return StreamingResponse(waiting())

    with serve(app).connect() as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        while b"x\r\n" not in sock.recv(1000):
            continue
    assert closed.wait(20)


@pytest.mark.parametrize("kind", ["response", "json", "stream"])
def test_background_follows_the_answer(serve, kind: str) -> None:
    app = App()
    answered, done = threading.Event(), threading.Event()

    def task() -> None:
        answered.wait(20)  # the answer must be out by now
        done.set()

    @app.get("/")
    async def handler():
        background = BackgroundTask(task)
        if kind == "response":
            return Response("ok", background=background)
        if kind == "json":
            return JSONResponse("ok", background=background)
        return StreamingResponse(iter(["ok"]), background=background)

    assert "ok" in serve(app).client.get("/").text
    assert not done.is_set()
    answered.set()
    assert done.wait(20)


# ---- Response models -----------------------------------------------------------------------


class User(pydantic.BaseModel):
    name: str
    age: int | None = None


class SecretUser(User):
    password: str


@dataclasses.dataclass
class DataUser:
    name: str


@dataclasses.dataclass
class SecretDataUser(DataUser):
    password: str = "x"


class TypedUser(TypedDict):
    name: str


class LaterTypedUser(typing_extensions.TypedDict):
    name: str


class Row:
    def __init__(self) -> None:
        self.name = "row"
        self.age = 3
        self.password = "x"


def test_models_filter_results(serve) -> None:
    app = App()
    secret = SecretUser(name="a", password="x")

    @app.get("/annotation")
    def annotation() -> User:
        return secret

    @app.get("/model", response_model=User)
    async def model():
        return {"name": "a", "password": "x"}

    @app.get("/list", response_model=list[User])
    def many():
        return [secret, Row()]

    @app.get("/unset", response_model=User, response_model_exclude_unset=True)
    def unset():
        return User(name="a")

    @app.get("/none", response_model=User, response_model_exclude_none=True)
    def none():
        return {"name": "a", "age": None}

    @app.get("/include", response_model=User, response_model_include={"name"})
    def include():
        return secret

    @app.get("/off", response_model=None)
    def off() -> User:
        return secret

    @app.get("/dataclass")
    def data() -> DataUser:
        return SecretDataUser("a")

    @app.get("/dataclass/dict", response_model=DataUser)
    def data_dict():
        return {"name": "a", "password": "x"}

    @app.get("/typed")
    def typed() -> TypedUser:
        return {"name": "a", "password": "x"}  # type: ignore[typeddict-unknown-key]

    @app.get("/typed/later")
    def typed_later() -> list[LaterTypedUser]:
        return [{"name": "a", "password": "x"}]  # type: ignore[typeddict-unknown-key]

    @app.get("/response")
    async def response() -> User | Response:
        return Response("own")

    client = serve(app).client
    assert client.get("/annotation").json() == {"name": "a", "age": None}
    assert client.get("/model").json() == {"name": "a", "age": None}
    expected = [{"name": "a", "age": None}, {"name": "row", "age": 3}]
    assert client.get("/list").json() == expected
    assert client.get("/unset").json() == {"name": "a"}
    assert client.get("/none").json() == {"name": "a"}
    assert client.get("/include").json() == {"name": "a"}
    assert client.get("/off").json() == {"name": "a", "age": None, "password": "x"}
    assert client.get("/dataclass").json() == {"name": "a"}
    assert client.get("/dataclass/dict").json() == {"name": "a"}
    assert client.get("/response").text == "own"
    assert client.get("/typed").json() == {"name": "a"}
    assert client.get("/typed/later").json() == [{"name": "a"}]


def test_results_that_do_not_fit_are_errors_and_stay_inside(serve) -> None:
    app = App()

    @app.get("/pydantic", response_model=User)
    def handler():
        return {"password": "secret"}

    @app.get("/dataclass", response_model=DataUser)
    async def data():
        return {"password": "secret"}

    client = serve(app).client
    for path in ("/pydantic", "/dataclass"):
        response = client.get(path)
        assert (response.status_code, response.text) == (500, "Internal Server Error")


async def asynchronous(piece: Any) -> AsyncIterator[Any]:
    yield piece


CONTENTS: list[tuple[Callable[[], Response], bytes]] = [
    (lambda: Response(bytearray(b"ABC")), b"ABC"),
    (lambda: Response(memoryview(b"ABCDE")[::2]), b"ACE"),
    (lambda: Response(array.array("B", [65])), b"A"),
    (lambda: HTMLResponse(b"ABC"), b"ABC"),
    (lambda: JSONResponse(7), b"7"),
    *(
        (functools.partial(StreamingResponse, content), b"ABC")
        for content in (b"ABC", "ABC", bytearray(b"ABC"), memoryview(b"ABC"), ["A", b"BC"])
    ),
    (lambda: StreamingResponse(array.array("B", b"ABC")), b"ABC"),
    (lambda: StreamingResponse([bytearray(b"AB"), memoryview(b"C")]), b"ABC"),
    (lambda: StreamingResponse(asynchronous(memoryview(b"ABC"))), b"ABC"),
    (lambda: EventSourceResponse(b"data: 1\n\n"), b"data: 1\n\n"),
    (lambda: EventSourceResponse("A"), b'data: "A"\n\n'),
    (lambda: EventSourceResponse([bytearray(b":\n\n"), memoryview(b":\n\n")]), b":\n\n:\n\n"),
    (lambda: RedirectResponse(URL("/b c")), b""),
]


INT = ctypes.c_int64(7)  # a buffer, as numpy's scalars are


@pytest.mark.parametrize("number", range(len(CONTENTS)))
def test_contents(serve, number: int) -> None:
    app = App()
    app.get("/")(CONTENTS[number][0])
    assert serve(app).client.get("/").content == CONTENTS[number][1]


@pytest.mark.parametrize("content", [7, True, 1.5, [65], [b"A"], {"a": 1}, 1j, INT], ids=repr)
@pytest.mark.parametrize("kind", [Response, PlainTextResponse, HTMLResponse])
def test_only_texts_and_bytes_are_content(kind: type[Response], content: Any) -> None:
    with pytest.raises(TypeError, match=f"the content of a {kind.__name__} .*, not"):
        kind(content)


@pytest.mark.parametrize("content", [7, None, 1.5, {"a": 1}, 1j, INT], ids=repr)
@pytest.mark.parametrize("kind", [StreamingResponse, EventSourceResponse])
def test_only_iterators_are_streamed(kind: Any, content: Any) -> None:
    with pytest.raises(TypeError, match=f"the content of a {kind.__name__} .*, not"):
        kind(content)
    response = Response("x")
    with pytest.raises(TypeError, match="the content of a Response"):
        response.body_iterator = content


@pytest.mark.parametrize("piece", [7, None, ["x"], INT], ids=repr)
def test_pieces_of_another_kind_break_the_answer_off(
    serve, caplog: pytest.LogCaptureFixture, piece: Any
) -> None:
    app = App()
    app.get("/sync")(lambda: StreamingResponse([b"a", piece]))
    app.get("/async")(lambda: StreamingResponse(asynchronous(piece)))
    client = serve(app).client
    for path in ("/sync", "/async"):
        with pytest.raises(httpx.RemoteProtocolError):
            client.get(path)
    assert caplog.text.count("the piece of a StreamingResponse") == 2


def test_what_else_responses_are_made_of() -> None:
    for url in (7, None, b"/x", ["/x"]):
        with pytest.raises(TypeError, match="the url of a redirect is a str or URL, not"):
            RedirectResponse(url)
    for path in (0, 7, None):  # descriptors would be closed
        with pytest.raises(TypeError, match="PathLike"):
            FileResponse(path)  # type: ignore[arg-type]
    for background in (7, [BackgroundTask(print)], "later"):
        with pytest.raises(TypeError, match="background is a BackgroundTask"):
            Response("x", background=background)  # type: ignore[arg-type]
    for name in ("raw_data", "event", "id", "comment"):
        with pytest.raises(TypeError, match=f"an event's {name} is a str, not bytes"):
            ServerSentEvent(**{name: b"x"})


@pytest.mark.parametrize("body", [7, "x", None, [1]], ids=repr)
def test_bodies_of_other_interfaces(serve, caplog: pytest.LogCaptureFixture, body: Any) -> None:
    async def asgi(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            await send({"type": "http.response.start", "status": 200})
            await send({"type": "http.response.body", "body": body})

    def wsgi(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", [])
        return [body]

    assert serve(asgi).client.get("/").status_code == 500
    assert f"'body' must be bytes, not {type(body).__name__}" in caplog.text
    assert serve(wsgi).client.get("/").status_code == 500
    assert f"the body of a response is made of bytes, not {type(body).__name__}" in caplog.text


@pytest.mark.parametrize("body", [b"ABC", bytearray(b"ABC"), memoryview(b"ABC")])
def test_bytes_like_bodies_by_asgi(serve, body: Any) -> None:
    async def asgi(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            await send({"type": "http.response.start", "status": 200})
            await send({"type": "http.response.body", "body": body})

    assert serve(asgi).client.get("/").content == b"ABC"


class Stream:
    """An iterator of either kind that notes what is done with it."""

    def __init__(self, notes: list[str]) -> None:
        self.notes = notes

    def __next__(self) -> bytes:
        self.notes.append("run")
        raise StopIteration

    def close(self) -> None:
        self.notes.append("closed")


class SyncStream(Stream):
    def __iter__(self) -> "SyncStream":
        return self


class AsyncStream(Stream):
    def __aiter__(self) -> "AsyncStream":
        return self

    async def __anext__(self) -> bytes:
        self.notes.append("run")
        raise StopAsyncIteration

    async def aclose(self) -> None:
        self.close()


@pytest.mark.parametrize("stream", [SyncStream, AsyncStream])
@pytest.mark.parametrize("kind", [StreamingResponse, EventSourceResponse])
@pytest.mark.parametrize("where", ["native", "middleware", "adopted", "tls"])
def test_head_does_not_run_a_stream(serve, certificate, where: str, kind: Any, stream: Any) -> None:
    notes: list[str] = []
    app = App()

    async def later() -> None:
        notes.append("later")

    @app.api_route("/", methods=["GET", "HEAD"])
    async def handler() -> Response:
        return kind(stream(notes), headers={"x": "y"}, background=later)

    if where == "middleware":

        @app.middleware("http")
        async def around(request: Request, call_next: Any) -> Response:
            return await call_next(request)

    async def adopted(scope: Any, receive: Any, send: Any) -> None:
        await app(scope, receive, send)

    files = {"ssl_certfile": str(certificate.cert), "ssl_keyfile": str(certificate.key)}
    served = serve(adopted if where == "adopted" else app, **(files if where == "tls" else {}))
    response = served.client.head("/")
    assert (response.status_code, response.content, response.headers["x"]) == (200, b"", "y")
    assert served.client.get("/").content == b""
    served.finish()
    assert notes == ["closed", "later", "run", "closed", "later"]


@pytest.mark.parametrize("generator", [False, True])
def test_head_does_not_run_a_handler_that_yields(serve, generator: bool) -> None:
    notes: list[str] = []
    app = App()

    async def pieces() -> AsyncIterator[int]:
        notes.append("run")
        yield 1

    def sync_pieces() -> Iterator[int]:
        notes.append("run")
        yield 1

    handler = pieces if generator else sync_pieces
    app.api_route("/", methods=["GET", "HEAD"], response_class=EventSourceResponse)(handler)
    client = serve(app).client
    assert client.head("/").headers["content-type"].startswith("text/event-stream")
    assert notes == []
    assert client.get("/").text == "data: 1\n\n"
    assert notes == ["run"]
