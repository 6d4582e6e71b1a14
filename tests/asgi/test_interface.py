"""What kind of app an object is taken for."""

from __future__ import annotations

import functools
from typing import Any

import pytest
from fluvial import App
from fluvial._asgi.foreign_app import Foreign, InterfaceError
from fluvial._serving.load import adapt


async def asgi3(scope: Any, receive: Any, send: Any) -> None: ...


async def asgi3_with_more(scope: Any, receive: Any, send: Any, debug: bool = False) -> None: ...


def asgi3_by_another_function(scope: Any, receive: Any, send: Any) -> Any:
    return asgi3(scope, receive, send)


async def anything_async(*args: Any) -> None: ...


def wsgi(environ: Any, start_response: Any) -> Any: ...


def asgi2(scope: Any) -> Any: ...


class Asgi3Object:
    async def __call__(self, scope: Any, receive: Any, send: Any) -> None: ...


class WsgiObject:
    def __call__(self, environ: Any, start_response: Any) -> Any: ...


class Asgi2Class:
    def __init__(self, scope: Any) -> None: ...

    async def __call__(self, receive: Any, send: Any) -> None: ...


class Wrapper:
    """As decorators leave it."""

    def __init__(self, wrapped: Any) -> None:
        functools.update_wrapper(self, wrapped)

    def __call__(self, *args: Any, **kwargs: Any) -> Any: ...


@pytest.mark.parametrize(
    ("app", "interface"),
    [
        (asgi3, "asgi3"),
        (asgi3_with_more, "asgi3"),
        (asgi3_by_another_function, "asgi3"),
        (anything_async, "asgi3"),
        (Asgi3Object(), "asgi3"),
        (Asgi3Object().__call__, "asgi3"),
        (functools.partial(asgi3_with_more, debug=True), "asgi3"),
        (Wrapper(asgi3), "asgi3"),
        (wsgi, "wsgi"),
        (WsgiObject(), "wsgi"),
        (functools.partial(asgi3_by_another_function, {}), "wsgi"),
        (Wrapper(wsgi), "wsgi"),
        (asgi2, "asgi2"),
        (Asgi2Class, "asgi2"),
    ],
)
def test_detection(app: Any, interface: str) -> None:
    assert adapt(app) == Foreign(app, interface)
    assert adapt(app, "asgi3") == Foreign(app, "asgi3")


def test_fluvial_apps() -> None:
    app = App()
    assert adapt(app) is app
    assert adapt(app, "fluvial") is app


FACTORY = "is not an app but an object of type function"


@pytest.mark.parametrize(
    ("app", "message"),
    [
        (None, "is not an app but an object of type NoneType"),
        ("app", "is not an app but an object of type str"),
        (lambda: None, FACTORY),
        (lambda x=1: None, FACTORY),
        (lambda *args: None, "it takes any number of arguments; say which"),
        (lambda a, b, c, d: None, "it takes 4 arguments; say which"),
        (lambda a, *, b: None, "it needs arguments by keyword"),
        (print, "any number of arguments"),
        (type, "no signature"),
    ],
)
def test_what_is_none(app: Any, message: str) -> None:
    with pytest.raises(InterfaceError) as info:
        adapt(app)
    assert message in str(info.value)


def test_an_async_function_of_two_arguments_is_none() -> None:
    async def app(scope: Any, receive: Any) -> None: ...

    with pytest.raises(InterfaceError, match="asynchronous but takes 2 arguments"):
        adapt(app)


def test_what_is_asked_for_must_be_there() -> None:
    with pytest.raises(InterfaceError, match="is not a Fluvial app but an object of type function"):
        adapt(asgi3, "fluvial")
    with pytest.raises(InterfaceError, match="is not an app but an object of type int"):
        adapt(3, "asgi3")
