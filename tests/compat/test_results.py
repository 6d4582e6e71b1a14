"""What FastAPI's programs return: their annotations are response models, as there."""

from typing import Any

import pytest
from fluvial import App, Response
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
