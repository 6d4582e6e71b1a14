"""Static probes (ext/base/probe.h): the sources, the built core and the guide agree."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import fluvial._core
import pytest

ROOT = Path(__file__).resolve().parent.parent
GUIDE = ROOT / "docs" / "guide" / "debugging.md"


def written() -> dict[str, int]:
    """The number of arguments of each probe in the sources."""
    found = {}
    for path in sorted((ROOT / "ext").rglob("*.c")):
        for name, arguments in re.findall(
            r"\bPROBE\((\w+),\s*(.*?)\);", path.read_text(), re.DOTALL
        ):
            outer = re.sub(r"\([^()]*\)", "", arguments)
            assert found.setdefault(name, outer.count(",") + 1) == outer.count(",") + 1
    return found


@pytest.fixture(scope="module")
def built() -> dict[str, int]:
    """The same, by the notes of the core that the tests run with."""
    env = {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}
    command = ["readelf", "--notes", "--wide", fluvial._core.__file__]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
    note = r"Provider: fluvial\s+Name: (\w+)\s+Location: .*\s+Arguments: (.*)"
    found = {name: len(arguments.split()) for name, arguments in re.findall(note, done.stdout)}
    if not found:
        pytest.skip("the core was built without <sys/sdt.h> (Debian: systemtap-sdt-dev)")
    return found


def test_the_core_has_all_probes_with_their_arguments(built: dict[str, int]) -> None:
    assert built == written()


def test_the_guide_has_a_one_liner_for_each_probe() -> None:
    assert set(re.findall(r":fluvial:(\w+)", GUIDE.read_text())) == set(written())


def test_the_guide_lists_the_arguments() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (.*?) \|", GUIDE.read_text(), re.MULTILINE)
    listed = {name: arguments.count(",") + 1 for name, arguments in rows}
    assert listed == written()
