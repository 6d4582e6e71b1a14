"""Security(scopes=…) and SecurityScopes, beside FastAPI's.

Annotations are evaluated at once here: they name what is local to a function.
"""

from typing import Any

import fastapi
import fastapi.security as theirs
import pytest
from fluvial import APIRouter, App, Depends, Security
from fluvial import security as ours


def program(
    make: Any, depends: Any, security: Any, scopes_type: Any
) -> tuple[Any, list[tuple[str, list[str]]]]:
    """A program with nested scopes, by Fluvial's or FastAPI's names, and what it has called."""
    app, calls = make(), []

    def shared() -> None:
        calls.append(("shared", []))

    def current(security_scopes: scopes_type, _: None = depends(shared)) -> str:
        calls.append(("current", security_scopes.scopes))
        return security_scopes.scope_str

    async def active(
        scopes: scopes_type, user: str = security(current, scopes=["me"])
    ) -> list[str]:
        calls.append(("active", scopes.scopes))
        return [*scopes.scopes, user]

    @app.get("/plain")
    async def plain(user: str = depends(current)) -> Any:
        return user

    @app.get("/nested")
    def nested(found: Any = security(active, scopes=["items", "me"])) -> Any:  # noqa: B008 - as above
        return found

    @app.get("/both")
    async def both(
        first: str = security(current, scopes=["a"]),
        second: str = security(current, scopes=["b"]),
        third: str = security(current, scopes=["a"]),
        fourth: str = depends(current),
    ) -> Any:
        return [first, second, third, fourth]

    @app.get("/own")
    async def own(scopes: scopes_type, q: str = "x") -> Any:
        return [scopes.scopes, q]

    @app.get("/beside", dependencies=[security(current, scopes=["outer"])])
    async def beside(user: str = security(current, scopes=["outer"])) -> Any:
        return user

    return app, calls


def test_scopes_as_fastapi(serve: Any) -> None:
    app, calls = program(App, Depends, Security, ours.SecurityScopes)
    names = (fastapi.Depends, fastapi.Security, theirs.SecurityScopes)
    other, their_calls = program(fastapi.FastAPI, *names)
    client, their_client = serve(app).client, serve(other).client
    for path in ("/plain", "/nested", "/both", "/own?q=y", "/beside"):
        assert client.get(path).json() == their_client.get(path).json(), path
        assert sorted(calls) == sorted(their_calls), path
        calls.clear()
        their_calls.clear()


def test_scopes_of_one_request_are_not_those_of_the_next(serve: Any) -> None:
    def changing(scopes: ours.SecurityScopes) -> list[str]:
        scopes.scopes.append("more")
        return scopes.scopes

    app = App()
    app.get("/", dependencies=[])(changing)
    client = serve(app).client
    assert [client.get("/").json() for _ in range(2)] == [[], []]


def test_scopes_of_routers(serve: Any) -> None:
    seen = []

    def check(scopes: ours.SecurityScopes) -> None:
        seen.append(scopes.scope_str)

    router = APIRouter(dependencies=[Security(check, scopes=["router"])])
    router.get("/", dependencies=[Security(check, scopes=["route"])])(lambda: None)
    app = App()
    app.include_router(router, dependencies=[Security(check, scopes=["inclusion"])])
    assert serve(app).client.get("/").status_code == 200
    assert seen == ["inclusion", "router", "route"]


def positional(scopes: ours.SecurityScopes, /) -> None: ...


@pytest.mark.parametrize(
    ("misuse", "message"),
    [
        (lambda: Security(len, scopes="me"), r'write scopes=\["name", …\]'),
        (lambda: Security(len, scopes=[1]), "write scopes="),
        (lambda: Security(len, scope=["me"]), "did you mean 'scopes'"),
        (lambda: App().get("/")(positional), "'scopes' of .*positional can't be positional only"),
    ],
)
def test_misuse_of_scopes(misuse: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        misuse()
