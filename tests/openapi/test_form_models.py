"""Documents of forms with several models."""

from __future__ import annotations

from typing import Annotated, Any

from fluvial import App, Depends, Form, Query
from pydantic import BaseModel, ConfigDict, Field


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
