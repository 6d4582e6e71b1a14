"""What FastAPI's programs return: their annotations are response models, as there."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import fastapi
import pytest
from fluvial import App, File, Response
from fluvial._compat.fastapi import FastAPI
from fluvial.exceptions import FluvialError


def returning(app: Any, annotation: Any, value: Any) -> Any:
    def handler() -> Any:
        return value

    handler.__annotations__["return"] = annotation
    app.get("/")(handler)
    return app


@pytest.mark.parametrize(
    ("annotation", "value", "sent"),
    [
        (int, "5", 5),
        (dict[str, int], {"a": "1"}, {"a": 1}),
        (list[float], (1, 2), [1.0, 2.0]),
        (None, {"a": 1}, {"a": 1}),
        (Any, {"a": 1}, {"a": 1}),
    ],
)
def test_what_an_annotation_says_is_sent(serve, annotation: Any, value: Any, sent: Any) -> None:
    response = serve(returning(FastAPI(), annotation, value)).client.get("/")
    assert response.json() == sent
    assert str(response.json()) == str(sent)
    if annotation is int:
        assert serve(returning(App(), annotation, value)).client.get("/").json() == value


def test_what_does_not_fit_is_an_error_of_the_server(serve) -> None:
    assert serve(returning(FastAPI(), int, "x")).client.get("/").status_code == 500
    assert serve(returning(App(), int, "x")).client.get("/").json() == "x"


def test_types_that_are_no_models() -> None:
    class Unknown: ...

    for annotation in (Unknown, list[Unknown], Response | dict[str, int], Response | None):
        with pytest.raises(FluvialError, match="valid Pydantic field type"):
            returning(FastAPI(), annotation, None)
    returning(FastAPI(), Response, Response())


@dataclass
class Held:
    data: bytes
    until: timedelta


RAW = {
    "data": b"text",
    "until": timedelta(minutes=2),
    "many": [b"a", (b"b", {b"c"})],
    "at": datetime(2026, 1, 2, tzinfo=UTC),
    "held": Held(b"d", timedelta(seconds=1)),
}


@pytest.mark.parametrize("value", [RAW, b"text", timedelta(1), [1, None, {"a": b""}], {b"k": 1}])
def test_bytes_and_times_without_a_model_are_as_in_fastapi(serve, value: Any) -> None:
    theirs = fastapi.FastAPI()
    answers = []
    for app in (FastAPI(), theirs):

        @app.get("/")
        def handler():
            return value

        answers.append(serve(app).client.get("/").json())
    assert answers[0] == answers[1]


def test_they_are_base64_and_iso_8601_in_an_app_of_fluvial(serve) -> None:
    app = App()
    app.get("/")(lambda: {"data": b"text", "until": timedelta(minutes=2)})
    assert serve(app).client.get("/").json() == {"data": "dGV4dA==", "until": "PT120S"}


@pytest.mark.parametrize("kind", [App, FastAPI])
def test_a_file_in_an_error_is_shown_as_text(serve, kind: type[App]) -> None:
    app = kind()

    @app.post("/")
    def read(
        data: Annotated[bytes, File(min_length=9)], more: Annotated[list[bytes], File(max_length=0)]
    ) -> None: ...

    files = [("data", b"caf\xc3\xa9"), ("more", b"\xff!")]
    found = serve(app).client.post("/", files=files).json()
    assert [each["input"] for each in found["detail"]] == ["café", ["\ufffd!"]]


def test_models_of_described_responses_are_looked_at() -> None:
    class Unknown: ...

    def register(app: App, model: Any) -> None:
        app.get("/", responses={404: {"model": model}})(lambda: None)

    for model in (Unknown, list[Unknown]):
        with pytest.raises(FluvialError, match=r"valid Pydantic field type for responses\[404\]"):
            register(FastAPI(), model)
    register(FastAPI(), list[int])
