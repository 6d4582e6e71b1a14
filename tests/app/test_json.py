"""JSON that no parser should be given: the client's fault, whatever takes it."""

import asyncio
import dataclasses
import datetime
import json
from decimal import Decimal
from typing import Annotated, Any, TypedDict

import httpx
import msgspec
import pydantic
import pytest
from fluvial import App, Body, Request, WebSocket
from fluvial._application.exception_handlers import validation_exception_handler
from fluvial.exceptions import RequestValidationError
from support.ws_client import TEXT, upgraded

HEADERS = {"content-type": "application/json"}


@dataclasses.dataclass
class Data:
    a: Decimal = Decimal(0)
    b: Any = None


class Typed(TypedDict, total=False):
    a: Decimal
    b: Any


class Struct(msgspec.Struct):
    a: Decimal = Decimal(0)
    b: Any = None


class Row(msgspec.Struct, array_like=True):
    a: Decimal = Decimal(0)


class Model(pydantic.BaseModel):
    a: Decimal = Decimal(0)
    b: Any = None
    c: float = 0
    d: list["Model"] = []


class Strict(pydantic.BaseModel, strict=True):
    a: Decimal = Decimal(0)
    b: Any = None
    c: datetime.date | None = None
    d: list[Decimal] = []


class Tree(msgspec.Struct):
    children: list["Tree"] = []


KINDS: dict[str, Any] = {
    **{"int": int, "float": float, "str": str, "list": list[int], "texts": list[str]},
    **{"dict": dict, "ints": dict[str, int], "keys": dict[int, int], "any": Any, "bytes": bytes},
    **{"decimal": Decimal, "decimals": list[Decimal], "row": Row},
    **{"dataclass": Data, "typed": Typed, "struct": Struct, "model": Model, "models": list[Model]},
    **{"strict": Strict, "union": int | str},
}
BIG = b"1" * 4301


def make_app() -> App:
    app = App()

    def add(name: str, kind: Any) -> None:
        @app.post(f"/async/{name}")
        async def whole(body: Annotated[kind, Body()]) -> Any:  # type: ignore[valid-type]
            return {"body": body}

        @app.post(f"/sync/{name}")
        def inner(x: Annotated[kind, Body()], y: Annotated[Any, Body()] = None) -> Any:  # type: ignore[valid-type]
            return {"body": x, "y": y}

    for name, kind in (*KINDS.items(), ("tree", Tree)):
        add(name, kind)

    @app.post("/request")
    async def by_request(request: Request) -> Any:
        return {"body": await request.json()}

    @app.post("/nowait")
    def nowait(request: Request) -> Any:
        return {"body": request.json_nowait()}

    @app.post("/caught")
    async def caught(request: Request) -> Any:
        try:
            return {"body": await request.json()}
        except json.JSONDecodeError as exc:
            return {"msg": exc.msg, "pos": exc.pos, "value": isinstance(exc, ValueError)}

    @app.websocket("/ws")
    async def socket(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.send_json(await websocket.receive_json())

    return app


@pytest.fixture(scope="module")
def served():
    from support.serving import serving

    with serving(make_app()) as served:
        yield served


def post(client: httpx.Client, path: str, content: bytes) -> httpx.Response:
    response = client.post(path, content=content, headers=HEADERS)
    assert response.status_code < 500, (path, content[:50])
    return response


BODIES = {
    "digits": b"%b",
    "digits-in-list": b"[%b]",
    "digits-in-member": b'{"a":%b,"b":%b}',
    "surrogate": b'"\\ud800"',
    "surrogates": b'["\\udc00\\ud800"]',
    "surrogate-member": b'{"a":"\\uD800","b":["\\udbff",NaN]}',
    "surrogate-key": b'{"\\ud800":1}',
    "surrogate-and-nan": b'["\\ud800",NaN]',
    "deep": b"[" * 100_000,
    "deep-member": b'{"b":' * 100_000,
    "not-json": b"[1,",
}


@pytest.mark.parametrize("what", BODIES)
@pytest.mark.parametrize("kind", KINDS)
def test_what_is_no_json_is_the_clients_fault(served, kind: str, what: str) -> None:
    body = BODIES[what].replace(b"%b", BIG)
    for path, content in (
        (f"/async/{kind}", body),
        (f"/sync/{kind}", body),
        (f"/sync/{kind}", b'{"x":%b}' % body),
        (f"/sync/{kind}", b'{"x":5,"y":%b}' % body),
    ):
        response = post(served.client, path, content)
        assert response.status_code == 422, (path, content[:50])
        for error in response.json()["detail"]:
            assert error["loc"][0] == "body"


@pytest.mark.parametrize("what", BODIES)
@pytest.mark.parametrize("path", ["/request", "/nowait"])
def test_a_request_reads_json_as_parameters_do(served, path: str, what: str) -> None:
    response = post(served.client, path, BODIES[what].replace(b"%b", BIG))
    assert response.status_code == 422
    (error,) = response.json()["detail"]
    assert error["type"] == "json_invalid"
    assert error["loc"][0] == "body"


def test_a_handler_may_catch_what_a_request_raises(served) -> None:
    def caught(content: bytes) -> Any:
        return post(served.client, "/caught", content).json()

    assert caught(b"[1, nul]") == {"msg": "Expecting value", "pos": 4, "value": True}
    lone = b'{"a": "\\\\ud800 \\ud83d\\ude00 \\ud800"}'
    assert caught(lone)["pos"] == lone.rindex(b"\\")
    assert caught(b'["%b", %b]' % (BIG, BIG))["pos"] == 4306
    assert caught(b"[" * 100_000)["msg"] == "Nested too deeply"
    assert caught(b'"\xff"') == {"msg": "Invalid UTF-8", "pos": 1, "value": True}
    assert caught(b"\xef\xbb\xbf[5]") == {"body": [5]}
    assert caught(b'"\\ud83d\\ude00 \\\\ud800"') == {"body": "😀 \\ud800"}


@pytest.mark.parametrize("content", [b"NaN", b"[NaN,-Infinity]", b'{"b":[1e400]}'])
@pytest.mark.parametrize("path", ["/async/any", "/request", "/nowait"])
def test_numbers_that_json_lacks_are_echoed_as_null(served, path: str, content: bytes) -> None:
    response = post(served.client, path, content)
    assert response.status_code == 200
    assert "null" in response.text
    json.loads(response.text, parse_constant=pytest.fail)


@pytest.mark.parametrize("kind", KINDS)
def test_any_number_is_taken_or_refused(served, kind: str) -> None:
    """Numbers at the ends of what types can hold, in every place."""
    for number in (b"NaN", b"-Infinity", b"1e400", b"1e999999999", b"9" * 4300, b"1.5", b"-0.0"):
        for body in (number, b"[%b]" % number, b'{"a":%b,"b":%b,"c":%b}' % ((number,) * 3)):
            for content in (body, b'{"x":%b}' % body):
                for path in ("/async", "/sync"):
                    assert post(served.client, f"{path}/{kind}", content).content


@pytest.mark.parametrize("kind", ["tree", "model"])
def test_types_that_nest(served, kind: str) -> None:
    name = "d" if kind == "model" else "children"
    for depth in (150, 300, 500, 900):
        body = b'{"%b":[' % name.encode() * depth + b"]}" * depth
        post(served.client, f"/async/{kind}", body)
        post(served.client, f"/sync/{kind}", b'{"x":%b}' % body)
        assert "detail" in post(served.client, "/async/int", body).json()


DIGITS = "0.1234567890123456789012345678901234567890"


@pytest.mark.parametrize("prefix", ["/async", "/sync"])
@pytest.mark.parametrize(
    ("kind", "body", "expected"),
    [
        ("decimal", DIGITS, DIGITS),
        ("decimals", f"[{DIGITS}, 1.10]", f"[{DIGITS},1.10]"),
        ("row", f"[{DIGITS}]", f"[{DIGITS}]"),
        *(
            (kind, f'{{"a":{DIGITS},"b":1.10}}', f'{{"a":{DIGITS},"b":1.1}}')
            for kind in ("dataclass", "typed", "struct")
        ),
        (
            "model",
            f'{{"a":{DIGITS},"b":[1.10,{{"x":2.50}}],"c":1.50,"d":[{{"a":1.10}}]}}',
            f'{{"a":"{DIGITS}","b":[1.1,{{"x":2.5}}],"c":1.5,'
            '"d":[{"a":"1.10","b":null,"c":0.0,"d":[]}]}',
        ),
    ],
)
def test_decimals_keep_their_digits(
    served, prefix: str, kind: str, body: str, expected: str
) -> None:
    content = body if prefix == "/async" else f'{{"x":{body},"y":1.10}}'
    response = post(served.client, f"{prefix}/{kind}", content.encode())
    rest = "" if prefix == "/async" else ',"y":1.1'
    assert response.text == f'{{"body":{expected}{rest}}}'


@pytest.mark.parametrize("text", ["NaN", "sNaN", "-Infinity", "\\u004eaN", "inf"])
@pytest.mark.parametrize("kind", ["decimals", "struct", "model"])
def test_decimals_are_numbers(served, kind: str, text: str) -> None:
    body = f'["{text}"]' if kind == "decimals" else f'{{"a":"{text}"}}'
    assert post(served.client, f"/async/{kind}", body.encode()).status_code == 422


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ('{"a":1.5}', '{"a":"1.5","b":null,"c":null,"d":[]}'),
        (f'{{"a":{DIGITS}}}', f'{{"a":"{DIGITS}","b":null,"c":null,"d":[]}}'),
        (
            f'{{"a":2,"b":[1.10],"c":"2020-01-02","d":[1.10,"1.20",{DIGITS}]}}',
            f'{{"a":"2","b":[1.1],"c":"2020-01-02","d":["1.10","1.20","{DIGITS}"]}}',
        ),
    ],
)
def test_strict_models_take_what_json_has(served, content: str, expected: str) -> None:
    response = post(served.client, "/async/strict", content.encode())
    assert response.text == f'{{"body":{expected}}}'


def test_what_strict_models_refuse(served) -> None:
    response = post(served.client, "/async/strict", b'{"a":1.10,"c":1.10}')
    assert response.status_code == 422
    found = {tuple(error["loc"]): error["input"] for error in response.json()["detail"]}
    assert found["body", "c"] == 1.1


class Unshowable:
    __slots__ = ()

    def __repr__(self) -> str:
        raise RuntimeError


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (["\ud800", float("nan"), {"\ud800": "\udfff"}], ["\ud800", None, {"\ud800": "\udfff"}]),
        (10**5000, "<int>"),
        ([1, 10**5000], [1, "<int>"]),
        (Unshowable(), "<Unshowable>"),
        ({"a": {1, Unshowable()}, None: Decimal("NaN")}, None),
        (ValueError("x"), {}),
        ({(1, 2): 3}, None),
    ],
    ids=["texts", "int", "ints", "object", "set", "exception", "key"],
)
def test_a_422_never_fails(value: Any, shown: Any) -> None:
    problem = {"type": "t", "loc": ("body",), "msg": "m", "input": value}
    response = validation_exception_handler(None, RequestValidationError([problem]))  # type: ignore[arg-type]
    assert response.body is not None
    (told,) = json.loads(response.body)["detail"]
    assert told["loc"] == ["body"]
    assert shown is None or told["input"] == shown


def test_a_422_leaves_out_what_is_nested_too_deeply() -> None:
    value: Any = object()
    for _ in range(5000):
        value = [value]
    problem = {"type": "t", "loc": ("body",), "msg": "m", "input": value}
    response = validation_exception_handler(None, RequestValidationError([problem]))  # type: ignore[arg-type]
    assert response.body is not None
    assert b"[[[" in response.body
    assert json.loads(response.body)["detail"][0]["msg"] == "m"


@pytest.mark.parametrize("what", [*BODIES, "bom"])
def test_websockets(served, caplog: pytest.LogCaptureFixture, what: str) -> None:
    body = BODIES.get(what, b"\xef\xbb\xbf[5]").replace(b"%b", BIG)
    with upgraded(served, "/ws") as client:
        client.send_frame(TEXT, body)
        frame = client.read()
        assert frame.payload == b"[5]" if what == "bom" else frame.code == 1007
    assert "failed" not in caplog.text


@pytest.mark.parametrize("what", BODIES)
@pytest.mark.parametrize(
    "path", ["/async/any", "/sync/dict", "/async/model", "/request", "/nowait"]
)
def test_under_another_server(path: str, what: str) -> None:
    body = BODIES[what].replace(b"%b", BIG)
    status, answer = asyncio.run(call(make_app(), path, body))
    assert status == 422
    assert json.loads(answer)["detail"][0]["loc"][0] == "body"


def test_a_body_without_a_length_under_another_server() -> None:
    """As HTTP/2 has them."""
    assert asyncio.run(call(make_app(), "/request", b"[1]")) == (200, b'{"body":[1]}')


def test_a_path_that_is_no_text_under_another_server() -> None:
    app = App()

    @app.get("/{name}")
    def named(name: str) -> str:
        return name

    status, answer = asyncio.run(call(app, "/a\ud800", b"", method="GET"))
    assert (status, json.loads(answer)) == (200, "a" + "\ufffd" * 3)


async def call(app: Any, path: str, body: bytes, method: str = "POST") -> tuple[int, bytes]:
    """What `app` answers another server that announces no length."""
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        **{"type": "http", "asgi": {"version": "3.0"}, "http_version": "2", "method": method},
        **{"scheme": "http", "path": path, "query_string": b"", "root_path": ""},
        **{"headers": [(b"content-type", b"application/json")], "server": ("test", 80)},
    }
    await app(scope, receive, send)
    return sent[0]["status"], b"".join(message.get("body", b"") for message in sent)
