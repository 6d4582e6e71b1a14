"""Defaults that pass the limits and validators, and what pydantic's Field says beside a marker."""

from typing import Annotated, Any

import httpx
import msgspec
import pydantic
import pytest
from fluvial import App, Body, Cookie, Depends, File, Form, Header, Path, Query
from pydantic import BeforeValidator, Field
from support.serving import serving

Doubled = Annotated[int, BeforeValidator(lambda value: int(value) * 2)]
MARKERS: list[Any] = [Query, Header, Cookie, Form, Body]


class Point(pydantic.BaseModel):
    x: int = 1


class Struct(msgspec.Struct):
    x: int = 1


def make_app() -> App:
    app = App()
    for marker in MARKERS:
        options = {"embed": True} if marker is Body else {}
        name = marker.__name__.lower()

        def checked(value: Any) -> Any:
            return value

        checked.__annotations__ = {
            "value": Annotated[Doubled, Field(lt=50), marker(validate_default=True, **options)]
        }
        checked.__defaults__ = (10,)
        app.post(f"/{name}")(checked)

        def refused(value: Any) -> Any:
            return value

        refused.__annotations__ = {
            "value": Annotated[int, marker(gt=0, validate_default=True, **options)]
        }
        refused.__defaults__ = (-1,)
        app.post(f"/{name}/refused")(refused)

        def dependent(result: Any) -> Any:
            return result

        dependent.__annotations__ = {"result": Annotated[int, Depends(refused)]}
        app.post(f"/{name}/below")(dependent)

    @app.get("/several")
    def several(
        a: Annotated[int, Query(alias="A", validation_alias="B", gt=9, validate_default=True)] = 1,
        b: Annotated[int, Query(gt=9)] = 1,
        c: Annotated[int, Query(gt=9, default_factory=lambda: 1, validate_default=True)] = 2,
    ) -> list[int]:
        return [a, b, c]

    @app.get("/beside")
    def beside(
        made: Annotated[list[int], Field(default_factory=lambda: [5]), Query()],
        given: Annotated[int, Field(default=6)],
        own: Annotated[int, Field(default=7)] = 8,
        checked: Annotated[Doubled, Field(validate_default=True)] = 9,
        unchecked: Annotated[
            Doubled, Field(validate_default=True), Query(validate_default=False)
        ] = 9,
    ) -> list[Any]:
        made.append(0)
        return [made, given, own, checked, unchecked]

    @app.post("/whole")
    def whole(value: Annotated[list[int], Body(min_length=1, validate_default=True)] = []) -> Any:  # noqa: B006
        return value

    @app.post("/models")
    def models(
        point: Annotated[Point, Body(validate_default=True)] = {"x": "5"},  # type: ignore[assignment]  # noqa: B006
        struct: Annotated[Struct, Body(validate_default=True)] = {"x": "6"},  # type: ignore[assignment]  # noqa: B006
    ) -> list[Any]:
        return [point, struct]

    @app.post("/file")
    def file(value: Annotated[bytes, File(min_length=2, validate_default=True)] = b"x") -> int:
        return len(value)

    @app.get("/path/{value}")
    def path(value: Annotated[int, Field(default=3), Path(validate_default=True)]) -> int:
        return value

    return app


@pytest.fixture(scope="module")
def client():
    with serving(make_app()) as served:
        yield served.client


@pytest.mark.parametrize("name", [marker.__name__.lower() for marker in MARKERS])
def test_a_default_is_validated_if_asked(client: httpx.Client, name: str) -> None:
    sent: dict[str, Any] = {"json": {}} if name == "body" else {}
    assert client.post(f"/{name}", **sent).json() == 20
    assert client.post(f"/{name}").json() == 20
    for path in ("refused", "below"):
        response = client.post(f"/{name}/{path}", **sent)
        assert response.status_code == 422
        (problem,) = response.json()["detail"]
        place = "body" if name == "form" else name
        assert (problem["loc"], problem["type"]) == ([place, "value"], "greater_than")
        assert problem["input"] == -1


def test_what_is_sent_is_validated_once(client: httpx.Client) -> None:
    assert client.post("/query?value=4").json() == 8
    assert client.post("/form", data={"value": "4"}).json() == 8
    assert client.post("/body", json={"value": 10}).json() == 20  # as large as the default
    assert client.post("/query/refused?value=4").json() == 4


def test_each_problem_is_told(client: httpx.Client) -> None:
    problems = client.get("/several").json()["detail"]
    assert [problem["loc"] for problem in problems] == [["query", "B"], ["query", "c"]]
    assert client.get("/several?B=10&c=10").json() == [10, 1, 10]


def test_fields_beside_a_marker(client: httpx.Client) -> None:
    for _ in range(2):  # and no request sees what another one did to its default
        assert client.get("/beside").json() == [[5, 0], 6, 8, 18, 9]
    sent = "made=1&given=2&own=3&checked=4&unchecked=5"
    assert client.get(f"/beside?{sent}").json() == [[1, 0], 2, 3, 8, 10]


def test_whole_bodies(client: httpx.Client) -> None:
    response = client.post("/whole")
    assert response.status_code == 422
    assert [problem["loc"] for problem in response.json()["detail"]] == [["body"]]
    assert client.post("/whole", json=[1]).json() == [1]
    assert client.post("/models").json() == [{"x": 5}, {"x": 6}]
    assert client.post("/models", json={"point": {"x": 2}}).json() == [{"x": 2}, {"x": 6}]


def test_files(client: httpx.Client) -> None:
    response = client.post("/file")
    assert response.status_code == 422
    assert response.json()["detail"][0]["type"] == "bytes_too_short"
    assert client.post("/file", files={"value": b"abc"}).json() == 3


def test_a_path_is_always_there(client: httpx.Client) -> None:
    assert client.get("/path/7").json() == 7


def test_the_document_has_the_default_as_written(client: httpx.Client) -> None:
    paths = client.get("/openapi.json").json()["paths"]
    (parameter,) = paths["/query/refused"]["post"]["parameters"]
    assert parameter["schema"]["default"] == -1
    assert parameter["required"] is False
