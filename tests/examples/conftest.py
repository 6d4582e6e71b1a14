"""What the tests of the examples share: the apps' folder in two variants, and PostgreSQL."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.command import EXAMPLES
from support.keywords import switch_keywords
from support.postgres import Postgres, find_programs, running_postgres


@pytest.fixture(scope="module", params=["as written", "keywords switched"])
def app_dir(request: pytest.FixtureRequest) -> Path:
    """The examples, and once more with `def` and `async def` swapped."""
    if request.param == "as written":
        return EXAMPLES
    folder: Path = request.getfixturevalue("switched")
    return folder


@pytest.fixture(scope="session")
def switched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The examples with `def` and `async def` swapped where nothing is awaited."""
    folder = tmp_path_factory.mktemp("switched")
    for path in EXAMPLES.glob("*.py"):
        source, _ = switch_keywords(path.read_text())
        (folder / path.name).write_text(source)
    return folder


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    programs = find_programs()
    if programs is None:
        reason = "no PostgreSQL here (Debian's package: postgresql)"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    with running_postgres(programs) as server:
        yield server
