"""WSGI apps behind TLS."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Serve
    from support.certificate import Certificate

KEYS = ("wsgi.url_scheme", "SERVER_NAME", "SERVER_PORT")


def facts(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    return ["\n".join(environ[key] for key in KEYS).encode()]


@pytest.fixture
def tls(certificate: Certificate) -> dict[str, str]:
    return {"ssl_certfile": str(certificate.cert), "ssl_keyfile": str(certificate.key)}


def test_scheme(serve: Serve, tls: dict[str, str]) -> None:
    served = serve(facts, **tls)
    expected = ["https", "127.0.0.1", str(served.address[1])]
    assert served.client.get("/").text.split("\n") == expected


def test_scheme_on_a_unix_socket(serve: Serve, tls: dict[str, str], tmp_path: Path) -> None:
    served = serve(facts, uds=str(tmp_path / "socket"), **tls)
    assert served.client.get("/").text.split("\n") == ["https", "localhost", "443"]


@pytest.mark.parametrize("size", [1000, 3_000_000])
def test_files_are_read_and_encrypted(
    serve: Serve, tls: dict[str, str], tmp_path: Path, size: int
) -> None:
    """The kernel can't send them; what is in them arrives all the same."""
    path = tmp_path / "file"
    path.write_bytes(bytes(range(250)) * (size // 250))

    def app(environ: dict[str, Any], start_response: Any) -> Any:
        start_response("200 OK", [("Content-Type", "text/plain")])
        return environ["wsgi.file_wrapper"](path.open("rb"))

    served = serve(app, **tls)
    for _ in range(2):
        answer = served.client.get("/")
        assert answer.content == path.read_bytes()
        assert answer.headers["content-length"] == str(size)


def test_bodies(serve: Serve, tls: dict[str, str]) -> None:
    def app(environ: dict[str, Any], start_response: Any) -> Any:
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [environ["wsgi.input"].read()]

    body = bytes(range(256)) * 4000
    assert serve(app, **tls).client.post("/", content=body).content == body
