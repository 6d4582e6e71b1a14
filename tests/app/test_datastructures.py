"""URLs, multidicts and header fields, as programs build and change them."""

from __future__ import annotations

import pytest
from fluvial import URL, FormData, Headers, MutableHeaders, QueryParams
from fluvial.datastructures import MultiDict


@pytest.mark.parametrize(
    ("url", "parts", "expected"),
    [
        ("https://a.example:1/x?q=1", {"port": None}, "https://a.example/x?q=1"),
        ("https://a.example:1/x", {"hostname": "b.example"}, "https://b.example:1/x"),
        ("https://[fe::2]:1", {"username": "u", "password": "p"}, "https://u:p@[fe::2]:1"),
        ("http://u:p@host:80", {"port": 88}, "http://u:p@host:88"),
        ("/path?a=1", {"port": 8080}, "//:8080/path?a=1"),
    ],
)
def test_parts_of_the_authority(url: str, parts: dict[str, object], expected: str) -> None:
    assert str(URL(url).replace(**parts)) == expected


def test_query_parameters_of_a_url() -> None:
    url = URL("https://a.example/?page=3&x=1")
    assert str(url.include_query_params(page=4)) == "https://a.example/?x=1&page=4"
    assert str(url.replace_query_params(y=2)) == "https://a.example/?y=2"
    assert str(url.remove_query_params(["x", "page"])) == "https://a.example/"
    assert str(URL(scheme="https", hostname="a.example", path="/p")) == "https://a.example/p"


def test_passwords_are_not_shown() -> None:
    assert repr(URL("https://me:secret@a.example/")) == "URL('https://me:********@a.example/')"


@pytest.mark.parametrize("host", [b"foo/?x=", b"user@foo", b"a b", b"foo\\bar", b"[:::]"])
def test_a_host_that_is_none_leads_nowhere(host: bytes) -> None:
    scope = {"path": "/admin", "headers": [(b"host", host)], "server": ("a.example", 80)}
    assert URL(scope=scope).netloc == "a.example"


@pytest.mark.parametrize("path", ["@b.example", "//b.example/x", "http://b.example/x"])
@pytest.mark.parametrize("headers", [[], [(b"host", b"localhost")]])
def test_a_path_does_not_become_the_authority(path: str, headers: list[object]) -> None:
    scope = {"path": path, "headers": headers}
    assert URL(scope=scope).hostname == ("localhost" if headers else None)


def test_multidicts_can_be_changed() -> None:
    pairs = MultiDict([("a", "1"), ("a", "2"), ("b", "3")])
    pairs["a"] = "4"
    pairs.append("a", "5")
    assert pairs.getlist("a") == ["4", "5"]
    assert (pairs["a"], pairs.pop("b"), pairs.pop("c", None)) == ("5", "3", None)
    pairs.update({"a": "6"}, d="7")
    assert pairs.multi_items() == [("a", "6"), ("d", "7")]
    assert pairs.setdefault("a", "8") == "6"
    pairs.setlist("a", [])
    assert "a" not in pairs
    assert pairs.popitem() == ("d", "7")
    pairs.clear()
    assert pairs == MultiDict()
    with pytest.raises(TypeError):
        FormData([("a", "1")])["a"] = "2"  # type: ignore[index]


def test_queries_are_made_of_anything() -> None:
    assert str(QueryParams({"a": 1}, b="2")) == "a=1&b=2"
    assert repr(QueryParams("a=1")) == "QueryParams('a=1')"


def test_header_fields_are_united() -> None:
    one = MutableHeaders({"a": "1"})
    assert dict(one | Headers({"A": "2", "b": "3"})) == {"a": "2", "b": "3"}
    assert dict(one) == {"a": "1"}
    one |= {"c": "4"}
    assert repr(one) == "MutableHeaders({'a': '1', 'c': '4'})"
    with pytest.raises(TypeError):
        one |= 3  # type: ignore[arg-type]


def test_vary_keeps_what_stands_in_several_fields() -> None:
    headers = MutableHeaders(
        raw=[(b"vary", b"Accept-Language"), (b"x", b"y"), (b"vary", b"Cookie")]
    )
    headers.add_vary_header("Accept-Encoding")
    assert headers.getlist("vary") == ["Accept-Language, Cookie, Accept-Encoding"]
    assert headers["x"] == "y"
