"""Exceptions of HTTP that ASGI apps let out, and objects that are apps in an unusual way."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from fluvial import App, HTTPException, JSONResponse, Request
from fluvial._serving.load import make_app
from support.asgi import PLACES, body, http_only, placed, start

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Serve

starlette = pytest.importorskip("starlette.exceptions")


def raising(exc: BaseException) -> Any:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise exc

    return http_only(app)


AT_ALL_PLACES = pytest.mark.parametrize("where", PLACES)


@AT_ALL_PLACES
@pytest.mark.parametrize(
    "exc",
    [
        starlette.HTTPException(405, headers={"allow": "GET"}),
        starlette.HTTPException(404, "nowhere"),
        HTTPException(409, {"a": 1}, {"x-from": "ours"}),
    ],
)
def test_http_exceptions_are_their_own_answer(serve: Serve, where: str, exc: Any) -> None:
    answer = serve(placed(raising(exc), where)).client.get("/x")
    assert answer.status_code == exc.status_code
    assert answer.json() == {"detail": exc.detail}
    for name, value in (exc.headers or {}).items():
        assert answer.headers[name] == value


@AT_ALL_PLACES
def test_static_files_of_starlette(serve: Serve, tmp_path: Path, where: str) -> None:
    staticfiles = pytest.importorskip("starlette.staticfiles")
    (tmp_path / "page.txt").write_text("text")
    client = serve(placed(staticfiles.StaticFiles(directory=tmp_path), where)).client
    assert client.get("/page.txt").text == "text"
    assert client.get("/missing").status_code == 404
    assert client.post("/page.txt", content=b"x" * 100).status_code == 405


def test_the_users_handlers_have_their_say(serve: Serve) -> None:
    app = App()
    app.mount("/missing", raising(starlette.HTTPException(404)))
    app.mount("/teapot", raising(starlette.HTTPException(418, "short")))
    app.mount("/own", raising(HTTPException(400)))

    @app.exception_handler(404)
    async def not_found(request: Request, exc: Any) -> JSONResponse:
        return JSONResponse({"missing": request.path}, 404)

    @app.exception_handler(starlette.HTTPException)
    def others(request: Request, exc: Any) -> JSONResponse:
        return JSONResponse({"said": exc.detail}, exc.status_code)

    client = serve(app).client
    assert client.get("/missing/x").json() == {"missing": "/missing/x"}
    assert client.get("/teapot/").json() == {"said": "short"}
    assert client.get("/own/").json() == {"detail": "Bad Request"}


@pytest.mark.parametrize("keyword", ["def", "async def"])
def test_native_handlers_may_raise_those_of_starlette(serve: Serve, keyword: str) -> None:
    app = App()
    exc = starlette.HTTPException(403, "no", {"x-why": "because"})
    names: dict[str, Any] = {"exc": exc}
    exec(f"{keyword} handler():\n    raise exc", names)
    app.get("/")(names["handler"])
    answer = serve(app).client.get("/")
    assert (answer.status_code, answer.json()) == (403, {"detail": "no"})
    assert answer.headers["x-why"] == "because"


def test_an_answer_that_has_begun_is_not_replaced(serve: Serve) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(start())
        await send(body(b"some", more=True))
        raise starlette.HTTPException(404)

    raw = serve(http_only(app)).exchange(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
    assert raw.startswith(b"HTTP/1.1 200")
    assert b"0\r\n\r\n" not in raw


def test_a_function_that_raises_when_it_is_called(serve: Serve) -> None:
    def app(scope: Any, receive: Any, send: Any) -> Any:
        raise starlette.HTTPException(404)

    outer = App()
    outer.mount("/x", app, interface="asgi3")
    assert serve(outer).client.get("/x/").status_code == 404


# ---- Apps in unusual forms -----------------------------------------------------------------


class Slotted:
    """As Sentry's ASGI middleware: what is called is in a slot of the instance."""

    __slots__ = ("__call__", "app", "text")

    def __init__(self, text: bytes, kind: str) -> None:
        self.text = text
        self.__call__ = {"asgi3": self.asgi3, "asgi2": self.asgi2, "wsgi": self.wsgi}[kind]

    async def asgi3(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            await send(start())
            await send(body(self.text))

    def asgi2(self, scope: Any) -> Any:
        async def asgi(receive: Any, send: Any) -> None:
            await self.asgi3(scope, receive, send)

        return asgi

    def wsgi(self, environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [])
        return [self.text]


@AT_ALL_PLACES
@pytest.mark.parametrize("kind", ["asgi3", "asgi2", "wsgi"])
def test_calls_in_slots(serve: Serve, where: str, kind: str) -> None:
    app = Slotted(b"from a slot", kind)
    assert make_app(app, "it", factory=False, interface="auto").interface == kind  # type: ignore[union-attr]
    assert serve(placed(app, where)).client.get("/x").text == "from a slot"


def test_native_handlers_in_slots(serve: Serve) -> None:
    class Handler:
        __slots__ = ("__call__",)

        def __init__(self, func: Any) -> None:
            self.__call__ = func

    async def asynchronous(number: int) -> int:
        return number + 1

    def synchronous(number: int) -> int:
        return number + 2

    app = App()
    app.get("/async/{number}")(Handler(asynchronous))
    app.get("/sync/{number}")(Handler(synchronous))
    client = serve(app).client
    assert client.get("/async/1").json() == 2
    assert client.get("/sync/1").json() == 3


# ---- HEAD -----------------------------------------------------------------------------------


@AT_ALL_PLACES
def test_head_gets_no_invented_length(serve: Serve, where: str) -> None:
    """RFC 9110 section 8.6: it is the length that GET would have had, or none."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(start())
        await send(body())

    client = serve(placed(http_only(app), where)).client
    for _ in range(2):  # on one connection
        answer = client.head("/x")
        assert answer.status_code == 200
        assert "content-length" not in answer.headers
    assert client.get("/x").content == b""
