"""StaticFiles says the same, byte for byte, in C and in Python; what conditions and ranges mean."""

from __future__ import annotations

import gzip
import os
import re
import time
from pathlib import Path
from typing import Any

import fluvial._core
import pytest
from fluvial import App
from fluvial._core import parse_http_date
from fluvial.staticfiles import StaticFiles
from support.h2_client import H2Client

MODIFIED = 1_600_000_000  # Sun, 13 Sep 2020 12:26:40 GMT
SIZES = {"empty.txt": 0, "small.txt": 1000, "large.bin": 300_000}
H2 = ("h2",) if fluvial._core.nghttp2_version else ()


class ByPython(StaticFiles):
    """A subclass, which C never serves."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, size in SIZES.items():
        (tmp_path / name).write_bytes(os.urandom(size))
        os.utime(tmp_path / name, (MODIFIED, MODIFIED))
    return tmp_path


@pytest.fixture
def only_subclasses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Requests for StaticFiles itself that reach Python fail."""
    call = StaticFiles.__call__

    async def guarded(self: StaticFiles, *args: Any) -> None:
        assert type(self) is not StaticFiles, "Python code was called"
        await call(self, *args)

    monkeypatch.setattr(StaticFiles, "__call__", guarded)


class BothWays:
    """Asks for the same by C and by Python."""

    def __init__(
        self, serve: Any, folder: Path, way: str, certificate: Any, **options: Any
    ) -> None:
        app = App()
        for prefix, kind in (("/c", StaticFiles), ("/p", ByPython)):
            app.mount(prefix, kind(directory=folder, **options))
        secure = {"ssl_certfile": certificate.cert, "ssl_keyfile": certificate.key}
        self.served = serve(app, **{"tls": secure, "h2": {"http": "auto"}}.get(way, {}))
        self.way = way

    def ask(self, path: str, *fields: tuple[str, str], method: str = "GET") -> bytes:
        """The response by C, which is that by Python."""
        found = self._ask("/c", path, fields, method)
        assert found == self._ask("/p", path, fields, method), (method, path, fields)
        return found

    def _ask(self, prefix: str, path: str, fields: Any, method: str) -> bytes:
        if self.way == "h2":
            with H2Client.to(self.served) as client:
                stream = client.request(f"{prefix}/{path}", method, *fields)
                answer = client.answer(stream)
            head = "\n".join(f"{name}: {value}" for name, value in answer.head.items())
            raw = f"{head}\n\n".encode() + bytes(answer.body)
        else:
            lines = [f"{name}: {value}" for name, value in fields]
            head = [f"{method} {prefix}/{path} HTTP/1.1", "host: a", "connection: close", *lines]
            raw = self.served.exchange("\r\n".join([*head, "", ""]).encode())
        head, end, body = raw.partition(b"\n\n" if self.way == "h2" else b"\r\n\r\n")
        head = re.sub(rb"(?i)\ndate: [^\r\n]*", b"", head).replace(f"{prefix}/".encode(), b"/c/")
        boundary = re.search(rb"boundary=([0-9a-f]{26})", head)
        raw = head + end + body
        return raw if boundary is None else raw.replace(boundary[1], b"B")


@pytest.fixture(params=["h1", "tls", *H2])
def ways(request: pytest.FixtureRequest, serve: Any, folder: Path, certificate: Any) -> BothWays:
    return BothWays(serve, folder, request.param, certificate)


def status(response: bytes) -> int:
    found = re.search(rb"\b(\d\d\d)\b", response)
    assert found
    return int(found[1])


RANGES = {
    "bytes=0-9": 206,
    "BYTES = 0-9": 206,
    "bytes=990-5000": 206,
    "bytes=990-": 206,
    "bytes=-10": 206,
    "bytes=-5000": 206,
    "bytes=0-" + "9" * 500: 206,
    "bytes=999-999,0-0": 206,
    "bytes=500-599, 0-9 ,-100,300-300,5000000-": 206,
    "bytes=5-9,0-5,10-20": 206,
    "bytes=" + ",".join(f"{n}-{n}" for n in range(0, 200, 2)): 206,
    "bytes=" + ",".join(f"{n}-{n}" for n in range(0, 202, 2)): 200,
    "bytes=0-9,x,7": 206,
    "bytes=x": 200,
    "bytes=9-0": 200,
    "bytes=-": 200,
    "bytes=": 200,
    "bytes": 200,
    "lines=0-9": 200,
    "bytes=-0": 416,
    "bytes=5000000-": 416,
    "bytes=" + "9" * 500 + "-": 416,
}


@pytest.mark.usefixtures("only_subclasses")
def test_ranges(ways: BothWays) -> None:
    for value, expected in RANGES.items():
        assert status(ways.ask("small.txt", ("range", value))) == expected, value
        ways.ask("large.bin", ("range", value))
        ways.ask("empty.txt", ("range", value))
        assert status(ways.ask("small.txt", ("range", value), method="HEAD")) == 200


@pytest.mark.usefixtures("only_subclasses")
def test_what_is_in_the_parts(ways: BothWays, folder: Path) -> None:
    for name in ("small.txt", "large.bin"):
        content = (folder / name).read_bytes()
        assert ways.ask(name, ("range", "bytes=3-7")).endswith(content[3:8])
        tail = ways.ask(name, ("range", "bytes=-600,100-199"))
        size = len(content)
        kind = "text/plain; charset=utf-8" if name == "small.txt" else "application/octet-stream"
        parts = [
            f"{lead}--B\r\nContent-Type: {kind}\r\n"
            f"Content-Range: bytes {start}-{end - 1}/{size}\r\n\r\n".encode()
            + content[start:end]
            for lead, start, end in (("", 100, 200), ("\r\n", size - 600, size))
        ]
        assert tail.endswith(b"\n" + b"".join(parts) + b"\r\n--B--")


@pytest.mark.usefixtures("only_subclasses")
def test_a_range_of_what_is_large(ways: BothWays, folder: Path) -> None:
    """It takes more than a socket's buffers, and more than one turn."""
    size = 1_500_000 if ways.way == "h2" else 6_000_000
    content = (os.urandom(997).replace(b"-", b"+") * 7000)[:size]
    (folder / "huge.bin").write_bytes(content)
    os.utime(folder / "huge.bin", (MODIFIED, MODIFIED))
    found = ways.ask("huge.bin", ("range", f"bytes=7-{size - 1000}"))
    assert found.endswith(content[7 : size - 999])
    found = ways.ask("huge.bin", ("range", "bytes=700001-,0-699999"))
    assert found.count(b"--B") == 3
    assert found.endswith(content[700_001:] + b"\r\n--B--")


@pytest.mark.usefixtures("only_subclasses")
def test_requests_after_ranges(serve: Any, folder: Path) -> None:
    """On the same connection, which the parts leave in order."""
    app = App()
    app.mount("/c", StaticFiles(directory=folder))
    client = serve(app).client
    for name in ("small.txt", "large.bin"):
        content = (folder / name).read_bytes()
        for value, part in (("bytes=1-3", content[1:4]), ("bytes=-3", content[-3:])):
            assert client.get(f"/c/{name}", headers={"range": value}).content == part
            several = client.get(f"/c/{name}", headers={"range": "bytes=0-0,5-9"})
            assert (several.status_code, several.content.count(b"Content-Range")) == (206, 2)
            none = client.get(f"/c/{name}", headers={"range": "bytes=9999999-"})
            assert (none.status_code, none.content) == (416, b"")
            assert none.headers["content-range"] == f"bytes */{len(content)}"
            assert client.get(f"/c/{name}").content == content


def test_a_file_that_becomes_shorter_between_its_parts(serve: Any, folder: Path) -> None:
    """The client sees that the response is incomplete: it ends with the connection."""
    path = folder / "large.bin"
    os.truncate(path, 200_000_000)  # more than a socket's buffers take; the file has holes
    app = App()
    app.mount("/c", StaticFiles(directory=folder))
    with serve(app).connect() as sock, sock.makefile("rb") as file:
        sock.sendall(b"GET /c/large.bin HTTP/1.1\r\nHost: a\r\nRange: bytes=0-0,9-\r\n\r\n")
        assert file.readline() == b"HTTP/1.1 206 Partial Content\r\n"
        os.truncate(path, 10)
        rest = file.read()
    assert len(rest) < 200_000_000
    assert not rest.endswith(b"--")


@pytest.mark.usefixtures("only_subclasses")
@pytest.mark.parametrize("name", ["small.txt", "large.bin"])
def test_if_range(ways: BothWays, folder: Path, name: str) -> None:
    etag, modified = validators(ways, name)
    for value, expected in {
        etag: 206,
        modified: 206,
        f"W/{etag}": 200,
        '"other"': 200,
        "Sun, 13 Sep 2020 12:26:41 GMT": 200,
        "Sunday, 13-Sep-20 12:26:40 GMT": 200,  # the same time, but not the same bytes
    }.items():
        for wanted in ("bytes=1-3", "bytes=1-3,5-6"):
            found = ways.ask(name, ("range", wanted), ("if-range", value))
            assert status(found) == expected, value
    outdated = ways.ask(name, ("range", "bytes=9999999-"), ("if-range", '"x"'))
    assert status(outdated) == 200


def validators(ways: BothWays, name: str) -> tuple[str, str]:
    head = ways.ask(name, method="HEAD").decode()
    found = [re.search(rf"(?im)^{field}: ([^\r\n]*)", head) for field in ("etag", "last-modified")]
    assert found[0]
    assert found[1]
    return found[0][1], found[1][1]


def dates(seconds: int) -> list[str]:
    """The time in the three formats of HTTP (RFC 9110 section 5.6.7)."""
    moment = time.gmtime(seconds)
    return [
        time.strftime("%a, %d %b %Y %H:%M:%S GMT", moment),
        time.strftime("%A, %d-%b-%y %H:%M:%S GMT", moment),
        time.asctime(moment),
    ]


@pytest.mark.usefixtures("only_subclasses")
def test_dates(ways: BothWays) -> None:
    for shift in (-400 * 86400, -60, -1, 0, 1, 60):
        for date in dates(MODIFIED + shift):
            unchanged = ways.ask("small.txt", ("if-modified-since", date))
            assert status(unchanged) == (304 if shift >= 0 else 200), date
            changed = ways.ask("large.bin", ("if-unmodified-since", date))
            assert status(changed) == (200 if shift >= 0 else 412), date


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nonsense",
        "Sun, 13 Sep 2020 12:26:41 GMT; length=1000",
        "Sun, 13 Sep 2020 12:26:41 +0000",
        "Sun, 31 Feb 2020 12:26:41 GMT",
        "Sun, 13 Sep 2020 24:26:41 GMT",
        "Sun, 13 Foo 2020 12:26:41 GMT",
        "Sun, 13 Sep 20",
        "Sunday, 13 Sep 2020 12:26:41 GMT",
        "1600000001",
    ],
)
def test_what_is_no_date(ways: BothWays, text: str) -> None:
    """Python code decides, and some programs' dates of mail count."""
    for name in ("if-modified-since", "if-unmodified-since"):
        ways.ask("small.txt", (name, text))
    assert parse_http_date(text) is None


@pytest.mark.usefixtures("only_subclasses")
def test_conditions(ways: BothWays) -> None:
    etag, modified = validators(ways, "small.txt")
    before, after = (dates(MODIFIED + shift)[0] for shift in (-60, 60))
    cases: list[tuple[list[tuple[str, str]], int]] = [
        ([("if-match", etag)], 200),
        ([("if-match", "*")], 200),
        ([("if-match", f'"x", {etag}')], 200),
        ([("if-match", '"x"'), ("if-match", etag)], 200),
        ([("if-match", '"x"')], 412),
        ([("if-match", f"W/{etag}")], 412),
        ([("if-match", "")], 412),
        ([("if-match", etag.strip('"'))], 412),
        ([("if-match", f'"x, {etag}')], 412),
        ([("if-match", etag), ("if-unmodified-since", before)], 200),
        ([("if-match", etag), ("if-none-match", etag)], 304),
        ([("if-match", '"x"'), ("if-none-match", etag)], 412),
        ([("if-unmodified-since", before), ("if-none-match", etag)], 412),
        ([("if-unmodified-since", after), ("if-none-match", etag)], 304),
        ([("if-none-match", etag)], 304),
        ([("if-none-match", f"W/{etag}")], 304),
        ([("if-none-match", f'"x",,W/"y", {etag}')], 304),
        ([("if-none-match", '"x"'), ("if-none-match", etag)], 304),
        ([("if-none-match", f'unquoted, "{etag}')], 200),
        ([("if-none-match", "*")], 304),
        ([("if-none-match", '"*"')], 200),
        ([("if-none-match", '"x"'), ("if-modified-since", after)], 200),
        ([("if-none-match", etag), ("range", "bytes=0-1")], 304),
        ([("if-match", '"x"'), ("range", "bytes=0-1")], 412),
        ([("if-modified-since", modified), ("range", "bytes=0-1")], 304),
        ([("if-modified-since", before), ("range", "bytes=0-1")], 206),
        ([("range", "bytes=0-1"), ("range", "bytes=3-4")], 200),
    ]
    for fields, expected in cases:
        assert status(ways.ask("small.txt", *fields)) == expected, fields
        head = 200 if expected == 206 else expected
        assert status(ways.ask("small.txt", *fields, method="HEAD")) == head, fields


@pytest.mark.usefixtures("only_subclasses")
def test_a_field_that_is_sent_twice(ways: BothWays) -> None:
    """Where that is wrong, the first counts."""
    etag, modified = validators(ways, "small.txt")
    before = dates(MODIFIED - 60)[0]
    for first, second in ((before, modified), (modified, before)):
        for name in ("if-modified-since", "if-unmodified-since"):
            ways.ask("small.txt", (name, first), (name, second))
        ways.ask("small.txt", ("range", "bytes=0-1"), ("if-range", first), ("if-range", etag))


@pytest.mark.usefixtures("only_subclasses")
def test_times_between_two_seconds(ways: BothWays, folder: Path) -> None:
    """Last-Modified and conditions agree, also where a float rounds to the next second."""
    for ns in (1, 500_000_000, 999_999_999):
        path = folder / f"{ns}.txt"
        path.write_text("text")
        os.utime(path, ns=(ns, MODIFIED * 10**9 + ns))
        modified = validators(ways, path.name)[1]
        assert status(ways.ask(path.name, ("if-modified-since", modified))) == 304
        for date in dates(MODIFIED) + dates(MODIFIED + 1):
            ways.ask(path.name, ("if-modified-since", date))
            ways.ask(path.name, ("if-unmodified-since", date))


# ---- Directories ----------------------------------------------------------------------------


@pytest.fixture
def pages(folder: Path) -> Path:
    for name in ("dir", "dir/empty", 'odd "<ä>', "dir.3f2a9c1b", "folder/index.html"):
        (folder / name).mkdir(parents=True)
    for name in ("index.html", "404.html", "dir/index.html", 'odd "<ä>/index.html'):
        (folder / name).write_text(f"<p>{name}</p>")
        os.utime(folder / name, (MODIFIED, MODIFIED))
    (folder / "dir" / "index.html.gz").write_bytes(gzip.compress(b"<p>index</p>"))
    (folder / "404.html.gz").write_bytes(gzip.compress(b"<p>missing</p>"))
    (folder / "outside").symlink_to(folder.parent.parent)
    (folder / "nowhere").symlink_to(folder / "missing")
    return folder


@pytest.fixture(params=["h1", "tls", *H2])
def html(request: pytest.FixtureRequest, serve: Any, pages: Path, certificate: Any) -> BothWays:
    immutable = r"404|\.[0-9a-f]{8}\."
    return BothWays(serve, pages, request.param, certificate, html=True, immutable=immutable)


PAGES = {
    "": 200,
    "dir/": 200,
    "dir": 307,
    "dir?": 307,
    "dir?a=b&c=%20": 307,
    "di%72": 307,
    "odd%20%22%3C%C3%A4%3E": 307,
    "odd%20%22%3C%C3%A4%3E/": 200,
    "dir%2F": 200,
    "dir/empty": 404,
    "dir/empty/": 404,
    "missing": 404,
    "missing/": 404,
    "missing/index.html": 404,
    "404.html": 200,
}


@pytest.mark.usefixtures("only_subclasses")
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_directories(html: BothWays, method: str) -> None:
    for path, expected in PAGES.items():
        for _ in range(2):
            found = html.ask(path, method=method)
            assert status(found) == expected, path
        html.ask(path, ("accept-encoding", "gzip"), method=method)


def test_what_python_must_look_at(html: BothWays) -> None:
    """A file with a slash, links that lead out, what is no file, more than one way to say it."""
    for path in ("small.txt/", "small.txt/x", "outside", "outside/", "outside/x", "nowhere"):
        html.ask(path)
    for path in ("folder", "folder/", "/", "//", "dir//", "./dir", "dir/../dir/", "%00", "x" * 300):
        html.ask(path)
    html.ask("dir/", method="POST")


@pytest.mark.usefixtures("only_subclasses")
def test_the_page_for_what_is_missing(html: BothWays) -> None:
    """It is no response to which conditions or ranges apply."""
    page = html.ask("missing")
    assert page.endswith(b"<p>404.html</p>")
    etag = re.search(rb'(?i)etag: ("[^"]*")', page)
    assert etag
    for field in (
        ("if-none-match", etag[1].decode()),
        ("if-match", '"x"'),
        ("if-modified-since", dates(MODIFIED)[0]),
        ("range", "bytes=0-1"),
        ("range", "bytes=1000-"),
    ):
        assert html.ask("missing", field) == page
    coded = html.ask("missing", ("accept-encoding", "gzip"))
    assert (status(coded), b"content-encoding: gzip" in coded.lower()) == (404, True)
    assert b"immutable" not in page
    assert b"immutable" in html.ask("404.html")


@pytest.mark.usefixtures("only_subclasses")
def test_conditions_of_an_index(html: BothWays) -> None:
    etag, modified = validators(html, "dir/")
    assert status(html.ask("dir/", ("if-none-match", etag))) == 304
    assert status(html.ask("dir/", ("if-modified-since", modified))) == 304
    assert status(html.ask("dir/", ("range", "bytes=1-2"))) == 206
    assert status(html.ask("dir", ("if-none-match", etag))) == 307


def test_pages_that_come_and_go(html: BothWays, pages: Path) -> None:
    for _ in range(2):
        assert status(html.ask("dir/empty/")) == 404
        (pages / "dir/empty/index.html").write_text("now")
        assert status(html.ask("dir/empty")) == 307
        assert html.ask("dir/empty/").endswith(b"now")
        (pages / "dir/empty/index.html").unlink()
    (pages / "404.html").unlink()
    assert b"<p>" not in html.ask("dir/empty/")


def test_redirects_behind_a_prefix(serve: Any, pages: Path) -> None:
    app = App()
    app.mount("/static", StaticFiles(directory=pages, html=True))
    answer = serve(app, root_path="/root").client.get("/static/dir")
    assert (answer.status_code, answer.headers["location"]) == (307, "/root/static/dir/")
    trusting = serve(app, forwarded_allow_ips="127.0.0.1").client
    answer = trusting.get("/static/dir", headers={"x-forwarded-prefix": "/proxied"})
    assert (answer.status_code, answer.headers["location"]) == (307, "/proxied/static/dir/")


def test_without_html(serve: Any, pages: Path, certificate: Any) -> None:
    ways = BothWays(serve, pages, "h1", certificate)
    for path in ("", "dir", "dir/", "missing"):
        assert status(ways.ask(path)) == 404


# ---- Dates ----------------------------------------------------------------------------------

NOW = 1_780_000_000  # in 2026


@pytest.mark.parametrize(
    ("text", "year"),
    [
        ("Monday, 01-Jan-26 00:00:00 GMT", 2026),
        ("Monday, 01-Jan-76 00:00:00 GMT", 2076),
        ("Monday, 01-Jan-77 00:00:00 GMT", 1977),
        ("Monday, 01-Jan-99 00:00:00 GMT", 1999),
    ],
)
def test_years_of_two_digits(text: str, year: int) -> None:
    """What seems to be over fifty years ahead is past (RFC 9110 section 5.6.7)."""
    found = parse_http_date(text, NOW)
    assert found is not None
    assert time.gmtime(found)[:6] == (year, 1, 1, 0, 0, 0)


def test_each_day() -> None:
    """Leap years and the ends of centuries among them."""
    for day in range(-200_000, 400_000, 13):
        moment = time.gmtime(day * 86400 + 45296)
        date = f"{moment.tm_mday:02} {time.strftime('%b', moment)} {moment.tm_year:04}"
        assert parse_http_date(f"Sun, {date} 12:34:56 GMT") == day * 86400 + 45296
