"""Flask's and Django's WSGI apps count by their routes."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import flask
import pytest
from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpResponse, StreamingHttpResponse
from django.urls import path as django_path
from fluvial import App
from support.metrics import scraped
from support.serving import serving


def flask_app() -> Any:
    app = flask.Flask("counted")

    @app.get("/items/<int:number>")
    def item(number: int) -> str:
        return str(number)

    @app.get("/stream/<name>")
    def stream(name: str) -> Any:
        return flask.Response(name + str(n) for n in range(3))

    return app


def django_app() -> Any:
    if not settings.configured:
        settings.configure(DEBUG=False, ALLOWED_HOSTS=["*"], ROOT_URLCONF=ModuleType("urls"))

    def item(request: Any, number: int) -> HttpResponse:
        return HttpResponse(str(number))

    def stream(request: Any, name: str) -> StreamingHttpResponse:
        return StreamingHttpResponse(name + str(n) for n in range(3))

    patterns = [django_path("items/<int:number>", item), django_path("stream/<name>", stream)]
    settings.ROOT_URLCONF.urlpatterns = patterns
    return get_wsgi_application()


@pytest.mark.parametrize("make", [flask_app, django_app])
@pytest.mark.parametrize("prefix", ["", "/below"])
def test_routes_of_wsgi_apps(make: Any, prefix: str) -> None:
    """By what the app has declared, and never by what a client has sent."""
    app = make()
    if prefix:
        outer = App()
        outer.mount(prefix, app)
        app = outer
    number = "<int:number>"
    with serving(app, metrics="/metrics") as server:
        for n in range(3):
            assert server.client.get(f"{prefix}/items/{n}").text == str(n)
            assert server.client.get(f"{prefix}/stream/{n}").text == f"{n}0{n}1{n}2"
            assert server.client.get(f"{prefix}/nothing/{n}").status_code == 404
        assert scraped(server.client.get("/metrics").text).requests() == {
            (f"{prefix}/items/{number}", "GET", "200"): 3,
            (f"{prefix}/stream/<name>", "GET", "200"): 3,
            (prefix or "app", "GET", "404"): 3,
        }
