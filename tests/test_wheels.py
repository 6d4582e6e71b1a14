"""scripts/wheels.py: which wheel may be called what. The wheels themselves: `make wheels-test`."""

from __future__ import annotations

import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "scripts"))

import wheels  # noqa: E402

NAMES = [
    ("manylinux_2_28_x86_64", "manylinux_2_28_x86_64", True),
    ("manylinux_2_17_x86_64", "manylinux_2_28_x86_64", True),
    ("manylinux_2_34_x86_64", "manylinux_2_28_x86_64", False),
    ("manylinux_2_28_aarch64", "manylinux_2_28_x86_64", False),
    ("musllinux_1_2_x86_64", "manylinux_2_28_x86_64", False),
    ("musllinux_1_2_aarch64", "musllinux_1_2_aarch64", True),
    ("linux_x86_64", "manylinux_2_28_x86_64", False),
]


@pytest.mark.parametrize(("found", "wanted", "expected"), NAMES)
def test_an_older_c_library_will_do(found: str, wanted: str, expected: bool) -> None:
    assert wheels.covers(found, wanted) is expected


def test_a_wheel_that_is_too_large(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    wheel = tmp_path / "fluvial-0-cp311-cp311-linux_x86_64.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("fluvial/_core.cpython-311-x86_64-linux-gnu.so", b"x" * 100)
    monkeypatch.setattr(wheels, "LARGEST", 99)
    with pytest.raises(SystemExit, match="99 are allowed"):
        wheels.check(wheel, "manylinux_2_28_x86_64")


def test_each_python_has_headers_somewhere() -> None:
    """3.12 alone is in no Debian."""
    assert set(wheels.PYTHONS) - set(wheels.SUITES) == {"3.12"}
