"""`_core.Request`: what a handler sees of the request, during it and after."""

from __future__ import annotations

import gc
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest
from fluvial import _core
from support.core_server import Request, Response, plan, read_all, serving

if TYPE_CHECKING:
    from pathlib import Path


def seen(
    raw: bytes, read: str, pattern: str = "/{path:path}", methods: str = "GET POST PUT"
) -> Any:
    """What attribute `read` of the request is, for a request sent as it stands."""
    values: list[Any] = []

    def handler(request: Request) -> Response:
        values.append(getattr(request, read))
        return Response()

    with serving((methods, pattern, plan(handler, _core.INLINE))) as core:
        head, _ = core.exchange(raw)
    assert head.startswith(b"HTTP/1.1 200 ")
    return values[0]


def get(target: str, *fields: str, method: str = "GET", version: str = "1.1") -> bytes:
    lines = [f"{method} {target} HTTP/{version}", "Host: x", "Connection: close", *fields]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


@pytest.mark.parametrize(
    ("target", "name", "value"),
    [
        ("/a/b?x=1&y=%20", "path", "/a/b"),
        ("/a%20b%2Fc", "path", "/a b/c"),
        ("/k%C3%A4se", "path", "/käse"),
        ("/k%E4se", "path", "/k\ufffdse"),
        ("/%zz%", "path", "/%zz%"),
        ("/a%20b%2Fc?x", "raw_path", b"/a%20b%2Fc"),
        ("/a?x=1&y=%20", "query_string", b"x=1&y=%20"),
        ("/a?", "query_string", b""),
        ("/a", "query_string", b""),
        ("/a", "method", "GET"),
        ("/a", "http_version", "1.1"),
        ("/a%20b", "path_params", {"path": "a b"}),
        ("/a", "app", "the app"),
        ("/a", "state", None),
        ("/a", "_cache", None),
        ("/a", "route_status", 200),
        ("/a", "route_headers", []),
        ("/a", "disconnected", False),
    ],
)
def test_attributes(target: str, name: str, value: object) -> None:
    assert seen(get(target), name) == value


def test_the_method_and_version_as_sent() -> None:
    assert seen(get("/", method="PUT"), "method") == "PUT"
    assert seen(get("/", version="1.0"), "http_version") == "1.0"


def test_header_fields_are_in_order_and_lower_case() -> None:
    raw = get("/", "X-One: 1", "x-two:  zwei \xe4 ", "X-ONE: 3")
    assert seen(raw, "raw_headers") == [
        (b"host", b"x"),
        (b"connection", b"close"),
        (b"x-one", b"1"),
        (b"x-two", b"zwei \xe4"),
        (b"x-one", b"3"),
    ]


def test_parameters_are_named_as_in_the_pattern() -> None:
    params = seen(get("/a%2Fb/7/x"), "path_params", "/{first:path}/{second:int}/{third}")
    assert params == {"first": "a/b", "second": "7", "third": "x"}
    assert list(params) == ["first", "second", "third"]


def test_addresses() -> None:
    values: list[Any] = []

    def handler(request: Request) -> Response:
        values.extend([request.client, request.server])
        return Response()

    with serving(("GET", "/", plan(handler, _core.INLINE))) as core, core.connect() as sock:
        sock.sendall(get("/"))
        client = sock.getsockname()
        read_all(sock)
    assert values == [client, core.address]


def test_addresses_of_a_unix_socket(tmp_path: Path) -> None:
    values: list[Any] = []

    def handler(request: Request) -> Response:
        values.extend([request.client, request.server])
        return Response()

    path = tmp_path / "söcket"
    with serving(("GET", "/", plan(handler, _core.INLINE)), unix=path) as core:
        core.get("/")
    assert values == [None, (str(path), None)]


def test_values_are_made_once() -> None:
    same: list[bool] = []

    def handler(request: Request) -> Response:
        for name in ("path", "raw_headers", "path_params", "query_string", "method", "client"):
            same.append(getattr(request, name) is getattr(request, name))
        return Response()

    with serving(("GET", "/{a}", plan(handler, _core.INLINE))) as core:
        core.get("/a?b=c")
    assert same == [True] * 6


def test_what_can_be_set() -> None:
    def handler(request: Request) -> Response:
        request.app = request.state = request._cache = request.path_params = {"own": 1}
        assert request.app is request.state is request._cache is request.path_params
        with pytest.raises(AttributeError):
            request.path = "/other"
        with pytest.raises(AttributeError):
            del request.path_params
        return Response()

    with serving(("GET", "/{a}", plan(handler, _core.INLINE))) as core:
        assert core.get("/a")[0].startswith(b"HTTP/1.1 200 ")


def test_header() -> None:
    def handler(request: Request) -> dict[str, Any]:
        return {
            "first": request.header("X-Name"),
            "absent": request.header("x-absent"),
            "default": request.header("x-absent", "it"),
            "keyword": request.header(name="x-absent", default="that"),
            "latin-1": request.header("x-umlaut"),
            "empty": request.header("x-empty", "none"),
        }

    with serving(("GET", "/", plan(handler, _core.INLINE))) as core:
        _, body = core.get("/", "x-name: one", "X-NAME: two", "x-umlaut: \xe4", "x-empty:")
    assert body == (
        b'{"first": "one", "absent": null, "default": "it", "keyword": "that", '
        b'"latin-1": "\\u00e4", "empty": ""}'
    )


def test_the_plan_is_at_hand() -> None:
    plans: list[Any] = []

    def handler(request: Request) -> Response:
        plans.append(request.plan)
        return Response()

    route = plan(handler, _core.INLINE, info="mine")
    with serving(("GET", "/", route)) as core:
        core.get("/")
    assert plans == [route]


def routed(target: str, *patterns: str) -> tuple[int, list[tuple[bytes, bytes]], object]:
    """route_status, route_headers and plan of a request that a middleware sees."""
    found: list[Any] = []

    async def entry(request: Request) -> Response:
        found.extend([request.route_status, request.route_headers, request.plan])
        return Response()

    async def handler(request: Request) -> Response:
        raise AssertionError

    routes = [("GET", pattern, plan(handler)) for pattern in patterns]
    with serving(*routes, ("POST PUT", "/posts", plan(handler)), entry=entry) as core:
        core.get(target)
    return tuple(found)  # type: ignore[return-value]


def test_a_path_without_route() -> None:
    assert routed("/nowhere") == (404, [], None)


def test_another_method() -> None:
    assert routed("/posts") == (405, [(b"allow", b"POST, PUT")], None)


@pytest.mark.parametrize(
    ("target", "location"),
    [
        ("/a", b"/a/"),
        ("/a?x=1&y", b"/a/?x=1&y"),
        ("/a%20b", b"/a%20b/"),
        ("/b/", b"/b"),
        ("/b/?", b"/b"),
        ("/b%2F", b"/b"),
        ("/b%2f?x=/", b"/b?x=/"),
        ("http://x/b/", b"/b"),
        ("/.%2F/b/", b"/.%2F/b"),
    ],
)
def test_where_a_redirect_goes(target: str, location: bytes) -> None:
    answer = routed(target, "/a/", "/a b/", "/b", "/.//b")
    assert answer == (307, [(b"location", location)], None)


@pytest.mark.parametrize("target", ["//host/b/", "///b/", "/%2Fhost/b/"])
def test_no_redirect_to_another_host(target: str) -> None:
    assert routed(target, "/{path:path}/b", "//b", "///b")[0] == 404


def test_a_backslash_is_escaped_where_a_browser_would_take_it_for_a_slash() -> None:
    with serving(("GET", "/{path:path}/b", plan(lambda request: Response()))) as core:
        head, _ = core.get("/\\host/b/")
    assert head.startswith(b"HTTP/1.1 400 ") or b"location: /%5Chost/b\r\n" in head + b"\r\n"


def test_nobody_else_makes_requests() -> None:
    with pytest.raises(TypeError):
        _core.Request()
    with pytest.raises(TypeError):
        Request()


def test_a_request_outlives_its_connection_and_server() -> None:
    kept: list[Request] = []

    async def handler(request: Request) -> Response:
        kept.append(request)
        return Response()

    with serving(("GET", "/{name}", plan(handler))) as core:
        for i in range(3):
            core.get(f"/{i}?q={i}", f"x-i: {i}")
    for i, request in enumerate(kept):
        assert request.path == f"/{i}"
        assert request.path_params == {"name": str(i)}
        assert request.query_string == f"q={i}".encode()
        assert request.header("x-i") == str(i)
        assert request.client is not None
        assert request.server is None
        assert request.plan is not None
        assert request.plan.handler is handler
    kept.clear()
    gc.collect()


def test_requests_of_workers_can_be_read_at_the_same_time() -> None:
    barrier = threading.Barrier(2)

    def handler(request: Request) -> dict[str, Any]:
        barrier.wait(30)
        return {"path": request.path, "body": (request.body_nowait() or b"").decode()}

    answers: list[bytes] = []
    route = plan(handler, _core.POOL, body=_core.BODY_COLLECT)
    with serving(("POST", "/{name}", route)) as core:

        def client(name: str) -> None:
            raw = get(f"/{name}", "content-length: 3", method="POST") + name.encode() * 3
            answers.append(core.exchange(raw)[1])

        threads = [threading.Thread(target=client, args=(name,)) for name in "ab"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    expected = [b'{"path": "/a", "body": "aaa"}', b'{"path": "/b", "body": "bbb"}']
    assert sorted(answers) == expected


def test_nothing_is_left_of_a_request() -> None:
    async def handler(request: Request) -> Response:
        request.state = {"cycle": request}
        return Response()

    def count() -> int:
        gc.collect()
        types = (Request, _core.Sender)
        return sum(isinstance(obj, types) for obj in gc.get_objects())

    with serving(("GET", "/{name}", plan(handler))) as core:
        core.get("/x")
        references = sys.getrefcount(Request)
        for i in range(50):
            core.get(f"/{i}?q={i}")
        assert count() == 0
        assert sys.getrefcount(Request) <= references
