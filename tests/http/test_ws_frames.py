"""Frames and messages (RFC 6455 sections 5 to 8): sizes, fragments, faults, UTF-8, limits."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest
from support.sanitizer import SANITIZED
from support.ws_client import (
    BINARY,
    CLOSE,
    CONT,
    PING,
    PONG,
    TEXT,
    Client,
    Frame,
    close_payload,
    frame,
    upgraded,
)
from support.ws_echo import make_echo

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conftest import Serve
    from support.serving import Served

SIZES = [0, 1, 15, 16, 17, 125, 126, 127, 65_535, 65_536, 70_000, 1_000_001]
LIMIT = 1 << 20
app = make_echo()


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    from support.serving import serving

    limits = {"ws_message": LIMIT, "ws_frame": LIMIT // 2 + 1000}
    with serving(app, limits=limits) as running:
        yield running


def payload_of(size: int) -> bytes:
    return bytes(i * 31 % 127 for i in range(min(size, 251))) * (size // 251 + 1)


def cut(data: bytes, size: int) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)]


# ---- Messages ------------------------------------------------------------------------------


@pytest.mark.parametrize("opcode", [TEXT, BINARY])
@pytest.mark.parametrize("size", SIZES)
def test_echo(serve: Serve, opcode: int, size: int) -> None:
    payload = payload_of(size)[:size]
    with upgraded(serve(app)) as client:
        client.send_frame(opcode, payload)
        assert client.read() == Frame(opcode, payload)
        assert client.close() == Frame(CLOSE, close_payload(1000))


@pytest.mark.parametrize("mask", [b"\0\0\0\0", b"\xff\xff\xff\xff", b"\1\2\3\4"])
def test_masks(served: Served, mask: bytes) -> None:
    with upgraded(served) as client:
        client.send_frame(BINARY, bytes(range(256)), mask=mask)
        assert client.read().payload == bytes(range(256))


@pytest.mark.parametrize("size", [1, 2, 3, 5, 16, 33, 64])
def test_fragments_of_every_size(served: Served, size: int) -> None:
    text = "Grüße, ∀x: \u211d \U0001d518\U0001d52b " * 9
    pieces = cut(text.encode(), size)
    frames = [frame(CONT if i else TEXT, piece, fin=False) for i, piece in enumerate(pieces)]
    with upgraded(served) as client:
        client.send(b"".join(frames) + frame(CONT, b""))
        assert client.read() == Frame(TEXT, text.encode())


def test_control_frames_between_fragments(served: Served) -> None:
    with upgraded(served) as client:
        client.send_frame(BINARY, b"a", fin=False)
        client.send_frame(PING, b"now")
        assert client.read() == Frame(PONG, b"now")
        client.send_frame(PONG, b"unasked")
        client.send_frame(CONT, b"b", fin=False)
        client.send_frame(PING, b"x" * 125)
        assert client.read() == Frame(PONG, b"x" * 125)
        client.send_frame(CONT, b"")
        assert client.read() == Frame(BINARY, b"ab")


def test_pings_are_answered_in_order(served: Served) -> None:
    with upgraded(served) as client:
        client.send(b"".join(frame(PING, bytes([i])) for i in range(20)))
        assert [client.read().payload for _ in range(20)] == [bytes([i]) for i in range(20)]


def conversation() -> tuple[bytes, list[Frame]]:
    """Frames of all kinds, and what has to come back."""
    sent = [
        frame(TEXT, b"hello"),
        frame(BINARY, bytes(200)),
        frame(PING, b"?"),
        frame(TEXT, "é∈".encode()[:1], fin=False),
        frame(PING, b""),
        frame(CONT, "é∈".encode()[1:3], fin=False),
        frame(CONT, "é∈".encode()[3:]),
        frame(BINARY, b""),
        frame(CLOSE, close_payload(3001, b"bye")),
    ]
    messages = [
        Frame(TEXT, b"hello"),
        Frame(BINARY, bytes(200)),
        Frame(TEXT, "é∈".encode()),
        Frame(BINARY, b""),
    ]
    return b"".join(sent), messages


def converse(client: Client, pieces: list[bytes]) -> None:
    """Sends the conversation, its close frame when everything has come back."""
    _, messages = conversation()
    close = frame(CLOSE, close_payload(3001, b"bye"))
    data = b"".join(pieces)
    assert data.endswith(close)
    held = len(close)
    for piece in pieces:
        kept = piece[: len(data) - held] if len(data) > held else b""
        data = data[len(piece) :]
        if kept:
            client.send(kept)
    frames: list[Frame] = []
    while len(frames) < len(messages) + 2:
        frames.append(client.read())
    assert [f for f in frames if f.opcode != PONG] == messages
    assert [f.payload for f in frames if f.opcode == PONG] == [b"?", b""]
    for byte in close:
        client.send(bytes([byte]))
    assert client.read_to_end() == [Frame(CLOSE, close_payload(3001))]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_frames_in_pieces(served: Served, size: int) -> None:
    with upgraded(served) as client:
        client.sock.setsockopt(6, 1, 1)  # TCP_NODELAY
        converse(client, cut(conversation()[0], size))


def test_every_split_in_two(served: Served) -> None:
    data, _ = conversation()
    for at in range(1, len(data) - 10, 5):
        with upgraded(served) as client:
            converse(client, [data[:at], data[at:]])


# ---- Faults --------------------------------------------------------------------------------

LONG = 1000


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (frame(TEXT, b"x", rsv=4), "A reserved bit is set"),
        (frame(TEXT, b"x", rsv=2), "A reserved bit is set"),
        (frame(PING, b"", rsv=1), "A reserved bit is set"),
        (frame(PING, b"", rsv=4), "A control frame is compressed"),
        (frame(TEXT, fin=False) + frame(CONT, rsv=4), "A reserved bit is set"),
        *((frame(op), "The opcode is reserved") for op in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15)),
        (frame(TEXT, b"x", mask=None), "A frame is not masked"),
        (frame(CLOSE, b"", mask=None) + bytes(4), "A frame is not masked"),
        (frame(PING, b"", fin=False), "A control frame is fragmented"),
        (frame(CLOSE, b"", fin=False), "A control frame is fragmented"),
        (frame(PING, b"x" * 126), "A control frame is too long"),
        (frame(CLOSE, bytes(LONG)), "A control frame is too long"),
        (frame(TEXT, b"x" * 5, length=b"\x7e\0\5"), "A frame's length is malformed"),
        (frame(TEXT, b"x" * 125, length=b"\x7e\0\x7d"), "A frame's length is malformed"),
        (
            frame(TEXT, b"", length=b"\x7f" + (65535).to_bytes(8, "big")),
            "A frame's length is malformed",
        ),
        (frame(TEXT, b"", length=b"\x7f\x80" + bytes(7)), "A frame's length is malformed"),
        (frame(CONT, b"x"), "A continuation has no beginning"),
        (frame(TEXT, b"x") + frame(CONT, b"y"), "A continuation has no beginning"),
        (frame(TEXT, fin=False) + frame(TEXT, b"x"), "A message begins within another one"),
        (frame(TEXT, fin=False) + frame(BINARY, b"x"), "A message begins within another one"),
        (frame(CLOSE, b"\3"), "The close code is not valid"),
        *(
            (frame(CLOSE, close_payload(code)), "The close code is not valid")
            for code in (0, 999, 1004, 1005, 1006, 1015, 1016, 2000, 2999, 5000, 65535)
        ),
    ],
)
def test_faults_of_the_protocol(served: Served, data: bytes, reason: str) -> None:
    with upgraded(served) as client:
        client.send(data)
        *_, last = client.read_to_end()
        assert (last.code, last.reason) == (1002, reason)


def test_messages_before_a_fault_are_answered(served: Served) -> None:
    with upgraded(served) as client:
        client.send(frame(TEXT, b"one") + frame(BINARY, b"two") + frame(TEXT, b"x", rsv=2))
        assert [f.payload for f in client.read_to_end()[:-1]] == [b"one", b"two"]


@pytest.mark.parametrize("code", [1000, 1001, 1003, 1007, 1011, 1014, 3000, 3999, 4000, 4999])
def test_close_codes_come_back(served: Served, code: int) -> None:
    with upgraded(served) as client:
        assert client.close(code).code == code


def test_a_close_frame_without_a_code(served: Served) -> None:
    with upgraded(served) as client:
        client.send_frame(CLOSE)
        assert client.read_to_end() == [Frame(CLOSE, b"")]


def test_nothing_counts_after_a_close_frame(served: Served) -> None:
    with upgraded(served) as client:
        client.send(frame(CLOSE, close_payload(1000)) + frame(TEXT, b"x") + b"\xff" * 100)
        assert client.read_to_end() == [Frame(CLOSE, close_payload(1000))]


# ---- UTF-8 ---------------------------------------------------------------------------------

VALID = [
    "\0",
    "\x7f",
    "\x80",
    "\u07ff",
    "\u0800",
    "\ud7ff",
    "\ue000",
    "\uffff",
    "\U00010000",
    "\U0010ffff",
    "κόσμε" * 30,
    "x" * 31 + "é" + "x" * 64,
    "日本語" * 50,
]
INVALID = [
    b"\x80",
    b"\xbf",
    b"\xc0\x80",
    b"\xc1\xbf",
    b"\xc2",
    b"\xc2\x41",
    b"\xe0\x80\x80",
    b"\xe0\x9f\xbf",
    b"\xe1\x80",
    b"\xed\xa0\x80",
    b"\xed\xbf\xbf",
    b"\xef\xbf",
    b"\xf0\x80\x80\x80",
    b"\xf0\x8f\xbf\xbf",
    b"\xf0\x90\x80",
    b"\xf4\x90\x80\x80",
    b"\xf5\x80\x80\x80",
    b"\xff",
    b"\xfe",
    "κόσμε".encode()[:-1],
    b"a" * 64 + b"\xff" + b"a" * 64,
]


@pytest.mark.parametrize("size", [1, 2, 3, 1000], ids=str)
def test_valid_text(served: Served, size: int) -> None:
    with upgraded(served) as client:
        for text in VALID:
            pieces = cut(text.encode(), size)
            for i, piece in enumerate(pieces):
                fin = i == len(pieces) - 1
                client.send_frame(CONT if i else TEXT, piece, fin=fin)
            assert client.read() == Frame(TEXT, text.encode())


@pytest.mark.parametrize("data", INVALID)
@pytest.mark.parametrize("size", [1, 2, 1000], ids=str)
def test_invalid_text(served: Served, data: bytes, size: int) -> None:
    pieces = cut(b"fine " + data, size)
    frames = [frame(CONT if i else TEXT, piece, fin=False) for i, piece in enumerate(pieces)]
    with upgraded(served) as client:
        client.send(b"".join(frames) + frame(CONT, b""))
        (last,) = client.read_to_end()
        assert (last.code, last.reason) == (1007, "The text is not UTF-8")


def test_invalid_text_is_refused_when_it_comes(served: Served) -> None:
    """Not only at the end of the frame or of the message."""
    whole = frame(TEXT, b"x" * 70 + b"\xed\xa0" + b"x" * 1000)
    with upgraded(served) as client:
        client.send(whole[:100])
        assert client.read().code == 1007


def test_a_character_that_ascii_follows_is_refused_when_it_comes(served: Served) -> None:
    """In two frames, of a message that doesn't end."""
    with upgraded(served) as client:
        client.send_frame(TEXT, b"\xe1\x80", fin=False)
        client.send_frame(CONT, b"a", fin=False)
        assert client.read().code == 1007


def test_an_invalid_close_reason(served: Served) -> None:
    with upgraded(served) as client:
        client.send_frame(CLOSE, close_payload(1000, b"\xc3"))
        assert client.read().code == 1007


def test_binary_may_be_anything(served: Served) -> None:
    with upgraded(served) as client:
        for data in INVALID:
            client.send_frame(BINARY, data)
            assert client.read() == Frame(BINARY, data)


# ---- Limits --------------------------------------------------------------------------------


def test_a_frame_beyond_the_limit(served: Served) -> None:
    size = LIMIT // 2 + 1001
    with upgraded(served) as client:
        client.send(frame(BINARY, bytes(size))[:14])  # the header is enough
        assert (last := client.read()).code == 1009
        assert last.reason == "A frame is too large"


def test_a_message_beyond_the_limit(served: Served) -> None:
    with upgraded(served) as client:
        client.send_frame(BINARY, bytes(LIMIT // 2), fin=False)
        client.send_frame(CONT, bytes(LIMIT // 2), fin=False)
        client.send_frame(CONT, b"x")
        (last,) = client.read_to_end()
        assert (last.code, last.reason) == (1009, "The message is too large")


def test_a_message_up_to_the_limit(served: Served) -> None:
    with upgraded(served) as client:
        client.send_frame(BINARY, bytes(LIMIT // 2), fin=False)
        client.send_frame(CONT, bytes(LIMIT // 2), fin=False)
        client.send_frame(CONT, b"")
        assert client.read() == Frame(BINARY, bytes(LIMIT))


@pytest.mark.skipif(SANITIZED, reason="the sanitizer ends a process that asks for so much")
def test_a_length_that_is_only_claimed_costs_nothing(serve: Serve) -> None:
    limits = {"ws_message": 0, "ws_frame": 0}
    with upgraded(serve(app, limits=limits)) as client:
        client.send(frame(BINARY, b"", length=b"\x7f\x7f" + bytes(7)) + b"data")
        assert client.read_to_end()[0].code == 1011


# ---- Anything at all -----------------------------------------------------------------------


def bytes_at_random(rng: random.Random) -> bytes:
    """Frames, most of them right, some of their bytes changed."""
    data = bytearray()
    for _ in range(rng.randrange(1, 12)):
        payload = rng.randbytes(rng.choice([0, 1, 3, 60, 126, 300, 70_000]))
        if rng.random() < 0.5:
            payload = payload.hex().encode()
        opcode = rng.choice([TEXT, TEXT, BINARY, BINARY, CONT, PING, PONG, CLOSE])
        fin = rng.random() < 0.8
        data += frame(opcode, payload[: 125 if opcode > 7 else None], fin=fin)
    for _ in range(rng.choice([0, 0, 1, 3])):
        data[rng.randrange(len(data))] = rng.randrange(256)
    return bytes(data)


@pytest.mark.parametrize("seed", range(8))
def test_random_bytes(served: Served, seed: int) -> None:
    """Whatever comes, however it is cut up: the answer is frames and an end."""
    rng = random.Random(seed)
    for _ in range(15):
        with upgraded(served) as client:
            data = bytes_at_random(rng)
            at = 0
            try:
                while at < len(data):
                    n = rng.choice([1, 2, 13, 14, 100, 5000, len(data)])
                    client.send(data[at : at + n])
                    at += n
                client.sock.shutdown(1)
            except (BrokenPipeError, ConnectionResetError, OSError):
                pass
            frames = client.read_to_end()
            assert all(f.fin and not f.rsv and f.opcode != CONT for f in frames)
            assert all(
                f.code in (None, 1002, 1007, 1009) or f.code for f in frames if f.opcode == CLOSE
            )
    with upgraded(served) as client:
        client.send_frame(TEXT, b"still there")
        assert client.read() == Frame(TEXT, b"still there")
