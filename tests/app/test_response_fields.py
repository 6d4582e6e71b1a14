"""Header fields and cookies of responses."""

import asyncio
import http.cookies
import re
from collections.abc import Iterator
from typing import Annotated, Any

import pytest
import starlette.requests
from fluvial import (
    App,
    Cookie,
    Depends,
    JSONResponse,
    Request,
    Response,
    StreamingResponse,
)


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
