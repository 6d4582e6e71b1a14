"""What the ASGI specification has as extensions of HTTP."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING, Any

import pytest
from fluvial import App
from support.asgi import Notes, answering, body, http_only, start
from support.responses import Response

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Serve

GET = b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
GET_1_0 = b"GET / HTTP/1.0\r\n\r\n"
WITH_TE = b"GET / HTTP/1.1\r\nhost: x\r\nte: trailers\r\nconnection: close\r\n\r\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_bytes(os.urandom(700_000))
    return path


def test_pathsend(serve: Serve, file: Path) -> None:
    send = {"type": "http.response.pathsend", "path": str(file)}
    size = (b"content-length", b"700000")
    answer, rest = Response.parse(serve(answering(start(size), send)).exchange(GET))
    assert (answer.body, rest) == (file.read_bytes(), b"")
    assert answer["content-length"] == "700000"
    answer, _ = Response.parse(serve(answering(start(), send)).exchange(GET))
    assert answer.complete
    assert answer.body == file.read_bytes()


def test_pathsend_of_what_is_not_there(serve: Serve) -> None:
    send = {"type": "http.response.pathsend", "path": "/nowhere/to/be/found"}
    assert serve(answering(start(), send)).client.get("/").status_code == 500


def test_zerocopysend(serve: Serve, file: Path) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        with file.open("rb") as opened:
            opened.seek(10)
            part = {"type": "http.response.zerocopysend", "more_body": True}
            await send(start())
            await send(body(b"<", more=True))
            await send({**part, "file": opened.fileno(), "offset": 3, "count": 5})
            await send({**part, "file": opened, "count": 300_000})
            await send({**part, "file": opened.fileno(), "more_body": False})

    answer, _ = Response.parse(serve(http_only(app)).exchange(GET))
    content = file.read_bytes()
    assert answer.complete
    assert answer.body == b"<" + content[3:8] + content[10:]


def test_early_hints(serve: Serve) -> None:
    hints = {"type": "http.response.early_hint", "links": [b"</a.css>; rel=preload", b"</b>"]}
    app = answering(hints, start(), body(b"page"))
    first, rest = Response.parse(serve(app).exchange(GET))
    assert first.status == 103
    assert first.fields == [("link", "</a.css>; rel=preload"), ("link", "</b>")]
    assert Response.parse(rest)[0].body == b"page"
    assert Response.parse(serve(app).exchange(GET_1_0))[0].body == b"page"


INFO = {"template": "page.html", "context": {"a": 1}}
DEBUG = {"type": "http.response.debug", "info": INFO}


@pytest.mark.parametrize("mounted", [False, True])
def test_debug(serve: Serve, caplog: pytest.LogCaptureFixture, mounted: bool) -> None:
    notes = Notes()

    async def debugs(scope: Any, receive: Any, send: Any) -> None:
        notes.add(scope["extensions"])
        await send(DEBUG)
        await send({**DEBUG, "info": {}})
        await send(start())
        with pytest.raises(RuntimeError, match=r"expected http\.response\.body"):
            await send(DEBUG)
        await send(body(b"page"))

    app: Any = http_only(debugs)
    if mounted:
        app = App()
        app.mount("/", http_only(debugs))
    with caplog.at_level(logging.DEBUG, "fluvial.asgi"):
        served = serve(app, asgi_debug=True)
        assert served.client.get("/").text == "page"
    assert notes.next()["http.response.debug"] == {}
    told = [record for record in caplog.records if record.name == "fluvial.asgi"]
    assert [each.getMessage() for each in told] == [
        "http.response.debug: {'template': 'page.html', 'context': {'a': 1}}",
        "http.response.debug: {}",
    ]
    assert {each.levelno for each in told} == {logging.DEBUG}


def test_no_debug_unless_asked_for(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    notes = Notes()

    async def debugs(scope: Any, receive: Any, send: Any) -> None:
        notes.add(scope["extensions"])
        await send(DEBUG)

    with caplog.at_level(logging.DEBUG):
        assert serve(http_only(debugs)).client.get("/").status_code == 500
    assert "http.response.debug" not in notes.next()
    assert "unexpected ASGI message 'http.response.debug'" in caplog.text
    assert "page.html" not in caplog.text


@pytest.mark.parametrize("info", [None, "text"])
def test_malformed_debug(serve: Serve, caplog: pytest.LogCaptureFixture, info: Any) -> None:
    served = serve(answering({**DEBUG, "info": info}), asgi_debug=True)
    assert served.client.get("/").status_code == 500
    assert "http.response.debug needs a dict 'info'" in caplog.text


@pytest.mark.parametrize("links", [[b"a\r\nb: c"], ["text"], 1])
def test_malformed_hints(serve: Serve, links: Any) -> None:
    hints = {"type": "http.response.early_hint", "links": links}
    assert serve(answering(hints, start(), body())).client.get("/").status_code == 500


def trailers(*fields: tuple[bytes, bytes], more: bool = False) -> dict[str, Any]:
    return {"type": "http.response.trailers", "headers": list(fields), "more_trailers": more}


@pytest.mark.parametrize("pieces", [1, 2])
def test_trailers(serve: Serve, pieces: int) -> None:
    bodies = [body(b"x", more=True) for _ in range(pieces - 1)] + [body(b"x")]
    app = answering(
        start(trailers=True), *bodies, trailers((b"x-a", b"1"), more=True), trailers((b"x-b", b"2"))
    )
    raw = serve(app).exchange(WITH_TE)
    assert b"transfer-encoding: chunked" in raw
    assert raw.endswith(b"\r\n1\r\nx\r\n0\r\nx-a: 1\r\nx-b: 2\r\n\r\n")


def test_trailers_go_nowhere_without_chunks(serve: Serve) -> None:
    app = answering(
        start((b"content-length", b"1"), trailers=True), body(b"x"), trailers((b"x-a", b"1"))
    )
    assert serve(app).exchange(WITH_TE).endswith(b"\r\n\r\nx")


def test_a_connection_goes_on_after_trailers(serve: Serve) -> None:
    served = serve(answering(start(trailers=True), body(b"x"), trailers((b"x-a", b"1"))))
    with served.connect() as sock:
        for _ in range(2):
            sock.sendall(b"GET / HTTP/1.1\r\nhost: x\r\nte: trailers\r\n\r\n")
            data = b""
            while not data.endswith(b"x-a: 1\r\n\r\n"):
                data += sock.recv(1000)
