"""`fluvial dev`: a program that is being written, served."""

from __future__ import annotations

import re
import ssl
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest
from support.command import ServerProcess
from support.forked import FLUVIAL
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

if TYPE_CHECKING:
    from collections.abc import Iterator

READY = r"running on http://127\.0\.0\.1:\d+"
APP = """
import time
from fluvial import App, WebSocket

app = App(title="<Shop>")

@app.get("/items/{number}")
def read_item(number: int):
    return {"number": number}

@app.get("/slow")
async def slow():
    time.sleep(0.5)

@app.get("/wrong")
async def wrong():
    return {}["<missing>"]

@app.websocket("/talk")
async def talk(socket: WebSocket):
    await socket.accept()
    await socket.close()
"""


@contextmanager
def developing(folder: Path, *arguments: str, source: str = APP) -> Iterator[ServerProcess]:
    (folder / "main.py").write_text(source)
    command = [FLUVIAL, "dev", "--port", "0", *arguments]
    server = ServerProcess(command, {"PYTHONSAFEPATH": "1"}, cwd=folder)
    try:
        server.wait_until_ready()
        yield server
    finally:
        server.stop()


def test_a_change_is_served(tmp_path: Path) -> None:
    """Also after a syntax error; the address stays, and whoever asks meanwhile waits."""
    with developing(tmp_path) as server, httpx.Client(base_url=server.url, timeout=60) as client:
        assert client.get("/items/1").json() == {"number": 1}
        for count, name in enumerate(("first", "second")):
            (tmp_path / "main.py").write_text(APP + "\ndef broken(:\n")
            server.expect("starts again when a file changes", count + 1)
            changed = len(re.findall("main.py changed", server.log))
            (tmp_path / "main.py").write_text(APP.replace('"number":', f'"{name}":'))
            server.expect("main.py changed", changed + 1)
            assert client.get("/items/1").json() == {name: 1}
            server.expect(READY, count + 2)
    assert "invalid syntax (main.py, line" in server.log or "can't be imported" in server.log


def test_tls_with_a_certificate_that_stays_the_same(tmp_path: Path) -> None:
    with developing(tmp_path, "--tls-dev") as server:
        address = ("127.0.0.1", int(server.url.rpartition(":")[2]))
        assert server.url.startswith("https://")
        assert httpx.get(f"{server.url}/items/1", verify=False).json() == {"number": 1}
        before = ssl.get_server_certificate(address)
        (tmp_path / "main.py").write_text(APP.replace('"number":', '"again":'))
        server.expect("running on https://", 2)
        assert httpx.get(f"{server.url}/items/1", verify=False).json() == {"again": 1}
        assert ssl.get_server_certificate(address) == before


def test_a_program_that_does_not_end_is_killed(tmp_path: Path) -> None:
    source = APP + "\nimport signal\nsignal.signal = print\n"
    stuck = source.replace("time.sleep(0.5)", "time.sleep(100)")
    with developing(tmp_path, source=stuck) as server:
        with pytest.raises(httpx.TimeoutException):
            httpx.get(f"{server.url}/slow", timeout=1)
        (tmp_path / "main.py").write_text(APP.replace('"number":', '"again":'))
        server.expect("changed; starting again")
        assert httpx.get(f"{server.url}/items/1", timeout=60).json() == {"again": 1}


def test_what_a_browser_sees(tmp_path: Path) -> None:
    with developing(tmp_path) as server, httpx.Client(base_url=server.url) as client:
        page = client.get("/").text
        assert "&lt;Shop&gt;" in page
        rows = [re.findall("<code>(.*?)</code>", row) for row in page.splitlines()]
        assert ["GET", "/items/{number}", "read_item", "thread"] in rows
        assert ["GET", "/wrong", "wrong", "loop"] in rows
        assert ["WebSocket", "/talk", "talk", "loop"] in rows
        assert 'href="/docs"' in page
        assert "/" not in client.get("/openapi.json").json()["paths"]
        asked = client.get("/wrong", headers={"accept": "text/html"})
        assert asked.status_code == 500
        assert "&#x27;&lt;missing&gt;&#x27;" in asked.text
        line = APP.splitlines().index('    return {}["<missing>"]') + 1
        assert f"main.py:{line} in wrong" in asked.text.split("All of it")[0]
        assert "_serving" not in asked.text.split("All of it")[0]
        plain = client.get("/wrong")
        assert plain.text.endswith("KeyError: '<missing>'\n")
    logged = server.log.split("ERROR GET /wrong failed")[1].split("INFO")[0]
    assert "in wrong" in logged
    assert "fluvial" not in logged


def test_a_root_and_handlers_of_the_apps_own_stay(tmp_path: Path) -> None:
    own = """
@app.get("/")
def root():
    return "mine"

@app.exception_handler(Exception)
def failed(request, exc):
    from fluvial.responses import PlainTextResponse
    return PlainTextResponse("mine, too", 500)
"""
    with developing(tmp_path, source=APP + own) as server:
        assert httpx.get(server.url).json() == "mine"
        assert httpx.get(f"{server.url}/wrong").text == "mine, too"


def test_a_line_that_blocks_the_loop_is_named(tmp_path: Path) -> None:
    with developing(tmp_path) as server:
        for _ in range(2):
            httpx.get(f"{server.url}/slow")
        httpx.get(f"{server.url}/items/1")
    line = APP.splitlines().index("    time.sleep(0.5)") + 1
    blocked = [text for text in server.log.splitlines() if "blocks the event loop" in text]
    assert len(blocked) == 1
    assert f"slow blocks the event loop: it has been at {tmp_path}/main.py:{line} " in blocked[0]


def test_only_local_names_are_answered(tmp_path: Path) -> None:
    with developing(tmp_path, "--allow-host", "dev.example") as server:
        port = server.url.rpartition(":")[2]
        for host, status in (
            (f"localhost:{port}", 200),
            ("app.localhost", 200),
            (f"[::1]:{port}", 200),
            ("dev.example", 200),
            ("evil.example", 400),
            ("localhost.evil.example", 400),
            ("www.dev.example", 400),
        ):
            for path in ("/", "/openapi.json", "/items/1"):
                answer = httpx.get(server.url + path, headers={"host": host})
                assert answer.status_code == status, (host, path)
        for field in ({"x-forwarded-host": "localhost"}, {"forwarded": "host=localhost"}):
            answer = httpx.get(server.url, headers={"host": "evil.example"} | field)
            assert answer.status_code == 400, field
        talk = server.url.replace("http:", "ws:") + "/talk"
        with connect(talk) as socket:
            assert list(socket) == []
        with (
            pytest.raises(InvalidStatus, match="400"),
            connect(talk, additional_headers={"Host": "evil.example"}),
        ):
            pass


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({}, "none of main.py, app.py, "),
        ({"main.py": "x = 1"}, "module 'main' has no App: name the app, as in main:app"),
        (
            {"app.py": "from fluvial import App\na, b = App(), App()"},
            "module 'app' has several apps: name one, as in app:a",
        ),
    ],
)
def test_no_app_is_found(tmp_path: Path, files: dict[str, str], said: str) -> None:
    for name, source in files.items():
        (tmp_path / name).write_text(source)
    server = ServerProcess([FLUVIAL, "dev", "--port", "0"], {}, cwd=tmp_path)
    try:
        server.expect(re.escape(said))
        server.expect("starts again when a file changes")
    finally:
        server.stop()


@pytest.mark.parametrize("file", ["api.py", "app/main.py"])
def test_where_the_app_is_looked_for(tmp_path: Path, file: str) -> None:
    path = tmp_path / file
    path.parent.mkdir(exist_ok=True)
    path.write_text(APP.replace("app = App", "shop = App").replace("@app.", "@shop."))
    server = ServerProcess([FLUVIAL, "dev", "--port", "0"], {}, cwd=tmp_path)
    try:
        server.wait_until_ready()
        assert httpx.get(f"{server.url}/items/1").json() == {"number": 1}
        server.expect(f"Serving {file.removesuffix('.py').replace('/', '.')}:shop")
    finally:
        server.stop()
