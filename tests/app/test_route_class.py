"""APIRoute subclasses, which are around the handling of their routes' requests; add_route."""

import gzip
from typing import Annotated, Any

import pytest
from fluvial import (
    APIRouter,
    App,
    Body,
    Depends,
    HTTPException,
    Request,
    RequestValidationError,
    Response,
)
from fluvial.routing import APIRoute
from fluvial.testclient import TestClient

JSON = {"content-type": "application/json"}


class GzipRequest(Request):
    async def body(self) -> bytes:
        if not hasattr(self, "plain"):
            body = await super().body()
            self.plain = gzip.decompress(body) if body.startswith(b"\x1f\x8b") else body
        return self.plain


class GzipRoute(APIRoute):
    def get_route_handler(self) -> Any:
        original = super().get_route_handler()

        async def unpack(request: Request) -> Response:
            return await original(GzipRequest(request.scope, request.receive))

        return unpack


class TellingRoute(APIRoute):
    def get_route_handler(self) -> Any:
        original = super().get_route_handler()

        async def tell(request: Request) -> Response:
            try:
                response = await original(request)
            except RequestValidationError as exc:
                body = (await request.body()).decode()
                raise HTTPException(422, {"sent": body, "wrong": exc.errors()[0]["loc"]}) from exc
            response.headers["x-told"] = self.path
            return response

        return tell


def test_the_handler_gets_the_request_that_the_class_made() -> None:
    app = App()
    app.router.route_class = GzipRoute

    @app.post("/sum/{times}")
    async def add(
        times: int,
        request: Request,
        numbers: Annotated[list[int], Body()],
        five: int = Depends(lambda: 5),
    ) -> Any:
        return [type(request).__name__, times * sum(numbers) + five, request.url.path]

    client = TestClient(app)
    for body in (b"[1,2]", gzip.compress(b"[1,2]")):
        answer = client.post("/sum/2", content=body, headers=JSON).json()
        assert answer == ["GzipRequest", 11, "/sum/2"]


@pytest.mark.parametrize("is_async", [False, True])
def test_routers_bring_their_class_along(is_async: bool) -> None:
    inner = APIRouter(route_class=TellingRoute)

    async def later(number: int, more: list[int]) -> int:
        return number + sum(more)

    def now(number: int, more: list[int]) -> int:
        return number + sum(more)

    inner.post("/{number}")(later if is_async else now)
    outer, app = APIRouter(prefix="/outer"), App()
    outer.include_router(inner, prefix="/inner")
    app.include_router(outer)
    assert isinstance(app.routes[-1], TellingRoute)
    client = TestClient(app)
    response = client.post("/outer/inner/1", json=[2, 3])
    assert (response.json(), response.headers["x-told"]) == (6, "/outer/inner/{number}")
    response = client.post("/outer/inner/1", json=["a"])
    assert response.status_code == 422
    assert response.json() == {"detail": {"sent": '["a"]', "wrong": ["body", 0]}}


def test_a_body_that_the_class_has_decoded_is_taken() -> None:
    app, sent = App(), gzip.compress(b"[1,2]")
    app.post("/plain")(total)
    app.route_class = GzipRoute
    app.post("/")(total)
    client, headers = TestClient(app), {**JSON, "content-encoding": "gzip"}
    assert client.post("/", content=sent, headers=headers).json() == 3
    assert client.post("/plain", content=sent, headers=headers).status_code == 415


async def total(numbers: list[int]) -> int:
    return sum(numbers)


def test_limits_hold_within_a_route_class() -> None:
    app = App()
    app.route_class = TellingRoute

    @app.post("/", body_limit=4)
    async def take(body: list[int]) -> int:
        return len(body)

    client = TestClient(app)
    assert client.post("/", content=b"[1] ", headers=JSON).json() == 1
    assert client.post("/", content=b"[1]  ", headers=JSON).status_code == 413


def test_routes_are_instances_of_the_public_class() -> None:
    app = App()
    app.get("/")(lambda: 1)
    assert isinstance(app.routes[-1], APIRoute)


def test_add_route_takes_functions_of_the_request_alone() -> None:
    app = App()

    async def later(req) -> Response:
        return Response(await req.body())

    def now(req) -> Response:
        return Response(req.path_params["name"])

    app.add_route("/later", later, methods=["POST"])
    app.add_route("/now/{name}", now, name="now")
    client = TestClient(app)
    assert client.post("/later", content=b"body").text == "body"
    assert client.get("/now/anna").text == "anna"
    assert app.url_path_for("now", name="bo") == "/now/bo"
    assert app.openapi()["paths"] == {}
