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


class OnlyThese(BaseModel):
    model_config = ConfigDict(extra="forbid")

    host: str
    value: int = Field(validation_alias=CHOICES)


class All(OnlyThese):
    model_config = ConfigDict(extra="allow")


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

    @app.get("/only")
    def only(data: Annotated[OnlyThese, marks.Header()]):
        return data

    @app.get("/all")
    def every(data: Annotated[All, marks.Header()]):
        return [data.value, data.model_extra.get("x-second")]

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
    asked += [("/all", headers[2]), ("/only", headers[2])]
    for path, fields in asked:
        if (
            path == "/only"
        ):  # of the fields that the client sends by itself there is one problem each
            problems = [each.get(path, headers=fields).json()["detail"] for each in (ours, theirs)]
            problems = [[e for e in found if e["loc"][1] == "x-second"] for found in problems]
            assert problems[0] == problems[1] != []
            continue
        answers = [tell(each.get(path, headers=fields)) for each in (ours, theirs)]
        assert answers[0] == answers[1], (path, fields)


def make_named(names: SimpleNamespace) -> Any:
    marks: Any = fastapi if names.App is fastapi.FastAPI else fluvial
    app, query, header = names.App(), marks.Query, marks.Header
    for number, annotation in enumerate(
        [
            Annotated[int, query(alias="marked"), Field(alias="named")],
            Annotated[int, query(alias="marked"), Field(alias=None)],
            Annotated[int, query(alias="marked"), Field(gt=1)],
            Annotated[int, query(validation_alias="marked"), Field(validation_alias="named")],
            Annotated[int, Field(alias="named"), query(alias="marked")],
            Annotated[int, Field(alias=None), query(alias="marked")],
            Annotated[int, Field(alias="named"), query()],
            Annotated[int, Field(alias="named"), query(), Field(alias=None)],
            Annotated[int, header(alias="x-marked"), Field(alias=None)],
        ]
    ):

        def read(two_words: Any) -> Any:
            return two_words

        read.__annotations__["two_words"] = annotation
        app.get(f"/{number}")(read)
    return app


def test_a_field_after_the_marker_has_the_last_word(serve) -> None:
    ours, theirs = serve_both(serve, make_named)
    documents = [each.get("/openapi.json").json()["paths"] for each in (ours, theirs)]
    names = [
        [[p["name"] for p in item["get"]["parameters"]] for item in document.values()]
        for document in documents
    ]
    assert names[0] == names[1]
    assert names[0][:3] == [["named"], ["two_words"], ["marked"]]
    for number in range(len(names[0])):
        answers = [each.get(f"/{number}").json()["detail"][0]["loc"] for each in (ours, theirs)]
        assert answers[0] == answers[1], number
