"""`fluvial.Request` and the views of its parts."""

import threading
import uuid

import pytest
from fluvial import URL, App, Headers, MutableHeaders, QueryParams, Request, State


def test_parts(serve) -> None:
    app = App()

    def parts(request: Request):
        assert request.client is not None
        return {
            "method": request.method,
            "path": request.path,
            "query": [request.query_params["a"], request.query_params.getlist("a")],
            "header": [request.headers["X-Test"], request.headers.getlist("x-test")],
            "missing": request.headers.get("nope"),
            "cookies": request.cookies,
            "url": [str(request.url), request.url.path, request.url.query, request.url.hostname],
            "base": str(request.base_url),
            "client": [request.client.host, request.client.port > 0],
            "path_params": {k: [str(v), type(v).__name__] for k, v in request.path_params.items()},
            "app": request.app is app,
            "version": request.http_version,
        }

    async def parts_async(request: Request):
        return parts(request)

    app.get("/sync/{a}/{n:int}/{u:uuid}")(parts)
    app.get("/async/{a}/{n:int}/{u:uuid}")(parts_async)
    served = serve(app)
    for mode in ("sync", "async"):
        path = f"/{mode}/x%20y/5/{uuid.UUID(int=1)}"
        headers = [("X-Test", "1"), ("X-Test", "2"), ("Cookie", 'a=b; c="d e"')]
        found = served.client.get(f"{path}?a=1&a=2%263", headers=headers).json()
        assert found == {
            "method": "GET",
            "path": path.replace("%20", " "),
            "query": ["2&3", ["1", "2&3"]],
            "header": ["1", ["1", "2"]],
            "missing": None,
            "cookies": {"a": "b", "c": "d e"},
            "url": [
                f"{served.url}{path}?a=1&a=2%263",
                path.replace("%20", " "),
                "a=1&a=2%263",
                "127.0.0.1",
            ],
            "base": f"{served.url}/",
            "client": ["127.0.0.1", True],
            "path_params": {
                **{"a": ["x y", "str"], "n": ["5", "int"]},
                "u": [str(uuid.UUID(int=1)), "UUID"],
            },
            "app": True,
            "version": "1.1",
        }


def test_the_path_of_the_url_is_what_was_routed(serve) -> None:
    """A guard that compares it can't be evaded by percent-encoding."""
    app = App()

    @app.get("/admin")
    async def admin(request: Request):
        renamed = request.url.include_query_params(b=1)
        return [request.url.path, str(request.url.replace(query="")), renamed.path]

    served = serve(app)
    url = f"{served.url}/%61dmin"
    assert served.client.get("/%61dmin?a=1").json() == ["/admin", url, "/admin"]


def test_unix_socket(serve, tmp_path) -> None:
    app = App()

    @app.get("/")
    async def handler(request: Request):
        return [str(request.url), request.client is None or request.client.port]

    url, port = serve(app, uds=str(tmp_path / "s")).client.get("/").json()
    assert url == "http://unix/"
    assert port in (0, True)


def test_disconnected(serve) -> None:
    app = App()
    started, noticed = threading.Event(), threading.Event()

    @app.get("/")
    async def handler(request: Request):
        import asyncio

        assert not await request.is_disconnected()
        started.set()
        while not await request.is_disconnected():  # noqa: ASYNC110 - there is no event for it
            await asyncio.sleep(0.01)
        noticed.set()

    with serve(app).connect() as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert started.wait(20)
    assert noticed.wait(20)


def test_headers() -> None:
    headers = MutableHeaders({"A": "1", "b": "2"})
    headers.append("a", "3")
    assert headers["a"] == "1"
    assert headers.getlist("A") == ["1", "3"]
    assert "A" in headers
    assert 5 not in headers
    assert headers.keys() == ["a", "b", "a"]
    assert headers.values() == ["1", "2", "3"]
    assert headers.items() == [("a", "1"), ("b", "2"), ("a", "3")]
    assert len(headers) == 3
    headers["A"] = "4"
    assert headers.items() == [("a", "4"), ("b", "2")]
    assert headers.setdefault("b", "x") == "2"
    del headers["B"]
    with pytest.raises(KeyError):
        del headers["B"]
    with pytest.raises(KeyError):
        headers["b"]
    headers.add_vary_header("Origin")
    headers.add_vary_header("Accept")
    assert headers["vary"] == "Origin, Accept"
    assert headers == Headers({"vary": "Origin, Accept", "a": "4"})
    assert headers != {"a": "4"}
    copy = headers.mutablecopy()
    copy["a"] = "5"
    assert headers["a"] == "4"
    assert "'a': '4'" in repr(headers)


def test_query_params() -> None:
    query = QueryParams("a=1&b=&a=2&c=%C3%A9+x")
    assert dict(query) == {"a": "2", "b": "", "c": "é x"}
    assert query.getlist("a") == ["1", "2"]
    assert query.multi_items()[0] == ("a", "1")
    assert str(query) == "a=1&b=&a=2&c=%C3%A9+x"
    assert query == QueryParams([("b", ""), ("a", "1"), ("a", "2"), ("c", "é x")])
    assert list(query.keys()) == ["a", "b", "c"]
    assert list(query.values()) == ["2", "", "é x"]
    assert len(query) == 3


def test_url() -> None:
    url = URL("https://me:pw@example.org:8443/a/b?x=1&y=2#f")
    assert (url.scheme, url.hostname, url.port, url.path) == (
        *("https", "example.org", 8443, "/a/b"),
    )
    assert (url.username, url.password, url.query, url.fragment) == ("me", "pw", "x=1&y=2", "f")
    assert url.netloc == "me:pw@example.org:8443"
    assert url.is_secure
    assert str(url.replace(path="/c", query="", fragment="")) == "https://me:pw@example.org:8443/c"
    assert url.include_query_params(x=3, z=4).query == "y=2&x=3&z=4"
    assert url == str(url)
    assert len({url, URL(str(url))}) == 1


def test_state() -> None:
    state = State({"a": 1})
    state.b = 2
    state["c"] = 3
    assert (state.a, state["b"], state.c) == (1, 2, 3)
    assert "a" in state
    assert list(state) == ["a", "b", "c"]
    assert len(state) == 3
    del state.a
    del state["b"]
    with pytest.raises(AttributeError, match="'a'"):
        _ = state.a
    with pytest.raises(AttributeError, match="'a'"):
        del state.a
