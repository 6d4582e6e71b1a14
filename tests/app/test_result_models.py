"""Results that a declared type filters."""

import dataclasses
from typing import TypedDict

import pydantic
import typing_extensions
from fluvial import (
    App,
    Response,
)


class User(pydantic.BaseModel):
    name: str
    age: int | None = None


class SecretUser(User):
    password: str


@dataclasses.dataclass
class DataUser:
    name: str


@dataclasses.dataclass
class SecretDataUser(DataUser):
    password: str = "x"


class TypedUser(TypedDict):
    name: str


class LaterTypedUser(typing_extensions.TypedDict):
    name: str


class Row:
    def __init__(self) -> None:
        self.name = "row"
        self.age = 3
        self.password = "x"


def test_models_filter_results(serve) -> None:
    app = App()
    secret = SecretUser(name="a", password="x")

    @app.get("/annotation")
    def annotation() -> User:
        return secret

    @app.get("/model", response_model=User)
    async def model():
        return {"name": "a", "password": "x"}

    @app.get("/list", response_model=list[User])
    def many():
        return [secret, Row()]

    @app.get("/unset", response_model=User, response_model_exclude_unset=True)
    def unset():
        return User(name="a")

    @app.get("/none", response_model=User, response_model_exclude_none=True)
    def none():
        return {"name": "a", "age": None}

    @app.get("/include", response_model=User, response_model_include={"name"})
    def include():
        return secret

    @app.get("/off", response_model=None)
    def off() -> User:
        return secret

    @app.get("/dataclass")
    def data() -> DataUser:
        return SecretDataUser("a")

    @app.get("/dataclass/dict", response_model=DataUser)
    def data_dict():
        return {"name": "a", "password": "x"}

    @app.get("/typed")
    def typed() -> TypedUser:
        return {"name": "a", "password": "x"}  # type: ignore[typeddict-unknown-key]

    @app.get("/typed/later")
    def typed_later() -> list[LaterTypedUser]:
        return [{"name": "a", "password": "x"}]  # type: ignore[typeddict-unknown-key]

    @app.get("/response")
    async def response() -> User | Response:
        return Response("own")

    client = serve(app).client
    assert client.get("/annotation").json() == {"name": "a", "age": None}
    assert client.get("/model").json() == {"name": "a", "age": None}
    expected = [{"name": "a", "age": None}, {"name": "row", "age": 3}]
    assert client.get("/list").json() == expected
    assert client.get("/unset").json() == {"name": "a"}
    assert client.get("/none").json() == {"name": "a"}
    assert client.get("/include").json() == {"name": "a"}
    assert client.get("/off").json() == {"name": "a", "age": None, "password": "x"}
    assert client.get("/dataclass").json() == {"name": "a"}
    assert client.get("/dataclass/dict").json() == {"name": "a"}
    assert client.get("/response").text == "own"
    assert client.get("/typed").json() == {"name": "a"}
    assert client.get("/typed/later").json() == [{"name": "a"}]


def test_results_that_do_not_fit_are_errors_and_stay_inside(serve) -> None:
    app = App()

    @app.get("/pydantic", response_model=User)
    def handler():
        return {"password": "secret"}

    @app.get("/dataclass", response_model=DataUser)
    async def data():
        return {"password": "secret"}

    client = serve(app).client
    for path in ("/pydantic", "/dataclass"):
        response = client.get(path)
        assert (response.status_code, response.text) == (500, "Internal Server Error")
