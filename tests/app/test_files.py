"""FileResponse: whole files, ranges, conditions."""

import asyncio
import email.utils
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from fluvial import App, FileResponse, Request, Response
from support.asgi import Notes
from support.responses import Response as Answer
from support.responses import read_all
from support.ways import WAYS, served_by
from support.wsgi import errors

CONTENT = bytes(range(256)) * 3000


@pytest.fixture
def client(serve, tmp_path: Path) -> httpx.Client:
    file = tmp_path / "data é.bin"
    file.write_bytes(CONTENT)
    os.utime(file, (1_600_000_000, 1_600_000_000))
    (tmp_path / "empty.txt").write_bytes(b"")
    app = App()

    async def data():
        return FileResponse(file, media_type="application/octet-stream")

    app.api_route("/data", methods=["GET", "HEAD"])(data)

    @app.get("/named")
    def named():
        return FileResponse(file, filename="data é.bin")

    @app.get("/page")
    def page():
        return FileResponse(tmp_path / "empty.txt", filename="a.txt")

    @app.get("/none")
    async def none():
        return FileResponse(tmp_path / "none")

    @app.get("/folder")
    async def folder():
        return FileResponse(tmp_path)

    return serve(app).client


def test_whole(client: httpx.Client) -> None:
    response = client.get("/data")
    assert response.content == CONTENT
    assert response.headers["content-length"] == str(len(CONTENT))
    assert response.headers["content-type"] == "application/octet-stream"
    assert response.headers["accept-ranges"] == "bytes"
    assert response.headers["last-modified"] == email.utils.formatdate(1_600_000_000, usegmt=True)
    assert response.headers["etag"].startswith('"')


def test_head(client: httpx.Client) -> None:
    response = client.head("/data")
    assert (response.status_code, response.content) == (200, b"")
    assert response.headers["content-length"] == str(len(CONTENT))
    assert client.get("/data").content == CONTENT  # on the same connection


def test_names_and_types(client: httpx.Client) -> None:
    response = client.get("/named")
    expected = "attachment; filename*=utf-8''data%20%C3%A9.bin"
    assert response.headers["content-disposition"] == expected
    response = client.get("/page")
    assert response.headers["content-disposition"] == 'attachment; filename="a.txt"'
    assert response.headers["content-type"] == "text/plain; charset=utf-8"
    assert response.content == b""


SIZE = len(CONTENT)


@pytest.mark.parametrize(
    ("header", "start", "end"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=10-99", 10, 100),
        ("bytes = 500000-", 500000, SIZE),
        ("bytes=-10", SIZE - 10, SIZE),
        ("bytes=0-", 0, SIZE),
        ("bytes=0-99999999", 0, SIZE),
        ("bytes=-99999999", 0, SIZE),
    ],
)
def test_ranges(client: httpx.Client, header: str, start: int, end: int) -> None:
    response = client.get("/data", headers={"Range": header})
    assert response.content == CONTENT[start:end]
    assert response.status_code == 206
    assert response.headers["content-range"] == f"bytes {start}-{end - 1}/{SIZE}"


@pytest.mark.parametrize("header", ["bytes=a-b", "lines=1-2", "bytes=5-2", "x"])
def test_ranges_that_may_be_ignored(client: httpx.Client, header: str) -> None:
    response = client.get("/data", headers={"Range": header})
    assert (response.status_code, response.content) == (200, CONTENT)


@pytest.mark.parametrize("header", [f"bytes={SIZE}-", "bytes=-0"])
def test_ranges_that_cannot_be_had(client: httpx.Client, header: str) -> None:
    response = client.get("/data", headers={"Range": header})
    assert response.status_code == 416
    assert response.headers["content-range"] == f"bytes */{SIZE}"


def test_conditions(client: httpx.Client) -> None:
    first = client.get("/data")
    etag, modified = first.headers["etag"], first.headers["last-modified"]
    for headers in (
        {"If-None-Match": etag},
        {"If-None-Match": f'"x", W/{etag}'},
        {"If-None-Match": "*"},
        {"If-Modified-Since": modified},
    ):
        response = client.get("/data", headers=headers)
        assert (response.status_code, response.content) == (304, b"")
        assert response.headers["etag"] == etag
        assert "content-type" not in response.headers
    for headers in (
        {"If-None-Match": '"x"'},
        {"If-None-Match": '"x"', "If-Modified-Since": modified},
        {"If-Modified-Since": "Sun, 06 Nov 1994 08:49:37 GMT"},
        {"If-Modified-Since": "nonsense"},
    ):
        assert client.get("/data", headers=headers).status_code == 200


def test_if_range(client: httpx.Client) -> None:
    etag = client.get("/data").headers["etag"]
    headers = {"Range": "bytes=0-9", "If-Range": etag}
    assert client.get("/data", headers=headers).status_code == 206
    headers["If-Range"] = '"other"'
    assert client.get("/data", headers=headers).status_code == 200


def test_what_is_no_file_is_an_error(client: httpx.Client) -> None:
    for path in ("/none", "/folder"):
        response = client.get(path)
        assert (response.status_code, response.text) == (500, "Internal Server Error")


# ---- Files that the kernel copies -----------------------------------------------------------

HUGE = 64 * 1024 * 1024  # more than sockets hold
GET = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"
Serve = Callable[..., Any]


class Noting(FileResponse):
    """Notes how its sending ends."""

    def __init__(self, path: Path, notes: Notes) -> None:
        super().__init__(path)
        self.notes = notes

    async def respond(self, request: Request, sender: Any) -> None:
        try:
            await super().respond(request, sender)
        except BaseException as exc:
            self.notes.add(exc)
            raise
        self.notes.add("sent")


@pytest.fixture
def huge(tmp_path: Path) -> Path:
    path = tmp_path / "huge"
    with path.open("wb") as file:
        file.truncate(HUGE)
    return path


def answering(make: Callable[[], Response]) -> App:
    app = App()

    @app.get("/")
    async def file():
        return make()

    return app


def test_large_files_are_not_read(client: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def pread(fd: int, size: int, offset: int) -> bytes:
        raise AssertionError("the file was read")

    monkeypatch.setattr(os, "pread", pread)
    assert client.get("/data").content == CONTENT
    assert client.get("/data", headers={"Range": "bytes=9-400008"}).content == CONTENT[9:400009]


def test_clients_that_do_not_read_hold_up_nobody(serve: Serve, huge: Path) -> None:
    served = serve(answering(lambda: FileResponse(huge)))
    socks = [served.connect() for _ in range(50)]
    try:
        for sock in socks:
            sock.sendall(GET)
        assert {sock.recv(8) for sock in socks} == {b"HTTP/1.1"}
        assert len(served.client.get("/").content) == HUGE
    finally:
        for sock in socks:
            sock.close()


def test_a_client_that_sends_no_more_gets_the_file(serve: Serve, huge: Path) -> None:
    with serve(answering(lambda: FileResponse(huge))).connect() as sock:
        sock.sendall(GET)
        assert sock.recv(1)  # as long as the answer hasn't begun, who sends no more has gone
        sock.shutdown(socket.SHUT_WR)
        assert sum(map(len, iter(lambda: sock.recv(1 << 20), b""))) > HUGE


def test_a_client_that_goes(serve: Serve, huge: Path, caplog: pytest.LogCaptureFixture) -> None:
    notes = Notes()
    served = serve(answering(lambda: Noting(huge, notes)))
    with served.connect() as sock:
        sock.sendall(GET)
        assert sock.recv(1000)
        assert notes.empty()
    # Whichever notices first: who writes, or the connection.
    assert isinstance(notes.next(), (ConnectionResetError, asyncio.CancelledError))
    served.finish()
    assert errors(caplog) == ""


def test_a_client_that_takes_nothing(serve: Serve, huge: Path) -> None:
    notes = Notes()
    served = serve(answering(lambda: Noting(huge, notes)), limits={"write_timeout": 100})
    with served.connect() as sock:
        sock.sendall(GET)
        assert isinstance(notes.next(), OSError)


def test_a_file_that_becomes_shorter(
    serve: Serve, huge: Path, caplog: pytest.LogCaptureFixture
) -> None:
    served = serve(answering(lambda: FileResponse(huge)))
    with served.connect() as sock:
        sock.sendall(GET)
        data = sock.recv(1000)
        os.truncate(huge, 1000)
        rest, _ = read_all(sock)
    assert not Answer.parse(data + rest)[0].complete
    served.finish()
    assert "became shorter" in errors(caplog)


def test_an_answer_that_takes_too_long_is_cut_off(serve: Serve, huge: Path) -> None:
    notes = Notes()

    class Hasty(Noting):
        async def respond(self, request: Request, sender: Any) -> None:
            async with asyncio.timeout(None) as limit:
                notes.add((asyncio.get_running_loop(), limit))
                await super().respond(request, sender)

    with serve(answering(lambda: Hasty(huge, notes))).connect() as sock:
        sock.sendall(GET)
        loop, limit = notes.next()
        assert sock.recv(1000)
        loop.call_soon_threadsafe(limit.reschedule, 0)
        notes.next()
        rest, closed = read_all(sock)
    assert closed
    assert len(rest) < HUGE


# ---- Conditions and ranges, wherever a file is sent ------------------------------------------

MODIFIED = 1_600_000_000
BEFORE, AT, AFTER = (
    email.utils.formatdate(MODIFIED + shift, usegmt=True) for shift in (-60, 0, 60)
)


@pytest.fixture(scope="module", params=WAYS)
def anywhere(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, certificate):
    folder = tmp_path_factory.mktemp("files")
    for name, content in (("small.bin", CONTENT[:1000]), ("large.bin", CONTENT)):
        (folder / name).write_bytes(content)
        os.utime(folder / name, (MODIFIED, MODIFIED))
    app = App()

    @app.api_route("/{name}", methods=["GET", "HEAD"])
    def file(name: str, etag: str = '"v"') -> FileResponse:
        return FileResponse(folder / name, headers={"etag": etag})

    with served_by(request.param, app, certificate) as client:
        yield client


CONDITIONS: list[tuple[list[tuple[str, str]], int]] = [
    ([("If-Match", '"v"')], 200),
    ([("If-Match", "*")], 200),
    ([("If-Match", '"x", "v"')], 200),
    ([("If-Match", '"x"'), ("If-Match", '"v"')], 200),
    ([("If-Match", '"x"')], 412),
    ([("If-Match", 'W/"v"')], 412),
    ([("If-Match", '"x, v"')], 412),
    ([("If-Match", "")], 412),
    ([("If-Match", '"v"'), ("If-Unmodified-Since", BEFORE)], 200),
    ([("If-Match", '"x"'), ("If-None-Match", '"v"')], 412),
    ([("If-Match", '"v"'), ("If-None-Match", '"v"')], 304),
    ([("If-Unmodified-Since", BEFORE)], 412),
    ([("If-Unmodified-Since", AT)], 200),
    ([("If-Unmodified-Since", AFTER)], 200),
    ([("If-Unmodified-Since", "yesterday")], 200),
    ([("If-Unmodified-Since", BEFORE), ("If-None-Match", '"v"')], 412),
    ([("If-None-Match", '"v"')], 304),
    ([("If-None-Match", 'W/"v"')], 304),
    ([("If-None-Match", '"x","v"')], 304),
    ([("If-None-Match", '"x"'), ("If-None-Match", '"v"')], 304),
    ([("If-None-Match", '"v"'), ("If-None-Match", '"x"')], 304),
    ([("If-None-Match", '"a,v"')], 200),
    ([("If-None-Match", '"x"'), ("If-Modified-Since", AFTER)], 200),
    ([("If-Modified-Since", AT)], 304),
    ([("If-Modified-Since", BEFORE)], 200),
    ([("If-Modified-Since", "Mon, 01 Jan 0001 00:00:00 -0000")], 200),
    ([("If-Modified-Since", "Fri, 31 Dec 9999 23:59:59 -2359")], 304),
    ([("If-None-Match", '"v"'), ("Range", "bytes=0-1")], 304),
    ([("If-Match", '"x"'), ("Range", "bytes=0-1")], 412),
]


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_conditions_anywhere(anywhere: httpx.Client, method: str) -> None:
    for fields, status in CONDITIONS:
        for name in ("small.bin", "large.bin"):
            response = anywhere.request(method, f"/{name}", headers=fields)
            assert response.status_code == status, fields
            assert response.headers["etag"] == '"v"'
            if status != 200:
                assert response.content == b""
                assert "content-type" not in response.headers


RANGES: list[tuple[list[tuple[str, str]], tuple[int, int] | None]] = [
    ([("Range", "bytes=1-3")], (1, 4)),
    ([("Range", "bytes=1-" + "9" * 5000)], (1, 1000)),
    ([("Range", "bytes=-" + "9" * 5000)], (0, 1000)),
    ([("Range", "bytes=1-3"), ("Range", "bytes=5-6")], None),
    ([("Range", "bytes=1-3"), ("If-Range", '"v"')], (1, 4)),
    ([("Range", "bytes=1-3"), ("If-Range", '"x"')], None),
    ([("Range", "bytes=1-3"), ("If-Range", 'W/"v"')], None),
    ([("Range", "bytes=1-3"), ("If-Range", AT)], (1, 4)),
    ([("Range", "bytes=1-3"), ("If-Range", AFTER)], None),
    ([("Range", "bytes=1-3"), ("If-Match", '"v"')], (1, 4)),
]


def test_ranges_and_their_conditions(anywhere: httpx.Client) -> None:
    for fields, part in RANGES:
        response = anywhere.get("/small.bin", headers=fields)
        start, end = part or (0, 1000)
        assert response.status_code == (206 if part else 200), fields
        assert response.content == CONTENT[start:end]
    unsatisfiable = anywhere.get("/small.bin", headers={"range": "bytes=" + "9" * 5000 + "-"})
    assert unsatisfiable.status_code == 416
    weak = {"range": "bytes=1-3", "if-range": 'W/"v"'}
    assert anywhere.get("/small.bin?etag=W/%22v%22", headers=weak).status_code == 200


@pytest.mark.parametrize("name", ["small.bin", "large.bin"])
def test_head_has_no_ranges(anywhere: httpx.Client, name: str) -> None:
    whole = anywhere.get(f"/{name}")
    for wanted in ("bytes=1-3", "bytes=99999999-", "nonsense"):
        response = anywhere.head(f"/{name}", headers={"range": wanted})
        assert (response.status_code, response.content) == (200, b"")
        assert response.headers["content-length"] == str(len(whole.content))
        assert response.headers["content-type"] == whole.headers["content-type"]
        assert "content-range" not in response.headers


def test_unknown_names_are_octets(serve, tmp_path: Path) -> None:
    names = {
        "a.unknown": "application/octet-stream",
        "README": "application/octet-stream",
        "a.": "application/octet-stream",
        "a.txt": "text/plain; charset=utf-8",
        "a.json": "application/json",
    }
    app = App()
    app.get("/{name}")(lambda name: FileResponse(tmp_path / name))
    app.get("/as/{name}")(lambda name: FileResponse(tmp_path / "a.txt", filename=name))
    client = serve(app).client
    for name in names:
        (tmp_path / name).write_bytes(b"\0")
    for name, expected in names.items():
        assert client.get(f"/{name}").headers["content-type"] == expected
        assert client.get(f"/as/{name}").headers["content-type"] == expected


def test_middleware_may_replace_a_files_content(serve, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("file")
    app = App()
    app.get("/")(lambda: FileResponse(tmp_path / "a.txt"))

    @app.middleware("http")
    async def around(request: Request, call_next: Any) -> Response:
        response = await call_next(request)
        response.body_iterator = ["other"]
        return response

    assert serve(app).client.get("/").text == "other"
