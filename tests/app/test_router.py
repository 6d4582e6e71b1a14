"""The routing table: what matches, and which of several matches wins."""

from __future__ import annotations

import gc
import weakref

import pytest
from fluvial import _core

UUID = "123e4567-e89b-12d3-a456-426614174000"


def new_plan(info: object = None) -> _core.Plan:
    """A plan that is never carried out."""
    return _core.Plan(print, kind=_core.INLINE, info=info)


def table(*routes: tuple[str, str]) -> tuple[_core.Router, list[_core.Plan]]:
    """A Router with (methods, pattern) routes, and their plans in the same order."""
    router = _core.Router()
    plans = [new_plan() for _ in routes]
    for (methods, pattern), plan in zip(routes, plans, strict=True):
        router.add(tuple(methods.split()), pattern, plan)
    return router, plans


@pytest.mark.parametrize(
    ("pattern", "path", "captures"),
    [
        ("/", "/", ()),
        ("/a", "/a", ()),
        ("/a/", "/a/", ()),
        ("/käse", "/käse", ()),
        ("/{a}", "/x", ("x",)),
        ("/{a}", "/käse %2f", ("käse %2f",)),
        ("/{a}/", "/x/", ("x",)),
        ("/{a}/{b}", "/x/y", ("x", "y")),
        ("/{a:str}", "/x", ("x",)),
        ("/files/{name}.json", "/files/a.json", ("a",)),
        ("/files/{name}.json", "/files/a.json.json", ("a.json",)),
        ("/v{major}.{minor}", "/v1.2", ("1", "2")),
        ("/v{major}.{minor}", "/v1.2.3", ("1.2", "3")),
        ("/{a}{b}", "/xyz", ("xy", "z")),
        ("/@{user}", "/@me", ("me",)),
        ("/{a:int}", "/0123", ("0123",)),
        ("/{a:int}px", "/12px", ("12",)),
        ("/{a:int}{b:int}", "/123", ("12", "3")),
        ("/{a:float}", "/1", ("1",)),
        ("/{a:float}", "/1.25", ("1.25",)),
        ("/{a:float}.", "/1.", ("1",)),
        ("/{a:float}.{b:int}", "/1.2.3", ("1.2", "3")),
        ("/{a:float}.{b:int}", "/1.2", ("1", "2")),
        ("/{a:uuid}", f"/{UUID}", (UUID,)),
        ("/{a:uuid}", f"/{UUID.upper()}", (UUID.upper(),)),
        ("/{a:uuid}{b}", f"/{UUID}x", (UUID, "x")),
        ("/{a:path}", "/", ("",)),
        ("/{a:path}", "/x/y/", ("x/y/",)),
        ("/f/{a:path}/edit", "/f/x/y/edit", ("x/y",)),
        ("/f/{a:path}/edit", "/f/edit/edit", ("edit",)),
        ("/f/{a:path}/edit", "/f//edit", ("",)),
        ("/{a:path}/{b}", "/x/y/z", ("x/y", "z")),
        ("/{a:path}{b:path}", "/x/y", ("x/y", "")),
    ],
)
def test_matches(pattern: str, path: str, captures: tuple[str, ...]) -> None:
    router, [plan] = table(("GET", pattern))
    assert router.find("GET", path) == ("found", plan, captures)


@pytest.mark.parametrize(
    ("pattern", "path"),
    [
        ("/a", "/A"),
        ("/a", "/ab"),
        ("/ab", "/a"),
        ("/a", "/"),
        ("/{a}", "/"),
        ("/{a}", "/x/y"),
        ("/x{a}", "/x"),
        ("/{a}/{b}", "/x"),
        ("/{a}/{b}", "//y"),
        ("/files/{name}.json", "/files/.json"),
        ("/files/{name}.json", "/files/a.jso"),
        ("/{a}{b}", "/x"),
        ("/{a:int}", "/x"),
        ("/{a:int}", "/-1"),
        ("/{a:int}", "/1.0"),
        ("/{a:float}", "/.5"),
        ("/{a:float}", "/1."),
        ("/{a:float}", "/1.2.3"),
        ("/{a:float}", "/1e5"),
        ("/{a:uuid}", f"/{UUID[:-1]}"),
        ("/{a:uuid}", f"/{UUID}0"),
        ("/{a:uuid}", f"/{UUID.replace('-', '')}"),
        ("/{a:uuid}", f"/{UUID.replace('e', 'g')}"),
        ("/f/{a:path}/edit", "/f/edit"),
        ("/f/{a:path}", "/g/x"),
    ],
)
def test_does_not_match(pattern: str, path: str) -> None:
    router, _ = table(("GET", pattern))
    assert router.find("GET", path) == ("not_found", None, ())


@pytest.mark.parametrize(
    "patterns",
    [
        ("/users/me", "/users/{name}"),
        ("/users/{name}", "/users/me"),
        ("/{a:path}", "/users/me"),
        ("/users/{name}", "/{a:path}"),
        ("/{a}/me", "/users/{b}"),
        ("/{a:path}/me", "/users/{b}"),
        ("/users/me", "/users/me"),
    ],
)
def test_the_first_added_wins(patterns: tuple[str, ...]) -> None:
    router, plans = table(*(("GET", pattern) for pattern in patterns))
    assert router.find("GET", "/users/me")[1] is plans[0]


def test_a_route_for_another_method_is_passed_over() -> None:
    router, plans = table(("POST", "/{a}"), ("GET HEAD", "/x"), ("GET", "/{a:path}"))
    assert router.find("GET", "/x")[1] is plans[1]
    assert router.find("POST", "/x")[1] is plans[0]
    assert router.find("GET", "/y")[1] is plans[2]


def test_a_dead_end_is_left_again() -> None:
    router, plans = table(
        ("GET", "/a/b/c"), ("GET", "/a/{x}/d"), ("GET", "/{y}/b/e"), ("GET", "/{z:path}/f")
    )
    assert router.find("GET", "/a/b/d") == ("found", plans[1], ("b",))
    assert router.find("GET", "/a/b/e") == ("found", plans[2], ("a",))
    assert router.find("GET", "/a/b/f") == ("found", plans[3], ("a/b",))


def test_edges_are_split_anywhere() -> None:
    texts = ["/romane", "/romanus", "/romulus", "/rubens", "/ruber", "/rubicon", "/r", "/roma"]
    router, plans = table(*(("GET", text) for text in texts))
    for text, plan in zip(texts, plans, strict=True):
        assert router.find("GET", text) == ("found", plan, ())
        assert router.find("GET", text + "x")[0] == "not_found"
    assert router.find("GET", "/rub")[0] == "not_found"


def test_methods_of_all_matching_routes_are_allowed() -> None:
    router, _ = table(("GET HEAD", "/{a}"), ("POST", "/x"), ("DELETE", "/{a:path}"), ("PUT", "/y"))
    allowed = ("DELETE", "GET", "HEAD", "POST")
    assert router.find("PATCH", "/x") == ("method_not_allowed", None, allowed)


def test_head_and_options_are_not_implied() -> None:
    router, _ = table(("GET", "/x"))
    assert router.find("HEAD", "/x") == ("method_not_allowed", None, ("GET",))
    assert router.find("OPTIONS", "/x") == ("method_not_allowed", None, ("GET",))


@pytest.mark.parametrize("path", ["/x/", "/y", "/items/5/", "/items/5/list"])
def test_a_slash_at_the_end_redirects(path: str) -> None:
    router, _ = table(
        ("GET", "/x"), ("POST", "/y/"), ("GET", "/items/{id}"), ("GET", "/items/{id}/list/")
    )
    assert router.find("GET", path) == ("redirect_slash", None, ())


def test_no_redirects_at_all() -> None:
    router = _core.Router(redirect_slashes=False)
    router.add(("GET",), "/x", new_plan())
    assert router.find("GET", "/x/") == ("not_found", None, ())
    assert router.find("GET", "/x")[0] == "found"


@pytest.mark.parametrize("path", ["/", "/x//", "/y", "/z/", "//host/x/", "//"])
def test_no_redirect_that_would_not_help(path: str) -> None:
    router, _ = table(("GET", "/x"), ("GET", "/{host:path}/x"))
    assert router.find("GET", path) == ("not_found", None, ())


def test_no_redirect_past_another_method() -> None:
    router, _ = table(("GET", "/x"), ("POST", "/x/"))
    assert router.find("GET", "/x/") == ("method_not_allowed", None, ("POST",))


def test_a_redirect_is_for_whatever_method() -> None:
    router, _ = table(("POST", "/x"))
    assert router.find("GET", "/x/")[0] == "redirect_slash"


@pytest.mark.parametrize(
    ("pattern", "at", "text"),
    [
        ("", 0, "must begin with '/'"),
        ("x", 0, "must begin with '/'"),
        ("/{a", 1, "brace"),
        ("/a}", 2, "brace"),
        ("/{}", 1, "brace"),
        ("/x/{a:}", 3, "converter"),
        ("/ä/{a:list}", 3, "converter"),
        ("/{1a}", 1, "identifier"),
        ("/{a-b}", 1, "identifier"),
        ("/{:int}", 1, "identifier"),
        ("/{a{b}}", 1, "identifier"),
        ("/{a}/{b}/{a:int}", 9, "twice"),
        ("/" + "/".join(f"{{a{i}}}" for i in range(17)), 87, "too many"),
    ],
)
def test_a_bad_pattern_is_named(pattern: str, at: int, text: str) -> None:
    router = _core.Router()
    with pytest.raises(ValueError, match=f"at character {at}: .*{text}") as caught:
        router.add(("GET",), pattern, new_plan())
    assert repr(pattern) in str(caught.value)


def test_the_most_captures_that_fit() -> None:
    router, [plan] = table(("GET", "/" + "/".join(f"{{a{i}}}" for i in range(16))))
    values = tuple(str(i) for i in range(16))
    assert router.find("GET", "/" + "/".join(values)) == ("found", plan, values)


def test_bad_methods() -> None:
    router = _core.Router()
    with pytest.raises(ValueError, match="unknown HTTP method 'GEt'"):
        router.add(("GEt",), "/", new_plan())
    with pytest.raises(ValueError, match="at least one method"):
        router.add((), "/", new_plan())
    with pytest.raises(TypeError, match="expected str, not int"):
        router.add((1,), "/", new_plan())
    with pytest.raises(ValueError, match="unknown HTTP method 'SETUP'"):
        router.find("SETUP", "/")


def test_only_plans_are_taken() -> None:
    with pytest.raises(TypeError, match="expected a Plan, not str"):
        _core.Router().add(("GET",), "/", "plan")


def test_a_route_keeps_its_plan_alive_and_cycles_are_collected() -> None:
    class Info:
        router: _core.Router

    info = Info()
    died = weakref.ref(info)
    router = info.router = _core.Router()
    router.add(("GET",), "/{a}/b", new_plan(info))
    del info
    gc.collect()
    plan = router.find("GET", "/a/b")[1]
    assert plan is not None
    assert plan.info is died()
    del router, plan
    gc.collect()
    assert died() is None


def test_a_path_made_to_backtrack() -> None:
    """Without its bound the search would try some 10 ** 40 ways to split this path."""
    names = [f"{{a{i}}}" for i in range(15)]
    router, _ = table(("GET", "/" + "-".join(names) + "x"), ("GET", "/{p:path}/y"))
    assert router.find("GET", "/" + "-" * 60_000)[0] == "not_found"
    router, _ = table(("GET", "/" + "/".join(f"{{p{i}:path}}" for i in range(16)) + "!"))
    assert router.find("GET", "/" + "a/" * 30_000)[0] == "not_found"
