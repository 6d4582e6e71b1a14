"""What becomes of a body that doesn't say that it is JSON."""

import pytest
from fluvial import APIRouter, App, Request
from fluvial._compat.fastapi import FastAPI
from fluvial.testclient import TestClient
from msgspec import Struct

JSON = b'{"name":"a"}'


class Item(Struct):
    name: str


def client_of(app: App, router: APIRouter | None = None) -> TestClient:
    async def whole(item: Item) -> str:
        return item.name

    (router or app).post("/whole")(whole)
    if router is not None:
        app.include_router(router)
    return TestClient(app)


def statuses(client: TestClient) -> list[int]:
    types = (None, "text/plain", "application/json; charset=utf-8", "application/a+json")
    return [
        client.post("/whole", content=JSON, headers=headers).status_code
        for headers in ({"content-type": each} if each else {} for each in types)
    ]


def test_ours_refuses_it() -> None:
    assert statuses(client_of(App())) == [415, 415, 200, 200]


def test_it_is_assumed_if_the_app_or_router_says_so() -> None:
    assert statuses(client_of(App(strict_content_type=False)))[0] == 200
    assert statuses(client_of(App(), APIRouter(strict_content_type=False)))[0] == 200
    mixed = client_of(App(strict_content_type=False), APIRouter(strict_content_type=True))
    assert statuses(mixed)[0] == 415


@pytest.mark.parametrize(("strict", "expected"), [(True, 422), (False, 200)])
def test_fastapis_way_is_to_validate_it(strict: bool, expected: int) -> None:
    client = client_of(FastAPI(strict_content_type=strict))
    assert statuses(client) == [expected, 422, 200, 200]


def test_the_size_has_two_names() -> None:
    app = App(max_body_size=3)

    @app.post("/", max_body_size=4)
    async def take(body: list[int]) -> int:
        return len(body)

    @app.post("/short")
    async def short(body: list[int]) -> int:
        return len(body)

    client = TestClient(app)
    json = {"content-type": "application/json"}
    assert client.post("/", content=b"[1] ", headers=json).status_code == 200
    assert client.post("/", content=b"[1]  ", headers=json).status_code == 413
    assert client.post("/short", content=b"[1] ", headers=json).status_code == 413


def test_a_second_handler_is_no_warning_in_fastapis_way() -> None:
    app = FastAPI()
    for _ in range(2):
        app.get("/")(lambda: 1)


def test_the_servers_root_path_reaches_the_app() -> None:
    def make(**options: str) -> App:
        made = App(**options)

        async def told(request: Request) -> str:
            return request.scope["root_path"]

        made.get("/")(told)
        return made

    assert TestClient(make(), root_path="/api").get("/").json() == "/api"
    assert TestClient(make(root_path="/own"), root_path="/api").get("/").json() == "/own"
    document = TestClient(make(), root_path="/api").get("/openapi.json").json()
    assert document["servers"] == [{"url": "/api"}]
