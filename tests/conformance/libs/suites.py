"""The suites: where their tests come from, what they need, and how they are started.

The libraries themselves are wheels of the same versions, which pyproject.toml's extra
`conformance-libs` pins.
"""

from __future__ import annotations

import hashlib
import os
import sys
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
sys.path.append(str(ROOT / "scripts"))

import vendor  # noqa: E402


@dataclass(frozen=True, slots=True, kw_only=True)
class Suite:
    """One library's tests."""

    name: str
    pin: vendor.Pin
    # What of the source is copied to where the tests run: without the library beside them.
    files: tuple[str, ...]
    # Options of pytest's; {redis} stands for the server's URL.
    options: tuple[str, ...]
    # Debian's copy of the source, where the one on PyPI comes without tests.
    url: str = ""
    environment: dict[str, str] = field(default_factory=dict)
    # Seconds until the process is ended.
    limit: float = 900


def _pin(dist: str, version: str, sha256: str) -> vendor.Pin:
    return vendor.Pin(dist=dist, version=version, sha256=sha256, folder="")


SUITES = (
    Suite(
        name="websockets",
        pin=_pin(
            "websockets",
            "15.0.1",
            "8451495265af3e368f794c4dc15c99ce90c771d95560f542bff8c64b5455af3b",
        ),
        url="http://deb.debian.org/debian/pool/main/p/python-websockets/"
        "python-websockets_15.0.1.orig.tar.gz",
        files=("tests",),
        # Its tests of proxies start mitmproxy.
        options=("tests/asyncio", "tests/legacy", "-k", "not Proxy", "-W", "ignore"),
        environment={"WEBSOCKETS_TESTS_TIMEOUT_FACTOR": "10"},
    ),
    Suite(
        name="pyzmq",
        pin=_pin(
            "pyzmq", "27.3.0", "bbedb3d1d99babc625f1dd9d7438acefd442b36b75073fd6bc1ef7c0a4b96d56"
        ),
        files=("tests", "pytest.ini"),
        options=(
            *("tests/test_asyncio.py", "tests/test_auth.py", "tests/test_future.py"),
            *("tests/test_ioloop.py", "tests/test_zmqstream.py", "-W", "ignore"),
        ),
    ),
    Suite(
        name="redis",
        pin=_pin(
            "redis", "8.1.0", "6e1a19beef9225c83efd689c7e6b7da2d5215b1f42cd13b7fc3714d0a09c7b25"
        ),
        files=("tests", "pyproject.toml"),
        # No cluster, no modules, no TLS, no sentinel: one server.
        options=(
            *(
                "tests/test_asyncio",
                "--redis-url={redis}",
                "--ignore=tests/test_asyncio/test_scenario",
            ),
            "--ignore=tests/test_asyncio/test_multidb",
            "--ignore=tests/test_asyncio/test_observability",
            # What these import is not worth its size here: numpy, redis-entraid.
            *(
                "--ignore=tests/test_asyncio/test_vsets.py",
                "--ignore=tests/test_asyncio/test_search.py",
            ),
            "--ignore=tests/test_asyncio/test_credentials.py",
            *("-m", "not redismod and not onlycluster and not ssl and not multidb_integration"),
            *("-k", "not sentinel and not cluster", "-W", "ignore"),
        ),
    ),
    Suite(
        name="asyncpg",
        pin=_pin(
            "asyncpg", "0.32.0", "45e64e56714d888330b884aad1dfb363d0bf43fb343e3d1a8968525f3bade478"
        ),
        files=("tests",),
        # Two that look at asyncpg's source, and one for interpreters.
        options=(
            *("tests", "--ignore=tests/test__sourcecode.py", "--ignore=tests/test__environment.py"),
            *("--ignore=tests/test_subinterpreters.py", "-W", "ignore"),
        ),
    ),
    Suite(
        name="aiohttp",
        pin=_pin(
            "aiohttp", "3.14.5", "5558a7f5a05af9ecf744af91e5baefc436f93c9333e656c27ec253f9a6bbe178"
        ),
        files=("tests",),
        # Those that open connections; the others' loops have nothing to do.
        options=(
            *("tests/test_client_functional.py", "tests/test_client_ws_functional.py"),
            *("tests/test_web_functional.py", "tests/test_web_websocket_functional.py"),
            *("tests/test_web_sendfile_functional.py", "tests/test_web_server.py"),
            *("tests/test_web_runner.py", "tests/test_web_request_handler.py"),
            *(
                "tests/test_connector.py",
                "tests/test_client_session.py",
                "tests/test_test_utils.py",
            ),
            *("tests/test_tcp_helpers.py", "tests/test_resolver.py", "tests/test_streams.py"),
            *("-m", "not dev_mode and not autobahn and not internal"),
            *("-W", "ignore", "-n", "2"),
        ),
        limit=1800,
    ),
)


def prepare(suite: Suite, folder: Path) -> None:
    """Puts the tests into `folder`, which is empty."""
    source = _from_url(suite) if suite.url else vendor.fetch_pin(suite.name, suite.pin)
    for name in suite.files:
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.symlink_to(source / name)
    if not {"pytest.ini", "pyproject.toml"} & set(suite.files):
        (folder / "pytest.ini").write_text("[pytest]\n")  # else pytest takes the project's


def _from_url(suite: Suite) -> Path:
    """An archive under vendor's name for it, so that vendor finds, checks and unpacks it."""
    cache = Path(os.environ.get("FLUVIAL_VENDOR_CACHE") or vendor.VENDOR)
    cache.mkdir(parents=True, exist_ok=True)
    archive = cache / suite.pin.archive
    if not archive.is_file():
        with urllib.request.urlopen(suite.url, timeout=60) as answer:
            data = answer.read()
        if hashlib.sha256(data).hexdigest() != suite.pin.sha256:
            raise vendor.VendorError(f"{suite.url} is not what was pinned")
        archive.write_bytes(data)
    return vendor.fetch_pin(suite.name, suite.pin)
