"""`fluvial.jsonable_encoder`, beside FastAPI's."""

from __future__ import annotations

import array
import collections
import dataclasses
import datetime
import decimal
import enum
import ipaddress
import json
import pathlib
import re
import sqlite3
import uuid
from typing import TYPE_CHECKING, Any, NamedTuple

import attrs
import fastapi.encoders
import fluvial
import msgspec
import pydantic
import pydantic_core
import pytest
from fluvial import _core
from fluvial.encoders import jsonable_encoder

if TYPE_CHECKING:
    from collections.abc import Iterator


class Color(enum.Enum):
    RED = "red"


class Level(enum.IntEnum):
    LOW = 1


class Pair(NamedTuple):
    x: int
    y: Any


@dataclasses.dataclass
class Data:
    a: Any
    b: int | None = None


class Model(pydantic.BaseModel):
    name: str = pydantic.Field(alias="theName")
    note: str | None = None
    word: pydantic.SecretStr = pydantic.SecretStr("w")
    url: pydantic.HttpUrl | None = None
    length: datetime.timedelta = datetime.timedelta(1)


class Record:
    """As SQLAlchemy's models."""

    def __init__(self) -> None:
        self._sa_instance_state = object()
        self.id = 1
        self.when = datetime.date(2020, 1, 2)


class Pairs:
    """As Tortoise's models."""

    def __iter__(self) -> Iterator[Any]:
        yield "a", 1
        yield "b", datetime.date(2020, 1, 2)


@attrs.define
class Attributes:
    a: Any


class Struct(msgspec.Struct, rename="camel"):
    long_name: Any


def row() -> Any:
    database = sqlite3.connect(":memory:")
    database.row_factory = sqlite3.Row
    found = database.execute("select 1 as a, 'x' as b").fetchone()
    database.close()
    return found


MODEL = Model(theName="n", url="http://a/b")  # type: ignore[arg-type]
SAME: list[Any] = [
    *(None, True, 1, 1.5, "é", b"bytes", 10**30),
    *(Color.RED, Level.LOW, uuid.UUID(int=1), pathlib.PurePosixPath("/a")),
    *(decimal.Decimal("1.10"), decimal.Decimal(7), decimal.Decimal("1E+2")),
    datetime.datetime(2020, 1, 2, 3, 4, 5, 6, datetime.UTC),
    *(datetime.date(2020, 1, 2), datetime.time(1, 2), datetime.timedelta(days=1, seconds=0.5)),
    *([1, {2}], (1,), {3}, frozenset({4}), collections.deque([5]), Pair(1, Color.RED)),
    {"a": [1, {"b": datetime.date(2020, 1, 2)}], 1: None, Color.RED: 1, None: 2, "_sa_x": 3},
    *(Data(Data(b"x")), [Data(1)], MODEL, [MODEL], {"m": MODEL}),
    *(Record(), Pairs(), row(), [row()], collections.UserDict(a=1), {"a": ValueError("x")}),
    *(re.compile("a+"), ipaddress.ip_address("::1"), ipaddress.ip_interface("10.0.0.1/8")),
    *(pydantic.SecretStr("s"), pydantic_core.Url("http://a/b")),
    pydantic_core.PydanticUndefined,
]
OPTIONS: list[dict[str, Any]] = [
    {},
    {"exclude_none": True},
    {"exclude_unset": True},
    {"exclude_defaults": True},
    {"by_alias": False},
    {"include": {"a", "name", "m"}},
    {"include": ["a"]},
    {"exclude": {"b", "note", "a"}},
    {"exclude": ("url",)},
    {"sqlalchemy_safe": False},
    {
        "custom_encoder": {
            datetime.date: lambda day: day.year,
            str: str.upper,
            Record: lambda r: r.id,
        }
    },
    {"custom_encoder": {Data: lambda data: [data.a], enum.Enum: lambda member: member.name}},
]


@pytest.mark.parametrize("options", OPTIONS, ids=lambda options: ",".join(options) or "none")
@pytest.mark.parametrize("number", range(len(SAME)), ids=lambda n: type(SAME[n]).__name__)
def test_as_fastapi(number: int, options: dict[str, Any]) -> None:
    try:
        expected = fastapi.encoders.jsonable_encoder(SAME[number], **options)
    except ValueError:
        with pytest.raises(ValueError, match="no JSON form"):
            jsonable_encoder(SAME[number], **options)
    else:
        encoded = jsonable_encoder(SAME[number], **options)
        assert encoded == expected
        assert repr(encoded) == repr(expected)  # the same order and types


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (Struct(datetime.date(2020, 1, 2)), {"longName": "2020-01-02"}),
        (Attributes(Data({1})), {"a": {"a": [1], "b": None}}),
        (array.array("i", [1]), [1]),
        ({"a": 1}.keys(), ["a"]),
        (map(str, [1]), ["1"]),
        (collections.ChainMap({"a": 1}), {"a": 1}),
        (decimal.Decimal("1E+999999999"), float("inf")),
    ],
    ids=lambda value: type(value).__name__,
)
def test_beyond_fastapi(value: Any, expected: Any) -> None:
    assert jsonable_encoder(value) == expected
    assert fluvial.jsonable_encoder is jsonable_encoder


def test_names_of_structs() -> None:
    assert jsonable_encoder(Struct(1), by_alias=False) == {"long_name": 1}


@pytest.mark.parametrize("value", [object(), len, Data, json, 1j, {"a": [object()]}])
def test_what_has_no_json_form(value: Any) -> None:
    with pytest.raises(ValueError, match="has no JSON form"):
        jsonable_encoder(value)


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        ({"a": [1, 2.5, True, None, ("x", {"y": []})]}, True),
        ("text", True),
        (2**100, True),
        ({1: "a"}, False),
        ({"a": b"bytes"}, False),
        ([{"a": [datetime.timedelta(1)]}], False),
        ({"a"}, False),
        (type("Text", (str,), {})("a"), False),
        ([type("Dict", (dict,), {})()], False),
        (({"a": (object(),)},), False),
    ],
)
def test_what_is_plain_json(value: Any, plain: bool) -> None:
    assert _core.is_plain_json(value) is plain


def test_deep_values_are_no_plain_json() -> None:
    value: Any = []
    for _ in range(99):
        value = [value]
    assert _core.is_plain_json(value)
    assert not _core.is_plain_json([value])
    value.append(value)  # without end
    assert not _core.is_plain_json(value)
