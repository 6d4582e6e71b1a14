"""Files that are compressed already, and names with hashes: the same on each way to a client."""

from __future__ import annotations

import gzip
import os
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from fluvial import App
from fluvial.staticfiles import StaticFiles
from support.ways import WAYS, served_by

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx

TEXT = b"let river = 'long';\n" * 20
LARGE = os.urandom(300_000)
# What siblings hold matters to nobody here, only that it is sent as it is.
SIBLINGS = {"br": b"by brotli", "zstd": b"by zstd", "gzip": gzip.compress(TEXT)}
SUFFIXES = {"br": ".br", "zstd": ".zst", "gzip": ".gz"}
HASHED = "app.3f2a9c1b.js"
FOR_EVER = "max-age=31536000, immutable"


@pytest.fixture
def files(tmp_path: Path) -> Path:
    public = tmp_path / "public"
    (public / "folder.js.gz").mkdir(parents=True)
    for coding, content in SIBLINGS.items():
        (public / f"all.js{SUFFIXES[coding]}").write_bytes(content)
    for name in ("all.js", "gz.js", "none.js", "old.js", "out.js", "folder.js", HASHED):
        (public / name).write_bytes(TEXT)
    for name, content in (("gz.js", SIBLINGS["gzip"]), ("old.js", b"what it was")):
        (public / f"{name}.gz").write_bytes(content)
    (public / "large.bin").write_bytes(LARGE[::-1])
    (public / "large.bin.gz").write_bytes(LARGE)
    changed = time.time() - 100
    os.utime(public / "old.js.gz", (changed, changed))
    (tmp_path / "secret").write_bytes(b"secret")
    (public / "out.js.gz").symlink_to(tmp_path / "secret")
    (public / "404.html").write_bytes(b"not here")
    (public / "404.html.gz").write_bytes(b"not here, by gzip")
    return public


def make(folder: Path, **options: Any) -> App:
    app = App()
    app.mount("/static", StaticFiles(directory=folder, **options))
    return app


class Asking:
    """Sends requests to /static, and takes the responses' content as it was sent."""

    def __init__(self, client: httpx.Client) -> None:
        self._client = client

    def __call__(self, name: str, *fields: tuple[str, str], method: str = "GET") -> httpx.Response:
        request = self._client.build_request(method, f"/static/{name}", headers=list(fields))
        if "accept-encoding" not in dict(fields):
            del request.headers["accept-encoding"]
        response = self._client.send(request, stream=True)
        response.content_as_sent = b"".join(response.iter_raw())  # type: ignore[attr-defined]
        response.close()
        return response


@pytest.fixture(params=WAYS)
def asking(request: pytest.FixtureRequest, files: Path, certificate: Any) -> Any:
    """Asks for files in a way to serve them, with options of StaticFiles."""

    @contextmanager
    def start(**options: Any) -> Iterator[Asking]:
        with served_by(request.param, make(files, **options), certificate) as client:
            yield Asking(client)

    return start


CHOICES = [
    # file, values of Accept-Encoding, the sibling that is served
    ("all.js", ["br"], "br"),
    ("all.js", ["gzip"], "gzip"),
    ("all.js", ["zstd"], "zstd"),
    ("all.js", ["gzip, deflate, br, zstd"], "br"),
    ("all.js", ["gzip;q=1, br;q=0.5"], "gzip"),
    ("all.js", ["gzip", "br;q=0.1"], "gzip"),
    ("all.js", ["br;q=1, gzip;q=0.8"], "br"),
    ("all.js", ["br;q=0, *"], "zstd"),
    ("all.js", ["*"], "br"),
    ("all.js", ["identity"], None),
    ("all.js", ["identity;q=1, gzip;q=0.5"], None),
    ("all.js", ["gzip;q=0"], None),
    ("all.js", ["nonsense"], None),
    ("all.js", [""], None),
    ("all.js", [], None),
    ("gz.js", ["br, gzip"], "gzip"),
    ("gz.js", ["br"], None),
]


def test_clients_get_the_sibling_that_they_like_best(asking) -> None:
    with asking() as ask:
        for name, accepted, coding in CHOICES * 2:
            answer = ask(name, *(("accept-encoding", value) for value in accepted))
            what = (name, accepted, coding)
            assert answer.status_code == 200, what
            assert answer.content_as_sent == SIBLINGS.get(coding, TEXT), what
            assert answer.headers.get("content-encoding") == coding, what
            assert answer.headers["vary"] == "Accept-Encoding", what
            assert "javascript" in answer.headers["content-type"], what
            assert answer.headers["content-length"] == str(len(answer.content_as_sent)), what


def test_what_is_no_sibling(asking) -> None:
    """Older than the file, outside the directory, a directory; and a sibling by its own name."""
    with asking() as ask:
        for name in ("none.js", "old.js", "folder.js"):
            answer = ask(name, ("accept-encoding", "br, gzip"))
            assert (answer.content_as_sent, "vary" in answer.headers) == (TEXT, False), name
            assert "content-encoding" not in answer.headers
        assert ask("out.js", ("accept-encoding", "gzip")).content_as_sent == TEXT
        assert ask("all.js.gz").content_as_sent == SIBLINGS["gzip"]
    with asking(precompressed=False) as ask:
        answer = ask("all.js", ("accept-encoding", "br, gzip"))
        assert (answer.content_as_sent, "vary" in answer.headers) == (TEXT, False)
    with asking(follow_symlink=True) as ask:
        assert ask("out.js", ("accept-encoding", "gzip")).content_as_sent == b"secret"


def test_conditions_and_ranges_are_those_of_the_sibling(asking) -> None:
    by_gzip = ("accept-encoding", "gzip")
    with asking() as ask:
        plain, packed = ask("all.js"), ask("all.js", by_gzip)
        tag = packed.headers["etag"]
        assert tag != plain.headers["etag"]
        for value in (tag, f'"other", {tag}', f"W/{tag}", "*"):
            same = ask("all.js", by_gzip, ("if-none-match", value))
            assert (same.status_code, same.content_as_sent) == (304, b""), value
            assert (same.headers["etag"], same.headers["vary"]) == (tag, "Accept-Encoding")
            assert "content-encoding" not in same.headers
        assert ask("all.js", ("if-none-match", tag)).status_code == 200
        assert ask("all.js", by_gzip, ("if-match", '"other"')).status_code == 412
        part = ask("all.js", by_gzip, ("range", "bytes=2-5"), ("if-range", tag))
        assert (part.status_code, part.content_as_sent) == (206, SIBLINGS["gzip"][2:6])
        assert part.headers["content-encoding"] == "gzip"
        whole = ask("all.js", ("range", "bytes=2-5"), ("if-range", tag))
        assert (whole.status_code, whole.content_as_sent) == (200, TEXT)
        head = ask("all.js", by_gzip, method="HEAD")
        assert (head.content_as_sent, head.headers["etag"]) == (b"", tag)
        assert head.headers["content-length"] == str(len(SIBLINGS["gzip"]))


def test_large_files_and_the_page_for_missing_ones(asking) -> None:
    with asking(html=True) as ask:
        for fields, content in (((), LARGE[::-1]), ((("accept-encoding", "gzip"),), LARGE)):
            assert ask("large.bin", *fields).content_as_sent == content
            missing = ask("missing", *fields)
            assert missing.status_code == 404
            assert missing.content_as_sent.startswith(b"not here")
            assert ("content-encoding" in missing.headers) == bool(fields)


def test_a_name_with_a_hash_is_immutable(asking) -> None:
    with asking() as ask:
        answer = ask(HASHED)
        assert answer.headers["cache-control"] == FOR_EVER
        same = ask(HASHED, ("if-none-match", answer.headers["etag"]))
        assert (same.status_code, same.headers["cache-control"]) == (304, FOR_EVER)
        assert "cache-control" not in ask("all.js").headers
    with asking(immutable=False) as ask:
        assert "cache-control" not in ask(HASHED).headers
    with asking(immutable=r"^all\.") as ask:
        assert ask("all.js").headers["cache-control"] == FOR_EVER
        assert "cache-control" not in ask(HASHED).headers


@pytest.mark.parametrize(
    ("name", "hashed"),
    [
        ("app.3f2a9c1b.js", True),
        ("app-3f2a9c1b.js", True),
        ("main.073c9b0a.chunk.css", True),
        ("550e8400-e29b-41d4-a716-44665544000a.png", False),
        ("ann-550e8400-e29b-41d4-a716-44665544000a.png", False),
        ("logo.d41d8cd98f00b204e9800998ecf8427e.svg", True),
        ("report-20251130.pdf", False),
        ("jquery-3.7.1.min.js", False),
        ("the-facade.js", False),
        ("annual-Report24.pdf", False),
        ("3f2a9c1b.js", False),
        ("app.3f2a9c1b", False),
        ("app.3f2a9c1.js", False),
    ],
)
def test_which_names_have_hashes(tmp_path: Path, name: str, hashed: bool) -> None:
    response = StaticFiles(directory=tmp_path).file_response(tmp_path / name, None, {})
    assert response.headers.get("cache-control") == (FOR_EVER if hashed else None)


def open_paths() -> set[str]:
    return {os.path.realpath(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd")}


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="only Linux has /proc")
def test_siblings_that_come_change_and_go_while_files_are_kept(serve, files) -> None:
    """C keeps what nobody has changed for a while: then its descriptor stays open."""
    ask = Asking(serve(make(files)).client)
    accept, kept = ("accept-encoding", "br, gzip"), str(files / "large.bin.gz")
    deadline = time.monotonic() + 60
    while kept not in open_paths() or str(files / "large.bin") not in open_paths():
        assert ask("large.bin", accept).content_as_sent == LARGE
        assert ask("large.bin").content_as_sent == LARGE[::-1]
        assert time.monotonic() < deadline, "the file isn't kept"
    (files / "large.bin.br").write_bytes(b"by brotli")
    assert ask("large.bin", accept).content_as_sent == b"by brotli"
    (files / "large.bin.br").unlink()
    assert ask("large.bin", accept).content_as_sent == LARGE
    (files / "large.bin.gz").write_bytes(b"another")
    assert ask("large.bin", accept).content_as_sent == b"another"
    (files / "large.bin.gz").unlink()
    answer = ask("large.bin", accept)
    assert (answer.content_as_sent, "vary" in answer.headers) == (LARGE[::-1], False)
