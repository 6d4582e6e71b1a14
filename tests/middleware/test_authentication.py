"""AuthenticationMiddleware and @requires, as Starlette's."""

import base64
from types import SimpleNamespace
from typing import Any

import pytest
from fluvial import App
from fluvial.authentication import requires
from support.both import names_of, serve_both, tell
from support.ws_client import CLOSE, TEXT, connect


def make(names: SimpleNamespace) -> Any:
    class Backend(names.AuthenticationBackend):
        async def authenticate(self, conn: Any) -> Any:
            if "authorization" not in conn.headers:
                return None
            kind, _, value = conn.headers["authorization"].partition(" ")
            if kind != "Basic":
                raise names.AuthenticationError(f"not Basic but {kind}")
            name = base64.b64decode(value).decode().partition(":")[0]
            scopes = ["authenticated", *conn.query_params.getlist("scope")]
            return names.AuthCredentials(scopes), names.SimpleUser(name)

    app = names.App()

    @app.get("/who")
    def who(request: names.Request):
        user = request.user
        return [user.is_authenticated, user.display_name, request.auth.scopes]

    @app.get("/needs")
    @names.requires("authenticated")
    async def needs(request: names.Request):
        return request.user.identity

    @app.get("/admin")
    @names.requires(["authenticated", "admin"], status_code=404)
    def admin(request: names.Request, scope: str = ""):
        return scope

    @app.get("/redirected")
    @names.requires("admin", redirect="who")
    def redirected(request: names.Request):
        return "in"

    @app.websocket("/ws")
    @names.requires("authenticated")
    async def ws(websocket: names.WebSocket):
        await websocket.accept()
        await websocket.send_text(websocket.user.display_name)
        await websocket.close()

    app.add_middleware(names.AuthenticationMiddleware, backend=Backend())
    return app


def basic(name: str) -> str:
    return "Basic " + base64.b64encode(f"{name}:x".encode()).decode()


def test_the_answers_are_those_of_starlette(serve) -> None:
    clients = serve_both(serve, make)
    for authorization in (None, basic("ann"), "Bearer x"):
        headers = {} if authorization is None else {"authorization": authorization}
        for path in ("/who", "/needs", "/admin", "/admin?scope=admin", "/redirected?a=b"):
            answers = [
                tell(each.get(path, headers={"host": "one.example", **headers})) for each in clients
            ]
            assert answers[0] == answers[1], (path, authorization)


def test_a_websocket_has_a_user(serve) -> None:
    served = serve(make(names_of("fluvial")))
    with connect(served) as ws:
        assert ws.open("/ws", [f"Authorization: {basic('ann')}"]).status == 101
        frame = ws.read()
        assert (frame.opcode, frame.payload) == (TEXT, b"ann")
        assert ws.read().opcode == CLOSE
    for fields in ([], ["Authorization: Bearer x"]):
        with connect(served) as ws:
            ws.send(ws.request("/ws", fields))
            assert ws.answer().status == 403


def test_a_response_of_ones_own_for_an_error(serve) -> None:
    names = names_of("fluvial")
    app = make(names)
    layer = app.user_middleware[0]
    layer.kwargs["on_error"] = lambda conn, exc: names.JSONResponse({"at": conn.url.path}, 401)
    answer = serve(app).client.get("/who", headers={"authorization": "Bearer x"})
    assert (answer.status_code, answer.json()) == (401, {"at": "/who"})


def test_requires_needs_a_parameter() -> None:
    with pytest.raises(TypeError, match="needs a parameter 'request'"):
        requires("x")(lambda: 1)
    assert App().user_middleware == []
