"""The OpenAPI document: equal to FastAPI's for the same program, and what goes beyond."""

from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import pytest
from fluvial import App, Query, Request
from fluvial.openapi.utils import get_openapi
from pydantic import BaseModel
from support.openapi_names import names_of
from support.openapi_programs import make_app

if TYPE_CHECKING:
    from conftest import Serve


@pytest.mark.filterwarnings("ignore:.*has a handler already", "ignore:Duplicate Operation ID")
@pytest.mark.parametrize("separate", [True, False])
def test_equal_to_fastapis(serve: "Serve", separate: bool) -> None:
    ours = make_app(names_of("fluvial"), separate_input_output_schemas=separate)
    theirs = make_app(names_of("fastapi"), separate_input_output_schemas=separate)
    wanted = serve(theirs).client.get("/openapi.json")
    sent = serve(ours).client.get("/openapi.json")
    expected, found = wanted.json(), sent.json()
    for key in expected["paths"]:
        assert found["paths"][key] == expected["paths"][key], key
    for key, schema in expected["components"]["schemas"].items():
        assert found["components"]["schemas"][key] == schema, key
    assert found == expected
    assert sent.text == wanted.text  # the order of keys, too


def test_options_for_all_routes() -> None:
    def make(framework: str) -> dict[str, Any]:
        of = names_of(framework)
        app = of.App(
            title="x",
            deprecated=True,
            default_response_class=of.HTMLResponse,
            generate_unique_id_function=lambda route: f"{route.name}-{len(route.tags)}",
        )
        app.get("/a", tags=["t"])(lambda: None)
        app.get("/b", operation_id="b", deprecated=False)(lambda: None)
        app.get("/c", response_class=of.PlainTextResponse)(lambda: None)
        found: dict[str, Any] = app.openapi()
        return found

    assert make("fluvial") == make("fastapi")


def test_made_once_and_again_after_new_routes() -> None:
    app = App()
    assert app.openapi() is app.openapi()
    assert app.openapi()["paths"] == {}
    app.get("/later")(lambda: None)
    assert list(app.openapi()["paths"]) == ["/later"]
    app.openapi()["info"]["x-own"] = 1
    assert app.openapi()["info"]["x-own"] == 1


def test_made_in_ones_own_way(serve: "Serve") -> None:
    app = App(title="Mine", openapi_url="/api/v1/openapi.json")
    app.get("/a")(lambda: None)
    app.openapi = lambda: get_openapi(title="Own", version="1", routes=app.routes)  # type: ignore[method-assign]
    client = serve(app).client
    document = client.get("/api/v1/openapi.json").json()
    assert document["info"] == {"title": "Own", "version": "1"}
    assert list(document["paths"]) == ["/a"]
    assert client.get("/openapi.json").status_code == 404


def test_root_path_is_a_server(serve: "Serve") -> None:
    servers = [{"url": "https://example.org"}]
    client = serve(App(root_path="/api/", servers=servers)).client
    assert client.get("/openapi.json").json()["servers"] == [{"url": "/api"}, *servers]
    assert '"/api/openapi.json"' in client.get("/redoc").text or "/api/openapi.json" in (
        client.get("/docs").text
    )
    known = App(root_path="/api", servers=[{"url": "/api"}])
    assert serve(known).client.get("/openapi.json").json()["servers"] == [{"url": "/api"}]
    without = App(root_path="/api", root_path_in_servers=False)
    assert "servers" not in serve(without).client.get("/openapi.json").json()


def test_root_path_of_the_server(serve: "Serve") -> None:
    client = serve(App(), root_path="/api").client
    assert client.get("/openapi.json").json()["servers"] == [{"url": "/api"}]


def test_a_mounted_app_has_its_prefix_as_server(serve: "Serve") -> None:
    app, inner = App(), App()
    inner.get("/a")(lambda: None)
    app.mount("/sub", inner)
    document = serve(app).client.get("/sub/openapi.json").json()
    assert document["servers"] == [{"url": "/sub"}]
    assert list(document["paths"]) == ["/a"]


class Size(msgspec.Struct):
    width: int
    height: Annotated[int, msgspec.Meta(gt=0)] = 1


class Box(msgspec.Struct, rename="camel"):
    """A box."""

    its_size: Size
    labels: list[str] = []


class Model(BaseModel):
    name: str


def test_structs_beside_models() -> None:
    app = App()

    @app.post("/boxes")
    def boxes(box: Box, model: Model) -> list[Box]: ...

    @app.get("/sizes")
    def sizes(size: Annotated[Size, Query()]) -> Size | None: ...

    document = app.openapi()
    schemas = document["components"]["schemas"]
    assert schemas["Box"] == {
        "title": "Box",
        "description": "A box.",
        "type": "object",
        "properties": {
            "itsSize": {"$ref": "#/components/schemas/Size"},
            "labels": {"type": "array", "items": {"type": "string"}, "default": []},
        },
        "required": ["itsSize"],
    }
    assert schemas["Size"]["properties"]["height"]["exclusiveMinimum"] == 0
    body = schemas["Body_boxes_boxes_post"]
    assert body["properties"] == {
        "box": {"$ref": "#/components/schemas/Box"},
        "model": {"$ref": "#/components/schemas/Model"},
    }
    operation = document["paths"]["/boxes"]["post"]
    assert operation["responses"]["200"]["content"]["application/json"]["schema"] == {
        "title": "Response Boxes Boxes Post",
        "type": "array",
        "items": {"$ref": "#/components/schemas/Box"},
    }
    parameters = document["paths"]["/sizes"]["get"]["parameters"]
    assert [(each["name"], each["required"]) for each in parameters] == [
        ("width", True),
        ("height", False),
    ]


def test_a_struct_and_a_model_of_one_name() -> None:
    app = App()
    model = type("Size", (BaseModel,), {"__annotations__": {"name": str}})
    app.get("/a", response_model=model)(lambda: None)
    app.get("/b", response_model=Size)(lambda: None)
    document = app.openapi()
    schemas = document["components"]["schemas"]
    assert list(schemas["Size"]["properties"]) == ["name"]
    assert list(schemas["Size-2"]["properties"]) == ["width", "height"]
    response = document["paths"]["/b"]["get"]["responses"]["200"]
    assert response["content"]["application/json"]["schema"] == {
        "$ref": "#/components/schemas/Size-2"
    }


def test_two_operations_of_one_id() -> None:
    app = App()
    app.get("/a", operation_id="same")(lambda: None)
    app.get("/b", operation_id="same")(lambda: None)
    with pytest.warns(UserWarning, match="Duplicate Operation ID same"):
        app.openapi()


def test_query_method(serve: "Serve") -> None:
    app = App()

    @app.query("/search")
    async def search(model: Model, request: Request) -> str:
        return f"{request.method} {model.name}"

    client = serve(app).client
    response = client.request("QUERY", "/search", json={"name": "x"})
    assert response.json() == "QUERY x"
    assert client.get("/search").headers["allow"] == "QUERY"
    operation = client.get("/openapi.json").json()["paths"]["/search"]["x-query"]
    assert operation["requestBody"]["required"] is True
    app.openapi_version, app.openapi_schema = "3.2.0", None
    assert app.openapi()["paths"]["/search"]["query"] == operation


def test_functions_at_start_and_shutdown(serve: "Serve") -> None:
    called: list[str] = []

    async def start() -> None:
        called.append("start")

    app = App(on_startup=[start, lambda: called.append("second")])
    app.get("/")(lambda: list(called))
    assert serve(app).client.get("/").json() == ["start", "second"]


def test_an_app_without_a_document(serve: "Serve") -> None:
    client = serve(App(openapi_url=None)).client
    for path in ("/openapi.json", "/docs", "/redoc", "/-/docs/redoc/redoc.standalone.js"):
        assert client.get(path).status_code == 404
    client = serve(App(docs_url=None, redoc_url="/manual")).client
    assert client.get("/docs").status_code == 404
    assert "/openapi.json" in client.get("/manual").text


def test_slashes_may_be_left_alone(serve: "Serve") -> None:
    app = App(redirect_slashes=False)
    app.get("/a")(lambda: 1)
    assert serve(app).client.get("/a/").status_code == 404
