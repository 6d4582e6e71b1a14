"""Tests of HTTP itself run twice: over plain connections and with TLS."""

from __future__ import annotations

import pytest
from support import http_server
from support.certificate import Certificate, make_certificate

BOTH = ("test_answers", "test_bodies", "test_connections", "test_timeouts")


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return make_certificate(tmp_path_factory.mktemp("tls"))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if metafunc.module.__name__.rpartition(".")[2] in BOTH:
        metafunc.parametrize("wire", ["plain", "tls"], indirect=True)


@pytest.fixture(autouse=True)
def wire(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Has the servers of a test speak TLS."""
    if getattr(request, "param", "plain") == "tls":
        certificate = request.getfixturevalue("certificate")
        monkeypatch.setattr(http_server, "usual_certificate", certificate)
