"""permessage-deflate (RFC 7692): negotiation, contexts, odd streams, bombs; beside zlib itself."""

from __future__ import annotations

import asyncio
import random
import zlib
from typing import TYPE_CHECKING

import pytest
import websockets
from support.asgi import Notes
from support.turns import app_with_turns
from support.ws_client import (
    BINARY,
    CONT,
    PING,
    PONG,
    TEXT,
    Client,
    Frame,
    connect,
    frame,
)
from support.ws_echo import make_echo
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory

if TYPE_CHECKING:
    from conftest import Serve
    from support.serving import Served

COMPRESSED = 4  # RSV1
TAIL = b"\0\0\xff\xff"
WORDS = b"the quick brown fox jumps over the lazy dog and comes back again "
app = make_echo()


@pytest.fixture
def served(serve: Serve) -> Served:
    return serve(app, limits={"ws_message": 1 << 20})


class Deflating:
    """A client's two zlib streams."""

    def __init__(self, client: Client, bits: int = 15, server_bits: int = 15) -> None:
        self.client = client
        self.out = zlib.compressobj(9, zlib.DEFLATED, -bits)
        self.back = zlib.decompressobj(-server_bits)

    def compress(self, data: bytes) -> bytes:
        return (self.out.compress(data) + self.out.flush(zlib.Z_SYNC_FLUSH))[:-4]

    def send(self, opcode: int, data: bytes) -> int:
        payload = self.compress(data)
        self.client.send_frame(opcode, payload, rsv=COMPRESSED)
        return len(payload)

    def read(self, opcode: int) -> tuple[bytes, int]:
        found = self.client.read()
        assert (found.opcode, found.rsv) == (opcode, COMPRESSED)
        return self.back.decompress(found.payload + TAIL), len(found.payload)


def offer(served: Served, *offers: str) -> tuple[Client, str | None]:
    client = connect(served)
    fields = [f"Sec-WebSocket-Extensions: {each}" for each in offers]
    return client, client.open("/", fields).fields.get("sec-websocket-extensions")


# ---- Negotiation ---------------------------------------------------------------------------

D = "permessage-deflate"
SMALL = "server_max_window_bits=10"
USUAL = "server_max_window_bits=12; client_max_window_bits=12"


@pytest.mark.parametrize(
    ("offers", "answer"),
    [
        ([D], f"{D}; {SMALL}"),
        ([D.upper()], f"{D}; {SMALL}"),
        ([f"{D}; client_max_window_bits"], f"{D}; {USUAL}"),
        ([f"{D} ;client_max_window_bits = 15"], f"{D}; {USUAL}"),
        ([f'{D}; client_max_window_bits="14"'], f"{D}; {USUAL}"),
        (
            [f"{D}; client_max_window_bits=9"],
            f"{D}; server_max_window_bits=12; client_max_window_bits=9",
        ),
        (
            [f"{D}; client_max_window_bits=8; server_max_window_bits=9"],
            f"{D}; server_max_window_bits=9; client_max_window_bits=8",
        ),
        (
            [f"{D}; server_no_context_takeover"],
            f"{D}; server_no_context_takeover; {SMALL}",
        ),
        (
            [f"{D}; client_no_context_takeover"],
            f"{D}; client_no_context_takeover; server_max_window_bits=12",
        ),
        (
            [f"{D}; server_no_context_takeover; client_no_context_takeover;{USUAL}"],
            f"{D}; server_no_context_takeover; client_no_context_takeover; {USUAL}",
        ),
        (["x-webkit-deflate-frame", D], f"{D}; {SMALL}"),
        ([f"foo, {D}; server_max_window_bits=8, {D}"], f"{D}; {SMALL}"),
        ([f"{D}; unknown, {D}; client_max_window_bits"], f"{D}; {USUAL}"),
        (["foo"], None),
        ([f"{D}; server_max_window_bits"], None),
        ([f"{D}; server_max_window_bits=8"], None),
        ([f"{D}; server_max_window_bits=16"], None),
        ([f"{D}; server_max_window_bits=012"], None),
        ([f"{D}; server_max_window_bits=1x"], None),
        ([f"{D}; server_max_window_bits=-9"], None),
        ([f"{D}; server_max_window_bits=10; server_max_window_bits=10"], None),
        ([f"{D}; client_max_window_bits=7"], None),
        ([f"{D}; client_max_window_bits; client_max_window_bits"], None),
        ([f"{D}; server_no_context_takeover=1"], None),
        ([f"{D}; server_no_context_takeover; server_no_context_takeover"], None),
        ([f"{D};"], None),
        ([""], None),
    ],
)
def test_negotiation(served: Served, offers: list[str], answer: str | None) -> None:
    client, found = offer(served, *offers)
    with client:
        assert found == answer


def test_compression_can_be_off(serve: Serve) -> None:
    served = serve(app, ws_per_message_deflate=False)
    client, found = offer(served, D)
    with client:
        assert found is None
        client.send_frame(TEXT, b"\0", rsv=COMPRESSED)
        assert (last := client.read()).code == 1002
        assert last.reason == "A reserved bit is set"


# ---- Contexts ------------------------------------------------------------------------------


@pytest.mark.parametrize("opcode", [TEXT, BINARY])
def test_both_contexts_are_kept(served: Served, opcode: int) -> None:
    client, _ = offer(served, f"{D}; client_max_window_bits")
    with client:
        deflating = Deflating(client, 12, 12)
        sizes = []
        for _ in range(3):
            size = deflating.send(opcode, WORDS * 3)
            data, back = deflating.read(opcode)
            assert data == WORDS * 3
            sizes.append((size, back))
        assert sizes[1][0] < sizes[0][0] / 2
        assert sizes[1][1] < sizes[0][1] / 2


def test_no_context_is_kept(served: Served) -> None:
    both = "server_no_context_takeover; client_no_context_takeover"
    client, _ = offer(served, f"{D}; {both}")
    with client:
        sizes = set()
        for _ in range(3):
            deflating = Deflating(client)
            deflating.send(TEXT, WORDS * 3)
            data, size = deflating.read(TEXT)
            assert data == WORDS * 3
            sizes.add(size)
        assert len(sizes) == 1


@pytest.mark.parametrize("bits", [9, 10, 11, 12, 13, 14, 15])
def test_windows(served: Served, bits: int) -> None:
    rng = random.Random(bits)
    pool = [rng.randbytes(40) for _ in range(400)]
    offers = f"{D}; client_max_window_bits={bits}; server_max_window_bits={bits}"
    client, found = offer(served, offers)
    used = min(bits, 12)
    assert found == f"{D}; server_max_window_bits={used}; client_max_window_bits={used}"
    with client:
        deflating = Deflating(client, used, used)
        for size in (10, 400, 3000):
            data = b"".join(rng.choices(pool, k=size))
            deflating.send(BINARY, data)
            assert deflating.read(BINARY)[0] == data


def test_a_client_with_the_whole_window(served: Served) -> None:
    client, found = offer(served, D)
    assert found == f"{D}; {SMALL}"
    rng = random.Random(1)
    data = rng.randbytes(30_000)
    with client:
        deflating = Deflating(client, 15, 10)
        for _ in range(3):
            deflating.send(BINARY, data)
            assert deflating.read(BINARY)[0] == data


# ---- Messages ------------------------------------------------------------------------------


def test_short_messages_are_not_compressed(served: Served) -> None:
    client, _ = offer(served, D)
    with client:
        client.send_frame(TEXT, b"x" * 63)
        assert client.read() == Frame(TEXT, b"x" * 63)
        client.send_frame(TEXT, b"x" * 64)
        assert client.read().rsv == COMPRESSED


def test_a_threshold_of_zero(serve: Serve) -> None:
    client, _ = offer(serve(app, limits={"ws_deflate_threshold": 0}), D)
    with client:
        deflating = Deflating(client, 15, 10)
        for data in (b"", b"x", b"", b"", b"y"):
            deflating.send(TEXT, data)
            found = client.read()
            if data:
                assert deflating.back.decompress(found.payload + TAIL) == data
            else:
                assert found == Frame(TEXT, b"")


@pytest.mark.parametrize("size", [1, 2, 5, 1000])
def test_fragments(served: Served, size: int) -> None:
    client, _ = offer(served, D)
    text = ("Grüße an alle " * 40).encode()
    with client:
        deflating = Deflating(client, 15, 10)
        payload = deflating.compress(text)
        pieces = [payload[at : at + size] for at in range(0, len(payload), size)]
        for i, piece in enumerate(pieces):
            rsv = 0 if i else COMPRESSED
            client.send_frame(CONT if i else TEXT, piece, fin=False, rsv=rsv)
            client.send_frame(PING)
            assert client.read().opcode == PONG
        client.send_frame(CONT, b"")
        assert deflating.read(TEXT)[0] == text


def test_messages_of_both_kinds(served: Served) -> None:
    client, _ = offer(served, f"{D}; client_max_window_bits")
    with client:
        deflating = Deflating(client, 12, 12)
        for data in (WORDS, b"plain" * 20, WORDS):
            if data == WORDS:
                deflating.send(BINARY, data)
            else:
                client.send_frame(BINARY, data)
            assert deflating.read(BINARY)[0] == data


def test_empty_messages(served: Served) -> None:
    client, _ = offer(served, D)
    with client:
        client.send_frame(TEXT, b"\0", rsv=COMPRESSED)
        assert client.read() == Frame(TEXT, b"")


def test_a_final_block(served: Served) -> None:
    """RFC 7692 section 7.2.3.4, then a reference into the message before."""
    client, _ = offer(served, D)
    with client:
        for payload in (b"\xf3\x48\xcd\xc9\xc9\x07\x00\x00", b"\xf2\x00\x11\x00\x00"):
            client.send_frame(TEXT, payload, rsv=COMPRESSED)
            assert client.read() == Frame(TEXT, b"Hello")


def test_stored_and_several_blocks(served: Served) -> None:
    """Sections 7.2.3.3 and 7.2.3.5."""
    client, _ = offer(served, D)
    stored = b"\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f\x00"
    several = b"\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00"
    with client:
        for payload in (stored, several):
            client.send_frame(TEXT, payload, rsv=COMPRESSED)
            assert client.read() == Frame(TEXT, b"Hello")


# ---- What is refused -----------------------------------------------------------------------


def refused(served: Served, data: bytes) -> tuple[int | None, str]:
    client, _ = offer(served, D)
    with client:
        client.send(data)
        last = client.read_to_end()[-1]
        return last.code, last.reason


def test_data_that_is_no_deflate(served: Served) -> None:
    data = frame(BINARY, b"\xff" * 20, rsv=COMPRESSED)
    assert refused(served, data) == (1007, "The compressed data is malformed")


def test_a_message_that_is_cut_off(served: Served) -> None:
    whole = zlib.compressobj(9, zlib.DEFLATED, -15)
    payload = (whole.compress(WORDS * 9) + whole.flush(zlib.Z_SYNC_FLUSH))[:-4]
    code, reason = refused(served, frame(BINARY, payload[:-12], rsv=COMPRESSED))
    assert code == 1007
    assert reason in ("The compressed data is cut off", "The compressed data is malformed")


def test_a_block_that_is_longer_than_the_message(served: Served) -> None:
    """A stored block of 20 bytes has three, and would take what the server appends for data."""
    block = b"\x00" + (20).to_bytes(2, "little") + (20 ^ 0xFFFF).to_bytes(2, "little") + b"abc"
    data = frame(BINARY, block, rsv=COMPRESSED)
    assert refused(served, data) == (1007, "The compressed data is cut off")


def test_text_that_is_not_utf8(served: Served) -> None:
    whole = zlib.compressobj(9, zlib.DEFLATED, -15)
    payload = (whole.compress(b"x" * 100 + b"\xff") + whole.flush(zlib.Z_SYNC_FLUSH))[:-4]
    data = frame(TEXT, payload, rsv=COMPRESSED)
    assert refused(served, data) == (1007, "The text is not UTF-8")


def test_a_compressed_continuation(served: Served) -> None:
    data = frame(TEXT, b"", fin=False, rsv=COMPRESSED) + frame(CONT, b"\0", rsv=COMPRESSED)
    assert refused(served, data) == (1002, "A reserved bit is set")


def test_a_bomb(served: Served) -> None:
    """Some kilobytes that would become a gigabyte end at the limit."""
    whole = zlib.compressobj(9, zlib.DEFLATED, -15)
    zeros = bytes(1 << 20)
    payload = b"".join(whole.compress(zeros) for _ in range(1024))
    data = frame(BINARY, payload + whole.flush(zlib.Z_SYNC_FLUSH), rsv=COMPRESSED)
    assert refused(served, data) == (1009, "The message is too large")


@pytest.mark.parametrize(("size", "fits"), [(1 << 20, True), ((1 << 20) + 1, False)])
def test_the_limit_is_on_what_comes_out(served: Served, size: int, fits: bool) -> None:
    client, _ = offer(served, D)
    with client:
        deflating = Deflating(client, 15, 10)
        deflating.send(BINARY, bytes(size))
        if fits:
            assert deflating.read(BINARY)[0] == bytes(size)
        else:
            assert client.read().code == 1009


@pytest.mark.parametrize(
    "block",
    [
        b"\x03\x00" * 500,
        b"\x00\x00\x00\xff\xff" * 200,
        # An empty block with codes of its own, and a stored one behind it.
        bytes.fromhex("04c081000000000090ff6b000000ffff") * 60,
    ],
    ids=["final", "stored", "dynamic"],
)
def test_blocks_that_give_nothing_end_at_the_limit(serve: Serve, block: bytes) -> None:
    """However many frames they come in."""
    client, _ = offer(serve(app, limits={"ws_message": 50_000}), D)
    with client:
        client.send(frame(BINARY, block, fin=False, rsv=COMPRESSED))
        client.send(frame(CONT, block, fin=False) * 99)
        last = client.read_to_end()[-1]
    assert (last.code, last.reason) == (1009, "The message is too large")


def test_a_message_whose_bytes_are_flushed_one_by_one_is_no_bomb(serve: Serve) -> None:
    """Its compressed form is seven times as long, and longer than the limit."""
    client, _ = offer(serve(app, limits={"ws_message": 1000}), D)
    whole = zlib.compressobj(9, zlib.DEFLATED, -15)
    data = random.Random(1).randbytes(1000)
    pieces = [whole.compress(data[i : i + 1]) + whole.flush(zlib.Z_SYNC_FLUSH) for i in range(1000)]
    payload = b"".join(pieces)[:-4]
    assert len(payload) > 6000
    with client:
        client.send_frame(BINARY, payload, rsv=COMPRESSED)
        assert Deflating(client).read(BINARY)[0] == data


@pytest.mark.parametrize("seed", range(4))
def test_random_streams(served: Served, seed: int) -> None:
    """Compressed messages with changed bytes: an echo or an end."""
    rng = random.Random(seed)
    for _ in range(20):
        client, _ = offer(served, D)
        with client:
            payload = bytearray(Deflating(client).compress(WORDS * rng.randrange(1, 40)))
            for _ in range(rng.randrange(3)):
                payload[rng.randrange(len(payload))] = rng.randrange(256)
            client.send_frame(BINARY, bytes(payload), rsv=COMPRESSED)
            client.sock.shutdown(1)
            for found in client.read_to_end():
                assert found.opcode == BINARY or found.code == 1007


# ---- Beside another implementation ---------------------------------------------------------


@pytest.mark.parametrize(
    "factory",
    [
        ClientPerMessageDeflateFactory(),
        ClientPerMessageDeflateFactory(client_max_window_bits=True),
        ClientPerMessageDeflateFactory(server_no_context_takeover=True),
        ClientPerMessageDeflateFactory(client_no_context_takeover=True),
        ClientPerMessageDeflateFactory(server_max_window_bits=9, client_max_window_bits=9),
        ClientPerMessageDeflateFactory(server_max_window_bits=15, client_max_window_bits=15),
    ],
)
def test_the_websockets_package(served: Served, factory: ClientPerMessageDeflateFactory) -> None:
    rng = random.Random(7)
    words = WORDS.decode().split()
    messages: list[str | bytes] = [" ".join(rng.choices(words, k=k)) for k in (0, 1, 30, 5000)]
    messages += [rng.randbytes(size) for size in (0, 70, 5000, 500_000)]

    async def run() -> None:
        url = served.url.replace("http", "ws")
        async with websockets.connect(url, extensions=[factory], proxy=None) as client:
            for message in messages * 2:
                await client.send(message)
                assert await client.recv() == message

    asyncio.run(run())


# ---- What messages cost --------------------------------------------------------------------

SIZE = 50_000  # bytes: they fit into what the kernel keeps, and into one read

# Runs of blocks that give nothing: two bytes each, five bytes each, and four in five bytes.
FINAL = b"\x03\x00" * (SIZE // 2) + b"\x00"
STORED = b"\x00\x00\x00\xff\xff" * (SIZE // 5) + b"\x00"
FIXED = b"\x02\x08\x20\x80\x00" * (SIZE // 5) + b"\x00"


def fragments(payload: bytes, size: int, rsv: int = 0) -> bytes:
    """A message in frames of that size."""
    first, *others = (payload[i : i + size] for i in range(0, len(payload), size))
    frames = [frame(BINARY, first, fin=False, rsv=rsv)]
    frames += [frame(CONT, piece, fin=False) for piece in others]
    return b"".join((*frames, frame(CONT)))


@pytest.mark.parametrize(
    "raw",
    [
        frame(BINARY, FINAL, rsv=COMPRESSED),
        frame(BINARY, STORED, rsv=COMPRESSED),
        frame(BINARY, FIXED, rsv=COMPRESSED),
        fragments(FINAL, 500, COMPRESSED),
        frame(BINARY, b"", fin=False) + frame(CONT, fin=False) * 8000 + frame(CONT),
        frame(PING) * 8000 + frame(BINARY),
    ],
    ids=["final", "stored", "fixed", "fragments", "continuations", "pings"],
)
def test_others_have_their_turn_while_costly_bytes_are_read(serve: Serve, raw: bytes) -> None:
    """Both lie in the kernel when the loop looks. The one who came second is answered first."""
    notes = Notes()
    app, blocked, go = app_with_turns(notes)

    served = serve(app, ws_per_message_deflate=True)
    with connect(served) as client, served.connect() as other, served.connect() as blocker:
        client.open("/", [f"Sec-WebSocket-Extensions: {D}"])
        blocker.sendall(b"GET /block HTTP/1.1\r\nHost: x\r\n\r\n")
        assert blocked.wait(30)
        client.send(raw)
        other.sendall(b"GET /cheap HTTP/1.1\r\nHost: x\r\n\r\n")
        go.set()
        assert [notes.next(), notes.next()] == ["cheap", "costly"]


def test_final_blocks_keep_the_window(served: Served) -> None:
    """Each begins a stream that goes on with the window of the one before."""
    client, _ = offer(served, D)
    text = b"".join(b"%d " % i for i in range(600))
    head = zlib.compressobj(9, zlib.DEFLATED, -15)
    back = zlib.compressobj(9, zlib.DEFLATED, -15, zdict=text)
    payload = head.compress(text) + head.flush() + back.compress(text) + back.flush() + b"\0"
    with client:
        client.send_frame(BINARY, payload, rsv=COMPRESSED)
        assert Deflating(client).read(BINARY)[0] == text * 2
