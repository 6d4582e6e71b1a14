"""Several ranges of a file in one response: multipart/byteranges (RFC 9110 section 14.6)."""

import email
import itertools
from pathlib import Path

import httpx
import pytest
from fluvial import App, FileResponse
from support.ways import WAYS, served_by

SMALL = bytes(range(256)) * 4
LARGE = bytes(range(256)) * 1000


@pytest.fixture(scope="module", params=WAYS)
def anywhere(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, certificate):
    folder = tmp_path_factory.mktemp("files")
    (folder / "small.txt").write_bytes(SMALL)
    (folder / "large.txt").write_bytes(LARGE)
    app = App()

    @app.api_route("/{name}", methods=["GET", "HEAD"])
    def file(name: str) -> FileResponse:
        return FileResponse(folder / name)

    with served_by(request.param, app, certificate) as client:
        yield client


def parts(response: httpx.Response) -> list[tuple[str, str, bytes]]:
    """The type, the Content-Range and the content of each part."""
    assert response.status_code == 206
    assert "content-range" not in response.headers
    assert int(response.headers["content-length"]) == len(response.content)
    head = f"Content-Type: {response.headers['content-type']}\r\n\r\n".encode()
    message = email.message_from_bytes(head + response.content)
    assert message.get_content_type() == "multipart/byteranges"
    boundary = message.get_boundary()
    assert boundary is not None
    found = response.content.split(b"\r\n--" + boundary.encode())
    assert found[-1] == b"--"
    result = []
    for each in found[:-1]:
        fields, _, content = each.removeprefix(b"--" + boundary.encode()).partition(b"\r\n\r\n")
        part = email.message_from_bytes(fields.strip() + b"\r\n\r\n")
        result.append((part["content-type"], part["content-range"], content))
    return result


@pytest.mark.parametrize(("name", "content"), [("small.txt", SMALL), ("large.txt", LARGE)])
def test_each_range_is_a_part(anywhere: httpx.Client, name: str, content: bytes) -> None:
    size = len(content)
    wanted = f"bytes=500-599, 0-9 ,-100,300-300,{size}-"
    assert parts(anywhere.get(f"/{name}", headers={"range": wanted})) == [
        ("text/plain; charset=utf-8", f"bytes {start}-{end - 1}/{size}", content[start:end])
        for start, end in ((0, 10), (300, 301), (500, 600), (size - 100, size))
    ]


def test_large_parts(anywhere: httpx.Client) -> None:
    size = len(LARGE)
    wanted = {"range": f"bytes=1-99999,120000-{size}"}
    first, second = parts(anywhere.get("/large.txt", headers=wanted))
    assert (first[2], second[2]) == (LARGE[1:100000], LARGE[120000:])


def test_ranges_that_overlap_or_touch_are_one(anywhere: httpx.Client) -> None:
    for wanted in ("0-99,50-149", "100-149,0-99", "0-149,20-30,0-149"):
        response = anywhere.get("/small.txt", headers={"range": f"bytes={wanted}"})
        assert (response.status_code, response.content) == (206, SMALL[:150]), wanted
        assert response.headers["content-range"] == f"bytes 0-149/{len(SMALL)}"
    three = parts(anywhere.get("/small.txt", headers={"range": "bytes=9-,0-2,4-6,5-7"}))
    assert [content for *_, content in three] == [SMALL[:3], SMALL[4:8], SMALL[9:]]


def test_what_is_no_range_is_left_out(anywhere: httpx.Client) -> None:
    for wanted in ("bytes=a-b,0-9", "bytes=7,0-9", "bytes=-,0-9,", "bytes=9-5,0-9", "Bytes=,0-9"):
        response = anywhere.get("/small.txt", headers={"range": wanted})
        assert (response.status_code, response.content) == (206, SMALL[:10]), wanted
    for wanted in ("bytes=", "bytes=,", "bytes=a-b,7", "bytes=²-³,1", "lines=0-1,3-4"):
        response = anywhere.get("/small.txt", headers={"range": wanted.encode()})
        assert (response.status_code, response.content) == (200, SMALL), wanted


def test_none_of_the_ranges_can_be_had(anywhere: httpx.Client) -> None:
    response = anywhere.get("/small.txt", headers={"range": "bytes=5000-,9999-10000,-0"})
    assert (response.status_code, response.content) == (416, b"")
    assert response.headers["content-range"] == f"bytes */{len(SMALL)}"


def test_very_many_ranges_are_ignored(anywhere: httpx.Client) -> None:
    every = [f"{start}-{start}" for start in itertools.islice(itertools.count(0, 2), 101)]
    many = anywhere.get("/small.txt", headers={"range": "bytes=" + ",".join(every[:100])})
    assert len(parts(many)) == 100
    more = anywhere.get("/small.txt", headers={"range": "bytes=" + ",".join(every)})
    assert (more.status_code, more.content) == (200, SMALL)


def test_head_has_none(anywhere: httpx.Client) -> None:
    response = anywhere.head("/small.txt", headers={"range": "bytes=0-1,3-4"})
    assert (response.status_code, response.content) == (200, b"")
    assert response.headers["content-type"] == "text/plain; charset=utf-8"


def test_boundaries_differ(anywhere: httpx.Client) -> None:
    wanted = {"range": "bytes=0-1,3-4"}
    seen = {anywhere.get("/small.txt", headers=wanted).headers["content-type"] for _ in range(2)}
    assert len(seen) == 2


def test_one_response_object_for_several_requests(serve, tmp_path: Path) -> None:
    """What one request asks for isn't told to the next."""
    (tmp_path / "a.txt").write_bytes(SMALL)
    app, shared = App(), FileResponse(tmp_path / "a.txt")
    app.get("/")(lambda: shared)
    client = serve(app).client
    assert client.get("/", headers={"range": "bytes=0-1,3-4"}).status_code == 206
    assert client.get("/", headers={"range": "bytes=9999-"}).status_code == 416
    assert client.get("/", headers={"range": "bytes=0-1"}).content == SMALL[:2]
    (tmp_path / "a.txt").write_bytes(SMALL[:20])
    last = client.get("/")
    assert (last.status_code, last.content) == (200, SMALL[:20])
    assert "content-range" not in last.headers
    assert last.headers["content-type"] == "text/plain; charset=utf-8"
