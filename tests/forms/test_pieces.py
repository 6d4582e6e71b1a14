"""Pieces that go past the parser: what looks like a delimiter is looked at all the same."""

from __future__ import annotations

import itertools

import pytest
from fluvial import HTTPException
from fluvial._forms.limits import FormLimits
from fluvial._forms.multipart import Event, Head, MultipartBody

BOUNDARY = b"xyz"
CONTENTS = (
    b"plain" * 3,
    b"\r\n--xy",
    b"\r\n--xy\r\n--x\r\n-\r\n\r",
    b"a\r\r\n--xyq\n--xyz",
    b"--xyz--\r",
    b"\r\n",
    b"",
)


def body_of(contents: tuple[bytes, ...]) -> bytes:
    head = b'--xyz\r\nContent-Disposition: form-data; name="f"; filename="f"\r\n\r\n'
    return b"".join(head + content + b"\r\n" for content in contents) + b"--xyz--\r\n"


def read(pieces: list[bytes]) -> list[bytes]:
    """The contents of the parts."""
    body = MultipartBody("multipart/form-data; boundary=xyz", FormLimits())
    events: list[Event] = [event for piece in pieces for event in body.feed(piece)]
    body.finish()
    found: list[bytes] = []
    for event in events:
        if isinstance(event, Head):
            found.append(b"")
        elif event is not None:
            found[-1] += event
    return found


@pytest.mark.parametrize("size", range(1, 40))
def test_cut_into_pieces_of_a_size(size: int) -> None:
    whole = body_of(CONTENTS)
    pieces = [whole[at : at + size] for at in range(0, len(whole), size)]
    assert read(pieces) == list(CONTENTS)


def test_cut_at_any_two_places() -> None:
    contents = (b"abc\r\n--xyq\r", b"d\r\n--x")
    whole = body_of(contents)
    for first, second in itertools.combinations(range(len(whole)), 2):
        assert read([whole[:first], whole[first:second], whole[second:]]) == list(contents)


def test_a_piece_counts_even_if_no_parser_sees_it() -> None:
    limits = FormLimits(size=200)
    body = MultipartBody("multipart/form-data; boundary=xyz", limits)
    body.feed(body_of((b"",))[:-13] + b"abc")
    with pytest.raises(HTTPException) as refused:
        body.feed(b"x" * 300)
    assert refused.value.status_code == 413
