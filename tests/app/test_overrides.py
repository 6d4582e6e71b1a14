"""`app.dependency_overrides`: other functions in the place of dependencies."""

import sys
import threading
from typing import Annotated, Any

import pytest
from fluvial import (
    APIRouter,
    App,
    Depends,
    Header,
    HTTPException,
    Response,
    Security,
    WebSocket,
)
from fluvial.security import SecurityScopes


def settings() -> str:
    return "real"


def user(name: str = Header(), config: str = Depends(settings)) -> str:
    return f"{name} {config}"


def make_app() -> App:
    app = App()
    router = APIRouter(prefix="/router", dependencies=[Depends(user)])

    @app.get("/user")
    def read_user(user: str = Depends(user)) -> str:
        return user

    @app.get("/settings")
    async def read_settings(config: Annotated[str, Depends(settings)]) -> str:
        return config

    @router.get("")
    def read_router() -> str:
        return "in"

    @app.get("/plain")
    def plain(q: int = 1) -> int:
        return q

    app.include_router(router)
    return app


def test_overrides_come_and_go_while_it_serves(serve) -> None:
    app = make_app()
    client = serve(app).client
    assert client.get("/user").status_code == 422
    app.dependency_overrides[user] = lambda: "other"
    assert client.get("/user").json() == "other"
    assert client.get("/router").json() == "in"
    assert client.get("/settings").json() == "real"
    assert client.get("/plain?q=3").json() == 3
    del app.dependency_overrides[user]
    assert client.get("/router").status_code == 422


def test_overrides_of_what_dependencies_need(serve) -> None:
    app = make_app()
    client = serve(app).client

    async def fake(q: int, size: int = Header()) -> str:
        return f"fake {q * size}"

    app.dependency_overrides = {settings: fake}
    headers = {"name": "ann", "size": "3"}
    assert client.get("/user?q=2", headers=headers).json() == "ann fake 6"
    assert client.get("/settings?q=x", headers=headers).json()["detail"][0]["loc"] == ["query", "q"]
    app.dependency_overrides = {}
    assert client.get("/user", headers=headers).json() == "ann real"


def test_overrides_may_depend_on_overridden_ones(serve) -> None:
    app = make_app()
    client = serve(app).client
    app.dependency_overrides |= {user: lambda c=Depends(settings): f"<{c}>"}  # noqa: B008
    assert client.get("/user").json() == "<real>"
    app.dependency_overrides.update({settings: lambda: "fake"})
    assert client.get("/user").json() == "<fake>"
    with pytest.raises(TypeError, match="depends on itself"):
        app.dependency_overrides[settings] = lambda again=Depends(user): again  # noqa: B008
    app.dependency_overrides.clear()
    assert client.get("/settings").json() == "real"


def test_what_overrides_is_not_looked_up_again(serve) -> None:
    app = make_app()

    def config() -> str:
        return "config"

    app.dependency_overrides = {settings: config, config: lambda: "unused"}
    assert serve(app).client.get("/settings").json() == "config"


@pytest.mark.parametrize(
    "change",
    [
        lambda overrides: overrides.pop(settings),
        lambda overrides: overrides.popitem(),
        lambda overrides: overrides.clear(),
        # Unseen at first, so that the other change must be.
        lambda overrides: dict.clear(overrides) or overrides.setdefault(user, lambda: "set"),
    ],
)
def test_every_way_to_change_them(serve, change: Any) -> None:
    app = make_app()
    client = serve(app).client
    app.dependency_overrides[settings] = lambda: "fake"
    assert client.get("/settings").json() == "fake"
    change(app.dependency_overrides)
    assert client.get("/settings").json() == "real"


def test_routes_registered_after_an_override(serve) -> None:
    app = App()
    app.dependency_overrides[settings] = lambda: "fake"

    @app.get("/")
    def read(config: Annotated[str, Depends(settings)], late: "Late") -> str:
        return config + late

    @app.websocket("/ws")
    async def socket(websocket: WebSocket, config: Annotated[str, Depends(settings)]) -> None:
        await websocket.accept()
        await websocket.send_text(config)

    client = serve(app).client
    assert client.get("/?late=s").json() == "fakes"


Late = str


def test_an_override_keeps_what_its_place_says(serve) -> None:
    """The cache goes by the dependency that is declared, and scopes are those of its place."""
    app = App()
    calls: list[list[str]] = []

    def check(scopes: SecurityScopes) -> None:
        raise HTTPException(401)

    def fake(scopes: SecurityScopes) -> int:
        calls.append(scopes.scopes)
        return len(calls)

    @app.get("/")
    def read(
        a: Annotated[int, Security(check, scopes=["a"])],
        again: Annotated[int, Security(check, scopes=["a"])],
        plain: Annotated[int, Depends(settings)],
        b: Annotated[int, Security(check, scopes=["b"])],
    ) -> list[int]:
        return [a, again, plain, b]

    app.dependency_overrides = {check: fake, settings: lambda: 0}
    assert serve(app).client.get("/").json() == [1, 1, 0, 2]
    assert calls == [["a"], ["b"]]


def test_a_wrong_override_is_refused_and_undone(serve) -> None:
    app = make_app()
    client = serve(app).client
    app.dependency_overrides[settings] = lambda: "fake"
    with pytest.raises(TypeError, match="callable"):
        app.dependency_overrides[user] = 3  # type: ignore[assignment]
    with pytest.raises(TypeError, match="callable"):
        app.dependency_overrides = {user: 3}
    assert list(app.dependency_overrides) == [settings]
    assert client.get("/user", headers={"name": "ann"}).json() == "ann fake"


def test_requests_that_have_begun_keep_their_plan(serve) -> None:
    app = App()
    begun, go = threading.Event(), threading.Event()

    def slow() -> str:
        begun.set()
        assert go.wait(20)
        return "slow"

    @app.get("/", response_model=str)
    def read(value: Annotated[Any, Depends(slow)], q: int = 7) -> str:
        return f"{value} {q}"

    served = serve(app)
    answers: list[Any] = []
    thread = threading.Thread(target=lambda: answers.append(served.client.get("/").json()))
    thread.start()
    assert begun.wait(20)
    for number in range(50):
        app.dependency_overrides[slow] = lambda number=number: f"fast {number}"
    go.set()
    thread.join()
    assert answers == ["slow 7"]
    assert served.client.get("/?number=49").json() == "fast 49 7"


def test_requests_leave_the_references_to_their_plans_as_they_were(serve) -> None:
    app = App()

    @app.get("/")
    async def count() -> list[int]:
        return [sys.getrefcount(route.plan) for route in app.http_routes]

    client = serve(app).client
    first, *others = [client.get("/").json() for _ in range(5)]
    assert others == [first] * 4


def test_objects_that_cannot_be_keys(serve) -> None:
    class Unhashable:
        __hash__ = None  # type: ignore[assignment]

        def __call__(self) -> int:
            return 5

    app = make_app()

    @app.get("/five")
    def read(five: Annotated[int, Depends(Unhashable())]) -> int:
        return five

    app.dependency_overrides[settings] = lambda: "fake"
    assert serve(app).client.get("/five").json() == 5


def test_declarations_that_are_equal() -> None:
    one, other = Depends(settings), Depends(settings)
    assert one == other
    assert hash(one) == hash(other)
    unlike = [
        Depends(user),
        Depends(settings, scope="function"),
        Depends(settings, use_cache=False),
        Depends(settings, max_concurrency=1),
        Security(settings),
        Security(settings, scopes=["a"]),
    ]
    assert len({one, *unlike}) == 7
    assert Depends(settings, max_concurrency=1) != Depends(settings, max_concurrency=1)


def test_dependencies_that_make_a_response(serve) -> None:
    """The type says what it is only where nothing says what makes it."""
    app = App()

    def teapot(response: Response) -> Response:
        response.status_code = 418
        return response

    @app.get("/")
    def read(response: Annotated[Response, Depends(teapot)]) -> str:
        response.headers["x-tea"] = "green"
        return "tea"

    answer = serve(app).client.get("/")
    assert (answer.status_code, answer.headers["x-tea"]) == (418, "green")
