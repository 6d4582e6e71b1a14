"""The parsers of forms by themselves, as Starlette's programs call them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from fluvial import Headers, UploadFile
from fluvial.formparsers import FormParser, MultiPartException, MultiPartParser

BODY = (
    b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n'
    b'--x\r\nContent-Disposition: form-data; name="f"; filename="f.txt"\r\n\r\ntext\r\n--x--\r\n'
)


async def pieces(body: bytes) -> AsyncIterator[bytes]:
    for at in range(0, len(body), 7):
        yield body[at : at + 7]


def parse(kind: Any, content_type: str, body: bytes, **limits: Any) -> Any:
    async def run() -> Any:
        headers = Headers({"content-type": content_type})
        return await kind(headers, pieces(body), **limits).parse()

    return asyncio.run(run())


def test_both_kinds_of_form() -> None:
    form = parse(MultiPartParser, "multipart/form-data; boundary=x", BODY)
    assert form["a"] == "1"
    assert isinstance(form["f"], UploadFile)
    assert form["f"].file.read() == b"text"
    form["f"].file.close()
    urlencoded = parse(FormParser, "application/x-www-form-urlencoded", b"a=1&b=2&a=3")
    assert urlencoded.multi_items() == [("a", "1"), ("b", "2"), ("a", "3")]


@pytest.mark.parametrize(
    ("content_type", "limits", "message"),
    [
        ("multipart/form-data", {}, "Missing boundary"),
        ("multipart/form-data; boundary=x", {"max_files": 0}, "Too many files"),
        ("multipart/form-data; boundary=x", {"max_fields": 0}, "Too many fields"),
        ("multipart/form-data; boundary=y", {}, "Invalid multipart data"),
    ],
)
def test_what_is_refused(content_type: str, limits: dict[str, int], message: str) -> None:
    with pytest.raises(MultiPartException, match=message):
        parse(MultiPartParser, content_type, BODY, **limits)
