"""Results with objects whose classes declare no fields: all of their attributes are written."""

from __future__ import annotations

import abc
import pathlib
from typing import Any, Generic, NamedTuple, TypeVar

import attrs
import msgspec
import pydantic
import pytest
from fluvial import App

T = TypeVar("T")


class Bare:
    def __init__(self, name: str) -> None:
        self.name = name


class BareRow(Bare):
    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.password = "secret"


class Stranger:
    def __init__(self) -> None:
        self.password = "secret"


class Abstract(abc.ABC):
    @abc.abstractmethod
    def speak(self) -> str: ...


class Spoken(Abstract):
    def __init__(self) -> None:
        self.password = "secret"

    def speak(self) -> str:
        return "word"


class Box(Generic[T]):
    def __init__(self) -> None:
        self.name = "box"


class BoxRow(Box[T]):
    def __init__(self) -> None:
        self.password = "secret"


class Pair(NamedTuple):
    bare: Bare
    number: int


KINDS: dict[str, tuple[Any, Any, Any]] = {
    "bare": (Bare, Bare("ann"), BareRow("ann")),
    "unrelated": (Bare, Bare("ann"), Stranger()),
    "optional": (Bare | None, Bare("ann"), BareRow("ann")),
    "list": (list[Bare], [Bare("ann")], [Bare("ann"), BareRow("ann")]),
    "dict": (dict[str, list[Bare]], {"a": []}, {"a": [BareRow("ann")]}),
    "tuple": (tuple[Bare, int], (Bare("ann"), 1), (BareRow("ann"), 1)),
    "named": (Pair, Pair(Bare("ann"), 1), Pair(BareRow("ann"), 1)),
    "generic": (Box[int], Box[int](), BoxRow[int]()),
    "abstract": (Abstract | None, None, Spoken()),
}


def struct(kind: Any) -> Any:
    return msgspec.defstruct("Held", [("held", kind)])


def attrs_class(kind: Any) -> Any:
    return attrs.make_class("Held", {"held": attrs.field(type=kind)})


def model(kind: Any) -> Any:
    config = pydantic.ConfigDict(arbitrary_types_allowed=True)
    return pydantic.create_model("Held", __config__=config, held=(kind, ...))


def model_in_struct(kind: Any) -> Any:
    inner = model(kind)
    outer = msgspec.defstruct("Outer", [("inner", inner)])
    return outer, lambda held: outer(inner.model_construct(held=held))


def struct_in_model(kind: Any) -> Any:
    inner = struct(kind)
    outer = model(inner)
    return outer, lambda held: outer(held=inner(held))


MAKERS: dict[str, Any] = {
    "struct": lambda kind: (made := struct(kind), made),
    "attrs": lambda kind: (made := attrs_class(kind), made),
    "model": lambda kind: (made := model(kind), lambda held: made.model_construct(held=held)),
    "model in struct": model_in_struct,
    "struct in model": struct_in_model,
}


@pytest.mark.parametrize("maker", MAKERS)
@pytest.mark.parametrize("kind", KINDS)
def test_what_a_subclass_adds_is_not_sent(serve, kind: str, maker: str) -> None:
    """Nothing says which attributes are wanted, so the response is refused."""
    declared, fine, more = KINDS[kind]
    made, hold = MAKERS[maker](declared)
    results = {"fine": hold(fine), "more": hold(more)}
    app = App()

    @app.get("/{which}", response_model=made)
    async def read(which: str) -> Any:
        return results[which]

    @app.get("/list/{which}", response_model=list[made])
    def read_list(which: str) -> Any:
        return [results[which]]

    client = serve(app).client
    for path in ("/", "/list/"):
        assert client.get(f"{path}fine").status_code == 200
        response = client.get(f"{path}more")
        assert (response.status_code, response.text) == (500, "Internal Server Error")


def test_the_log_says_what_to_declare(serve, caplog: pytest.LogCaptureFixture) -> None:
    app = App()
    made = struct(Bare)
    app.get("/", response_model=made)(lambda: made(BareRow("ann")))
    assert serve(app).client.get("/").status_code == 500
    assert "BareRow is a subclass of Bare, which declares no fields" in caplog.text


@pytest.mark.parametrize("fine", [1, Bare("ann")])
def test_a_union_that_pydantic_knows(serve, fine: Any) -> None:
    """msgspec has no unions of such classes."""
    made = model(int | Bare)
    results = {"fine": made(held=fine), "more": made(held=BareRow("ann"))}
    app = App()
    app.get("/{which}", response_model=made)(lambda which: results[which])
    client = serve(app).client
    assert client.get("/fine").json() == {"held": fine if fine == 1 else {"name": "ann"}}
    assert client.get("/more").status_code == 500


@pytest.mark.parametrize("make", [struct, model])
def test_classes_with_a_json_form_of_their_own_may_be_subclassed(serve, make: Any) -> None:
    app = App()
    made = make(pathlib.PurePath)
    app.get("/", response_model=made)(lambda: made(held=pathlib.PurePosixPath("/a")))
    assert serve(app).client.get("/").json() == {"held": "/a"}


def test_object_is_any_value(serve) -> None:
    app = App()
    made = struct(object)
    app.get("/", response_model=made)(lambda: made({"a": 1}))
    assert serve(app).client.get("/").json() == {"held": {"a": 1}}
