"""Fixtures of all tests."""

from __future__ import annotations

import contextlib
import os
import signal
from typing import TYPE_CHECKING, Any, Protocol

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.certificate import Certificate
    from support.postgres import Postgres
    from support.serving import Served


# A shell starts what it runs in the background with SIGINT ignored, and so would everything here.
signal.signal(signal.SIGINT, signal.default_int_handler)


class Serve(Protocol):
    """What the `serve` fixture gives."""

    def __call__(self, app: Any, **options: Any) -> Served:
        """Serves `app`, of any kind, until the test ends; `options` are those of Config."""


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Serves apps on free ports through the real server."""
    from support.serving import serving

    with contextlib.ExitStack() as stack:
        yield lambda app, **options: stack.enter_context(serving(app, **options))


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    """A self-signed one for this machine's loopback names."""
    from support.certificate import make_certificate

    return make_certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A PostgreSQL server of the tests' own."""
    from support.postgres import find_programs, running_postgres

    programs = find_programs()
    if programs is None:
        reason = "no PostgreSQL here (Debian's package: postgresql)"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    with running_postgres(programs) as server:
        yield server
