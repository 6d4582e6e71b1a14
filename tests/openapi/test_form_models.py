"""Documents of forms with several models."""

from __future__ import annotations

from typing import Annotated, Any

import pytest
from fluvial import App, Depends, Form, Query
from fluvial.testclient import TestClient
from pydantic import AliasChoices, BaseModel, ConfigDict, Field

SCHEMAS = "#/components/schemas/"


class First(BaseModel):
    first: int


class Second(BaseModel):
    second: int


def read_first(data: Annotated[First, Form()]) -> First:
    return data


def test_models_that_dependencies_name_alike() -> None:
    app = App()

    @app.post("/")
    def submit(
        data: Annotated[Second, Form()], first: Annotated[First, Depends(read_first)]
    ) -> None: ...

    @app.post("/same")
    def same(
        data: Annotated[First, Form()], first: Annotated[First, Depends(read_first)]
    ) -> None: ...

    document = app.openapi()

    def schema(path: str) -> Any:
        content = document["paths"][path]["post"]["requestBody"]["content"]
        return content["application/x-www-form-urlencoded"]["schema"]

    name = schema("/")["$ref"].rpartition("/")[2]
    places = {each["$ref"] for each in document["components"]["schemas"][name]["allOf"]}
    assert places == {"#/components/schemas/First", "#/components/schemas/Second"}
    assert schema("/same") == {"$ref": "#/components/schemas/First"}


def test_aliases_that_a_model_does_not_read() -> None:
    class ByName(BaseModel):
        model_config = ConfigDict(validate_by_alias=False)
        number: Annotated[int, Field(alias="legacy")]

    def read(data: Any) -> None: ...

    read.__annotations__["data"] = Annotated[ByName, Query()]
    app = App()
    app.get("/")(read)
    (found,) = app.openapi()["paths"]["/"]["get"]["parameters"]
    assert (found["name"], found["schema"]["title"]) == ("number", "Number")


class Named(BaseModel):
    model_config = ConfigDict(populate_by_name=True)
    name: Annotated[str, Field(alias="display_name")]
    city: str
    other: Annotated[str, Field(alias="o")] = ""


class Chosen(BaseModel):
    name: Annotated[str, Field(validation_alias=AliasChoices("display_name", "nick"))]


class OnlyByName(BaseModel):
    model_config = ConfigDict(validate_by_alias=False, validate_by_name=True)
    name: Annotated[str, Field(alias="display_name")]


NAMED = [["display_name"], ["name"]]
CHOSEN = [["display_name"], ["nick"]]


@pytest.mark.parametrize("kind", [Named, Chosen, OnlyByName, First])
@pytest.mark.parametrize("optional", [False, True])
def test_each_name_of_a_required_field_will_do(kind: Any, optional: bool) -> None:
    """One of several models of a form; a form with one model alone is that model's schema."""
    app = App()

    def read(second: Annotated[Second, Form()], data: Any = None) -> Any:
        return data.model_dump()

    read.__annotations__["data"] = Annotated[kind | None if optional else kind, Form()]
    read.__defaults__ = (None,) if optional else None
    app.post("/")(read)
    schemas = app.openapi()["components"]["schemas"]
    (body,) = (each for name, each in schemas.items() if name.startswith("Body_"))
    member = next(each for each in body["allOf"] if each != {"$ref": f"{SCHEMAS}Second"})
    absent = None
    if optional:
        absent, found = member["anyOf"]
        (member,) = found["anyOf"]
    names = {Named: NAMED, Chosen: CHOSEN}.get(kind, [])
    if not names:
        assert member == {"$ref": f"{SCHEMAS}{kind.__name__}"}
        return
    assert member["required"] == (["city"] if kind is Named else [])
    assert member["allOf"] == [{"anyOf": [{"required": each} for each in names]}]
    with TestClient(app) as client:
        for (name,) in names:
            answer = client.post("/", data={name: "a", "second": "2", "city": "x"})
            assert (answer.status_code, answer.json()["name"]) == (200, "a")
            if absent is not None:  # what activates the model is none of the absent one's
                assert {"required": [name]} in absent["not"]["anyOf"]
