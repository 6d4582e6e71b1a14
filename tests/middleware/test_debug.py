"""Starlette(debug=True): tracebacks as responses."""

from typing import Any

import pytest
from fluvial import Request, Response, Starlette
from fluvial._compat.fastapi import FastAPI
from fluvial.middleware.errors import ServerErrorMiddleware
from fluvial.routing import Route
from fluvial.testclient import TestClient


class OwnError(Exception):
    pass


def fail(request: Any) -> Response:
    raise OwnError("<it> is wrong")


def bare() -> Any:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        fail(None)

    return ServerErrorMiddleware(app, debug=True)


def starlette(debug: bool = True) -> Starlette:
    return Starlette(debug=debug, routes=[Route("/", fail)])


def behind_middleware() -> Any:
    app = starlette()

    @app.middleware("http")
    async def around(request: Request, call_next: Any) -> Response:
        return await call_next(request)

    return app


def fastapi() -> Any:
    app = FastAPI(debug=True)
    app.add_route("/", fail)
    return app


@pytest.mark.parametrize("make", [bare, starlette, behind_middleware, fastapi])
def test_the_traceback_is_a_page_for_browsers_and_else_text(make: Any) -> None:
    client = TestClient(make(), raise_server_exceptions=False)
    text = client.get("/", headers={"accept": "*/*"})
    assert (text.status_code, text.headers["content-type"]) == (500, "text/plain; charset=utf-8")
    assert "OwnError: <it> is wrong" in text.text
    page = client.get("/", headers={"accept": "text/html"})
    assert (page.status_code, page.headers["content-type"]) == (500, "text/html; charset=utf-8")
    assert "&lt;it&gt; is wrong" in page.text
    assert "<it>" not in page.text
    assert "test_debug.py" in page.text


def test_it_may_be_set_later_and_comes_before_a_handler_for_everything() -> None:
    app = starlette(debug=False)
    app.add_exception_handler(Exception, lambda request, exc: Response("handled", 500))
    client = TestClient(app, raise_server_exceptions=False)
    assert client.get("/").text == "handled"
    app.debug = True
    assert "OwnError" in client.get("/").text
    app.debug = False
    assert client.get("/").text == "handled"


def test_what_has_a_handler_has_no_traceback() -> None:
    app = starlette()
    app.add_exception_handler(OwnError, lambda request, exc: Response("own", 418))
    assert TestClient(app).get("/").text == "own"
    assert TestClient(app).get("/none").text == "Not Found"


def test_the_exception_is_raised_to_the_test_all_the_same() -> None:
    with pytest.raises(OwnError):
        TestClient(starlette()).get("/")
