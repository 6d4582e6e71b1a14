"""Connections that no proxy has opened, to a port for proxies, don't fill the log."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from fluvial._serving.refusals import Refusals

if TYPE_CHECKING:
    import pytest

REASON = "it is no trusted proxy"


def test_one_line_in_ten_seconds(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "fluvial")  # whatever tests before this one have set
    times = [0.0, 1.0, 9.9, 10.1, 10.2, 50.0, 70.0]
    refusals = Refusals(iter(times).__next__)
    for _ in times:
        refusals.log("192.0.2.1", -1, REASON, None)
    line = f"Closed a connection from 192.0.2.1 to a --proxy-protocol listener: {REASON}"
    others = " (and {} others since the last line)"
    assert caplog.messages == [
        line,
        line + others.format(2),
        line + others.format(1),
        line,
    ]


def test_others_are_all_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "fluvial")
    refusals = Refusals()
    for _ in range(3):
        refusals.log("192.0.2.1", 0, "no shared cipher", None)
    assert len(caplog.messages) == 3
