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
