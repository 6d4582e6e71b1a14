"""Parameters out of path, query, headers and cookies, as users see them."""

import dataclasses
import datetime
import decimal
import enum
import uuid
from typing import TYPE_CHECKING, Annotated, Any, Literal

import httpx
import msgspec
import pydantic
import pytest
from fluvial import App, Cookie, Depends, Header, Path, Query

if TYPE_CHECKING:
    from conftest import Serve

app = App()


class Model(enum.StrEnum):
    ALEX = "alex"
    RES = "res"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


@app.get("/path/int/{value}")
def path_int(value: int) -> Any:
    return value


@app.get("/path/float/{value}")
async def path_float(value: float) -> Any:
    return value


@app.get("/path/str/{value}")
def path_str(value) -> Any:
    return [value, type(value).__name__]


@app.get("/path/enum/{value}")
def path_enum(value: Model) -> Any:
    return [value, value is Model.ALEX]


@app.get("/path/uuid/{value}")
async def path_uuid(value: uuid.UUID) -> Any:
    return [str(value), type(value).__name__]


@app.get("/path/limits/{value}")
def path_limits(value: Annotated[int, Path(gt=0, le=10)]) -> Any:
    return value


@app.get("/path/two/{first}/of/{second}")
def path_two(second: int, first: str) -> Any:
    return [first, second]


@app.get("/converter/int/{value:int}")
def converter_int(value) -> Any:
    return [value, type(value).__name__]


@app.get("/converter/uuid/{value:uuid}")
def converter_uuid(value) -> Any:
    return type(value).__name__


@app.get("/converter/path/{value:path}")
def converter_path(value: str) -> Any:
    return value


@app.get("/query/many")
def query_many(
    i: int = 0,
    f: float = 0.5,
    b: bool = False,
    s: str = "s",
    o: int | None = None,
    u: uuid.UUID | None = None,
    d: datetime.date | None = None,
    dt: datetime.datetime | None = None,
    td: datetime.timedelta | None = None,
    dec: decimal.Decimal | None = None,
    m: Model | None = None,
    lv: Level | None = None,
    lit: Literal["x", "y"] = "x",
    un: int | float | None = None,
    raw: bytes = b"",
    any=None,
) -> Any:
    values = locals()
    return {k: v for k, v in values.items() if k != "raw"} | {"raw": raw.decode()}


@app.get("/query/times")
def query_times(t: datetime.time | None = None, dt: datetime.datetime | None = None) -> Any:
    return [t, dt]


@app.get("/query/required")
async def query_required(q: str) -> Any:
    return q


@app.get("/query/required-optional")
async def query_required_optional(q: str | None) -> Any:
    return q


@app.get("/query/default-marker")
def query_default_marker(q: str = Query("fixed", min_length=3, max_length=5, pattern="^f")) -> Any:
    return q


@app.get("/query/annotated")
def query_annotated(q: Annotated[str | None, Query(min_length=3)] = None) -> Any:
    return q


@app.get("/query/marker-class")
def query_marker_class(q: Annotated[list[str], Query]) -> Any:
    return q


@app.get("/query/ellipsis")
def query_ellipsis(q: str = Query(...)) -> Any:
    return q


@app.get("/query/numbers")
def query_numbers(
    g: Annotated[int, Query(gt=3, lt=10, multiple_of=2)] = 4,
    f: Annotated[float, Query(ge=1.5)] = 2.0,
) -> Any:
    return [g, f]


@app.get("/query/alias")
def query_alias(q: Annotated[str | None, Query(alias="item-query")] = None) -> Any:
    return q


@app.get("/query/list")
def query_list(
    q: Annotated[list[str], Query()] = ["a"],  # noqa: B006 - each request gets its own
    n: Annotated[list[int] | None, Query(max_length=2)] = None,
    s: Annotated[set[int], Query()] = frozenset(),
) -> Any:
    result = [list(q), n, sorted(s)]
    q.append("changed")
    return result


@app.get("/query/factory")
async def query_factory(q: Annotated[list[int], Query(default_factory=list)]) -> Any:
    q.append(len(q))
    return q


@app.get("/query/pydantic")
def query_pydantic(q: Annotated[int, pydantic.Field(gt=5)] = 6) -> Any:
    return q


@app.get("/query/msgspec")
def query_msgspec(q: Annotated[int, msgspec.Meta(gt=5)] = 6) -> Any:
    return q


@app.get("/query/keyword-only")
def query_keyword_only(first: int, *, second: int = 2, third: int) -> Any:
    return [first, second, third]


@app.get("/query/positional-only")
def query_positional_only(first: int, second: int = 2, /) -> Any:
    return [first, second]


@app.get("/header")
def header(
    user_agent: Annotated[str, Header()],
    x_number: Annotated[int, Header()] = 1,
    under_score: Annotated[str | None, Header(convert_underscores=False)] = None,
    renamed: str | None = Header(None, alias="X-Other"),
) -> Any:
    return [user_agent, x_number, under_score, renamed]


@app.get("/header/list")
def header_list(x_token: Annotated[list[str] | None, Header()] = None) -> Any:
    return x_token


@app.get("/cookie")
async def cookie(ads_id: Annotated[str | None, Cookie()] = None, n: int = Cookie(1)) -> Any:
    return [ads_id, n]


@app.get("/order/{item}")
def order(q: int, x: Annotated[int, Header()], item: int, c: Annotated[int, Cookie()]) -> Any:
    return [q, x, item, c]


class Unknown:
    pass


@dataclasses.dataclass
class Filter:
    limit: int = 100
    tags: list[str] = dataclasses.field(default_factory=list)


class PydanticFilter(pydantic.BaseModel):
    model_config = {"extra": "forbid"}
    limit: int = pydantic.Field(100, gt=0)
    tags: list[str] = []


class Headers(pydantic.BaseModel):
    x_tag: list[str] = []
    save_data: bool


@app.get("/model/dataclass")
def model_dataclass(f: Annotated[Filter, Query()]) -> Any:
    return f


@app.get("/model/pydantic")
async def model_pydantic(f: Annotated[PydanticFilter, Query()]) -> Any:
    return f


@app.get("/model/headers")
def model_headers(h: Annotated[Headers, Header()]) -> Any:
    return h


@pytest.fixture(scope="module")
def client():
    from support.serving import serving

    with serving(app) as served:
        yield served.client


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("/path/int/5", 5),
        ("/path/int/-5", -5),
        ("/path/int/123456789012345678901234567890", 123456789012345678901234567890),
        ("/path/float/2.5", 2.5),
        ("/path/float/2", 2.0),
        ("/path/str/a%20b%C3%A9", ["a bé", "str"]),
        ("/path/enum/alex", ["alex", True]),
        (
            "/path/uuid/6BA7B810-9DAD-11D1-80B4-00C04FD430C8",
            ["6ba7b810-9dad-11d1-80b4-00c04fd430c8", "UUID"],
        ),
        ("/path/limits/10", 10),
        ("/path/two/a/of/2", ["a", 2]),
        ("/converter/int/7", [7, "int"]),
        ("/converter/uuid/6ba7b810-9dad-11d1-80b4-00c04fd430c8", "UUID"),
        ("/converter/path/a/b/c.txt", "a/b/c.txt"),
        ("/query/required?q=a+b%26", "a b&"),
        ("/query/required?q=", ""),
        ("/query/required?q=1&q=2", "2"),
        ("/query/required-optional?q=x", "x"),
        ("/query/default-marker", "fixed"),
        ("/query/default-marker?q=four", "four"),
        ("/query/annotated", None),
        ("/query/annotated?q=abc", "abc"),
        ("/query/marker-class?q=a&q=b", ["a", "b"]),
        ("/query/ellipsis?q=x", "x"),
        ("/query/numbers?g=6&f=1.5", [6, 1.5]),
        ("/query/alias?item-query=x", "x"),
        ("/query/alias?q=x", None),
        ("/query/list", [["a"], None, []]),
        ("/query/list?q=x&q=y&n=1&n=2&s=3&s=3", [["x", "y"], [1, 2], [3]]),
        ("/query/factory", [0]),
        ("/query/pydantic?q=7", 7),
        ("/query/msgspec?q=7", 7),
        ("/query/keyword-only?third=3&first=1", [1, 2, 3]),
        ("/query/positional-only?first=1", [1, 2]),
        ("/model/dataclass?limit=5&tags=a&tags=b", {"limit": 5, "tags": ["a", "b"]}),
        ("/model/dataclass", {"limit": 100, "tags": []}),
        ("/model/pydantic?limit=5&tags=a", {"limit": 5, "tags": ["a"]}),
    ],
)
def test_values(client: httpx.Client, url: str, expected: Any) -> None:
    for _ in range(2):  # defaults must not remember the first request
        response = client.get(url)
        assert response.status_code == 200, response.text
        assert response.json() == expected


@pytest.mark.parametrize("query", ["t=24:00", "t=24:00:00", "dt=2026-01-01T24:00:00"])
def test_there_is_no_24_o_clock(client: httpx.Client, query: str) -> None:
    """pydantic says so; datetime's own fromisoformat() takes it since 3.14."""
    assert client.get("/query/times?t=23:59").json() == ["23:59:00", None]
    assert client.get(f"/query/times?{query}").status_code == 422


def test_every_scalar(client: httpx.Client) -> None:
    assert client.get("/query/many").json() == {
        **{"i": 0, "f": 0.5, "b": False, "s": "s", "o": None, "u": None, "d": None, "dt": None},
        **{"td": None, "dec": None, "m": None, "lv": None, "lit": "x", "un": None, "any": None},
        "raw": "",
    }
    query = {
        **{"i": "1", "f": "2", "b": "yes", "s": "é", "o": "3", "d": "2020-02-03", "lit": "y"},
        **{"dt": "2020-02-03T04:05", "td": "PT5S", "dec": "1.10", "m": "res", "lv": "2"},
        **{"un": "1.5", "raw": "é", "any": "x", "u": "6ba7b8109dad11d180b400c04fd430c8"},
    }
    assert client.get("/query/many", params=query).json() == {
        **{"i": 1, "f": 2.0, "b": True, "s": "é", "o": 3, "d": "2020-02-03", "lit": "y"},
        **{"dt": "2020-02-03T04:05:00", "td": "PT5S", "dec": 1.1, "m": "res", "lv": 2},
        **{"un": 1.5, "raw": "é", "any": "x", "u": "6ba7b810-9dad-11d1-80b4-00c04fd430c8"},
    }


INT = "Input should be a valid integer, unable to parse string as an integer"


@pytest.mark.parametrize(
    ("url", "kind", "loc", "message", "value", "ctx"),
    [
        ("/path/int/x", "int_parsing", ["path", "value"], INT, "x", None),
        ("/path/int/1.5", "int_parsing", ["path", "value"], INT, "1.5", None),
        (
            *("/path/float/x", "float_parsing", ["path", "value"]),
            "Input should be a valid number, unable to parse string as a number",
            *("x", None),
        ),
        (
            *("/path/enum/x", "enum", ["path", "value"], "Input should be 'alex' or 'res'", "x"),
            {"expected": "'alex' or 'res'"},
        ),
        (
            *("/path/limits/0", "greater_than", ["path", "value"]),
            *("Input should be greater than 0", "0", {"gt": 0}),
        ),
        (
            *("/path/limits/11", "less_than_equal", ["path", "value"]),
            *("Input should be less than or equal to 10", "11", {"le": 10}),
        ),
        ("/query/required", "missing", ["query", "q"], "Field required", None, None),
        ("/query/required-optional", "missing", ["query", "q"], "Field required", None, None),
        ("/query/ellipsis", "missing", ["query", "q"], "Field required", None, None),
        ("/query/marker-class", "missing", ["query", "q"], "Field required", None, None),
        ("/query/many?i=x", "int_parsing", ["query", "i"], INT, "x", None),
        ("/query/many?i=", "int_parsing", ["query", "i"], INT, "", None),
        ("/query/many?o=x", "int_parsing", ["query", "o"], INT, "x", None),
        (
            *("/query/many?b=x", "bool_parsing", ["query", "b"]),
            *("Input should be a valid boolean, unable to interpret input", "x", None),
        ),
        (
            *("/query/many?lit=z", "literal_error", ["query", "lit"]),
            *("Input should be 'x' or 'y'", "z", {"expected": "'x' or 'y'"}),
        ),
        (
            *("/query/default-marker?q=fo", "string_too_short", ["query", "q"]),
            *("String should have at least 3 characters", "fo", {"min_length": 3}),
        ),
        (
            *("/query/default-marker?q=foobar", "string_too_long", ["query", "q"]),
            *("String should have at most 5 characters", "foobar", {"max_length": 5}),
        ),
        (
            *("/query/default-marker?q=oops", "string_pattern_mismatch", ["query", "q"]),
            *("String should match pattern '^f'", "oops", {"pattern": "^f"}),
        ),
        (
            *("/query/numbers?g=5", "multiple_of", ["query", "g"]),
            *("Input should be a multiple of 2", "5", {"multiple_of": 2}),
        ),
        ("/query/list?n=x", "int_parsing", ["query", "n", 0], INT, "x", None),
        (
            *("/query/pydantic?q=5", "greater_than", ["query", "q"]),
            *("Input should be greater than 5", "5", {"gt": 5}),
        ),
        (
            *("/query/msgspec?q=5", "greater_than", ["query", "q"]),
            *("Input should be greater than 5", "5", {"gt": 5}),
        ),
        ("/model/dataclass?limit=x", "int_parsing", ["query", "limit"], INT, "x", None),
        (
            *("/model/pydantic?limit=0", "greater_than", ["query", "limit"]),
            *("Input should be greater than 0", "0", {"gt": 0}),
        ),
        (
            *("/model/pydantic?other=1", "extra_forbidden", ["query", "other"]),
            *("Extra inputs are not permitted", "1", None),
        ),
    ],
)
def test_problems(
    client: httpx.Client, url: str, kind: str, loc: list[Any], message: str, value: Any, ctx: Any
) -> None:
    response = client.get(url)
    assert response.status_code == 422
    assert response.headers["content-type"] == "application/json"
    expected = {"type": kind, "loc": loc, "msg": message, "input": value}
    if ctx is not None:
        expected["ctx"] = ctx
    assert response.json() == {"detail": [expected]}


def test_too_many_items(client: httpx.Client) -> None:
    (problem,) = client.get("/query/list?n=1&n=2&n=3").json()["detail"]
    assert problem["msg"] == "List should have at most 2 items after validation, not 3"
    assert problem["ctx"] == {"field_type": "List", "max_length": 2, "actual_length": 3}


@pytest.mark.parametrize("value", ["12", '"12"', '"\\0612"'])
def test_numbers_in_cookies_are_decoded(serve: "Serve", value: str) -> None:
    """Quotes and escapes of RFC 2109 aren't part of the number."""
    app = App()

    @app.get("/")
    def find(n: Annotated[int, Cookie()]) -> int:
        return n

    answer = serve(app).client.get("/", headers={"cookie": f"a=b; n={value}"})
    assert answer.json() == 12


@pytest.mark.parametrize(
    ("text", "value"), [("00-1", -1), ("\u0663", None), ("1__0", None), ("0" * 3000 + "7", 7)]
)
def test_what_c_refuses_is_asked_of_pydantic(serve: "Serve", text: str, value: int | None) -> None:
    app = App()
    app.get("/")(find_number)
    response = serve(app).client.get("/", params={"n": text, "many": ["1", text]})
    if value is not None:
        assert response.json() == [value, [1, value]]
        return
    problems = response.json()["detail"]
    assert [p["loc"] for p in problems] == [["query", "n"], ["query", "many", 1]]
    expected = pydantic.TypeAdapter(int).validate_python
    with pytest.raises(pydantic.ValidationError) as caught:
        expected(text)
    assert [p["msg"] for p in problems] == [caught.value.errors()[0]["msg"]] * 2


def find_number(n: int, many: Annotated[list[int], Query()]) -> Any:
    return [n, many]


def test_a_problem_in_a_list_says_which_item(serve: "Serve") -> None:
    """Each of several, in query and header fields, counted from 0."""
    app = App()

    @app.get("/")
    def find(
        n: Annotated[list[int], Query()],
        f: Annotated[list[float], Query()] = [],  # noqa: B006
        x: Annotated[list[bool], Header()] = [],  # noqa: B006
    ) -> None: ...

    fields = [("x", "true"), ("x", "maybe")]
    url = "/?n=1&n=b&n=3&n=d&f=x&f=1.5&n=9"
    problems = serve(app).client.get(url, headers=fields).json()["detail"]
    found = [(e["loc"], e["input"]) for e in problems]
    assert found == [
        (["query", "n", 1], "b"),
        (["query", "n", 3], "d"),
        (["query", "f", 0], "x"),
        (["header", "x", 1], "maybe"),
    ]


def test_all_problems_are_told_in_order(client: httpx.Client) -> None:
    response = client.get("/order/x?q=y", headers={"X": "z"})
    found = [(e["type"], *e["loc"]) for e in response.json()["detail"]]
    assert found == [
        ("int_parsing", "path", "item"),
        ("int_parsing", "query", "q"),
        ("int_parsing", "header", "x"),
        ("missing", "cookie", "c"),
    ]
    ok = client.get("/order/1?q=2", headers={"X": "3", "Cookie": "c=4"})
    assert ok.json() == [2, 3, 1, 4]


def test_headers(client: httpx.Client) -> None:
    headers = {"User-Agent": "me", "X-Number": "5", "under_score": "u", "X-Other": "o"}
    assert client.get("/header", headers=headers).json() == ["me", 5, "u", "o"]
    headers = {"User-Agent": "me", "X-Number": "x"}
    (problem,) = client.get("/header", headers=headers).json()["detail"]
    assert problem["loc"] == ["header", "x-number"]


def test_header_list(client: httpx.Client) -> None:
    assert client.get("/header/list").json() is None
    headers = [("X-Token", "a"), ("x-token", "b")]
    assert client.get("/header/list", headers=headers).json() == ["a", "b"]


def test_model_of_headers(client: httpx.Client) -> None:
    (problem,) = client.get("/model/headers").json()["detail"]
    assert (problem["type"], problem["loc"]) == ("missing", ["header", "save-data"])
    assert problem["input"]["accept"] == "*/*"  # all that was sent, as FastAPI has it
    headers = [("Save-Data", "true"), ("X-Tag", "a"), ("X-Tag", "b")]
    expected = {"x_tag": ["a", "b"], "save_data": True}
    assert client.get("/model/headers", headers=headers).json() == expected


def test_cookies(client: httpx.Client) -> None:
    assert client.get("/cookie").json() == [None, 1]
    headers = {"Cookie": 'other=1; ads_id="a b"; n=5'}
    assert client.get("/cookie", headers=headers).json() == ["a b", 5]
    (problem,) = client.get("/cookie", headers={"Cookie": "n=x"}).json()["detail"]
    assert problem["loc"] == ["cookie", "n"]


def test_malformed_registrations_name_route_and_parameter() -> None:
    other = App()

    def in_path(item_id: str = Query()) -> None: ...
    def twice(q: Annotated[str, Query()] = Query("x")) -> None: ...
    def not_a_value(h: Annotated[dict[str, int], Header()]) -> None: ...
    def unknown(q: Unknown) -> None: ...

    with pytest.raises(TypeError, match=r"GET /items/{item_id} .*in_path.*'item_id'.*path"):
        other.get("/items/{item_id}")(in_path)
    with pytest.raises(TypeError, match=r"parameter 'q'.*keep one"):
        other.get("/")(twice)
    with pytest.raises(TypeError, match=r"parameter 'h'.*single value"):
        other.get("/")(not_a_value)
    with pytest.raises(TypeError, match=r"GET / .*'q'.*Unknown"):
        other.get("/")(unknown)
    with pytest.raises(TypeError, match="can't have a default"):
        Path(5)
    with pytest.raises(ValueError, match=r"GET items"):
        other.get("items")(lambda: None)


def test_signature_is_read_at_registration_and_names_may_come_later(serve) -> None:
    late = App()
    namespace: dict[str, Any] = {"app": late}
    source = (
        "from __future__ import annotations\n"
        "@app.get('/late')\n"
        "def handler(value: Later): return value\n"
        "@app.get('/{anything}')\n"
        "def other(anything): return 'other'\n"
        "Later = int\n"
    )
    exec(source, namespace)
    client = serve(late).client
    assert client.get("/late?value=5").json() == 5
    assert client.get("/else").json() == "other"


def test_a_name_that_never_comes_stops_the_start(serve) -> None:
    late = App()
    exec(
        "from __future__ import annotations\n@app.get('/')\ndef handler(value: Never1): ...\n",
        {"app": late},
    )
    with pytest.raises(NameError, match=r"route GET / .*Never1"):
        serve(late)


def unseen(annotations: dict[str, Any], default: Any = None) -> Any:
    """A handler whose annotations name what only type checkers import."""

    def handler(q: Any = default) -> Any:
        return q

    handler.__annotations__ = annotations
    return handler


def test_types_of_dependencies_may_be_known_to_type_checkers_alone(serve) -> None:
    app = App()
    dependency = Depends(lambda: "made")
    options: Any = {"response_model": None}
    app.get("/0")(unseen({"q": "Unseen"}, dependency))
    app.get("/1")(unseen({"q": "list[unseen_module.Unseen[int]] | None"}, dependency))
    app.get("/2")(unseen({"q": Annotated["Unseen", dependency]}))  # noqa: F821 - what this is about
    app.get("/3")(unseen({"q": "Annotated[Unseen, Depends(make)]"}))
    app.get("/4")(unseen({"q": Any}, Depends(unseen({"q": "Unseen"}, dependency))))
    app.get("/5", **options)(unseen({"q": Any, "return": "Unseen"}, dependency))
    client = serve(app).client
    for number in range(6):
        assert client.get(f"/{number}").json() == "made"


def make() -> str:
    return "made"


@pytest.mark.parametrize(
    "handler",
    [
        unseen({"q": "Unseen | None"}),
        unseen({"q": "Annotated[Unseen, Query()]"}),
        unseen({"q": "Unseen"}, Depends()),
        unseen({"return": "Unseen"}),
    ],
)
def test_other_types_have_to_be_known(handler: Any) -> None:
    app = App()
    app.get("/")(handler)
    with pytest.raises(NameError, match=r"route GET / .*'Unseen' is not defined; .*import it"):
        app.plan_routes()
