"""The documents of this folder against a real server; see README.md."""

from __future__ import annotations

import json
import re
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from support.http_server import Handler, Server, serving
from support.responses import Response, read_all

SECTION = re.compile(
    r"^## (?P<title>.+?)\n.*?^```sent\n(?P<sent>.*?)^```\n```told\n(?P<told>.*?)^```", re.M | re.S
)
ESCAPE = re.compile(r"\\(x[0-9a-f]{2}|[rnt\\])")
FILL = re.compile(rb"((?:\r\n|[A-Za-z]: [a-z]\r\n|.))\{\.\.\.(\d+)\}", re.S)
MANY = 100  # bytes: longer cases are cut at some places only


@dataclass(frozen=True, slots=True)
class Case:
    """One section of a document."""

    name: str
    raw: bytes
    told: list[str]


def unescape(text: str) -> bytes:
    plain = {"r": "\r", "n": "\n", "t": "\t", "\\": "\\"}
    found = ESCAPE.sub(lambda m: plain.get(m[1]) or chr(int(m[1][1:], 16)), text)
    return found.encode("latin-1")


def fill(raw: bytes) -> bytes:
    return FILL.sub(lambda m: m[1] * int(m[2]), raw)


def bytes_of(block: str) -> bytes:
    lines = []
    for line in block.removesuffix("\n").split("\n"):
        joined = line.endswith("\\") and not line.endswith("\\\\")
        lines.append(unescape(line[:-1]) if joined else unescape(line) + b"\r\n")
    return fill(b"".join(lines))


def cases() -> list[Case]:
    found = []
    for path in sorted(Path(__file__).parent.glob("*.md")):
        for section in SECTION.finditer(path.read_text(encoding="utf-8")):
            told = [fill(line.encode()).decode() for line in section["told"].splitlines()]
            name = f"{path.stem}: {section['title']}"
            found.append(Case(name, bytes_of(section["sent"]), told))
    return found


CASES = cases()


class Teller(Handler):
    """Writes events down as the documents do."""

    def lines(self) -> list[str]:
        told = []
        for name, *rest in self.events:
            if name == "head":
                told.append(f"head {' '.join(rest)}")
            elif name == "request":
                told.append(f"request {quoted(rest[0])}")
            elif name == "gone":
                told.append("gone")
        return told

    def answer(self, request: Any) -> None:
        request.respond(200, request.describe()["body"], b"text/plain")


def quoted(body: bytes) -> str:
    escaped = "".join(
        chr(byte) if 0x20 <= byte < 0x7F and byte not in b'"\\' else f"\\x{byte:02x}"
        for byte in body
    )
    return f'"{escaped}"'


def answer_line(response: Response) -> str:
    if response.status == 200:
        return f"200 {quoted(response.body)}"
    assert response["connection"] == "close"
    assert response["content-type"] == "application/json"
    return f"{response.status} {json.loads(response.body)['detail']}"


def expected(case: Case) -> tuple[list[str], list[str], bool]:
    """(events, answers, whether the connection stays open)"""
    answers = [line for line in case.told if line[0].isdigit()]
    events = [line for line in case.told if not line[0].isdigit() and line != "open"]
    return events, answers, "open" in case.told


def exchange(server: Server, pieces: list[bytes], *, eof: bool) -> list[Response]:
    """Sends the pieces, each read by the server before the next, and reads to the end."""
    with server.connect() as sock:
        try:
            for piece in pieces:
                sock.sendall(piece)
                server.call(int)
            if eof:
                sock.shutdown(socket.SHUT_WR)
        except (BrokenPipeError, ConnectionResetError):
            pass  # refused before all was sent
        data, closed = read_all(sock)
    assert closed
    return Response.parse_all(data)


def cuts(raw: bytes) -> list[int]:
    step = max(1, len(raw) // MANY)
    near = range(1, min(len(raw), 80))
    return sorted({*near, *range(1, len(raw), step), len(raw) - 1} - {0})


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_case(case: Case) -> None:
    """In one piece. Without end-of-file from the client when the server closes by itself."""
    events, answers, stays_open = expected(case)
    teller = Teller()
    with serving(teller) as server:
        responses = exchange(server, [case.raw], eof=stays_open)
    assert teller.lines() == events
    assert [answer_line(r) for r in responses] == answers


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_case_cut_in_two(case: Case) -> None:
    events, answers, stays_open = expected(case)
    teller = Teller()
    with serving(teller) as server:
        for cut in cuts(case.raw):
            teller.events.clear()
            responses = exchange(server, [case.raw[:cut], case.raw[cut:]], eof=stays_open)
            assert teller.lines() == events, cut
            assert [answer_line(r) for r in responses] == answers, cut


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_case_broken_off(case: Case) -> None:
    """However much of a case arrives before end-of-file: requests that are complete are answered
    as in the whole case, and the rest is refused or was refused already."""
    _, answers, _ = expected(case)
    wanted = [line for line in answers if line.startswith("200")]
    teller = Teller()
    with serving(teller) as server:
        for cut in cuts(case.raw):
            responses = exchange(server, [case.raw[:cut]], eof=True)
            good = [answer_line(r) for r in responses if r.status == 200]
            assert good == wanted[: len(good)], cut
            assert len(responses) - len(good) <= 1, cut
            assert all(r.status == 200 for r in responses[:-1]), cut


def test_documents_are_found() -> None:
    assert len(CASES) > 60
