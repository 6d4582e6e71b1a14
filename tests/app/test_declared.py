"""What the parameters of a route tell validators and documents."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any

import pydantic
from fluvial import App, Body, Path, Query
from fluvial._signature.declared import Field


@dataclass
class Point:
    x: int
    tags: list[str] = field(default_factory=list)


def declared(handler: Any, path: str = "/{item_id}") -> dict[str, Field]:
    app = App()
    app.post(path)(handler)
    arguments = [argument.value for call in app.routes[-1].calls for argument in call.arguments]
    return {value.name: value for value in arguments if isinstance(value, Field)}


def test_a_field_has_pydantics_validator_and_schema() -> None:
    def handler(
        item_id: int,
        q: Annotated[int | None, Query(alias="size", ge=3, title="Size", deprecated=True)] = None,
        point: Annotated[Point, Body(description="where")] = Point(1, ["a"]),  # noqa: B008
        names: list[str] = Query(["x"], max_length=4),  # noqa: B008
    ) -> None: ...

    found = declared(handler)
    assert {f.name: (f.alias, f.source, f.is_required) for f in found.values()} == {
        "item_id": ("item_id", "path", True),
        "q": ("size", "query", False),
        "point": ("point", "body", False),
        "names": ("names", "query", False),
    }
    assert found["item_id"].adapter.validate_python("7") == 7
    assert found["q"].info.title == "Size"
    assert found["q"].adapter.json_schema() == {
        "anyOf": [{"type": "integer", "minimum": 3}, {"type": "null"}],
        "default": None,
        "deprecated": True,
        "title": "Size",
    }
    schema = found["point"].adapter.json_schema()
    assert schema["default"] == {"x": 1, "tags": ["a"]}
    assert schema["description"] == "where"
    assert found["names"].info.default == ["x"]


def test_aliases_of_pydantic_beside_a_marker(serve) -> None:
    """`Field(alias=…)` in the Annotated names the value, unless a marker after it does."""
    app = App()

    @app.post("/{wire}")
    async def handler(
        path: Annotated[int, pydantic.Field(alias="wire"), Path()],
        query: Annotated[int, Query(), pydantic.Field(validation_alias="q")],
        other: Annotated[int, Query(alias="mine"), pydantic.Field(alias="theirs")],
        implied: Annotated[int, pydantic.Field(alias="i")] = 0,
    ) -> list[int]:
        return [path, query, other, implied]

    response = serve(app).client.post("/1?q=2&theirs=3&i=4")
    assert response.json() == [1, 2, 3, 4]
