"""Conversions of ext/app, beside pydantic, urllib.parse and http.cookies, whose rules they keep."""

from __future__ import annotations

import http.cookies
import itertools
import math
import random
import urllib.parse
from typing import TYPE_CHECKING, Any

import pydantic
import pytest
from support import probe as native_probe

if TYPE_CHECKING:
    from types import ModuleType

SPACES = "\t\n\v\f\r \x1c\x85\xa0\u1680\u180e\u2000\u200a\u200b\u2028\u2029\u202f\u205f\u3000\ufeff"

NUMBERS = """
    0 1 -1 +1 007 -007 --1 +-1 1.0 1.00 1. .0 . -.0 -0.0 1.5 1.0.0 1.0e0 1e3 0x10 0b1 + - nan inf
    1_000 1__0 _1 1_ -_1 -1_0 +1_0 1_0.0 1.0_0 1_.0 1.0_ 1._0 0_1 0__1 00_1 0_ 00_ 0_.0 -01_000.0
    0+1 +_1 9223372036854775807 9223372036854775808 -9223372036854775808 -9223372036854775809
    999999999999999999 1000000000000000000 -999999999999999999 123456789012345678901234567890
    1,0 \uff11 \u0661 \u00b2
    .5 -.5 +.5 1e5 1E5 1e 1e+5 1e-5 1.e5 .e5 e5 1_0.5 1._5 1_.5 1.5_5 1e1_0 1_e5 1e_5 i_nf _inf
    inf_ Inf +inf -INF infinity -Infinity infinit NaN -nan +nan nan(1) 1e400 -1e400 1e-400 0x1p3
    1f 1d 1.5.5 1e5.5 1-2 1e--5 1__0.5 0.1 1.7976931348623157e308 5e-324 2.2250738585072011e-308
"""

BOOLS = "on OFF T f True FALSE true y N Yes no 10 2 tru yess oui \u017f"

LONG = [
    "1" * 4300,
    "-" + "1" * 4300,
    "1" * 4301,
    "0" * 5000,
    "0" * 5000 + "12",
    " " * 5000 + "12",
    "12." + "0" * 5000,
    "1" + "0" * 4299 + ".0",
    "1_" * 2149 + "1",
    "1_" * 2150 + "1",
    "1" * 400,
    "0." + "1" * 1000,
    "1" * 5000 + ".5",
]


TEXTS = ["", " ", "\0", "1\0", *NUMBERS.split(), *BOOLS.split(), *LONG]


def name_of(value: object) -> str:
    """For pytest to call a case by."""
    return value.__name__ if isinstance(value, type) else f"{ascii(value)[:30]}({len(str(value))})"


@pytest.fixture(scope="module")
def probe(tmp_path_factory: pytest.TempPathFactory) -> ModuleType:
    return native_probe.load(tmp_path_factory.mktemp("probe"))


def pydantic_value(kind: type, text: str) -> Any:
    try:
        return pydantic.TypeAdapter(kind).validate_python(text)
    except pydantic.ValidationError:
        return None


def assert_same(probe: ModuleType, kind: type, text: str) -> None:
    ours = probe.convert(kind.__name__, text.encode())
    theirs = pydantic_value(kind, text)
    assert type(ours) is type(theirs), text
    if isinstance(ours, float):
        assert math.isnan(ours) if math.isnan(theirs) else ours == theirs, text
        assert math.copysign(1, ours) == math.copysign(1, theirs) or math.isnan(ours), text
    else:
        assert ours == theirs, text


@pytest.mark.parametrize("kind", [int, float, bool])
@pytest.mark.parametrize("text", TEXTS, ids=name_of)
def test_numbers_are_what_pydantic_says(probe: ModuleType, kind: type, text: str) -> None:
    for around in (text, f" {text}", f"{text}\n", f"\t {text} \r"):
        assert_same(probe, kind, around)


@pytest.mark.parametrize("kind", [int, float, bool])
def test_white_space_is_what_pydantic_says(probe: ModuleType, kind: type) -> None:
    for before, after in itertools.product(["", *SPACES], repeat=2):
        assert_same(probe, kind, f"{before}1{after}")


@pytest.mark.parametrize("kind", [int, float])
def test_short_texts_are_what_pydantic_says(probe: ModuleType, kind: type) -> None:
    for length in range(1, 6):
        for letters in itertools.product("01._-+", repeat=length):
            text = "".join(letters)
            if kind is int and text.lstrip("+-").startswith("0") and "-" in text.lstrip("+-"):
                # The one difference: pydantic takes "00-1" for -1.
                assert probe.convert("int", text.encode()) is None
            else:
                assert_same(probe, kind, text)


def test_malformed_utf8_is_no_number(probe: ModuleType) -> None:
    for text in (b"\xff1", b"1\xc2", b"\xe2\x801", b"1\xe3\x80", b"\x80"):
        assert probe.convert("int", text) is None
        assert probe.convert("float", text) is None
        assert probe.convert("bool", text) is None


QUOTED = [
    "",
    "a",
    "%",
    "%4",
    "%41",
    "%4x",
    "%%41",
    "a%2Fb",
    "%zz%2f",
    "%e4%F6",
    "a+b",
    "%2B+",
    "a%00b",
]


def random_texts(alphabet: str) -> list[str]:
    rng = random.Random(3)
    return ["".join(rng.choices(alphabet, k=rng.randint(0, 12))) for _ in range(2000)]


@pytest.mark.parametrize("text", [*QUOTED, "%41" * 1000])
def test_unquote(probe: ModuleType, text: str) -> None:
    assert probe.unquote(text.encode(), False) == urllib.parse.unquote_to_bytes(text)
    plus = text.replace("+", " ")
    assert probe.unquote(text.encode(), True) == urllib.parse.unquote_to_bytes(plus)
    assert probe.convert("query", text.encode()) == urllib.parse.unquote_plus(text)


def test_unquote_random(probe: ModuleType) -> None:
    for text in random_texts("%+2eE4fFg"):
        assert probe.unquote(text.encode(), False) == urllib.parse.unquote_to_bytes(text)
        assert probe.convert("query", text.encode()) == urllib.parse.unquote_plus(text)


def test_character_sets(probe: ModuleType) -> None:
    text = "käse €".encode() + b"\xff\xe4\xf0\x9f"
    assert probe.convert("utf8", text) == text.decode(errors="replace")
    assert probe.convert("latin1", text) == text.decode("latin-1")


def decoded_query(probe: ModuleType, text: str) -> list[tuple[str, str]]:
    pairs = probe.query(text.encode())
    return [(probe.convert("query", name), probe.convert("query", value)) for name, value in pairs]


QUERIES = [
    "",
    "a",
    "a=",
    "=",
    "=b",
    "&",
    "a=1&&b=2&",
    "a=1;b=2",
    "a==b",
    "a=1&a=2",
    "%61=%62&c+d=e%20f",
]


def test_query(probe: ModuleType) -> None:
    for text in [*QUERIES, *random_texts("ab=&%+2;4")]:
        expected = urllib.parse.parse_qsl(text, keep_blank_values=True)
        assert decoded_query(probe, text) == expected, text


@pytest.mark.parametrize(
    ("name", "key"),
    [("", ""), ("a", "a"), ("%61b", "ab"), ("a+b", "a b"), ("k%C3%A4se", "käse"), ("%", "%")],
)
def test_name_is(probe: ModuleType, name: str, key: str) -> None:
    encoded = key.encode()
    assert probe.name_is(name.encode(), encoded)
    assert not probe.name_is(name.encode(), encoded + b"x")
    assert not probe.name_is(name.encode() + b"x", encoded)
    assert not encoded or not probe.name_is(name.encode(), encoded[:-1] + b"\1")


def starlette_cookies(text: str) -> list[tuple[str, str]]:
    """How Starlette reads a Cookie field, in our words."""
    pairs = []
    for piece in text.split(";"):
        name, equals, value = piece.partition("=")
        if not equals:
            name, value = "", piece
        name, value = name.strip(), value.strip()
        if name or value:
            pairs.append((name, http.cookies._unquote(value)))
    return pairs


COOKIES = [
    "a=1; b=2",
    ' a = "x y" ;;b',
    'a="x\\"y"; b="\\303\\244"; c="\\9"; d="\\"',
    'a="; b="";c=x"y"',
    "=x; y=; =",
    "a=b=c;\xa0d\x85=\xe4",
]


def test_cookies(probe: ModuleType) -> None:
    for text in [*COOKIES, *random_texts('ab=;; "\\\\0127')]:
        pairs = [
            (probe.convert("latin1", name), probe.convert("cookie", value))
            for name, value in probe.cookies(text.encode("latin-1"))
        ]
        assert pairs == starlette_cookies(text), text
