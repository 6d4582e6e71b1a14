"""Parameters and models whose values have several names, as in FastAPI."""

from types import SimpleNamespace
from typing import Annotated, Any

import fastapi
import fluvial
from pydantic import AliasChoices, BaseModel, ConfigDict, Field
from support.both import serve_both, tell

CHOICES = AliasChoices("X-First", "X-Second")


class Fields(BaseModel):
    value: int = Field(validation_alias=CHOICES)
    item_values: list[str] = Field(["none"], validation_alias=AliasChoices("item_values", "X-Tag"))
    two_words: str = "none"


class Query(BaseModel):
    model_config = ConfigDict(populate_by_name=True)

    value: int = Field(validation_alias=AliasChoices("first", "second"))


def make(names: SimpleNamespace) -> Any:
    marks: Any = fastapi if names.App is fastapi.FastAPI else fluvial
    app = names.App()

    @app.get("/header")
    def header(
        value: Annotated[int, marks.Header(validation_alias=CHOICES)],
        tags: Annotated[
            list[str], marks.Header(validation_alias=AliasChoices("item_values", "X-Tag"))
        ] = ["none"],  # noqa: B006
    ):
        return [value, tags]

    @app.get("/header-model")
    def header_model(data: Annotated[Fields, marks.Header()]):
        return data

    @app.get("/query-model")
    def query_model(data: Annotated[Query, marks.Query()]):
        return data

    @app.get("/one/{value}")
    def own_name(value: Annotated[int, marks.Path(validation_alias=AliasChoices("a", "b"))]):
        return value

    @app.get("/two/{b}")
    def second(value: Annotated[int, marks.Path(validation_alias=AliasChoices("a", "b"))]):
        return value

    @app.get("/three/{c}")
    def explicit(
        value: Annotated[int, marks.Path(alias="c", validation_alias=AliasChoices("a", "b"))],
    ):
        return value

    return app


def test_the_first_name_that_was_sent_counts(serve) -> None:
    ours, theirs = serve_both(serve, make)
    headers = [
        [("x-first", "1")],
        [("X-SECOND", "1"), ("x-second", "2"), ("x-tag", "a"), ("x-tag", "b")],
        [("x-second", "2"), ("x-first", "1"), ("item_values", "a"), ("x-tag", "b")],
        [("x-first", "one"), ("x-second", "2")],
        [("x-second", "")],
        [("x-first", "1"), ("two-words", "a"), ("two-words", "b")],
    ]
    asked = [(f"/{path}", each) for path in ("header", "header-model") for each in headers]
    asked += [("/header", [])]  # of a model, `input` has all fields, that of the port among them
    asked += [(f"/query-model?{query}", []) for query in ("first=1", "second=1&second=2", "")]
    asked += [(f"/{path}", []) for path in ("one/1", "two/2", "three/3", "three/x")]
    for path, fields in asked:
        answers = [tell(each.get(path, headers=fields)) for each in (ours, theirs)]
        assert answers[0] == answers[1], (path, fields)
