"""JSON bodies go to pydantic's validator, or msgspec's decoder, at once; others are read anew."""

from __future__ import annotations

from typing import Any

import msgspec
import pydantic
import pytest
from fluvial import App, HTTPException
from fluvial.testclient import TestClient

seen: list[str] = []


class Model(pydantic.BaseModel):
    name: str

    @pydantic.field_validator("name")
    @classmethod
    def look(cls, value: str) -> str:
        seen.append(value)
        if value == "lookup":
            raise LookupError(value)
        if value == "teapot":
            raise HTTPException(418)
        if value == "long":
            raise ValueError("too long")
        return value


class Struct(msgspec.Struct):
    name: str
    number: int = 0


app = App()


@app.post("/model")
async def take_model(model: Model) -> Any:
    return model.name


@app.post("/struct")
async def take_struct(struct: Struct) -> Any:
    return [struct.name, struct.number]


@pytest.mark.parametrize(("name", "calls"), [("fine", 1), ("long", 2)])
def test_validators_are_called_as_often_as_before(name: str, calls: int) -> None:
    seen.clear()
    with TestClient(app) as client:
        response = client.post("/model", json={"name": name})
    assert response.status_code == (200 if name == "fine" else 422)
    assert seen == [name] * calls


def test_what_validators_raise_is_raised() -> None:
    seen.clear()
    with TestClient(app) as client:
        assert client.post("/model", json={"name": "teapot"}).status_code == 418
        with pytest.raises(LookupError):
            client.post("/model", json={"name": "lookup"})
    assert seen == ["teapot", "lookup"]


@pytest.mark.parametrize(
    ("content", "kind", "status"),
    [
        (b'{"name": "a"}', "application/json", 200),
        (b'{"name": "a"}', "Application/JSON; charset=utf-8", 200),
        (b'\xef\xbb\xbf{"name": "a"}', "application/json", 200),
        (b'{"name": 1}', "application/json", 422),
        (b"{", "application/json", 422),
        (b"", "application/json", 422),
        (b'{"name": "\xff"}', "application/json", 400),
        (b'{"name": "a"}', "text/plain", 415),
        (b'{"name": ' + b"[" * 100_000, "application/json", 422),
    ],
)
@pytest.mark.parametrize("path", ["/model", "/struct"])
def test_bodies(path: str, content: bytes, kind: str, status: int) -> None:
    with TestClient(app) as client:
        response = client.post(path, content=content, headers={"Content-Type": kind})
    assert response.status_code == status


def test_what_msgspec_refuses_pydantic_may_accept() -> None:
    with TestClient(app) as client:
        assert client.post("/struct", json={"name": "a", "number": "5"}).json() == ["a", 5]
