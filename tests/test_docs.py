"""Links and file names in the documents lead somewhere."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted(
    path
    for path in (
        *ROOT.glob("*.md"),
        *(ROOT / "docs").rglob("*.md"),
        *(ROOT / "tests").rglob("*.md"),
    )
    if path.name != "CHANGELOG.md"
)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_files(page: Path) -> None:
    targets = re.findall(r"\]\(([^)\s#]+)", page.read_text())
    broken = [t for t in targets if "://" not in t and not (page.parent / t).exists()]
    assert broken == []


@pytest.mark.parametrize("page", ["CONTRIBUTING.md", "docs/ARCHITECTURE.md"])
def test_named_sources_are_there(page: str) -> None:
    """`conn.c`, `http/conn.c` or `ext/http/conn.c`: a file whose path ends like this."""
    names = re.findall(r"`([\w/]+\.(?:c|h|py))`", (ROOT / page).read_text())
    paths = [f"/{path.relative_to(ROOT)}" for path in ROOT.glob("*.py")]
    for folder in ("ext", "pysrc", "tests", "scripts"):
        paths += [f"/{path.relative_to(ROOT)}" for path in (ROOT / folder).rglob("*.[chp]*")]
    assert [name for name in names if not any(path.endswith(f"/{name}") for path in paths)] == []


def test_tables_of_options_are_those_of_the_sources() -> None:
    spec = importlib.util.spec_from_file_location("_tables", ROOT / "scripts" / "option_tables.py")
    assert spec is not None
    assert spec.loader is not None
    tables = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tables)
    for page in tables.PAGES:
        text = page.read_text()
        assert tables.filled(text) == text, f"{page}: run python scripts/option_tables.py"


def test_each_folder_of_tests_is_in_their_table() -> None:
    tests = ROOT / "tests"
    text = (tests / "README.md").read_text()
    cells = re.findall(r"^\| (`[^|]*`) \|", text, re.MULTILINE)
    named = [found for cell in cells for found in re.findall(r"`([\w*./]+)`", cell)]
    folders = [
        path.name
        for path in tests.iterdir()
        if any(source.suffix in (".py", ".md") for source in path.rglob("*"))
    ]
    assert sorted(folders) == sorted(set(named) - {"test_*.py"})


def test_each_room_of_the_package_is_on_the_map() -> None:
    text = (ROOT / "docs/ARCHITECTURE.md").read_text()
    package = ROOT / "pysrc/fluvial"
    private = [path.name for path in package.glob("_*.py") if not path.name.startswith("__")]
    private += [f"{path.parent.name}/" for path in package.glob("_*/__init__.py")]
    assert [each for each in sorted(private) if f"`{each}`" not in text] == []


def test_files_that_the_map_names_exist() -> None:
    """Of the C core: `folder/file.c`."""
    text = (ROOT / "docs/ARCHITECTURE.md").read_text()
    named = set(re.findall(r"`((?:\w+/)+\w+\.[ch])`", text))
    assert len(named) > 50
    assert [
        each
        for each in sorted(named)
        if not ((ROOT / "ext" / each).is_file() or (ROOT / each).is_file())
    ] == []
