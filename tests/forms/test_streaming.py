"""Forms as they arrive: cut anywhere, by several clients, through every way into an app."""

from __future__ import annotations

import asyncio
import io
import json
import os
import random
import socket
import subprocess
from typing import TYPE_CHECKING, Any

import aiohttp
import httpx
import pytest
import uvicorn
from fluvial import App, Request, UploadFile

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from conftest import Serve
    from support.certificate import Certificate

BOUNDARY = b"--boundary--"  # looks like the end of the form itself
Part = tuple[str, str | None, bytes]


def echoing(*, middleware: bool = False) -> App:
    """Says what it has read, as FormData and as parts."""
    app = App()

    @app.post("/form")
    async def form(request: Request) -> Any:
        read: list[Any] = []
        for name, value in (await request.form()).multi_items():
            if isinstance(value, UploadFile):
                read.append([name, value.filename, (await value.read()).decode("latin-1")])
            else:
                read.append([name, None, value.encode().decode("latin-1")])
        return read

    @app.post("/parts")
    async def parts(request: Request) -> Any:
        return [
            [part.name, part.filename, (await part.read(1 << 20)).decode("latin-1")]
            async for part in request.parts()
        ]

    @app.post("/first")
    async def first(request: Request) -> Any:
        """Reads a piece of each part; the rest is skipped."""
        read: list[Any] = []
        async for part in request.parts():
            async for piece in part:
                read.append([part.name, part.content_type, piece[:1].decode("latin-1")])
                break
        return read

    @app.post("/file")
    def file(file: UploadFile) -> Any:
        return [file.filename, file.size]

    if middleware:

        @app.middleware("http")
        async def around(request: Request, call_next: Callable[..., Awaitable[Any]]) -> Any:
            response = await call_next(request)
            response.headers["x-around"] = "yes"
            return response

    return app


def encoded(parts: list[Part]) -> bytes:
    """The parts as a form (RFC 7578)."""
    body = b""
    for name, filename, content in parts:
        disposition = f'form-data; name="{name}"'
        if filename is not None:
            disposition += f'; filename="{filename}"'
        head = f"Content-Disposition: {disposition}\r\nX-Empty:\r\n\r\n".encode()
        body += b"--" + BOUNDARY + b"\r\n" + head + content + b"\r\n"
    return body + b"--" + BOUNDARY + b"--\r\n"


def random_parts(seed: random.Random) -> list[Part]:
    """Parts whose content looks like boundaries now and then."""
    almost = [b"\r\n--" + BOUNDARY[:n] for n in range(len(BOUNDARY))]
    almost += [b"\r", b"\n", b"\r\n", b"--", b"\r\n\r\n", b"--" + BOUNDARY, b"\r\n--\r\n"]
    parts: list[Part] = []
    for number in range(seed.randrange(1, 5)):
        pieces = [seed.choice([*almost, bytes([seed.randrange(256)])]) for _ in range(40)]
        content = b"".join(pieces)
        while b"\r\n--" + BOUNDARY in content:
            content = content.replace(b"\r\n--" + BOUNDARY, b"")
        if seed.random() < 0.5:
            parts.append((f"n{number}", None, content.decode("latin-1").encode()))
        else:
            parts.append((f"n{number}", f"f {number}.bin", content))
    return parts


def cut(seed: random.Random, data: bytes) -> list[bytes]:
    """The same in pieces of 1 to 40 bytes."""
    pieces: list[bytes] = []
    while data:
        size = seed.randrange(1, 41)
        pieces.append(data[:size])
        data = data[size:]
    return pieces


def send_in_pieces(sock: socket.socket, path: str, pieces: list[bytes]) -> None:
    """Each piece is a chunk, and a packet of its own."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    kind = f'multipart/form-data; boundary="{BOUNDARY.decode()}"'
    head = f"POST {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Type: {kind}\r\n"
    sock.sendall(f"{head}Transfer-Encoding: chunked\r\n\r\n".encode())
    for piece in pieces:
        sock.sendall(b"%x\r\n%s\r\n" % (len(piece), piece))
    sock.sendall(b"0\r\n\r\n")


@pytest.mark.parametrize("path", ["/form", "/parts"])
def test_a_form_may_be_cut_anywhere(serve: Serve, path: str) -> None:
    served = serve(echoing())
    seed = random.Random(7)
    for _ in range(40):
        parts = random_parts(seed)
        with served.connect() as sock:
            send_in_pieces(sock, path, cut(seed, encoded(parts)))
            answer = b"".join(iter(lambda sock=sock: sock.recv(65536), b""))
        expected = [[n, f, content.decode("latin-1")] for n, f, content in parts]
        assert json.loads(answer.partition(b"\r\n\r\n")[2]) == expected


def test_urlencoded_may_be_cut_anywhere(serve: Serve) -> None:
    client = serve(echoing()).client
    headers = {"content-type": "application/x-www-form-urlencoded"}
    body = b"a=1&b=%C3%A9+x&a=&&c"
    for at in range(len(body)):
        pieces = iter([body[:at], body[at:]])
        response = client.post("/form", content=pieces, headers=headers)
        assert response.json() == [["a", None, "1"], ["b", None, "é x".encode().decode("latin-1")],
                                   ["a", None, ""], ["c", None, ""]]  # fmt: skip


def test_what_is_not_read_of_a_part_is_skipped(serve: Serve) -> None:
    client = serve(echoing()).client
    several = [
        ("a", ("a", b"A" * (1 << 20), "text/a")),
        ("empty", ("b", b"", "text/b")),
        ("c", ("c", b"C" * (1 << 20), "text/c")),
    ]
    read = client.post("/first", files=several).json()
    assert read == [["a", "text/a", "A"], ["c", "text/c", "C"]]


def test_parts_are_given_before_the_form_is_complete(serve: Serve) -> None:
    app = App()

    @app.post("/")
    async def handler(request: Request) -> Any:
        async for part in request.parts():
            return (await part.read()).decode()  # what follows never comes

    served = serve(app)
    with served.connect() as sock:
        body = encoded([("a", None, b"first")])[: -len(BOUNDARY) - 6] + b"--" + BOUNDARY + b"\r\n"
        head = (
            b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n"
            b"Content-Type: multipart/form-data; boundary=%s\r\n\r\n" % BOUNDARY
        )
        sock.sendall(head + body)
        assert b'"first"' in sock.recv(65536)


def test_a_truncated_form_is_refused(serve: Serve) -> None:
    client = serve(echoing()).client
    whole = encoded([("a", None, b"1"), ("b", "f", b"2")])
    headers = {"content-type": f"multipart/form-data; boundary={BOUNDARY.decode()}"}
    for path in ("/form", "/parts"):
        assert client.post(path, content=whole[:-2], headers=headers).status_code == 200
        for end in range(1, len(whole) - 4, 7):
            response = client.post(path, content=whole[:end], headers=headers)
            assert response.status_code == 400, whole[:end]
            assert response.json() == {"detail": "Invalid multipart data."}


def test_malformed_forms_fill_no_log(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("WARNING")
    client = serve(echoing()).client
    headers = {"content-type": "multipart/form-data; boundary=b"}
    assert client.post("/form", content=b"--x\r\n\r\n", headers=headers).status_code == 400
    assert caplog.records == []


# ---- ways into an app, and clients -------------------------------------------------------------

FILES = {"file": ("ünï.txt", b"x" * (2 << 20), "text/plain")}


def test_with_middleware(serve: Serve) -> None:
    response = serve(echoing(middleware=True)).client.post("/file", files=FILES)
    assert (response.json(), response.headers["x-around"]) == (["ünï.txt", 2 << 20], "yes")


def test_over_tls(serve: Serve, certificate: Certificate) -> None:
    options = {"ssl_certfile": certificate.cert, "ssl_keyfile": certificate.key}
    assert serve(echoing(), **options).client.post("/file", files=FILES).status_code == 200


@pytest.mark.parametrize("middleware", [False, True])
def test_below_a_mount(serve: Serve, middleware: bool) -> None:
    outer = App()
    outer.mount("/inner", echoing(middleware=middleware))
    client = serve(outer).client
    assert client.post("/inner/file", files=FILES).json() == ["ünï.txt", 2 << 20]
    many = {str(number): str(number) for number in range(1001)}
    assert client.post("/inner/form", data=many).status_code == 400


def test_under_another_server() -> None:
    app = echoing()
    seen: list[Any] = []

    @app.post("/keep")
    async def keep(file: UploadFile) -> None:
        seen.append(file.file)

    sock = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="off"))
    port = sock.getsockname()[1]

    async def ask() -> None:
        serving = asyncio.ensure_future(server.serve(sockets=[sock]))
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
            assert (await client.post("/file", files=FILES)).json() == ["ünï.txt", 2 << 20]
            parts = await client.post("/parts", files={"a": b"1", "b": b"22"})
            assert [part[2] for part in parts.json()] == ["1", "22"]
            await client.post("/keep", files=FILES)
            many = {str(number): str(number) for number in range(1001)}
            assert (await client.post("/form", data=many)).status_code == 400
        server.should_exit = True
        await serving

    asyncio.run(ask())
    assert [file.closed for file in seen] == [True]


def test_by_aiohttp(serve: Serve) -> None:
    url = serve(echoing()).url

    async def post() -> Any:
        form = aiohttp.FormData()
        form.add_field("text", "ü")
        form.add_field("file", io.BytesIO(FILES["file"][1]), filename="a.txt")
        async with aiohttp.ClientSession() as session:
            async with session.post(f"{url}/form", data=form) as response:
                read = await response.json()
            await asyncio.sleep(0)
        return [[name, filename, len(content)] for name, filename, content in read]

    assert asyncio.run(post()) == [["text", None, 2], ["file", "a.txt", 2 << 20]]


def test_by_curl(serve: Serve, tmp_path: Path) -> None:
    """It asks for 100 Continue before it sends a large form."""
    large = tmp_path / "large.bin"
    large.write_bytes(FILES["file"][1])
    url = serve(echoing()).url
    command = ["curl", "-sS", "-F", f"file=@{large}", f"{url}/file"]
    env = {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}
    done = subprocess.run(command, capture_output=True, check=True, timeout=60, env=env)
    assert done.stdout == b'["large.bin",2097152]'
