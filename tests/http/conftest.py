"""Tests of HTTP itself run twice: over plain connections and with TLS."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from support.certificate import Certificate, make_certificate
from support.http_server import usual_certificate

BOTH = ("test_answers", "test_bodies", "test_connections", "test_timeouts")


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return make_certificate(tmp_path_factory.mktemp("tls"))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if metafunc.module.__name__.rpartition(".")[2] in BOTH:
        metafunc.fixturenames.append("wire")
        metafunc.parametrize("wire", ["plain", "tls"], indirect=True)


@pytest.fixture
def wire(request: pytest.FixtureRequest) -> Iterator[None]:
    """Whether the servers of a test speak TLS."""
    if request.param == "plain":
        yield
        return
    token = usual_certificate.set(request.getfixturevalue("certificate"))
    yield
    usual_certificate.reset(token)
