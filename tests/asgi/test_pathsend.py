"""FileResponse and StaticFiles under servers that send files by their paths."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from fluvial import App, FileResponse, Request, Response
from fluvial.middleware.base import BaseHTTPMiddleware
from fluvial.middleware.gzip import GZipMiddleware
from fluvial.staticfiles import StaticFiles

if TYPE_CHECKING:
    from pathlib import Path

CONTENT = b"Text " * 40_000
PATHSEND = "http.response.pathsend"


def ask(app: Any, path: str, *headers: tuple[bytes, bytes], offered: bool = True) -> list[Any]:
    """The messages that the app sends to a server with that extension."""
    sent: list[Any] = []

    async def main() -> None:
        async def receive() -> Any:
            if not sent:
                return {"type": "http.request"}
            await asyncio.Event().wait()

        async def send(message: Any) -> None:
            sent.append(message)

        await app(scope, receive, send)

    scope: dict[str, Any] = {"type": "http", "method": "GET", "path": path, "headers": headers}
    scope["extensions"] = {PATHSEND: {}} if offered else {}
    asyncio.run(main())
    return sent


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "a.txt").write_bytes(CONTENT)
    (tmp_path / "small.txt").write_bytes(b"small")
    return tmp_path / "a.txt"


@pytest.fixture
def app(file: Path, monkeypatch: pytest.MonkeyPatch) -> App:
    monkeypatch.chdir(file.parent)
    app = App()
    app.get("/file")(lambda: FileResponse("a.txt"))
    app.get("/small")(lambda: FileResponse("small.txt"))
    return app


def body_of(sent: list[Any]) -> bytes:
    assert {message["type"] for message in sent[1:]} == {"http.response.body"}
    assert [message.get("more_body", False) for message in sent[1:]][-1] is False
    return b"".join(message["body"] for message in sent[1:])


def test_whole_files_are_sent_by_path(app: App, file: Path) -> None:
    for asked in ((app, "/file"), (StaticFiles(directory=file.parent), "/a.txt")):
        check_sent_by_path(ask(*asked), file)


def check_sent_by_path(sent: list[Any], file: Path) -> None:
    start, *rest = sent
    assert (b"content-length", b"%d" % len(CONTENT)) in start["headers"]
    assert rest == [{"type": PATHSEND, "path": str(file)}]


def test_others_are_read(app: App) -> None:
    assert body_of(ask(app, "/file", offered=False)) == CONTENT
    part = ask(app, "/file", (b"range", b"bytes=1-3"))
    assert (part[0]["status"], body_of(part)) == (206, b"ext")
    assert body_of(ask(app, "/small")) == b"small"


def test_layers_that_need_the_content_see_it(app: App) -> None:
    class Swapping(BaseHTTPMiddleware):
        async def dispatch(self, request: Request, call_next: Any) -> Response:
            response = await call_next(request)
            pieces = [piece async for piece in response.body_iterator]
            return Response(b"".join(pieces).swapcase())

    assert body_of(ask(Swapping(app), "/file")) == CONTENT.swapcase()
    zipped = ask(GZipMiddleware(app), "/file", (b"accept-encoding", b"gzip"))
    assert (b"content-encoding", b"gzip") in zipped[0]["headers"]
    assert len(body_of(zipped)) < len(CONTENT)
    assert ask(GZipMiddleware(app), "/file")[1]["type"] == PATHSEND
