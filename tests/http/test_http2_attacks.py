"""Public attacks on servers of HTTP/2 since 2019: each costs its client the stream or all."""

from __future__ import annotations

import asyncio
import struct
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from fluvial import App, Request
from fluvial.responses import Response, StreamingResponse
from support import needs
from support.h2_client import (
    CANCEL,
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    ENHANCE_YOUR_CALM,
    FLOW_CONTROL_ERROR,
    HEADERS,
    INITIAL_WINDOW_SIZE,
    PING,
    PRIORITY,
    PROTOCOL_ERROR,
    REFUSED_STREAM,
    RST_STREAM,
    SETTINGS,
    STREAM_CLOSED,
    WINDOW_UPDATE,
    Answer,
    Frame,
    H2Client,
    frame,
)
from support.serving import Served, serving

pytestmark = needs.HTTP2
LARGE = b"x" * 1_000_000
HUGE = b"x" * 16_000_000  # more than the kernel takes for a client that doesn't read
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


def test_resets_without_a_limit() -> None:
    """nghttp2's own limit, of about a thousand, doesn't count."""
    with limited(h2_resets=0, h2_streams=0) as served, H2Client.to(served) as client:
        for stream in range(1, 2 * 1500, 2):
            head = frame(HEADERS, END_HEADERS, stream, client.head("/", "POST"))
            client.send(head + frame(RST_STREAM, 0, stream, struct.pack("!I", CANCEL)))
        client.send(frame(HEADERS, END_HEADERS | END_STREAM, 3001, client.head()))
        assert client.answer(3001).status == 200


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
                client.grant(stream, amount=amount)
        goaway = client.until_closed()
        assert goaway is not None
        ends = (ENHANCE_YOUR_CALM, STREAM_CLOSED, PROTOCOL_ERROR, FLOW_CONTROL_ERROR)
        assert goaway.error in ends  # by nghttp2 1.68 an overflow ends the connection at once
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


def test_continuations_within_the_limit(served: Served) -> None:
    """nghttp2's own limit, of 8, doesn't count."""
    with H2Client.to(served) as client:
        client.send(frame(HEADERS, END_STREAM, 1, client.head()))
        for i in range(15):
            piece = client.encoder.encode([("x-field", str(i))])
            client.send(frame(CONTINUATION, END_HEADERS if i == 14 else 0, 1, piece))
        assert client.answer(1).status == 200


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


@pytest.mark.parametrize(("window", "rate"), [(0, 240), (1, 240), (0, 0)])
def test_tiny_windows(window: int, rate: int) -> None:
    """CVE-2019-9511 and -9517: responses that are asked for and not read."""
    with (
        limited(h2_stall=1000, body_rate=rate) as served,
        H2Client.to(served, {INITIAL_WINDOW_SIZE: 0}) as client,
    ):
        client.window = False
        stream = client.request("/large")
        if window:
            client.grant(stream, amount=window)
        while client.answers.get(stream) is None or client.answers[stream].reset is None:
            assert client.read() is not None
        assert client.answers[stream].reset == CANCEL
        assert len(client.answers[stream].body) < 1000


def test_a_window_that_grows_by_bytes() -> None:
    """Some of the response is always on its way, and it would take for ever."""
    with (
        limited(h2_stall=1000, body_rate=1_000_000) as served,
        H2Client.to(served, {INITIAL_WINDOW_SIZE: 0}) as client,
    ):
        client.window = False
        stream = client.request("/large")
        while (answer := client.answers.get(stream, Answer())).reset is None:
            client.grant(0, stream, amount=1)  # without 0 the connection's window would end it
            assert client.read() is not None
            assert len(answer.body) < 200_000
        assert answer.reset == CANCEL


def test_responses_that_wait_for_their_turn() -> None:
    """Streams are served one after another, and no faster than TCP: their client isn't to blame."""

    class Counting(H2Client):
        counts = dict.fromkeys((1, 3, 5), 0)

        def _note(self, found: Frame) -> None:
            if found.type == DATA:
                self.counts[found.stream] += len(found.payload)
                found.payload = b""
            super()._note(found)

    begun, gone = threading.Event(), threading.Event()
    several = App()

    @several.get("/huge")
    async def huge() -> Response:
        return Response(HUGE)

    @several.get("/unread")
    async def unread() -> StreamingResponse:
        async def pieces() -> AsyncIterator[bytes]:
            begun.set()
            try:
                while True:
                    yield LARGE
            finally:
                gone.set()

        return StreamingResponse(pieces())

    with (
        serving(several, http="auto", limits={"h2_stall": 1000, "write_timeout": 0}) as served,
        Counting.to(served, {INITIAL_WINDOW_SIZE: 0}) as client,
    ):
        client.window = False
        streams = [client.request("/huge"), client.request("/huge")]
        client.request("/unread")
        client.grant(0, amount=2**30)
        for stream in streams:
            client.grant(stream, amount=2**30)
        assert begun.wait(30)
        assert gone.wait(30)  # it has no window; the others have, and wait for TCP
        for stream in streams:
            assert client.answer(stream).reset is None
            assert client.counts[stream] == len(HUGE)


def test_a_client_that_reads_one_response_of_two() -> None:
    """What it reads uses up the connection's window: the other waits for its turn."""
    with limited(h2_stall=1000) as served, H2Client.to(served, {INITIAL_WINDOW_SIZE: 0}) as client:
        client.window = False
        streams = [client.request("/large") for _ in range(3)]
        for stream in streams[:2]:
            client.grant(stream, amount=2**30)
        while client.answers.get(streams[2], Answer()).reset is None:
            assert client.read() is not None
        assert [client.answers[stream].reset for stream in streams[:2]] == [None, None]


def test_replies_that_nobody_reads() -> None:
    """Streams that are refused, while TCP takes nothing more."""
    huge = App()

    @huge.get("/")
    async def index() -> Response:
        return Response(HUGE)

    limits = {"h2_streams": 1, "h2_resets": 0, "h2_controls": 0}
    with (
        serving(huge, http="auto", limits=limits) as served,
        H2Client.to(served, {INITIAL_WINDOW_SIZE: 2**31 - 1}) as client,
    ):
        client.window = False
        client.grant(0, amount=2**30)
        client.request()
        refused = b"".join(
            frame(HEADERS, END_HEADERS | END_STREAM, stream, client.head())
            for stream in range(3, 2 * 10_000, 2)
        )
        client.send(refused)
        goaway = client.until_closed()
        assert goaway is not None
        assert goaway.error == ENHANCE_YOUR_CALM


def test_frames_for_a_stream_that_was_refused() -> None:
    """They may have been on their way; other streams go on."""
    with limited(h2_streams=2) as served, H2Client.to(served) as client:
        data = b""  # all before the client has read that two are allowed
        for stream in (1, 3, 5):
            data += frame(HEADERS, END_HEADERS, stream, client.head("/", "POST"))
        data += frame(RST_STREAM, 0, 1, struct.pack("!I", CANCEL))
        data += frame(HEADERS, END_HEADERS, 7, client.head("/", "POST"))
        data += frame(DATA, END_STREAM, 5, b"x") + frame(DATA, END_STREAM, 7, b"x")
        client.send(data)
        assert client.answer(7).status == 200
        assert client.answer(5).reset == REFUSED_STREAM


def test_heads_that_are_dropped_have_ended() -> None:
    """No head is arriving, and so none takes too long."""
    with limited(header_timeout=1000) as served, H2Client.to(served) as client:
        client.settled()
        assert client.answer(client.request("/", "GET", ("te", "gzip"))).reset == PROTOCOL_ERROR
        for _ in range(2):  # by then it would have been looked at
            with H2Client.to(served) as slow:
                slow.settled()
                slow.send(frame(HEADERS, END_STREAM, 1, slow.head()))
                assert slow.until_closed() is not None
        assert client.get().status == 200


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


@pytest.fixture
def holding() -> tuple[App, Callable[[], None]]:
    """An app that doesn't read the bodies at /hold until it is told to."""
    holds = App()
    go_on = asyncio.Event()
    loops: list[asyncio.AbstractEventLoop] = []

    @holds.post("/hold")
    async def hold(request: Request) -> dict[str, int]:
        loops[:] = [asyncio.get_running_loop()]
        await go_on.wait()
        return {"length": sum([len(piece) async for piece in request.stream()])}

    @holds.post("/early")
    async def early(request: Request) -> dict[str, bool]:
        loops[:] = [asyncio.get_running_loop()]
        await go_on.wait()
        return {"ok": True}

    @holds.post("/")
    async def post(request: Request) -> dict[str, int]:
        return {"length": len(await request.body())}

    def release() -> None:
        loops[0].call_soon_threadsafe(go_on.set)

    return holds, release


def fill(client: H2Client, path: str) -> list[int]:
    """Sends bodies until the connection's window is used up; the streams."""
    streams = []
    client.settled()
    while client.windows.get(0, 65535) > 0:
        stream = client.request(path, "POST", end=False)
        streams.append(stream)
        while (room := min(client.windows.get(0, 65535), client.windows.get(stream, 32768))) > 0:
            client.send(frame(DATA, 0, stream, b"x" * min(room, 16384)))
            client._widen(0, -min(room, 16384))
            client._widen(stream, -min(room, 16384))
            client.settled()
    return streams


def test_a_body_that_others_hold_up(holding: tuple[App, Callable[[], None]]) -> None:
    """Bodies that no handler reads leave it no window."""
    app, release = holding
    limits = {"body_grace": 1000, "h2_window": 32768, "h2_controls": 0}
    with serving(app, http="auto", limits=limits) as served, H2Client.to(served) as client:
        fill(client, "/hold")
        waits = client.request("/", "POST", end=False)
        client.settled()
        with H2Client.to(served) as slow:
            for _ in range(2):  # by then the other would have been looked at
                stream = slow.request("/", "POST", body=b"x", end=False)
                assert slow.answer(stream).status == 408
        client.settled()
        assert waits not in client.answers
        release()


@pytest.mark.parametrize("how", ["reset", "answered"])
def test_the_window_of_bodies_that_nobody_reads(
    how: str, holding: tuple[App, Callable[[], None]]
) -> None:
    """It is given back once their streams are over, or their responses complete."""
    app, release = holding
    limits = {"h2_window": 32768, "h2_controls": 0}
    with serving(app, http="auto", limits=limits) as served, H2Client.to(served) as client:
        streams = fill(client, "/early")
        if how == "reset":
            for stream in streams:
                client.reset(stream)
        else:
            release()
            for stream in streams:
                assert client.answer(stream).status == 200
        last = client.request("/", "POST", end=False)
        client.upload(last, b"x" * 100_000)
        assert client.answer(last).body == b'{"length":100000}'
        if how == "reset":
            release()


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
