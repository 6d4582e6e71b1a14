"""Markers in the bodies of pydantic's models, where FastAPI's are fields."""

from __future__ import annotations

import dataclasses
import inspect
from typing import Annotated, Any

import pytest
from fluvial import App, Body, Depends, Header, Query
from fluvial.testclient import TestClient
from pydantic import AliasChoices, BaseModel, ConfigDict, ValidationError


class Page(BaseModel):
    model_config = ConfigDict(populate_by_name=True)
    number: int = Query(1, ge=1, description="which")
    size: int = Query(50, alias="page-size", le=100)
    words: list[str] = Query(default_factory=list)
    key: str = Body(validation_alias=AliasChoices("key", "id"), examples=["a"])


def test_they_are_fields_with_limits_names_and_defaults() -> None:
    page = Page(id="x")  # type: ignore[call-arg]
    assert page.model_dump() == {"number": 1, "size": 50, "words": [], "key": "x"}
    assert Page.model_validate({"page-size": 3, "key": "y"}).size == 3
    assert page.words is not Page(key="z").words
    for wrong in ({"number": 0}, {"page-size": 101}):
        with pytest.raises(ValidationError):
            Page.model_validate({"key": "x", **wrong})
    with pytest.raises(ValidationError, match="Field required"):
        Page.model_validate({})
    schema = Page.model_json_schema()["properties"]
    assert schema["number"] == {
        **{"default": 1, "minimum": 1, "title": "Number", "type": "integer"},
        "description": "which",
    }
    assert schema["key"]["examples"] == ["a"]


class Filter(BaseModel):
    number: int = Query(1, ge=1)
    token: str = Header("none")


@pytest.mark.parametrize("way", ["class", "model"])
def test_a_model_of_parameters(way: str) -> None:
    app = App()
    if way == "class":

        @app.get("/")
        async def by_class(given: Annotated[Filter, Depends()]) -> Any:
            return given.number
    else:

        @app.get("/")
        async def by_model(given: Annotated[Filter, Query()]) -> Any:
            return given.number

    client = TestClient(app)
    assert client.get("/").json() == 1
    assert client.get("/", params={"number": 7}).json() == 7
    assert client.get("/", params={"number": 0}).status_code == 422


def test_a_field_as_the_default_of_a_parameter_is_its_marker() -> None:
    field: Any = Filter.model_fields["token"]

    async def dependency(token: str) -> str:
        return token

    parameter = inspect.Parameter("token", inspect.Parameter.KEYWORD_ONLY, default=field)
    parameter = parameter.replace(annotation=str)
    dependency.__signature__ = inspect.Signature([parameter])  # type: ignore[attr-defined]
    app = App()

    @app.get("/")
    async def show(token: str = Depends(dependency)) -> str:
        return token

    client = TestClient(app)
    assert client.get("/").json() == "none"
    assert client.get("/", headers={"token": "a"}).json() == "a"


def test_in_other_classes_they_stay_what_they_are() -> None:
    class Plain:
        limit = Query(3)

    @dataclasses.dataclass
    class Data:
        limit: Any = Query(4)  # noqa: RUF009

    assert isinstance(Plain.limit, Query)
    assert isinstance(Data().limit, Query)
