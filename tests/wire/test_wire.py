"""The documents of this folder against a real server; see README.md."""

from __future__ import annotations

import json
import socket
from typing import Any

import pytest
from support.http_server import Handler, Server, serving
from support.responses import Response, read_all
from support.wire_documents import Case, block_of, bytes_of, cases

MANY = 100  # bytes: longer cases are cut at some places only


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
    with serving(teller, h2=0) as server:
        responses = exchange(server, [case.raw], eof=stays_open)
    assert teller.lines() == events
    assert [answer_line(r) for r in responses] == answers


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_case_cut_in_two(case: Case) -> None:
    events, answers, stays_open = expected(case)
    teller = Teller()
    with serving(teller, h2=0) as server:
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
    with serving(teller, h2=0) as server:
        for cut in cuts(case.raw):
            responses = exchange(server, [case.raw[:cut]], eof=True)
            good = [answer_line(r) for r in responses if r.status == 200]
            assert good == wanted[: len(good)], cut
            assert len(responses) - len(good) <= 1, cut
            assert all(r.status == 200 for r in responses[:-1]), cut


def test_a_block_says_the_same_bytes() -> None:
    assert [case.name for case in CASES if bytes_of(block_of(case.raw)) != case.raw] == []


def test_documents_are_found() -> None:
    assert len(CASES) > 60
