"""ServerErrorMiddleware and ExceptionMiddleware around an ASGI app, as Starlette's."""

from types import SimpleNamespace
from typing import Any

import pytest
from support.both import names_of, tell


def make(names: SimpleNamespace, options: dict[str, Any]) -> Any:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        match scope["path"]:
            case "/fails":
                raise ValueError("broken")
            case "/http":
                raise names.HTTPException(418, "tea", headers={"x-tea": "yes"})
            case "/empty":
                raise names.HTTPException(304)
            case "/key":
                raise KeyError("key")
        await names.PlainTextResponse("fine")(scope, receive, send)
        if scope["path"] == "/late":
            raise KeyError("late")

    def on_key(request: Any, exc: Any) -> Any:
        return names.JSONResponse({"key": str(exc), "at": request.url.path}, 409)

    async def on_error(request: Any, exc: Any) -> Any:
        return names.PlainTextResponse(f"sorry: {exc}", 500)

    handlers = {LookupError: on_key, 404: on_key}
    if options.pop("handler", False):
        options = {**options, "handler": on_error}
    inner = names.ExceptionMiddleware(app, handlers=handlers)
    return names.ServerErrorMiddleware(inner, **options)


@pytest.mark.parametrize("options", [{}, {"handler": True}])
def test_the_answers_are_those_of_starlette(serve, options, caplog) -> None:
    clients = [
        serve(make(names_of(package), dict(options))).client for package in ("fluvial", "fastapi")
    ]
    for path in ("/", "/fails", "/http", "/empty", "/key", "/late"):
        answers = [tell(each.get(path)) for each in clients]
        assert answers[0] == answers[1], path
    assert "broken" in caplog.text  # raised again, for the server's log


def test_the_traceback_is_shown_if_that_is_wanted(serve) -> None:
    answer = serve(make(names_of("fluvial"), {"debug": True})).client.get("/fails")
    assert answer.status_code == 500
    assert "ValueError: broken" in answer.text
    assert "in app" in answer.text
