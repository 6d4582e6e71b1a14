"""Our conversions and words beside pydantic's, for the same types and values."""

import dataclasses
import datetime
import decimal
import enum
import json
import uuid
from typing import Any, Literal, NamedTuple

import pytest
from fluvial import RequestValidationError
from fluvial._validation.validators import MsgspecValidator, PydanticValidator, make_validator
from typing_extensions import TypedDict


class Model(str, enum.Enum):  # noqa: UP042 - the older way must work too
    ALEX = "alex"
    RES = "res"
    LE = "le"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


@dataclasses.dataclass
class Item:
    name: str
    price: float
    tags: list[str] = dataclasses.field(default_factory=list)
    counts: dict[str, int] | None = None


class Typed(TypedDict):
    a: int


class Named(NamedTuple):
    a: int
    b: str = "x"


@dataclasses.dataclass
class Nested:
    item: Item
    items: list[Item]
    model: Model | None = None
    amount: decimal.Decimal = decimal.Decimal(1)
    literal: Literal["z", "b"] = "z"
    pair: tuple[int, str] | None = None
    union: int | list[int] = 3
    numbers: set[int] = dataclasses.field(default_factory=set)


TEXTS = [
    *("x", "", "1", "1.5", "5.0", "-3", " 7 ", "1_000", "9" * 5000, "true", "Yes", "off", "é"),
    *("2020-01-01", "2020-13-01", "2020-01-32", "20x0-01-01", "2020/01/01", "2020-01-01T10:00"),
    *("2020-01-01T10:00:00Z", "2020-01-01 10:00:00.5+02:00", "10:20", "10:20:30", "1x:20:30"),
    *("P1D", "1 day, 02:03:04", "6ba7b810-9dad-11d1-80b4-00c04fd430c8", "alex", "2"),
    *("6ba7b810-9dad-11d1-80b4-00c04fd430c", "6ba7b8109dad11d180b400c04fd430c8"),
    *("6ba7b810-9dad-11d1-80b400c04fd430c8", "{6ba7b810-9dad-11d1-80b4-00c04fd430c8}"),
    *("urn:uuid:6ba7b810-9dad-11d1-80b4-00c04fd430c8", "1577934245000", "1577934245", "-1.5"),
    *("20000000001", "2020-01-01T25:00:00", "10:60", "24:00", "P1W", "P1Y2M", "-P1DT2H", "PT1.5S"),
]
SCALARS = [
    *(int, float, bool, str, uuid.UUID, datetime.datetime, datetime.date, datetime.time),
    *(decimal.Decimal, Model, Level, Literal["x", "alex"], int | None, int | uuid.UUID),
    *(str | None, int | str, bytes, list[bytes]),
]
VALUES: list[tuple[Any, list[Any]]] = [
    (int, [1, 1.5, 2.0, True, None, "x", [], 1e400]),
    (float, [1, "x", None, True, []]),
    (bool, [1, 0, 2, "x", None, 1.0, 1.5, []]),
    (datetime.datetime, [1577934245, 1577934245000, 20_000_000_001, "2020-01-01T10:00:00"]),
    (str, [1, None, "a"]),
    (list[int], [[1], {}, ["a", None], "x", None, 5]),
    (set[int], [[1, 1], ["x"], {}]),
    (frozenset[int], [[1], "x"]),
    (tuple[int, str], [[1, "x"], [1], [1, 2, 3], ["a", 5], {}]),
    (tuple[int, ...], [[1, 2], ["a"], 3]),
    (dict[str, int], [{"a": 1}, {"a": "x"}, [], None]),
    (dict[int, int], [{"1": 1}, {"a": 1}]),
    (
        Item,
        [
            *({"name": "a", "price": 1}, {}, [], 3, None),
            {"name": 1, "price": "x", "tags": [1], "counts": {"a": "x"}},
            {"name": "a", "price": 1, "counts": None, "unknown": 3},
        ],
    ),
    (list[Item], [[{}], [3], [{"name": "a", "price": "2"}]]),
    (Typed, [{"a": 1}, {}, {"a": "x", "b": 1}, []]),
    (
        Nested,
        [
            {"item": {"name": "a", "price": 1}, "items": []},
            {"item": {"name": "a", "price": 1}, "items": [], "amount": 1.5, "union": ["x"]},
            {
                **{"item": {}, "items": [{}], "model": "q", "amount": "nan", "literal": "q"},
                **{"pair": [1], "union": "x", "numbers": ["q"]},
            },
        ],
    ),
    (int | str | None, [1, "a", None, []]),
    (list[int] | dict[str, int], [3, ["x"], {"a": "x"}]),
    (uuid.UUID, [3]),
    (datetime.date, [True, [], "x"]),
    (decimal.Decimal, [1, 1.5, "x", [], True, "inf"]),
    (Any, [1, None]),
    (None, [None, 1]),
]
CONSTRAINED: list[tuple[Any, dict[str, Any], list[Any]]] = [
    (int, {"gt": 3, "le": 10}, ["2", 11, 5]),
    (float, {"gt": 1.5, "lt": 9.5}, ["1", "9.5"]),
    (str, {"min_length": 2, "max_length": 3, "pattern": "^a"}, ["a", "abcd", "ba", "ab"]),
    (list[int], {"min_length": 1, "max_length": 2}, [[], ["1", "2", "3"], ["1"]]),
    (int | None, {"ge": 0}, [-1, None, 1]),
    (int, {"multiple_of": 3}, ["4", "6"]),
    (decimal.Decimal, {"gt": 3}, ["2", "4"]),
    (datetime.date, {"gt": datetime.date(2020, 1, 1)}, ["2019-01-01", "2021-01-01"]),
]


def outcome(validator: Any, value: Any, *, as_json: bool, source: str = "body") -> Any:
    try:
        if as_json:
            made = validator.from_json(json.dumps(value).encode(), (source, "q"))
        else:
            made = validator.from_python(value, (source, "q"))
        return "value", without_zones(repr(made))
    except RequestValidationError as exc:
        return "problems", list(exc.errors())


def without_zones(text: str) -> str:
    """pydantic has a time zone class of its own."""
    return (
        text.replace("TzInfo(0)", "datetime.timezone.utc")
        .replace("TzInfo(7200)", "datetime.timezone(datetime.timedelta(seconds=7200))")
        .replace("TzInfo(UTC)", "datetime.timezone.utc")
    )


@pytest.mark.parametrize("kind", SCALARS, ids=str)
def test_texts(kind: Any) -> None:
    ours, theirs = MsgspecValidator(kind, {}), PydanticValidator(kind, {})
    for text in TEXTS:
        expected = without_zones(str(outcome(theirs, text, as_json=False, source="query")))
        assert str(outcome(ours, text, as_json=False, source="query")) == expected


@pytest.mark.parametrize("as_json", [False, True])
@pytest.mark.parametrize(("kind", "values"), VALUES, ids=lambda v: str(v)[:40])
def test_values(kind: Any, values: list[Any], as_json: bool) -> None:
    ours, theirs = MsgspecValidator(kind, {}), PydanticValidator(kind, {})
    for value in values:
        assert outcome(ours, value, as_json=as_json) == outcome(theirs, value, as_json=as_json)


@pytest.mark.parametrize(("kind", "constraints", "values"), CONSTRAINED, ids=str)
def test_constraints(kind: Any, constraints: dict[str, Any], values: list[Any]) -> None:
    ours, theirs = make_validator(kind, constraints), PydanticValidator(kind, constraints)
    for value in values:
        assert outcome(ours, value, as_json=False) == outcome(theirs, value, as_json=False)


def test_bytes_are_base64_in_json() -> None:
    validator = MsgspecValidator(list[bytes], {})
    assert validator.from_json(b'["YWJj", ""]', ("body",)) == [b"abc", b""]
    assert validator.from_python(["YWJj"], ("body",)) == [b"abc"]
    with pytest.raises(RequestValidationError) as caught:
        validator.from_json(b'["YWJj", "a!"]', ("body",))
    (error,) = caught.value.errors()
    assert (error["type"], error["loc"]) == ("bytes_invalid_encoding", ("body", 1))


def test_named_tuples() -> None:
    validator = MsgspecValidator(Named, {})
    assert validator.from_json(b'[1, "y"]', ()) == Named(1, "y")


def test_json_numbers_beyond_64_bits_are_exact() -> None:
    number = 123456789012345678901234567890
    assert MsgspecValidator(int, {}).from_json(str(number).encode(), ()) == number
    assert MsgspecValidator(Any, {}).from_json(str(number).encode(), ()) == number


def test_a_type_that_nobody_knows_is_refused() -> None:
    class Unknown: ...

    with pytest.raises(TypeError, match="Unknown"):
        make_validator(Unknown, {})
