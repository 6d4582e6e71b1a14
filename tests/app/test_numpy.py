"""Results that hold numpy's arrays and scalars."""

import json
from typing import Any

import pydantic
import pytest
from fluvial import App, Response, jsonable_encoder

numpy: Any = pytest.importorskip("numpy")


class Model(pydantic.BaseModel):
    x: Any


TIME = "2020-01-02T03:04:05.123456789"
RECORD = numpy.array([(1, "a")], dtype=[("x", int), ("y", "U5")])
RESULTS: list[tuple[Any, Any]] = [
    *((numpy.int64(5), 5), (numpy.uint64(2**63), 2**63), (numpy.bool_(True), True)),
    *((numpy.float32(1.5), 1.5), (numpy.float64(0.1), 0.1), (numpy.longdouble(1.5), 1.5)),
    *((numpy.str_("a"), "a"), (numpy.float64("nan"), None)),
    *((numpy.arange(3), [0, 1, 2]), (numpy.eye(2), [[1.0, 0.0], [0.0, 1.0]])),
    *((numpy.array(5), 5), (numpy.array([]), []), (numpy.array([1.0, numpy.nan]), [1.0, None])),
    *(
        (RECORD, [[1, "a"]]),
        (RECORD[0], [1, "a"]),
        (numpy.ma.array([1, 2], mask=[0, 1]), [1, None]),
    ),
    *((numpy.datetime64("2020-01-02"), "2020-01-02"), (numpy.datetime64("NaT", "ns"), None)),
    (numpy.datetime64(TIME), TIME[:-3]),
    (numpy.array([TIME, "NaT"], dtype=">M8[ns]"), [TIME[:-3], None]),
    (numpy.datetime64("2020-01-02T03:04:05"), "2020-01-02T03:04:05"),
    ({"a": numpy.int32(1), "b": [numpy.arange(2)]}, {"a": 1, "b": [[0, 1]]}),
    ({numpy.int64(1): 2, numpy.str_("b"): 1}, {"1": 2, "b": 1}),
    ([Model(x=numpy.arange(2)), Model(x=numpy.int64(1))], [{"x": [0, 1]}, {"x": 1}]),
]
DURATION = numpy.timedelta64(1_500_000_000, "ns")


@pytest.mark.parametrize("number", range(len(RESULTS)), ids=lambda n: repr(RESULTS[n][0])[:40])
def test_results(serve, number: int) -> None:
    result, expected = RESULTS[number]
    app = App()
    app.get("/")(lambda: result)
    assert serve(app).client.get("/").json() == expected
    encoded = json.dumps(jsonable_encoder(result))
    assert json.loads(encoded, parse_constant=lambda _: None) == expected


class Sums(pydantic.BaseModel):
    total: int
    parts: list[float]


def test_response_models(serve) -> None:
    app = App()
    row = {"total": numpy.int64(3), "parts": numpy.array([1.0, 2.0]), "more": numpy.int64(1)}
    app.get("/", response_model=Sums)(lambda: row)
    app.get("/all", response_model=list[Sums])(lambda: [row])
    client = serve(app).client
    assert client.get("/").json() == {"total": 3, "parts": [1.0, 2.0]}
    assert client.get("/all").json() == [{"total": 3, "parts": [1.0, 2.0]}]


def test_durations(serve) -> None:
    app = App()
    app.get("/")(lambda: [DURATION])
    assert serve(app).client.get("/").json() == ["PT1.5S"]
    assert jsonable_encoder([DURATION]) == [1.5]


@pytest.mark.parametrize("value", [1j, numpy.clongdouble(1j), numpy.dtype("int64")], ids=repr)
def test_what_has_no_json_form(value: Any) -> None:
    with pytest.raises(ValueError, match="has no JSON form"):
        jsonable_encoder({"a": value})


def test_numbers_are_no_content() -> None:
    assert Response(numpy.arange(2, dtype="u1")).body == b"\0\1"
    with pytest.raises(TypeError, match="not int64"):
        Response(numpy.int64(7))
