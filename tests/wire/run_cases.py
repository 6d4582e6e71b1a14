"""Runs a file of raw requests against an echo app on the real server and counts the right outcomes.

    python tests/wire/run_cases.py CASES.json [--verbose]

The file is a list of {id, raw (latin-1), expect, n, body, note}. `expect` is one of

    accept   the first request is answered 200 with `body` echoed, at most `n` requests are
    reject   a 4xx or 5xx other than 500, then the connection is closed
    either   both are right, but no request gets two answers

Some cases have an exception: what the server means to refuse although their authors let it pass.
Each is named with its reason, and is wrong when it is not refused. Prints `passed N of M`; exits 1
when an outcome is wrong.
"""

from __future__ import annotations

import argparse
import json
import socket
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from support.command import serving
from support.responses import Response, read_all

APPS = Path(__file__).resolve().parents[1] / "apps"
TIMEOUT = 10.0  # seconds without a byte: the server hangs


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came back for one case."""

    responses: list[Response]
    closed: bool

    @property
    def answered(self) -> int:
        return sum(r.status == 200 for r in self.responses)

    @property
    def refused(self) -> bool:
        """The last answer is a refusal and the connection is closed behind it."""
        if not self.responses or not self.closed:
            return False
        status = self.responses[-1].status
        return 400 <= status < 600 and status != 500


def exchange(address: tuple[str, int], raw: bytes) -> Outcome:
    """Sends `raw` and end-of-file, reads to the end."""
    with socket.create_connection(address, timeout=TIMEOUT) as sock:
        sock.sendall(raw)
        sock.shutdown(socket.SHUT_WR)
        data, closed = read_all(sock)
    is_head = raw.lstrip(b"\r\n").startswith(b"HEAD ")
    return Outcome(Response.parse_all(data, is_head=is_head), closed)


def lacks_host(raw: bytes) -> bool:
    """An HTTP/1.1 request without Host must get 400 (RFC 9112 section 3.2), whatever else is
    right about it; parsers' own test data don't always have one."""
    head = raw.lstrip(b"\r\n").partition(b"\r\n\r\n")[0].lower()
    return head.partition(b"\r\n")[0].endswith(b"http/1.1") and b"\nhost:" not in head


# Cases by their ids, and why they are refused; see docs/adr/0007.
EXCEPTIONS = {
    "gunicorn-valid/005": "the target has a fragment (RFC 9112 section 3.2)",
    "llhttp/uri/Fragment in URI": "the target has a fragment (RFC 9112 section 3.2)",
    "llhttp/transfer-encoding/POST with `chunked` as last transfer-encoding": (
        "the target has a fragment (RFC 9112 section 3.2)"
    ),
    "llhttp/transfer-encoding/POST with `chunked` as last transfer-encoding (multiple headers)": (
        "the target has a fragment (RFC 9112 section 3.2)"
    ),
    "gunicorn-valid/029": "identity is no transfer coding (RFC 9112 section 7)",
    "gunicorn-valid/030": "identity is no transfer coding (RFC 9112 section 7)",
    "gunicorn-valid/rfc9112_smuggle_te_identity_chunked_01": (
        "identity is no transfer coding (RFC 9112 section 7)"
    ),
}


def is_right(case: dict[str, Any], outcome: Outcome) -> bool:
    raw: bytes = case["raw"].encode("latin-1")
    most = max(case["n"], 1)
    if case["expect"] == "reject" or case["id"] in EXCEPTIONS or lacks_host(raw):
        return outcome.refused and outcome.answered <= case["n"]
    if case["expect"] == "either":
        return outcome.answered <= most and len(outcome.responses) <= most + 1
    first = outcome.responses[0] if outcome.responses else None
    if first is None or first.status != 200 or outcome.answered > most:
        return False
    return case["body"] is None or first.body == case["body"].encode("latin-1")


def run(cases: list[dict[str, Any]], address: tuple[str, int], *, verbose: bool) -> int:
    """The number of right outcomes; the wrong ones are printed."""
    right = 0
    for case in cases:
        outcome = exchange(address, case["raw"].encode("latin-1"))
        good = is_right(case, outcome)
        right += good
        if case["id"] in EXCEPTIONS:
            print(f"exception: {case['id']} is refused: {EXCEPTIONS[case['id']]}")
        if verbose or not good:
            statuses = [r.status for r in outcome.responses]
            print(f"{'ok   ' if good else 'WRONG'} {case['id']}: {case['expect']}, got {statuses}")
            if not good:
                print(f"      {case['raw']!r}")
    return right


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("cases", type=Path)
    parser.add_argument("--verbose", action="store_true")
    options = parser.parse_args()
    cases = json.loads(options.cases.read_text(encoding="utf-8"))
    with serving("echo:app", "--no-access-log", app_dir=APPS) as server:
        url = urlsplit(server.url)
        assert url.hostname is not None
        assert url.port is not None
        right = run(cases, (url.hostname, url.port), verbose=options.verbose)
    print(f"passed {right} of {len(cases)}")
    return 0 if right == len(cases) else 1


if __name__ == "__main__":
    sys.exit(main())
