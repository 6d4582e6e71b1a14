"""wsgi.file_wrapper: files that the kernel sends, and others."""

from __future__ import annotations

import gzip
import io
from typing import TYPE_CHECKING, Any

import pytest
from support.asgi import Notes
from support.responses import Response
from support.wsgi import GET, TEXT, errors

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from conftest import Serve

SMALL, LARGE = 1000, 3_000_000


def wrapping(make: Callable[[], Any], *headers: tuple[str, str]) -> Any:
    """An app that answers with a file."""

    def app(environ: dict[str, Any], start_response: Any) -> Any:
        start_response("200 OK", [TEXT, *headers])
        return environ["wsgi.file_wrapper"](make(), 4096)

    return app


def content(size: int) -> bytes:
    return (b"0123456789abcdef" * (size // 16 + 1))[:size]


@pytest.fixture(params=[0, SMALL, LARGE])
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    file = tmp_path / "file"
    file.write_bytes(content(request.param))
    return file


@pytest.mark.parametrize("buffering", [-1, 0])
def test_a_file(serve: Serve, path: Path, buffering: int) -> None:
    opened: list[Any] = []

    def make() -> Any:
        opened.append(path.open("rb", buffering=buffering))
        return opened[0]

    served = serve(wrapping(make))
    answer = served.client.get("/")
    assert answer.content == path.read_bytes()
    assert answer.headers["content-length"] == str(path.stat().st_size)
    served.finish()
    assert opened[0].closed


def test_from_its_position(serve: Serve, path: Path) -> None:
    def make() -> Any:
        file = path.open("rb")
        file.read(7)
        return file

    answer = serve(wrapping(make)).client.get("/")
    assert answer.content == path.read_bytes()[7:]


@pytest.mark.parametrize("size", [0, 10, 999, 1_000_000])
def test_up_to_the_length(serve: Serve, tmp_path: Path, size: int) -> None:
    path = tmp_path / "file"
    path.write_bytes(content(LARGE))
    app = wrapping(lambda: path.open("rb"), ("Content-Length", str(size)))
    raw = serve(app).exchange(GET.replace(b"connection: close\r\n", b"") + GET)
    for _ in range(2):
        answer, raw = Response.parse(raw)
        assert (answer.body, answer["content-length"]) == (content(size), str(size))


@pytest.mark.parametrize("size", [SMALL, LARGE])
def test_shorter_than_the_length(
    serve: Serve, tmp_path: Path, caplog: pytest.LogCaptureFixture, size: int
) -> None:
    path = tmp_path / "file"
    path.write_bytes(content(size))
    app = wrapping(lambda: path.open("rb"), ("Content-Length", str(size + 1)))
    served = serve(app)
    answer, _ = Response.parse(served.exchange(GET))
    assert (answer.body, answer.complete) == (content(size), False)
    served.finish()
    assert "fewer bytes than its Content-Length says" in errors(caplog)


def test_head(serve: Serve, path: Path) -> None:
    raw = serve(wrapping(lambda: path.open("rb"))).exchange(GET.replace(b"GET", b"HEAD"))
    answer, rest = Response.parse(raw, is_head=True)
    assert (answer["content-length"], rest) == (str(path.stat().st_size), b"")


class Plain:
    """Reads, and nothing else."""

    def __init__(self, data: bytes) -> None:
        self.read = io.BytesIO(data).read


class Shouting(io.FileIO):
    """Reads otherwise than its descriptor."""

    def read(self, size: int | None = -1, /) -> bytes:
        return (super().read(size) or b"").upper()


def test_what_is_no_file_is_read(serve: Serve, tmp_path: Path) -> None:
    data = content(LARGE)
    path, packed = tmp_path / "file", tmp_path / "file.gz"
    path.write_bytes(data)
    with gzip.open(packed, "wb", compresslevel=1) as file:
        file.write(data)
    for make, wanted in [
        (lambda: Plain(data), data),
        (lambda: io.BytesIO(data), data),
        (lambda: gzip.GzipFile(packed), data),
        (lambda: io.BufferedReader(gzip.GzipFile(packed)), data),
        (lambda: Shouting(path), data.upper()),
    ]:
        answer = serve(wrapping(make)).client.get("/")
        assert answer.content == wanted
        assert answer.headers["transfer-encoding"] == "chunked"


def test_a_closed_file(serve: Serve, path: Path, caplog: pytest.LogCaptureFixture) -> None:
    def make() -> Any:
        file = path.open("rb")
        file.close()
        return file

    assert serve(wrapping(make)).client.get("/").status_code == 500
    assert "closed file" in errors(caplog)


def test_a_wrapper_without_start_response(
    serve: Serve, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def app(environ: dict[str, Any], start_response: Any) -> Any:
        return environ["wsgi.file_wrapper"](path.open("rb"))

    served = serve(app)
    assert served.client.get("/").status_code == 500
    served.finish()
    assert "start_response()" in errors(caplog)


@pytest.mark.parametrize("goes", [True, False])
def test_slow_clients(
    serve: Serve, tmp_path: Path, caplog: pytest.LogCaptureFixture, goes: bool
) -> None:
    path = tmp_path / "file"
    size = 64 * 1024 * 1024
    with path.open("wb") as file:
        file.truncate(size)
    notes = Notes()

    def app(environ: dict[str, Any], start_response: Any) -> Any:
        start_response("200 OK", [TEXT])
        wrapper = environ["wsgi.file_wrapper"](path.open("rb"))
        close = wrapper.close

        def closed() -> None:
            close()
            notes.add("closed")

        wrapper.close = closed
        return wrapper

    served = serve(app)
    with served.connect() as sock:
        sock.sendall(GET)
        received = len(sock.recv(100))
        assert notes.empty()
        if not goes:
            received += sum(map(len, iter(lambda: sock.recv(1 << 20), b"")))
            assert received > size
    assert notes.next() == "closed"
    served.finish()
    assert goes or errors(caplog) == ""


def test_a_client_that_takes_nothing(serve: Serve, tmp_path: Path) -> None:
    path = tmp_path / "file"
    with path.open("wb") as file:
        file.truncate(64 * 1024 * 1024)
    served = serve(wrapping(lambda: path.open("rb")), limits={"write_timeout": 100})
    with served.connect() as sock:
        sock.sendall(GET)
        served.finish()  # the answer is given up, so nothing is left to wait for
