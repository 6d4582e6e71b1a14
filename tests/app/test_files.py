"""FileResponse: whole files, ranges, conditions."""

import email.utils
import os
from pathlib import Path

import httpx
import pytest
from fluvial import App, FileResponse

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


@pytest.mark.parametrize("header", ["bytes=a-b", "lines=1-2", "bytes=5-2", "bytes=1-2,4-5", "x"])
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
