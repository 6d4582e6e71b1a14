"""HTTP/2 with the clients that people have: curl, nghttp, h2load, node."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from fluvial import App, Request
from fluvial.responses import Response, StreamingResponse
from support import needs
from support.serving import Served, serving

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from support.certificate import Certificate

pytestmark = needs.HTTP2
TIMEOUT = 60
NODE = Path(__file__).with_name("http2_client.mjs")
PIECE = b"0123456789abcdef" * 1024
TOO_LARGE = b'{"detail":"The body is too large"}'
app = App()


@app.get("/")
async def index(request: Request) -> dict[str, str]:
    return {"version": request.scope["http_version"]}


@app.post("/echo")
async def echo(request: Request) -> Response:
    return Response(await request.body(), media_type="application/octet-stream")


@app.post("/early")
async def early() -> Response:
    return Response("early")


@app.post("/small", body_limit=1000)
async def small(request: Request) -> int:
    return len(await request.body())


@app.get("/pieces")
async def pieces() -> StreamingResponse:
    async def produce() -> AsyncIterator[bytes]:
        for _ in range(20):
            yield PIECE

    return StreamingResponse(produce(), media_type="text/plain")


@pytest.fixture(params=["tls", "h2c"])
def served(request: pytest.FixtureRequest, certificate: Certificate) -> Iterator[Served]:
    files = {"ssl_certfile": str(certificate.cert), "ssl_keyfile": str(certificate.key)}
    with serving(app, http="auto", **(files if request.param == "tls" else {})) as found:
        yield found


def run(*command: str, stdin: bytes = b"") -> bytes:
    program = shutil.which(command[0])
    if program is None:
        pytest.skip(f"{command[0]} isn't installed")
    env = {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}
    done = subprocess.run(
        [program, *command[1:]],
        input=stdin,
        capture_output=True,
        timeout=TIMEOUT,
        check=False,
        env=env,
    )
    assert done.returncode == 0, (done.stdout[-2000:], done.stderr[-2000:])
    return done.stdout


def curl(served: Served, certificate: Certificate, *options: str, stdin: bytes = b"") -> bytes:
    how = (
        ["--http2-prior-knowledge"]
        if served.context is None
        else ["--http2", "--cacert", str(certificate.cert)]
    )
    return run("curl", "--silent", "--show-error", "--fail", *how, *options, stdin=stdin)


def test_curl(served: Served, certificate: Certificate) -> None:
    found = curl(served, certificate, "--write-out", " %{http_version}", f"{served.url}/")
    assert found == b'{"version":"2"} 2'


def test_curl_with_bodies(served: Served, certificate: Certificate) -> None:
    """More than the windows hold, both ways."""
    body = PIECE * 64
    options = ("--data-binary", "@-", f"{served.url}/echo")
    assert curl(served, certificate, *options, stdin=body) == body
    assert curl(served, certificate, f"{served.url}/pieces") == PIECE * 20


@pytest.mark.parametrize("path", ["early", "small"])
def test_curl_gets_a_response_that_comes_before_its_body_has_gone(
    served: Served, certificate: Certificate, path: str
) -> None:
    """RST_STREAM beside the response would make curl 7 lose it, or wait without end."""
    how = ("--silent", "--write-out", "%{http_code}", "--data-binary", "@-")
    tls = served.context is not None
    more = ("--http2", "--cacert", str(certificate.cert)) if tls else ("--http2-prior-knowledge",)
    for _ in range(5):
        found = run("curl", *how, *more, f"{served.url}/{path}", stdin=PIECE * 1024)
        assert found == {"early": b"early200", "small": TOO_LARGE + b"413"}[path]


@pytest.mark.parametrize("served", ["h2c"], indirect=True)
def test_curl_that_asks_by_upgrade(served: Served) -> None:
    """A request with a body stays HTTP/1.1."""
    ask = (
        "curl",
        "--silent",
        "--show-error",
        "--fail",
        "--http2",
        "--write-out",
        " %{http_version}",
    )
    assert run(*ask, f"{served.url}/") == b'{"version":"2"} 2'
    assert run(*ask, "--data-binary", "@-", f"{served.url}/echo", stdin=b"body") == b"body 1.1"


@pytest.mark.parametrize("served", ["h2c"], indirect=True)
def test_nghttp_that_asks_by_upgrade(served: Served) -> None:
    found = run("nghttp", "--upgrade", "--multiply=5", f"{served.url}/pieces")
    assert len(found) == len(PIECE) * 20 * 5


@pytest.mark.parametrize("served", ["tls"], indirect=True)
def test_curl_with_many_at_once(served: Served, certificate: Certificate) -> None:
    """On one connection. Without TLS curl 7 fails at its second request, whatever the server."""
    parallel = ("--parallel", "--parallel-max", "20", "--no-progress-meter")
    found = curl(served, certificate, *parallel, f"{served.url}/?n=[1-50]")
    assert found == b'{"version":"2"}' * 50


def test_nghttp(served: Served) -> None:
    """It sends PRIORITY frames, and asks for all at once."""
    found = run("nghttp", "--no-verify-peer", "--multiply=5", f"{served.url}/pieces")
    assert len(found) == len(PIECE) * 20 * 5


def test_h2load(served: Served) -> None:
    options = ("--requests=400", "--clients=4", "--max-concurrent-streams=25")
    found = run("h2load", *options, f"{served.url}/")
    assert b"400 succeeded, 0 failed, 0 errored, 0 timeout" in found


def test_node(served: Served, certificate: Certificate) -> None:
    """Many at once, a body that comes back, one that is given up, and then all is well still."""
    authority = str(certificate.cert) if served.context is not None else ""
    found = json.loads(run("node", str(NODE), served.url, authority))
    assert found == {
        "answers": ["2"] * 30,
        "echoed": len(PIECE) * 20,
        "given up": True,
        "after": 200,
    }
