"""Requests to WSGI apps, many times over: objects, memory and descriptors stay where they are."""

from __future__ import annotations

import functools
import logging
import socket
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.growth import assert_flat
from support.serving import Served, serving
from support.wsgi import TEXT

PIPELINED = 20
REPEATS = 6  # in a round, each of PIPELINED requests or as many connections
ROUNDS = 3
FEW = 180  # objects that all rounds may leave behind; a leak leaves one for each of 360 requests
LAST = b"GET /plain HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"


class Broken(Exception):
    """Refers to itself, as exceptions kept in a variable do."""

    def __init__(self) -> None:
        self.me = self


def app(environ: dict[str, Any], start_response: Any) -> Any:
    path = environ["PATH_INFO"]
    if path == "/fails":
        raise Broken
    if path == "/cycle":
        environ["me"] = (environ, start_response)
    write = start_response("200 OK", [TEXT, ("X-A", "b" * 100)])
    if path == "/read":
        return [b"%d" % len(environ["wsgi.input"].read())]
    if path == "/lines":
        return [b"%d" % len(list(environ["wsgi.input"]))]
    if path == "/pieces":
        return (b"x" * 10_000 for _ in range(int(environ["QUERY_STRING"])))
    if path == "/file":
        return environ["wsgi.file_wrapper"](Path(environ["QUERY_STRING"]).open("rb"))
    if path == "/write":
        write(b"x" * 10_000)
    return [b"plain"]


def request(method: str, target: str, body: bytes = b"", fields: str = "") -> bytes:
    head = f"{method} {target} HTTP/1.1\r\nHost: a\r\nCookie: a=b\r\nCookie: c=d\r\n{fields}"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


CHUNKED = b"POST /lines HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
LARGE = 1_000_000


def pipelined(raw: bytes, served: Served) -> None:
    assert served.exchange(raw * PIPELINED + LAST).endswith(b"plain")


def leave(raw: bytes, served: Served, *, reset: bool) -> None:
    """Goes away within an exchange."""
    for _ in range(PIPELINED):
        with served.connect() as sock:
            sock.sendall(raw)
            if raw.startswith(b"GET"):
                assert sock.recv(1)
            if reset:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


PIPELINES = {
    "plain": request("GET", "/plain?a=b"),
    "fails": request("GET", "/fails"),
    "cycle": request("GET", "/cycle"),
    "read": request("POST", "/read", b"x" * 1000),
    "read-large": request("POST", "/read", b"x" * 100_000),
    "unread": request("POST", "/plain", b"x" * 1000),
    "chunked": CHUNKED + b"5\r\nab\nde\r\n" * 20 + b"0\r\n\r\n",
    "pieces": request("GET", "/pieces?3"),
    "head": request("HEAD", "/pieces?3"),
    "write": request("GET", "/write"),
}
GOING_AWAY = {
    "body": request("POST", "/read", b"x" * 1000)[:-1],
    "body-large": request("POST", "/read", b"x" * 100_000)[:-1],
    "pieces": request("GET", "/pieces?1000"),
}


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("files") / "large"
    path.write_bytes(b"x" * LARGE)
    return str(path)


@pytest.fixture(scope="module")
def served(file: str) -> Iterator[Served]:
    log = logging.getLogger("fluvial")
    level = log.level
    log.setLevel(logging.CRITICAL)  # records keep what they tell of
    with serving(app) as served:
        for work in every_work(file).values():
            work(served)
        yield served
    log.setLevel(level)


def every_work(file: str) -> dict[str, Callable[[Served], None]]:
    sent = request("GET", f"/file?{file}")
    return {
        **{name: functools.partial(pipelined, raw) for name, raw in PIPELINES.items()},
        **{
            f"{'reset' if reset else 'leave'}-{name}": functools.partial(leave, raw, reset=reset)
            for name, raw in {**GOING_AWAY, "file": sent}.items()
            for reset in (False, True)
        },
        "file": functools.partial(pipelined, sent),
        "small-file": functools.partial(pipelined, request("GET", f"/file?{__file__}")),
    }


@pytest.mark.parametrize("name", every_work(""))
def test_requests_leave_nothing_behind(served: Served, file: str, name: str) -> None:
    work = every_work(file)[name]

    def one_round() -> None:
        for _ in range(REPEATS):
            work(served)

    assert_flat(one_round, rounds=ROUNDS, few=FEW)
