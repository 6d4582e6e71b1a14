"""Fixtures of all tests."""

from __future__ import annotations

import contextlib
import gc
import signal
from typing import TYPE_CHECKING, Any, Protocol

import pytest
from support import own_process, skips
from websockets.asyncio import client as asyncio_client
from websockets.sync import client as sync_client

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.certificate import Certificate
    from support.postgres import Postgres
    from support.serving import Served


# Seconds; websockets' clients wait 10 for the handshake, which a busy machine may exceed.
_HANDSHAKE = 60


def pytest_configure(config: pytest.Config) -> None:
    for connect in (sync_client.connect, asyncio_client.connect.__init__):
        connect.__kwdefaults__["open_timeout"] = _HANDSHAKE  # type: ignore[attr-defined,index]
    config.pluginmanager.register(skips, "fluvial-skips")
    config.addinivalue_line(
        "markers", "own_process: runs in a process of its own, with its signals"
    )


def pytest_collection_finish(session: pytest.Session) -> None:
    """Compiles the core that the tests of HTTP load: on a busy machine that alone may take longer
    than a test is given."""
    users = [item for item in session.items if item.path.parent.name in ("http", "wire")]
    if users and not session.config.option.collectonly:
        from support import http_core

        http_core.build()


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> None:
    """Sets aside what collecting ten thousand tests has made: the many tests that have the garbage
    collector look for what they left behind would go through it each time."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Has a test of signals, forks or interrupts run where these meet nobody else."""
    if own_process.is_inside() or pyfuncitem.get_closest_marker("own_process") is None:
        return None
    own_process.run(pyfuncitem.nodeid)
    return True


# Whoever starts pytest passes on what is ignored and blocked (a shell in the background: SIGINT,
# nohup: SIGHUP), and so would everything that the tests start.
signal.signal(signal.SIGINT, signal.default_int_handler)
for _name in ("SIGHUP", "SIGTERM", "SIGQUIT", "SIGUSR1", "SIGUSR2", "SIGTTIN", "SIGTTOU"):
    if signal.getsignal(getattr(signal, _name)) is signal.SIG_IGN:
        signal.signal(getattr(signal, _name), signal.SIG_DFL)
signal.pthread_sigmask(signal.SIG_SETMASK, ())


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
        pytest.skip("no PostgreSQL here (Debian's package: postgresql)")
    with running_postgres(programs) as server:
        yield server
