"""StaticFiles as C serves them: whole, never stale, within bounds, and without Python code."""

from __future__ import annotations

import os
import socket
import struct
from pathlib import Path
from typing import Any

import httpx
import pytest
from fluvial import App
from fluvial.staticfiles import StaticFiles
from support import needs
from support.h2_client import H2Client

LIBRARY = Path(os.__file__).parent  # files that nobody has changed for long, which are kept
SMALL = ("keyword.py", "stat.py", "bisect.py", "this.py")
LARGE = ("argparse.py", "datetime.py", "doctest.py", "tarfile.py", "turtle.py")
SIZE = 5_000_000


def make(directory: Path, **options: Any) -> App:
    app = App()
    app.mount("/static", StaticFiles(directory=directory, **options))
    return app


def get(path: str, *fields: str, method: str = "GET", version: str = "1.1") -> bytes:
    return "\r\n".join((f"{method} {path} HTTP/{version}", "Host: a", *fields, "", "")).encode()


@pytest.fixture
def no_python(monkeypatch: pytest.MonkeyPatch) -> None:
    """Requests that Python code gets fail."""

    async def refuse(*args: Any) -> None:
        raise AssertionError("Python code was called")

    monkeypatch.setattr(StaticFiles, "__call__", refuse)


@pytest.fixture
def large(tmp_path: Path) -> Path:
    path = tmp_path / "large.bin"
    path.write_bytes(os.urandom(SIZE))
    return path


@pytest.mark.usefixtures("no_python")
@pytest.mark.parametrize("name", [*SMALL[:2], *LARGE[:2]])
def test_no_python_code_runs(serve, name) -> None:
    client = serve(make(LIBRARY)).client
    content = (LIBRARY / name).read_bytes()
    for _ in range(2):
        answer = client.get(f"/static/{name}")
        assert (answer.status_code, answer.content) == (200, content)
        assert answer.headers["content-type"].startswith("text/x-python")
        for tag in (answer.headers["etag"], f"W/{answer.headers['etag']}"):
            same = {"if-none-match": tag}
            assert client.get(f"/static/{name}", headers=same).status_code == 304
        since = {"if-modified-since": answer.headers["last-modified"]}
        assert client.get(f"/static/{name}", headers=since).status_code == 304
        other = {"if-none-match": '"other"'} | since
        assert client.get(f"/static/{name}", headers=other).content == content
        head = client.head(f"/static/{name}")
        assert (head.content, head.headers["content-length"]) == (b"", str(len(content)))


@pytest.mark.parametrize(
    ("name", "value", "status"),
    [
        ("range", "bytes=0-9", 206),
        ("range", "bytes=999999999-", 416),
        ("if-match", '"other"', 412),
        ("if-unmodified-since", "Thu, 01 Jan 1970 00:00:00 GMT", 412),
        ("if-modified-since", "Fri, 31 Dec 9999 23:59:59 GMT", 304),
        ("if-modified-since", "nonsense", 200),
        ("if-none-match", '"a", "b"', 200),
        ("if-none-match", "*", 304),
    ],
)
def test_what_needs_a_comparison(serve, name, value, status) -> None:
    """The same as without C: these requests are passed on."""
    client = serve(make(LIBRARY)).client
    for file in ("keyword.py", "argparse.py"):
        for _ in range(2):
            assert client.get(f"/static/{file}", headers={name: value}).status_code == status


@pytest.mark.parametrize(
    "options", [{}, {"cached_files": 0}, {"cached_files": 1}, {"cached_bytes": 0}]
)
def test_each_bound_of_the_cache(serve, options) -> None:
    client = serve(make(LIBRARY, **options)).client
    for name in (*SMALL, *LARGE, *SMALL, *reversed(LARGE), SMALL[0], SMALL[0]):
        assert client.get(f"/static/{name}").content == (LIBRARY / name).read_bytes()


def test_bounds_that_are_none() -> None:
    for options in ({"cached_files": -1}, {"cached_bytes": -1}):
        with pytest.raises(ValueError, match="must not be negative"):
            StaticFiles(directory=LIBRARY, **options)  # type: ignore[arg-type]


def open_files() -> int:
    return sum(
        os.path.basename(os.path.realpath(f"/proc/self/fd/{fd}")) in LARGE
        for fd in os.listdir("/proc/self/fd")
    )


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="only Linux has /proc")
def test_large_files_are_kept_open_within_the_bound(serve) -> None:
    client = serve(make(LIBRARY, cached_files=2)).client
    for name in LARGE:
        client.get(f"/static/{name}")
    assert open_files() == 2


def test_a_file_that_is_exchanged(serve, tmp_path) -> None:
    """What is kept is served only as long as the path leads to the same file."""
    link = tmp_path / "it"
    client = serve(make(tmp_path, follow_symlink=True)).client
    for name in ("keyword.py", "stat.py", "argparse.py", "datetime.py", "keyword.py"):
        (tmp_path / "new").symlink_to(LIBRARY / name)
        os.replace(tmp_path / "new", link)
        for _ in range(2):
            assert client.get("/static/it").content == (LIBRARY / name).read_bytes()
    link.unlink()
    assert client.get("/static/it").status_code == 404


def test_a_directory_that_is_exchanged(serve, tmp_path) -> None:
    """As deployments do it: `current` leads to another release."""
    current = tmp_path / "current"
    current.symlink_to(LIBRARY / "json")
    client = serve(make(current)).client
    for name in ("json", "email", "json"):
        (tmp_path / "new").symlink_to(LIBRARY / name)
        os.replace(tmp_path / "new", current)
        content = (LIBRARY / name / "__init__.py").read_bytes()
        for _ in range(2):
            assert client.get("/static/__init__.py").content == content


@pytest.mark.parametrize("size", [10, 100_000])
def test_a_file_that_is_changed_in_place(serve, tmp_path, size) -> None:
    """At once, within the same tick of the clock, and of the same size."""
    client = serve(make(tmp_path)).client
    for byte in b"abcabc":
        (tmp_path / "it").write_bytes(bytes([byte]) * size)
        assert client.get("/static/it").content == bytes([byte]) * size


@pytest.mark.usefixtures("no_python")
def test_a_large_file_in_a_row_of_requests(serve, large) -> None:
    (large.parent / "small.txt").write_text("small")
    content = large.read_bytes()
    with serve(make(large.parent)).connect() as sock, sock.makefile("rb") as file:
        sock.sendall(get("/static/large.bin") + get("/static/small.txt") + get("/static/large.bin"))
        for expected in (content, b"small", content):
            assert file.readline() == b"HTTP/1.1 200 OK\r\n"
            while file.readline() != b"\r\n":
                pass
            assert file.read(len(expected)) == expected


def test_a_client_of_http_1_0(serve, large) -> None:
    answer = serve(make(large.parent)).exchange(get("/static/large.bin", version="1.0"))
    assert answer.partition(b"\r\n\r\n")[2] == large.read_bytes()


def test_clients_that_go_away(serve, large) -> None:
    """In the middle of a large file, by FIN and by RST; others get theirs."""
    served = serve(make(large.parent))
    for reset in (False, True):
        with served.connect() as sock:
            sock.sendall(get("/static/large.bin"))
            assert sock.recv(1000)
            if reset:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    assert served.client.get("/static/large.bin").content == large.read_bytes()


def test_a_file_that_becomes_shorter(serve, large) -> None:
    """The client sees that the response is incomplete: it ends with the connection."""
    size = 200_000_000  # more than a socket's buffers take; the file has holes
    os.truncate(large, size)
    with serve(make(large.parent)).connect() as sock, sock.makefile("rb") as file:
        sock.sendall(get("/static/large.bin"))
        assert file.readline() == b"HTTP/1.1 200 OK\r\n"
        os.truncate(large, 10)
        assert len(file.read()) < size


@pytest.fixture
def encrypted(serve, certificate, large) -> Any:
    app = make(large.parent)
    return serve(app, ssl_certfile=certificate.cert, ssl_keyfile=certificate.key)


@pytest.mark.usefixtures("no_python")
def test_over_tls(encrypted, large) -> None:
    (large.parent / "small.txt").write_text("small")
    for _ in range(2):
        assert encrypted.client.get("/static/small.txt").text == "small"
        assert encrypted.client.get("/static/large.bin").content == large.read_bytes()
    assert encrypted.client.head("/static/large.bin").headers["content-length"] == str(SIZE)


def test_clients_that_go_away_over_tls(encrypted, large) -> None:
    for _ in range(3):
        with encrypted.client.stream("GET", "/static/large.bin") as answer:
            assert next(answer.iter_raw())
    assert encrypted.client.get("/static/large.bin").content == large.read_bytes()


def test_a_file_that_becomes_shorter_over_tls(encrypted, large) -> None:
    os.truncate(large, 200_000_000)
    with encrypted.client.stream("GET", "/static/large.bin") as answer:
        pieces = answer.iter_raw()
        assert next(pieces)
        os.truncate(large, 10)
        with pytest.raises(httpx.HTTPError):
            list(pieces)


@pytest.mark.usefixtures("no_python")
def test_a_large_file_is_compressed(serve, tmp_path) -> None:
    text = "".join(f"line {n}\n" for n in range(200_000))
    (tmp_path / "large.txt").write_text(text)
    client = serve(make(tmp_path), compress=("gzip",)).client
    for _ in range(2):
        answer = client.get("/static/large.txt", headers={"accept-encoding": "gzip"})
        assert (answer.headers["content-encoding"], answer.text) == ("gzip", text)


@pytest.mark.usefixtures("no_python")
@needs.HTTP2
def test_large_files_by_http_2(serve, large) -> None:
    with H2Client.to(serve(make(large.parent), http="auto")) as client:
        for _ in range(2):
            answer = client.get("/static/large.bin")
            assert (answer.status, bytes(answer.body)) == (200, large.read_bytes())


@pytest.mark.parametrize("prefix", ["", "/", "/a/b"])
def test_where_it_is_mounted(serve, prefix) -> None:
    app = App()
    app.mount(prefix, StaticFiles(directory=LIBRARY))
    for root_path in ("", "/root"):
        client = serve(app, root_path=root_path).client
        for path in {f"{root_path}{prefix.rstrip('/')}/json/decoder.py"}:
            assert client.get(path).content == (LIBRARY / "json" / "decoder.py").read_bytes()
