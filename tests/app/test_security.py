"""Security schemes, beside FastAPI's: what each reads, and how it refuses."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Annotated, Any

import fastapi
import fastapi.security as theirs
import pytest
from fluvial import App, Depends, HTTPException, Request, WebSocket
from fluvial import security as ours
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

if TYPE_CHECKING:
    from conftest import Serve


def basic(text: bytes) -> dict[str, str]:
    return {"authorization": f"Basic {base64.b64encode(text).decode()}"}


SCHEMES: dict[str, dict[str, Any]] = {
    "HTTPBasic": {},
    "HTTPBearer": {},
    "HTTPDigest": {},
    "APIKeyHeader": {"name": "x-key"},
    "APIKeyQuery": {"name": "key"},
    "APIKeyCookie": {"name": "key"},
    "OAuth2": {},
    "OAuth2PasswordBearer": {"tokenUrl": "token"},
    "OAuth2AuthorizationCodeBearer": {"authorizationUrl": "login", "tokenUrl": "token"},
    "OpenIdConnect": {"openIdConnectUrl": "/openid"},
}
REQUESTS: list[tuple[str, dict[str, str]]] = [
    ("/", {}),
    ("/", basic(b"ann:secret")),
    ("/", basic(b"ann:with:colons")),
    ("/", basic(b":")),
    ("/", basic(b"no colon")),
    ("/", {"authorization": "basic YW5uOnNlY3JldA=="}),
    ("/", {"authorization": "Basic not base64"}),
    ("/", {"authorization": "Basic"}),
    ("/", {"authorization": "Bearer token"}),
    ("/", {"authorization": "bearer token"}),
    ("/", {"authorization": "Bearer"}),
    ("/", {"authorization": "Bearer two words"}),
    ("/", {"authorization": 'Digest username="ann"'}),
    ("/", {"authorization": "Other thing"}),
    ("/", {"authorization": ""}),
    ("/", {"x-key": "k"}),
    ("/", {"x-key": ""}),
    ("/?key=k", {}),
    ("/?key=", {}),
    ("/", {"cookie": "key=k"}),
    ("/", {"cookie": "key="}),
]


def outcome(response: Any) -> tuple[int, str | None, Any]:
    return response.status_code, response.headers.get("www-authenticate"), response.json()


@pytest.mark.parametrize("auto_error", [True, False])
@pytest.mark.parametrize("name", SCHEMES)
def test_as_fastapi(serve: Serve, name: str, auto_error: bool) -> None:
    options = {**SCHEMES[name], "auto_error": auto_error}
    scheme, their_scheme = getattr(ours, name)(**options), getattr(theirs, name)(**options)
    app, other = App(), fastapi.FastAPI()

    @app.get("/")
    async def read(found: Any = Depends(scheme)) -> Any:  # noqa: B008 - no annotation names a local
        return found

    @other.get("/")
    async def read_there(found: Any = fastapi.Depends(their_scheme)) -> Any:  # noqa: B008
        return found

    client, their_client = serve(app).client, serve(other).client
    for path, headers in REQUESTS:
        expected = outcome(their_client.get(path, headers=headers))
        assert outcome(client.get(path, headers=headers)) == expected, (path, headers)


def test_a_realm(serve: Serve) -> None:
    app = App()
    app.get("/", dependencies=[Depends(ours.HTTPBasic(realm='the "shop"'))])(lambda: None)
    response = serve(app).client.get("/")
    assert response.status_code == 401
    assert response.headers["www-authenticate"] == r'Basic realm="the \"shop\""'


def test_names_and_passwords_may_be_of_any_language(serve: Serve) -> None:
    app = App()

    @app.get("/")
    async def read(
        found: Annotated[ours.HTTPBasicCredentials, Depends(ours.HTTPBasic())],
    ) -> list[str]:
        return [found.username, found.password]

    client = serve(app).client
    assert client.get("/", headers=basic("Zoë:пароль".encode())).json() == ["Zoë", "пароль"]
    assert client.get("/", headers=basic(b"\xff:x")).status_code == 401


def test_websockets_are_refused_and_accepted_alike(serve: Serve) -> None:
    app = App()

    @app.websocket("/")
    async def socket(
        websocket: WebSocket, token: Annotated[str, Depends(ours.OAuth2PasswordBearer("t"))]
    ) -> None:
        await websocket.accept()
        await websocket.send_text(token)

    url = serve(app).url.replace("http", "ws", 1)
    headers = {"authorization": "Bearer abc"}
    with connect(url, additional_headers=headers, proxy=None) as client:
        assert client.recv() == "abc"
    with pytest.raises(InvalidStatus) as caught:
        connect(url, proxy=None)
    assert caught.value.response.status_code == 401
    assert caught.value.response.headers["www-authenticate"] == "Bearer"


def test_a_subclass_may_refuse_in_its_own_way(serve: Serve) -> None:
    class Key(ours.APIKeyHeader):
        def make_not_authenticated_error(self) -> HTTPException:
            return HTTPException(403, "no key")

    app = App()
    app.get("/", dependencies=[Depends(Key(name="x-key"))])(lambda: None)
    response = serve(app).client.get("/")
    assert (response.status_code, response.json()) == (403, {"detail": "no key"})


def test_what_stands_in_the_document() -> None:
    found = [
        ours.HTTPBearer(bearerFormat="JWT", description="a token", scheme_name="jwt"),
        ours.APIKeyCookie(name="session"),
        ours.OAuth2PasswordBearer("token", scopes={"read": "reads"}, refreshUrl="again"),
        ours.OAuth2AuthorizationCodeBearer("login", "token"),
    ]
    assert [(scheme.scheme_name, scheme.model) for scheme in found] == [
        (
            "jwt",
            {
                "type": "http",
                "scheme": "bearer",
                "bearerFormat": "JWT",
                "description": "a token",
            },
        ),
        ("APIKeyCookie", {"type": "apiKey", "in": "cookie", "name": "session"}),
        (
            "OAuth2PasswordBearer",
            {
                "type": "oauth2",
                "flows": {
                    "password": {
                        "tokenUrl": "token",
                        "scopes": {"read": "reads"},
                        "refreshUrl": "again",
                    }
                },
            },
        ),
        (
            "OAuth2AuthorizationCodeBearer",
            {
                "type": "oauth2",
                "flows": {
                    "authorizationCode": {
                        "authorizationUrl": "login",
                        "tokenUrl": "token",
                        "scopes": {},
                    }
                },
            },
        ),
    ]


@pytest.mark.parametrize("name", SCHEMES)
def test_a_subclass_may_name_the_request(serve: Serve, name: str) -> None:
    scheme = getattr(ours, name)

    class Own(scheme):  # type: ignore[misc]
        async def __call__(self, request: Request) -> Any:
            await super().__call__(request=request)
            return "seen"

    app, seen = App(), Depends(Own(**SCHEMES[name], auto_error=False))

    @app.get("/")
    async def read(found: Any = seen) -> Any:
        return found

    assert serve(app).client.get("/").json() == "seen"
