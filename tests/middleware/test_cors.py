"""CORSMiddleware gives the header fields that Starlette's gives."""

from types import SimpleNamespace
from typing import Any

import pytest
from support.both import names_of, serve_both, tell

OPTIONS: dict[str, dict[str, Any]] = {
    "nothing": {},
    "all": {"allow_origins": ["*"], "allow_methods": ["*"], "allow_headers": ["*"]},
    "all with credentials": {
        "allow_origins": ["*"],
        "allow_credentials": True,
        "allow_headers": ["*"],
        "expose_headers": ["X-One", "X-Two"],
    },
    "some": {
        "allow_origins": ["https://one.example", "http://localhost:8080"],
        "allow_methods": ["POST", "GET"],
        "allow_headers": ["X-Token"],
        "max_age": 5,
    },
    "some with credentials": {"allow_origins": ["https://one.example"], "allow_credentials": True},
    "regex": {"allow_origin_regex": r"https://.*\.example", "allow_private_network": True},
    "exposed": {"allow_origins": ["*"], "expose_headers": ["X-One"]},
}
PREFLIGHT = {"access-control-request-method": "POST"}
ASKED: list[tuple[str, dict[str, str]]] = [
    ("GET", {}),
    ("GET", {"origin": "https://one.example"}),
    ("GET", {"origin": "https://evil.example.org"}),
    ("GET", {"origin": "https://one.example.org"}),
    ("OPTIONS", {"origin": "https://one.example"}),
    ("OPTIONS", {**PREFLIGHT}),
    ("OPTIONS", {"origin": "https://one.example", **PREFLIGHT}),
    ("OPTIONS", {"origin": "https://evil.example.org", **PREFLIGHT}),
    (
        "OPTIONS",
        {
            "origin": "https://one.example",
            **PREFLIGHT,
            "access-control-request-headers": "X-Token, content-type",
        },
    ),
    (
        "OPTIONS",
        {
            "origin": "https://one.example",
            "access-control-request-method": "DELETE",
            "access-control-request-headers": "x-other",
            "access-control-request-private-network": "true",
        },
    ),
]


class Outer:
    """Middleware that is ASGI only, so that the CORS inside it is too."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self.app(scope, receive, send)


def make(names: SimpleNamespace, options: dict[str, Any], inner: type | None) -> Any:
    app = names.App()

    @app.get("/")
    def root():
        return names.JSONResponse({"a": 1}, headers={"vary": "Accept"})

    @app.get("/own")
    def own():
        return names.JSONResponse({"a": 1}, headers={"access-control-allow-origin": "mine"})

    @app.get("/none")
    def none():
        raise names.HTTPException(404)

    if inner is not None:
        app.add_middleware(inner)
    app.add_middleware(names.CORSMiddleware, **options)
    return app


@pytest.mark.parametrize("inner", [None, Outer], ids=["functions", "asgi"])
@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_the_fields_are_those_of_starlette(serve, options, inner) -> None:
    ours, theirs = serve_both(serve, lambda names: make(names, options, inner))
    for method, headers in ASKED:
        for path in ("/", "/own", "/none", "/nowhere"):
            answers = [
                tell(each.request(method, path, headers=headers), "allow")
                for each in (ours, theirs)
            ]
            assert answers[0] == answers[1], (method, path, headers)


@pytest.mark.parametrize("inner", [None, Outer], ids=["functions", "asgi"])
def test_a_browser_can_read_a_500(serve, inner) -> None:
    names = names_of("fluvial")
    app = make(names, {"allow_origins": ["https://one.example"]}, inner)

    @app.get("/fails")
    async def fails():
        raise ValueError("broken")

    client = serve(app).client
    answer = client.get("/fails", headers={"origin": "https://one.example"})
    assert answer.status_code == 500
    assert answer.headers["access-control-allow-origin"] == "https://one.example"
    assert answer.headers["vary"] == "Origin"
    other = client.get("/fails", headers={"origin": "https://two.example"})
    assert "access-control-allow-origin" not in other.headers


@pytest.mark.parametrize("inner", [None, Outer], ids=["functions", "asgi"])
def test_so_can_it_what_the_users_handler_makes_of_an_exception(serve, inner) -> None:
    names = names_of("fluvial")
    app = make(names, {"allow_origins": ["*"]}, inner)

    @app.get("/fails")
    def fails():
        raise ValueError("broken")

    @app.exception_handler(Exception)
    async def handle(request, exc):
        return names.JSONResponse({"sorry": str(exc)}, 500)

    answer = serve(app).client.get("/fails", headers={"origin": "https://one.example"})
    assert answer.json() == {"sorry": "broken"}
    assert answer.headers["access-control-allow-origin"] == "*"


def test_one_origin_as_text_is_that_origin(serve) -> None:
    """Taken as a collection, each part of it would be allowed."""
    names = names_of("fluvial")
    app = make(names, {"allow_origins": "https://one.example"}, None)
    client = serve(app).client
    for origin, allowed in (("https://one.example", True), ("https://one", False), ("h", False)):
        answer = client.get("/", headers={"origin": origin})
        assert ("access-control-allow-origin" in answer.headers) == allowed
