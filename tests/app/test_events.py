"""on_event, and the lifespans of routers."""

import contextlib

import pytest
from fluvial import APIRouter, App, Request
from fluvial.testclient import TestClient


def test_events_of_apps_and_routers_in_order() -> None:
    events = []
    app, router = App(), APIRouter(on_startup=[lambda: events.append("router's")])

    with pytest.warns(DeprecationWarning, match="on_event is deprecated"):

        @app.on_event("startup")
        async def start() -> None:
            events.append("app's")

    with pytest.warns(DeprecationWarning, match="on_event is deprecated"):

        @router.on_event("shutdown")
        def stop() -> None:
            events.append("stopped")

    app.include_router(router)
    with TestClient(app):
        assert events == ["app's", "router's"]
    assert events == ["app's", "router's", "stopped"]


def test_other_events_are_refused() -> None:
    with pytest.raises(ValueError, match="'startup' and 'shutdown', not 'start'"):
        App().on_event("start")
    with pytest.raises(ValueError, match="not 'stop'"):
        APIRouter().add_event_handler("stop", print)


def test_lifespans_of_routers_are_within_the_apps() -> None:
    events = []

    def named(name: str):
        @contextlib.asynccontextmanager
        async def lifespan(app: App):
            events.append(f"{name} in")
            yield {name: 1}
            events.append(f"{name} out")

        return lifespan

    def plain(app: App):
        events.append("plain in")
        yield {"plain": 2, "app": "the app's own wins"}
        events.append("plain out")

    inner, outer = APIRouter(lifespan=named("inner")), APIRouter(lifespan=plain)
    outer.include_router(inner)
    app = App(lifespan=named("app"))
    app.include_router(outer)

    @app.get("/")
    async def state(request: Request) -> dict:
        return {name: getattr(request.state, name) for name in ("app", "inner", "plain")}

    for _ in range(2):
        with TestClient(app) as client:
            assert client.get("/").json() == {"app": 1, "inner": 1, "plain": 2}
        assert events == ["app in", "plain in", "inner in", "inner out", "plain out", "app out"]
        events.clear()
        assert app.lifespan_state == {}
