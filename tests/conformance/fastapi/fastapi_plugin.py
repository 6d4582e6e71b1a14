"""What pytest loads before others' tests: the map, the way to the app, and a report.

The environment says which way (CONFORMANCE_WAY: `process`, `socket`, or `stock` for FastAPI itself)
and where the outcomes go (CONFORMANCE_REPORT), one JSON line for each test.
"""

from __future__ import annotations

import json
import os
from typing import Any

WAY = os.environ["CONFORMANCE_WAY"]
REPORT = open(os.environ["CONFORMANCE_REPORT"], "a", buffering=1)  # noqa: SIM115  # until the end

if WAY != "stock":
    import fluvial.compat

    fluvial.compat.install()

if WAY == "socket":
    import socket

    from fluvial._testing.portal import Portal

    def over_tcp(server: Any) -> socket.socket:
        """Connects through a port of 127.0.0.1, as any other client would."""
        listener = socket.create_server(("127.0.0.1", 0))
        address = listener.getsockname()
        server.listen(listener.detach())
        return socket.create_connection(address)

    Portal.connect = staticmethod(over_tcp)  # type: ignore[method-assign]


def reason(report: Any) -> str:
    """The last line of a failure."""
    crash = getattr(report.longrepr, "reprcrash", None)
    text = crash.message if crash is not None else str(report.longrepr)
    if crash is None:  # an import that failed: the traceback's last line says why
        text = next((line for line in reversed(text.splitlines()) if line.startswith("E ")), text)
    return " ".join(text.split())[:300]


def note(name: str, outcome: str, why: str = "") -> None:
    REPORT.write(json.dumps([name, outcome, why]) + "\n")


def pytest_runtest_logreport(report: Any) -> None:
    if report.failed:
        note(report.nodeid, "failed", reason(report))
    elif report.when == "call" or report.skipped:
        note(report.nodeid, "passed" if report.passed else "skipped")


def pytest_collectreport(report: Any) -> None:
    if report.failed:
        note(report.nodeid, "failed", reason(report))


def pytest_collection_modifyitems(config: Any, items: list[Any]) -> None:
    """Leaves out what asks for trio's loop: Fluvial's own is the only one that its core runs on.

    The tutorial has two such tests, whose app needs nothing of a loop: they pass.
    """
    kept, left_out = [], []
    for item in items:
        values = getattr(item, "callspec", None)
        values = values.params.values() if values else ()
        on_trio = any(
            value == "trio" or value[:1] == ("trio",)
            for value in values
            if value and isinstance(value, (str, tuple))
        )
        (left_out if on_trio else kept).append(item)
    if left_out and WAY != "stock" and os.environ["CONFORMANCE_SUITE"] != "tutorial":
        config.hook.pytest_deselected(items=left_out)
        items[:] = kept
