"""Class-based views: `@router.controller` on a class whose methods are handlers."""

import threading
from collections.abc import AsyncIterator, Iterator
from typing import Annotated, Any

import pytest
from fluvial import APIRouter, App, Depends, Header, HTTPException, Query, Response, WebSocket


def user(name: str = Header("nobody")) -> str:
    return name


closed: list[str] = []


async def session(user: Annotated[str, Depends(user)]) -> AsyncIterator[list[str]]:
    yield [user]
    closed.append(user)


def make_router() -> APIRouter:
    router = APIRouter(prefix="/v1")

    @router.controller(prefix="/items", tags=["items"])
    class Items:
        """A view."""

        def __init__(
            self,
            session: Annotated[list[str], Depends(session)],
            limit: Annotated[int, Query(ge=1)] = 10,
        ) -> None:
            self.session = session
            self.limit = limit
            self.thread = threading.get_ident()

        @router.get("")
        async def many(self, q: str = "x") -> Any:
            on_loop = self.thread == threading.get_ident()
            return [self.session, self.limit, q, type(self).__name__, on_loop]

        @router.get("/{item_id}")
        def one(self, item_id: int, response: Response) -> list[Any]:
            """One of them."""
            response.headers["x-limit"] = str(self.limit)
            return [item_id, self.helper()]

        @router.post("/{item_id}", status_code=201)
        async def put(self, item_id: int, /, *, body: dict[str, int]) -> Any:
            return [item_id, body]

        @router.get("/stream/all")
        def stream(self) -> Iterator[int]:
            yield self.limit

        @router.websocket("/ws")
        async def socket(self, websocket: WebSocket) -> None:
            await websocket.accept()
            await websocket.send_json(self.session)

        @staticmethod
        @router.get("/static/text")
        def static(q: int = 3) -> int:
            return q

        def helper(self) -> str:
            return f"helped {self.session[0]}"

    return router


def make_app() -> App:
    app = App()
    app.include_router(make_router())
    return app


def test_methods_are_handlers(serve) -> None:
    client = serve(make_app()).client
    ann = {"name": "ann"}
    closed.clear()
    answer = client.get("/v1/items?q=y&limit=3", headers=ann)
    assert answer.json() == [["ann"], 3, "y", "Items", True]
    answer = client.get("/v1/items/7", headers=ann)
    assert (answer.json(), answer.headers["x-limit"]) == ([7, "helped ann"], "10")
    answer = client.post("/v1/items/7", json={"a": 1})
    assert (answer.status_code, answer.json()) == (201, [7, {"a": 1}])
    assert client.get("/v1/static/text").json() == 3  # no method: a route as others
    assert closed == ["ann", "ann", "nobody"]


def test_the_constructor_s_parameters_are_the_request_s(serve) -> None:
    client = serve(make_app()).client
    for url in ("/v1/items?limit=0", "/v1/items/x?limit=0"):
        detail = client.get(url).json()["detail"]
        assert ("greater_than_equal", ["query", "limit"]) in [(p["type"], p["loc"]) for p in detail]


def test_websockets() -> None:
    from fluvial.testclient import TestClient

    with (
        TestClient(make_app()) as client,
        client.websocket_connect("/v1/items/ws", headers={"name": "bob"}) as socket,
    ):
        assert socket.receive_json() == ["bob"]


def test_each_request_has_an_object_of_its_own_that_can_be_overridden(serve) -> None:
    app = App()

    @app.controller
    class Counter:
        made = 0

        def __init__(self) -> None:
            type(self).made += 1
            self.count = 0

        @app.get("/count")
        async def count_up(self) -> int:
            self.count += 1
            return self.count

        @app.get("/def")
        def count_in_thread(self) -> int:
            self.count += 1
            return self.count

    client = serve(app).client
    assert [client.get(url).json() for url in ("/count", "/count", "/def", "/def")] == [1] * 4
    assert Counter.made == 4
    assert Counter().count_in_thread() == 1  # it is an ordinary class

    class Fake:
        count = 41

    app.dependency_overrides[Counter] = Fake
    assert client.get("/count").json() == 42
    app.dependency_overrides.clear()
    assert client.get("/count").json() == 1


def test_classes_that_share_methods(serve) -> None:
    router = APIRouter()

    class Base:
        kind = "base"

        @router.get("/kind")
        def read_kind(self) -> str:
            return self.kind

        @router.get("/name")
        async def read_name(self) -> str:
            return "base"

    @router.controller(prefix="/cats", dependencies=[Depends(user)])
    class Cats(Base):
        kind = "cat"

    @router.controller(prefix="/dogs")
    class Dogs(Base):
        kind = "dog"

        async def read_name(self, loud: bool = False) -> str:
            return "REX" if loud else await super().read_name()

    app = App()
    app.include_router(router)
    client = serve(app).client
    paths = ("/cats/kind", "/dogs/kind", "/cats/name", "/dogs/name", "/dogs/name?loud=1")
    assert [client.get(path).json() for path in paths] == ["cat", "dog", "base", "base", "REX"]


def test_the_document_has_them() -> None:
    operation = make_app().openapi()["paths"]["/v1/items/{item_id}"]["get"]
    assert operation["tags"] == ["items"]
    assert (operation["summary"], operation["description"]) == ("One", "One of them.")
    assert [each["name"] for each in operation["parameters"]] == ["item_id", "limit", "name"]


def test_what_is_not_a_controller_is_said() -> None:
    router = APIRouter()

    class Forgotten:
        @router.get("/")
        def read(self) -> None: ...

    with pytest.raises(TypeError, match=r"Forgotten\.read is a method: write @router\.controller"):
        App().include_router(router)

    app = App()

    class Other:
        @app.get("/")
        def read(self) -> None: ...

    with pytest.raises(TypeError, match=r"Other\.read is a method"):
        app.plan_routes()
    with pytest.raises(TypeError, match="has no routes"):
        app.controller(Forgotten)
    with pytest.raises(TypeError, match="a controller is a class"):
        app.controller(user)
    with pytest.raises(TypeError, match="did you mean 'prefix'"):
        app.controller(prefx="/x")
    with pytest.raises(TypeError, match=r"needs an app or a router.*write @router\.controller"):
        APIRouter.controller(Forgotten)


def test_exceptions_of_the_constructor(serve) -> None:
    app = App()

    @app.controller
    class Guarded:
        def __init__(self, user: Annotated[str, Depends(user)]) -> None:
            if user == "nobody":
                raise HTTPException(401)

        @app.get("/")
        async def read(self) -> str:
            return "in"

    client = serve(app).client
    assert client.get("/").status_code == 401
    assert client.get("/", headers={"name": "ann"}).json() == "in"
