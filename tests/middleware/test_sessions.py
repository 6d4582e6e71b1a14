"""SessionMiddleware: its cookies are those of Starlette, both ways."""

import base64
import json
from types import SimpleNamespace
from typing import Any

import itsdangerous
import pytest
from fluvial import App, Request, WebSocket
from fluvial.middleware.sessions import SessionMiddleware
from support.both import serve_both, tell
from support.ws_client import TEXT, connect

OPTIONS: dict[str, dict[str, Any]] = {
    "usual": {},
    "all": {
        "session_cookie": "mine",
        "max_age": 60,
        "path": "/s",
        "same_site": "strict",
        "https_only": True,
        "domain": "one.example",
        "partitioned": True,
    },
    "until the browser ends": {"max_age": None},
}


def make(names: SimpleNamespace, options: dict[str, Any]) -> Any:
    app = names.App()

    @app.get("/read")
    def read(request: names.Request):
        return dict(request.session)

    @app.get("/set")
    def set_value(request: names.Request, value: str):
        request.session["value"] = value
        return request.session

    @app.get("/change")
    async def change(request: names.Request):
        request.session.setdefault("a", 1)
        request.session.update(b=2)
        request.session.pop("value", None)
        return request.session

    @app.get("/clear")
    def clear(request: names.Request):
        request.session.clear()

    @app.get("/unused")
    def unused():
        return None

    app.add_middleware(names.SessionMiddleware, secret_key="secret", **options)
    return app


def unsigned(answer: tuple[int, str, list[tuple[str, str]]]) -> Any:
    """The answer, with the signature and time left out of the cookie."""
    fields = [(n, v.partition(".")[0] + v.partition(";")[2]) for n, v in answer[2]]
    return answer[0], answer[1], fields


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_the_cookies_are_those_of_starlette(serve, options) -> None:
    clients = serve_both(serve, lambda names: make(names, options))
    cookie = ""
    for path in ("/read", "/set?value=%C3%A4", "/read", "/change", "/read", "/unused", "/clear"):
        ours, theirs = (each.get(path, headers={"cookie": cookie}) for each in clients)
        assert unsigned(tell(ours)) == unsigned(tell(theirs)), path
        if "set-cookie" in theirs.headers:  # each reads what the other has written
            cookie = theirs.headers["set-cookie"].partition(";")[0]
            assert clients[0].get("/read", headers={"cookie": cookie}).json() == (
                theirs.json() or {}
            )
            mine = ours.headers["set-cookie"].partition(";")[0]
            assert clients[1].get("/read", headers={"cookie": mine}).json() == (ours.json() or {})


@pytest.mark.parametrize("data", [b"[1]", b"not json", b"\xff", b'{"a":1}'])
def test_a_cookie_that_is_not_to_be_trusted_is_an_empty_session(serve, data) -> None:
    app = App()
    app.add_middleware(SessionMiddleware, secret_key="secret")
    app.get("/")(_session)
    client = serve(app).client
    signed = itsdangerous.TimestampSigner("secret").sign(base64.b64encode(data)).decode()
    other = itsdangerous.TimestampSigner("other").sign(base64.b64encode(data)).decode()
    found = client.get("/", headers={"cookie": f"session={signed}"}).json()
    assert found == (json.loads(data) if data.startswith(b"{") else {})
    for cookie in (other, signed[:-1] + "!", data.decode("latin-1"), "", "."):
        raw = f"session={cookie}".encode("latin-1")
        assert client.get("/", headers=[(b"cookie", raw)]).json() == {}


def _session(request: Request) -> dict[str, Any]:
    return dict(request.session)


def test_an_old_session_is_over(serve, monkeypatch) -> None:
    app = App()
    app.add_middleware(SessionMiddleware, secret_key="secret", max_age=10)
    app.get("/")(_session)
    signer = itsdangerous.TimestampSigner("secret")
    now = signer.get_timestamp()
    monkeypatch.setattr(signer, "get_timestamp", lambda: now - 20)
    old = signer.sign(base64.b64encode(b'{"a":1}')).decode()
    assert serve(app).client.get("/", headers={"cookie": f"session={old}"}).json() == {}


def test_a_websocket_has_a_session(serve) -> None:
    app = App()
    app.add_middleware(SessionMiddleware, secret_key="secret")

    @app.websocket("/")
    async def tell_session(websocket: WebSocket):
        await websocket.accept()
        await websocket.send_json(websocket.session)

    signed = itsdangerous.TimestampSigner("secret").sign(base64.b64encode(b'{"a":1}')).decode()
    with connect(serve(app)) as ws:
        assert ws.open("/", [f"Cookie: session={signed}"]).status == 101
        frame = ws.read()
        assert (frame.opcode, json.loads(frame.payload)) == (TEXT, {"a": 1})


def test_without_the_middleware_the_message_says_what_to_write(serve, caplog) -> None:
    app = App()
    app.get("/")(_session)
    assert serve(app).client.get("/").status_code == 500
    assert "add_middleware(SessionMiddleware" in caplog.text
