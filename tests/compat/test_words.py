"""Names, parameters and words of FastAPI's and Starlette's that programs and their tests meet."""

import io
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any
from unittest.mock import create_autospec

import pytest
from fluvial import App, BackgroundTasks, Depends, Response, UploadFile
from fluvial._compat.openapi_models import Schema
from fluvial._compat.starlette_utils import get_route_path, is_async_callable
from fluvial.background import BackgroundTask
from fluvial.config import Config
from fluvial.datastructures import FormData
from fluvial.exceptions import FluvialError
from fluvial.routing import APIRouter
from fluvial.schemas import SchemaGenerator
from fluvial.testclient import TestClient
from pydantic import ValidationError


def test_an_env_files_value_loses_a_pair_of_quotes(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    path.write_text("A='say \"hi\"'\nB=\"it's\"\nC=\"'\nD=plain\nE=\"\nF=''\n")
    config = Config(path)
    found = [config.get(name) for name in "ABCDEF"]
    assert found == ['say "hi"', "it's", "\"'", "plain", '"', ""]


def test_forms_are_equal_key_by_key() -> None:
    one, other = (UploadFile(io.BytesIO(), filename=name) for name in "ab")
    form = FormData([("f", one), ("f", other), ("name", "x")])
    assert form == FormData([("name", "x"), ("f", one), ("f", other)])
    assert form != FormData([("f", other), ("f", one), ("name", "x")])


def test_cookies_have_the_order_of_pythons_http_cookies() -> None:
    options: dict[str, Any] = {"max_age": 5, "domain": "a.example", "path": "/p"}
    flags: dict[str, Any] = {"httponly": True, "secure": True, "samesite": "lax"}
    response, known = Response(), SimpleCookie({"name": "value"})
    response.set_cookie("name", "value", **options, **flags)
    for name, value in {**options, **flags}.items():
        known["name"][name.replace("_", "-")] = value
    assert response.headers["set-cookie"] == known.output(header="").strip()


def test_tasks_that_are_given() -> None:
    done: list[int] = []
    app = App()

    @app.get("/")
    async def handler() -> Response:
        tasks = BackgroundTasks([BackgroundTask(done.append, 1)])
        tasks.add_task(done.append, 2)
        return Response(background=tasks)

    TestClient(app).get("/")
    assert done == [1, 2]


def test_a_documents_base_stays_as_it_was() -> None:
    def endpoint(request: Any) -> None:
        """
        responses: {}
        """

    app = App()
    app.add_route("/known", endpoint=endpoint)
    base: dict[str, Any] = {"info": {}, "paths": {"/known": {"post": {}}}}
    made = SchemaGenerator(base).get_schema(app.routes)
    assert made["paths"]["/known"].keys() == {"post", "get"}
    assert base == {"info": {}, "paths": {"/known": {"post": {}}}}


def test_mocks_of_coroutine_functions() -> None:
    async def function() -> None: ...

    assert is_async_callable(create_autospec(function))
    assert not is_async_callable(create_autospec(lambda: None))


def test_the_root_path_itself_is_an_empty_path() -> None:
    paths = {"/foo-1/bar": "/foo-1/bar", "/foo/bar": "/bar", "/foo": ""}
    assert {each: get_route_path({"path": each, "root_path": "/foo"}) for each in paths} == paths


def test_schemas_types() -> None:
    for kind in ("array", ["string", "null"], None):
        assert Schema(type=kind).type == kind  # type: ignore[arg-type]
    with pytest.raises(ValidationError, match="2 validation errors for Schema"):
        Schema(type=True)  # type: ignore[arg-type]


def test_what_is_wrong_with_a_program() -> None:
    async def short():
        yield

    async def long(_=Depends(short, scope="function")):  # noqa: B008
        yield

    words = 'The dependency "long" has a scope of "request", it cannot depend on dependencies'
    with pytest.raises(FluvialError, match=words):

        @App().get("/")
        async def handler(_=Depends(long, scope="request")): ...  # noqa: B008

    router = APIRouter()
    router.get("")(handler_without_path)
    with pytest.raises(FluvialError, match="can't both be empty"):
        App().include_router(router)


async def handler_without_path() -> None: ...
