"""What the tests of the examples share: the apps' folder in two variants."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.command import EXAMPLES
from support.keywords import switch_keywords


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
