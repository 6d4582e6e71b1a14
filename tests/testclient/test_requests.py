"""TestClient: requests, and what the app has done when they return."""

import asyncio
import contextlib
import io
import threading
from pathlib import Path
from typing import Any

import pytest
from fluvial import (
    App,
    BackgroundTasks,
    Cookie,
    Depends,
    HTTPException,
    JSONResponse,
    RedirectResponse,
    Request,
    Response,
    StreamingResponse,
)
from fluvial.templating import Jinja2Templates
from fluvial.testclient import TestClient
from support.middleware import pass_on


def echo() -> App:
    app = App()

    @app.api_route("/echo", methods=["GET", "POST", "PUT", "HEAD"])
    async def handler(request: Request) -> dict:
        return {
            "method": request.method,
            "url": str(request.url),
            "headers": {name: request.headers.getlist(name) for name in request.headers},
            "body": (await request.body()).decode(),
            "client": list(request.client),
            "server": list(request.server),
        }

    return app


def test_a_request_reaches_the_handler_as_it_was_sent() -> None:
    response = TestClient(echo()).post("/echo?q=ä%20b", content=b"text", headers={"X-A": "1"})
    said = response.json()
    assert response.status_code == 200
    assert response.reason_phrase == "OK"
    assert said["method"] == "POST"
    assert said["url"] == "http://testserver/echo?q=%C3%A4%20b"
    assert said["body"] == "text"
    assert said["headers"]["x-a"] == ["1"]
    assert said["headers"]["host"] == ["testserver"]
    assert said["headers"]["user-agent"] == ["testclient"]
    assert said["client"] == ["testclient", 50000]
    assert said["server"] == ["testserver", 80]


def test_the_options_of_the_client() -> None:
    client = TestClient(
        echo(), "https://example.org", headers={"x-b": "2"}, cookies={"c": "3"}, client=("me", 7)
    )
    said = client.get("/echo").json()
    assert said["url"] == "https://example.org/echo"
    assert said["server"] == ["example.org", 443]
    assert said["headers"]["x-b"] == ["2"]
    assert said["headers"]["cookie"] == ["c=3"]
    assert said["client"] == ["me", 7]


def test_other_frameworks_apps() -> None:
    async def asgi(scope, receive, send) -> None:
        await send({"type": "http.response.start", "status": 201, "headers": [(b"x-a", b"1")]})
        await send({"type": "http.response.body", "body": scope["path"].encode()})

    def wsgi(environ, start_response):
        start_response("202 Accepted", [])
        return [environ["PATH_INFO"].encode()]

    app = App()
    app.mount("/inner", asgi)
    for each, path, status in ((asgi, "/a", 201), (wsgi, "/b", 202), (app, "/inner/c", 201)):
        response = TestClient(each).get(path)
        assert (response.status_code, response.text) == (status, path)


def test_chunked_bodies_and_early_responses() -> None:
    app = echo()

    @app.post("/small", body_limit=10)
    async def small(request: Request) -> int:
        return len(await request.body())

    client = TestClient(app)
    assert client.post("/echo", content=iter([b"a", b"", b"bc"])).json()["body"] == "abc"
    assert client.post("/echo", content=io.BytesIO(b"x" * 100_000)).json()["body"] == "x" * 100_000
    assert client.post("/small", content=iter([b"x" * 1_000_000] * 5)).status_code == 413


def test_responses_without_content() -> None:
    app = echo()

    @app.get("/none", status_code=204)
    async def none() -> None: ...

    client = TestClient(app)
    head = client.head("/echo")
    assert (head.status_code, head.content) == (200, b"")
    assert int(head.headers["content-length"]) > 0
    assert client.get("/none").content == b""


def test_redirects_and_cookies() -> None:
    app = App()

    @app.get("/in")
    async def sign_in() -> Response:
        response = RedirectResponse("/me")
        response.set_cookie("user", "anna")
        return response

    @app.get("/me")
    async def me(user: str = Cookie("nobody")) -> str:
        return user

    client = TestClient(app)
    response = client.get("/in")
    assert response.json() == "anna"
    assert [each.status_code for each in response.history] == [307]
    assert client.get("/me").json() == "anna"
    assert client.get("/in", follow_redirects=False).status_code == 307
    assert TestClient(app, follow_redirects=False).get("/in").status_code == 307


# ---- exceptions --------------------------------------------------------------------------------


def failing() -> App:
    app = App()

    @app.get("/async")
    async def later() -> None:
        raise LookupError("async")

    @app.get("/def")
    def now() -> None:
        raise LookupError("def")

    @app.get("/refused")
    def refused() -> None:
        raise HTTPException(418)

    async def broken_yield():
        yield 1
        raise LookupError("yield")

    @app.get("/yield")
    async def after_yield(value: int = Depends(broken_yield)) -> int:
        return value

    @app.get("/background")
    async def background(tasks: BackgroundTasks) -> int:
        def fail() -> None:
            raise LookupError("background")

        tasks.add_task(fail)
        return 1

    @app.get("/stream")
    async def stream() -> StreamingResponse:
        async def pieces():
            yield b"piece"
            raise LookupError("stream")

        return StreamingResponse(pieces())

    return app


@pytest.mark.parametrize("where", ["async", "def", "yield", "background", "stream"])
def test_exceptions_that_nothing_handles_are_raised(where: str, caplog) -> None:
    with pytest.raises(LookupError, match=where):
        TestClient(failing()).get(f"/{where}")
    assert caplog.records == []


def test_exceptions_as_responses_if_that_is_asked_for(caplog) -> None:
    client = TestClient(failing(), raise_server_exceptions=False)
    assert client.get("/async").status_code == 500
    assert "LookupError" in caplog.text
    assert client.get("/refused").status_code == 418


def test_the_last_resort_handles_and_the_test_sees_it_too() -> None:
    app = failing()

    @app.exception_handler(500)
    async def last(request: Request, exc: Exception) -> JSONResponse:
        return JSONResponse({"said": str(exc)}, 500)

    with pytest.raises(LookupError):
        TestClient(app).get("/def")
    response = TestClient(app, raise_server_exceptions=False).get("/def")
    assert response.json() == {"said": "def"}


def test_exceptions_that_are_handled_are_not_raised() -> None:
    app = failing()

    @app.exception_handler(LookupError)
    async def handle(request: Request, exc: LookupError) -> JSONResponse:
        return JSONResponse(str(exc), 409)

    assert TestClient(app).get("/async").status_code == 409


def test_exceptions_of_mounted_apps_are_raised() -> None:
    async def asgi(scope, receive, send) -> None:
        raise LookupError("mounted")

    app = App()
    app.mount("/m", asgi)
    with pytest.raises(LookupError, match="mounted"):
        TestClient(app).get("/m")


# ---- the end of a request ----------------------------------------------------------------------


def test_background_tasks_are_over_when_the_response_is_there() -> None:
    app, done = App(), []

    @app.get("/{kind}")
    def start(kind: str, tasks: BackgroundTasks) -> str:
        async def later() -> None:
            await asyncio.sleep(0.05)
            done.append(kind)

        tasks.add_task(later)
        return kind

    with TestClient(app) as client:
        client.get("/within")
        assert done == ["within"]
    TestClient(app).get("/alone")
    assert done == ["within", "alone"]


def test_a_stream_is_read_as_it_comes_and_ended_by_leaving() -> None:
    app, ended = App(), []

    @app.get("/")
    async def endless() -> StreamingResponse:
        async def pieces():
            try:
                while True:
                    yield b"piece"
                    await asyncio.sleep(0.01)
            finally:
                ended.append(True)

        return StreamingResponse(pieces())

    with TestClient(app).stream("GET", "/") as response:
        pieces = response.iter_bytes()
        assert next(pieces) == b"piece"
        assert ended == []
    assert ended == [True]


def test_requests_of_one_client_at_once() -> None:
    app, both = App(), threading.Barrier(2, timeout=30)

    @app.get("/")
    def meet() -> int:
        return both.wait() >= 0

    with TestClient(app) as client:
        answers = []
        threads = [
            threading.Thread(target=lambda: answers.append(client.get("/").json()))
            for _ in range(2)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert answers == [True, True]


# ---- the lifespan ------------------------------------------------------------------------------


def test_the_lifespan_runs_within_the_block_only() -> None:
    events = []

    @contextlib.asynccontextmanager
    async def lifespan(app: App):
        events.append("start")
        yield {"state": 7}
        events.append("stop")

    app = App(lifespan=lifespan)

    @app.get("/")
    async def state(request: Request) -> object:
        return getattr(request.state, "state", None)

    assert TestClient(app).get("/").json() is None
    assert events == []
    with TestClient(app) as client:
        assert client.get("/").json() == 7
        assert client.app_state == {"state": 7}
        assert events == ["start"]
    assert events == ["start", "stop"]


def test_requests_within_the_block_share_one_loop() -> None:
    app, loops = App(), []

    @app.get("/")
    async def note() -> None:
        loops.append(asyncio.get_running_loop())

    with TestClient(app) as client:
        client.get("/")
        client.get("/")
    TestClient(app).get("/")
    assert loops[0] is loops[1] is not loops[2]


def test_a_client_can_be_used_again_after_the_block() -> None:
    client = TestClient(echo())
    for _ in range(2):
        with client:
            assert client.get("/echo").status_code == 200
        assert client.get("/echo").status_code == 200


@pytest.mark.parametrize("place", ["alone", "around", "mounted"])
def test_what_the_startup_of_an_asgi_app_raises_is_raised(place: str) -> None:
    async def asgi(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "lifespan.startup.failed", "message": "in words"})
        raise LookupError("startup")

    app: Any = App()
    if place == "alone":
        app = asgi
    elif place == "around":
        app.add_middleware(lambda inner: asgi)
    else:
        app.mount("/", asgi)
    with pytest.raises(LookupError, match="startup"), TestClient(app):
        pass


@pytest.mark.parametrize("when", ["startup", "shutdown"])
def test_what_the_lifespan_raises_is_raised(when: str) -> None:
    @contextlib.asynccontextmanager
    async def lifespan(app: App):
        if when == "startup":
            raise LookupError(when)
        yield
        raise LookupError(when)

    with pytest.raises(LookupError, match=when), TestClient(App(lifespan=lifespan)):
        assert when == "shutdown"


def test_templates_and_their_values(tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text("<p>{{ name }}</p>")
    app, templates = App(), Jinja2Templates(tmp_path)

    @app.get("/{way}/{name}")
    def page(request: Request, way: str, name: str) -> Response:
        return templates.TemplateResponse(request, "page.html", {"name": name})

    @app.get("/")
    async def plain() -> None: ...

    app.middleware("http")(pass_on)
    with TestClient(app) as client:
        for name in ("a", "b"):
            response: Any = client.get(f"/def/{name}")
            assert (response.text, response.template.name) == (f"<p>{name}</p>", "page.html")
            assert response.context["name"] == name
            assert set(response.context) == {"name", "request"}
        assert not hasattr(client.get("/"), "template")
