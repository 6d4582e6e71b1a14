"""Frontends of routers, and the dependencies that stand before a frontend's files."""

from pathlib import Path
from typing import Annotated, Any

import pytest
from fluvial import (
    APIRouter,
    App,
    BackgroundTasks,
    Depends,
    Header,
    HTTPException,
    JSONResponse,
    PlainTextResponse,
    Request,
    Response,
)
from fluvial.routing import Mount
from support.both import serve_both, tell
from support.serving import serving

PAGE = {"accept": "text/html"}


@pytest.fixture
def dist(tmp_path: Path) -> Path:
    (tmp_path / "assets").mkdir()
    (tmp_path / "index.html").write_text("<p>app</p>")
    (tmp_path / "assets" / "app.js").write_text("run()")
    return tmp_path


def through(app: App, how: str) -> Any:
    """The app as it is, behind middleware, or called by another one."""
    if how == "middleware":

        @app.middleware("http")
        async def around(request: Request, call_next: Any) -> Response:
            return await call_next(request)

    if how == "mounted":
        outer = App()
        outer.mount("/", app)
        return outer
    if how == "adopted":

        async def adopted(scope: Any, receive: Any, send: Any) -> None:
            await app(scope, receive, send)

        return adopted
    return app


WAYS = pytest.mark.parametrize("how", ["native", "middleware", "mounted", "adopted"])


def key(x_key: Annotated[str, Header()]) -> None:
    if x_key != "right":
        raise HTTPException(401, "wrong key")


@WAYS
@pytest.mark.parametrize("place", ["app", "router", "inclusion"])
def test_dependencies_stand_before_every_file(dist: Path, how: str, place: str) -> None:
    before = [Depends(key)]
    app = App(dependencies=before if place == "app" else None)
    router = APIRouter(prefix="/ui", dependencies=before if place == "router" else None)
    router.frontend("/", directory=dist, fallback="index.html")
    app.include_router(router, dependencies=before if place == "inclusion" else None)
    right, wrong = {"x-key": "right", **PAGE}, {"x-key": "wrong", **PAGE}
    with serving(through(app, how)) as served:
        client = served.client
        for path in ("/ui", "/ui/", "/ui/assets/app.js", "/ui/elsewhere"):
            refused = client.get(path, headers=wrong)
            assert (refused.status_code, refused.json()) == (401, {"detail": "wrong key"}), path
            problem = client.get(path).json()["detail"][0]
            assert (problem["type"], problem["loc"]) == ("missing", ["header", "x-key"])
        assert client.get("/ui/assets/app.js", headers=right).text == "run()"
        assert client.get("/ui/", headers=right).text == "<p>app</p>"
        assert client.get("/ui/elsewhere", headers=right).text == "<p>app</p>"
        assert client.get("/ui/no.js", headers={"x-key": "right"}).status_code == 404
        assert client.post("/ui/assets/app.js", headers=right).status_code == 405
        partial = client.get("/ui/assets/app.js", headers={**right, "range": "bytes=0-2"})
        assert (partial.status_code, partial.text) == (206, "run")


@WAYS
def test_what_dependencies_add_to_the_response(dist: Path, how: str) -> None:
    done: list[str] = []

    def mark(request: Request, response: Response, background: BackgroundTasks) -> Any:
        response.headers["x-seen"] = request.url.path
        response.set_cookie("seen", "yes")
        background.add_task(done.append, request.url.path)
        yield
        done.append("closed")

    app = App(dependencies=[Depends(mark)])
    app.frontend("/ui", directory=dist)
    with serving(through(app, how)) as served:
        response = served.client.get("/ui/assets/app.js")
        assert (response.text, response.headers["x-seen"]) == ("run()", "/ui/assets/app.js")
        assert response.cookies["seen"] == "yes"
    assert sorted(done) == ["/ui/assets/app.js", "closed"]


def test_overrides_count_for_frontends(dist: Path) -> None:
    app = App(dependencies=[Depends(key)])
    app.dependency_overrides[key] = lambda: None
    app.frontend("/early", directory=dist)
    router = APIRouter()
    router.frontend("/late", directory=dist)
    app.include_router(router)
    with serving(app) as served:
        for path in ("/early/", "/late/"):
            assert served.client.get(path).text == "<p>app</p>"
        app.dependency_overrides.clear()
        for path in ("/early/", "/late/"):
            assert served.client.get(path).status_code == 422
        app.dependency_overrides[key] = lambda: None
        assert served.client.get("/late/").text == "<p>app</p>"


def test_routers_in_routers(serve, dist: Path) -> None:
    def make(names: Any) -> Any:
        def told(name: str) -> Any:
            def tell_it(response: names.Response) -> None:
                response.headers.append("x-order", name)

            return names.Depends(tell_it)

        child = names.APIRouter(prefix="/child", dependencies=[told("child")])
        child.frontend("/ui", directory=dist)
        parent = names.APIRouter(prefix="/parent", dependencies=[told("parent")])
        parent.include_router(child, prefix="/in", dependencies=[told("in")])
        app = names.App(dependencies=[told("app")])
        app.include_router(parent, prefix="/first", dependencies=[told("first")])
        app.get("/first/parent/in/child/ui/api")(lambda: "api")
        return app

    clients = serve_both(serve, make)
    base = "/first/parent/in/child/ui"
    for path in (f"{base}/", f"{base}/assets/app.js", f"{base}/api", "/ui/", f"{base}/none"):
        answers = [tell(each.get(path)) for each in clients]
        assert answers[0] == answers[1], path
        orders = [each.get(path).headers.get_list("x-order") for each in clients]
        assert orders[0] == orders[1], path
    assert list(clients[0].get("/openapi.json").json()["paths"]) == [f"{base}/api"]


def test_the_frontend_with_the_longest_path(dist: Path, tmp_path_factory) -> None:
    other = tmp_path_factory.mktemp("other")
    (other / "index.html").write_text("other")
    app = App()
    app.frontend("/", directory=dist)
    app.frontend("/admin/", directory=other)
    with serving(app) as served:
        texts = [served.client.get(path).text for path in ("/", "/admin/", "/administrator")]
        assert texts[:2] == ["<p>app</p>", "other"]
        assert texts[2] != "other"


def test_mounts_of_a_router_with_a_prefix() -> None:
    async def inner(scope: Any, receive: Any, send: Any) -> None:
        await PlainTextResponse(scope["root_path"])(scope, receive, send)

    child, parent, app = APIRouter(), APIRouter(prefix="/parent"), App()
    child.take(Mount("/inner", inner))
    parent.include_router(child, prefix="/child")
    app.include_router(parent)
    with serving(app) as served:
        assert served.client.get("/parent/child/inner/x").text == "/parent/child/inner"


@WAYS
def test_handlers_are_asked_about_what_a_mounted_app_raises(how: str) -> None:
    class OwnError(Exception):
        pass

    async def inner(scope: Any, receive: Any, send: Any) -> None:
        raise OwnError("told")

    app = App()
    app.mount("/inner", inner)

    @app.exception_handler(OwnError)
    def handle(request: Request, exc: OwnError) -> Response:
        return JSONResponse({"own": str(exc)}, 418)

    with serving(through(app, how)) as served:
        response = served.client.get("/inner/")
        assert (response.status_code, response.json()) == (418, {"own": "told"})


def test_paths_and_folders_that_are_wrong(dist: Path, monkeypatch) -> None:
    for path in ("", "ui"):
        with pytest.raises(ValueError, match="begins with '/'"):
            App().frontend(path, directory=dist)
        with pytest.raises(ValueError, match="begins with '/'"):
            APIRouter(prefix="/x").frontend(path, directory=dist)
    with pytest.raises(RuntimeError, match=str(dist / "none")):
        APIRouter().frontend("/", directory=dist / "none")
    monkeypatch.setenv("FASTAPI_ENV", "development")
    for owner in (App(), APIRouter()):
        with pytest.warns(UserWarning, match="does not exist") as told:
            owner.frontend("/", directory=dist / "none")
        assert told[0].filename == __file__
