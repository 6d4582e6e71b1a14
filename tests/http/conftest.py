"""Tests of HTTP itself run twice: over plain connections and with TLS."""

from __future__ import annotations

import pytest
from support import http_server

BOTH = (
    "test_responses",
    "test_bodies",
    "test_connections",
    "test_half_closed",
    "test_lingering",
    "test_timeouts",
)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if metafunc.module.__name__.rpartition(".")[2] in BOTH:
        metafunc.parametrize("wire", ["plain", "tls"], indirect=True)


@pytest.fixture(autouse=True)
def wire(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Has the servers of a test speak TLS."""
    if getattr(request, "param", "plain") == "tls":
        certificate = request.getfixturevalue("certificate")
        monkeypatch.setattr(http_server, "usual_certificate", certificate)
