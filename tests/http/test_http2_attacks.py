"""Public attacks on servers of HTTP/2 since 2019: each costs its client the stream or all."""

from __future__ import annotations

import struct
import threading
from collections.abc import Iterator
from typing import Any

import fluvial._core
import pytest
from fluvial import App
from fluvial.responses import Response
from support.h2_client import (
    CANCEL,
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    ENHANCE_YOUR_CALM,
    HEADERS,
    INITIAL_WINDOW_SIZE,
    PING,
    PRIORITY,
    PROTOCOL_ERROR,
    RST_STREAM,
    SETTINGS,
    STREAM_CLOSED,
    WINDOW_UPDATE,
    H2Client,
    frame,
)
from support.serving import Served, serving

pytestmark = pytest.mark.skipif(
    not fluvial._core.nghttp2_version, reason="this build has no HTTP/2"
)
LARGE = b"x" * 1_000_000
app = App()


@app.get("/")
async def index() -> dict[str, bool]:
    return {"ok": True}


@app.get("/large")
async def large() -> Response:
    return Response(LARGE)


@app.post("/")
async def post() -> dict[str, bool]:
    return {"ok": True}


def limited(**limits: int) -> Any:
    return serving(app, http="auto", limits=limits)


@pytest.fixture
def served() -> Iterator[Served]:
    with limited() as found:
        yield found


def test_rapid_reset() -> None:
    """CVE-2023-44487: more streams than may be open at once, since each is reset."""
    with limited(h2_resets=50) as served, H2Client.to(served) as client:
        data = b""
        for stream in range(1, 2 * 200, 2):
            data += frame(HEADERS, END_HEADERS | END_STREAM, stream, client.head())
            data += frame(RST_STREAM, 0, stream, struct.pack("!I", CANCEL))
        client.send(data)
        goaway = client.until_closed()
        assert goaway is not None
        assert goaway.error == ENHANCE_YOUR_CALM
        assert served.client.get("/").status_code == 200


def test_resets_within_the_limit(served: Served) -> None:
    """Somebody who closes a page in the middle of loading it goes on with the next."""
    with H2Client.to(served) as client:
        for _ in range(50):
            client.reset(client.request("/large"))
        assert client.get().status == 200


@pytest.mark.parametrize("how", ["window", "overflow", "closed"])
def test_made_you_reset(how: str) -> None:
    """CVE-2025-8671: the client has the server reset the streams, by frames that are errors."""
    with limited(h2_resets=50) as served, H2Client.to(served) as client:
        for _ in range(200):
            stream = client.request("/large")
            amount = 0 if how == "window" else 2**31 - 1
            if how == "closed":  # more for a request that is complete
                client.send(frame(DATA, 0, stream, b"x"))
            else:
                client.grant(stream, amount)
        goaway = client.until_closed()
        assert goaway is not None
        assert goaway.error in (ENHANCE_YOUR_CALM, STREAM_CLOSED, PROTOCOL_ERROR)
        assert served.client.get("/").status_code == 200


def test_malformed_requests_are_resets_too() -> None:
    with limited(h2_resets=50) as served, H2Client.to(served) as client:
        for _ in range(200):
            client.request("/", "GET", ("connection", "close"))
        goaway = client.until_closed()
        assert goaway is not None
        assert goaway.error == ENHANCE_YOUR_CALM


def test_too_many_streams() -> None:
    """Those that are one too many are refused, or their client is."""
    begun, go_on = threading.Event(), threading.Event()
    slow = App()

    @slow.get("/")
    def wait() -> str:
        begun.set()
        assert go_on.wait(30)
        return "done"

    with (
        serving(slow, http="auto", limits={"h2_streams": 2}) as served,
        H2Client.to(served) as client,
    ):
        client.settled()
        for _ in range(2):
            client.request()
        assert begun.wait(30)
        third = client.request()
        while client.goaway is None and client.answers.get(third) is None:
            if client.read() is None:
                break
        refused = client.answers.get(third)
        assert client.goaway is not None or (refused is not None and refused.reset is not None)
        go_on.set()


@pytest.mark.parametrize("empty", [False, True])
def test_continuation_flood(empty: bool) -> None:
    """CVE-2024-27316 and others: a header section that never ends. CVE-2019-9518: of nothing."""
    with limited(h2_continuations=8) as served, H2Client.to(served) as client:
        block = client.head()
        client.send(frame(HEADERS, END_STREAM, 1, block))
        piece = b"" if empty else client.encoder.encode([("x-field", "value")])
        for _ in range(20):
            client.send(frame(CONTINUATION, 0, 1, piece))
        goaway = client.until_closed()
        assert goaway is not None
        assert goaway.error == ENHANCE_YOUR_CALM


def test_hpack_bomb(served: Served) -> None:
    """CVE-2025-53020 and others: a byte for each use of a large field that the table keeps."""
    with H2Client.to(served) as client:
        literal = b"\x40\x01x" + b"\x7f\x81\x1e" + b"y" * 3968  # into the table; not Huffman-coded
        block = client.head() + literal + b"\xbe" * 200
        client.send(frame(HEADERS, END_HEADERS | END_STREAM, 1, block))
        goaway = client.until_closed()
        assert goaway is not None
        assert goaway.error == ENHANCE_YOUR_CALM
    assert served.client.get("/").status_code == 200


@pytest.mark.parametrize(
    "fields", [[("x-field", "y" * 100)] * 90, [(f"x-{i}", "y") for i in range(200)]]
)
def test_large_header_sections(fields: list[tuple[str, str]]) -> None:
    with limited(header_block=4096) as served, H2Client.to(served) as client:
        answer = client.answer(client.request("/", "GET", *fields))
        assert answer.status == 431
        assert client.get().status == 200


def test_large_trailer_sections(served: Served) -> None:
    with H2Client.to(served) as client:
        stream = client.request("/", "POST", body=b"x", end=False)
        block = client.encoder.encode([(f"x-{i}", "y" * 500) for i in range(30)])
        client.send(frame(HEADERS, END_HEADERS | END_STREAM, stream, block))
        answer = client.answer(stream)
        assert answer.reset == ENHANCE_YOUR_CALM or answer.status == 200
        assert client.get().status == 200


FLOODS = {
    "ping": frame(PING, 0, 0, b"x" * 8),  # CVE-2019-9512
    "settings": frame(SETTINGS, 0, 0),  # CVE-2019-9515
    "priority": frame(PRIORITY, 0, 1, b"\0\0\0\0\1"),  # CVE-2019-9513
    "window": frame(WINDOW_UPDATE, 0, 0, b"\0\0\0\1"),
    "unknown": frame(0x42, 0, 0),
}


@pytest.mark.parametrize("kind", FLOODS)
def test_floods(kind: str) -> None:
    with limited(h2_controls=100) as served, H2Client.to(served) as client:
        client.send(FLOODS[kind] * 500)
        goaway = client.until_closed()
        assert goaway is not None
        assert goaway.error == ENHANCE_YOUR_CALM
        assert served.client.get("/").status_code == 200


def test_flood_of_empty_data() -> None:
    """CVE-2019-9518."""
    with limited(h2_controls=100) as served, H2Client.to(served) as client:
        stream = client.request("/", "POST", end=False)
        client.send(frame(DATA, 0, stream) * 500)
        goaway = client.until_closed()
        assert goaway is not None
        assert goaway.error == ENHANCE_YOUR_CALM


def test_window_updates_of_a_client_that_reads(served: Served) -> None:
    """They go with what was sent, however many they are."""
    with limited(h2_controls=20) as limits, H2Client.to(limits) as client:
        assert client.get("/large").body == LARGE
        assert client.get("/large").body == LARGE


@pytest.mark.parametrize("window", [0, 1])
def test_tiny_windows(window: int) -> None:
    """CVE-2019-9511 and -9517: responses that are asked for and not read."""
    with limited(h2_stall=1000) as served, H2Client.to(served, {INITIAL_WINDOW_SIZE: 0}) as client:
        client.window = False
        stream = client.request("/large")
        if window:
            client.grant(stream, window)
        while client.answers.get(stream) is None or client.answers[stream].reset is None:
            assert client.read() is not None
        assert client.answers[stream].reset == CANCEL
        assert len(client.answers[stream].body) < 1000


def test_a_head_that_never_ends() -> None:
    with limited(header_timeout=1000) as served, H2Client.to(served) as client:
        client.settled()
        client.send(frame(HEADERS, END_STREAM, 1, client.head()))
        goaway = client.until_closed()
        assert goaway is not None
        assert goaway.error == ENHANCE_YOUR_CALM


def test_a_body_that_trickles() -> None:
    with limited(body_grace=1000) as served, H2Client.to(served) as client:
        stream = client.request("/", "POST", body=b"x", end=False)
        assert client.answer(stream).status == 408
        assert client.get().status == 200


def test_a_client_that_sends_nothing() -> None:
    with limited(header_timeout=1000) as served, served.connect() as sock:
        sock.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        data = b"".join(iter(lambda: sock.recv(65536), b""))
        assert struct.pack("!I", ENHANCE_YOUR_CALM) in data


def test_an_idle_connection_ends() -> None:
    with limited(keep_alive=1000) as served, H2Client.to(served) as client:
        assert client.get().status == 200
        assert client.until_closed() is not None


def test_frames_for_streams_that_are_over(served: Served) -> None:
    for data in (
        lambda client: frame(DATA, 0, 1, b"x"),
        lambda client: frame(HEADERS, END_HEADERS | END_STREAM, 1, client.head()),
    ):
        with H2Client.to(served) as client:
            assert client.get().status == 200
            client.send(data(client))
            goaway = client.until_closed()
            assert goaway is not None
            assert goaway.error == STREAM_CLOSED


def test_streams_whose_numbers_fall(served: Served) -> None:
    with H2Client.to(served) as client:
        client.next_stream = 5
        assert client.get().status == 200
        client.send(frame(HEADERS, END_HEADERS | END_STREAM, 3, client.head()))
        goaway = client.until_closed()
        assert goaway is not None
        assert goaway.error == PROTOCOL_ERROR


def test_other_connections_go_on(served: Served) -> None:
    """Bytes that no frame begins with, at each place."""
    whole = frame(HEADERS, END_HEADERS | END_STREAM, 1, H2Client.head.__doc__.encode())
    with H2Client.to(served) as good:
        assert good.get().status == 200
        for at in range(len(whole)):
            with H2Client.to(served) as bad:
                bad.send(whole[:at] + b"\xff" * 40)
        assert good.get().status == 200
