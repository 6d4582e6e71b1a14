"""The decisions in docs/adr: a status, a date, a row in the index, and code that names each."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "docs" / "adr"
PAGES = sorted(FOLDER.glob("[0-9]*.md"))
STATUS = r"accepted|proposed|replaced by ADR \d+"


def number(page: Path) -> int:
    return int(page.name[:4])


def sources() -> str:
    """All that may explain itself by a decision: the C core, the Python package, the build."""
    paths = [*(ROOT / "ext").rglob("*.[ch]"), *(ROOT / "pysrc").rglob("*.py"), ROOT / "setup.py"]
    return "\n".join(path.read_text() for path in paths)


def test_numbers_have_no_gaps() -> None:
    assert [number(page) for page in PAGES] == list(range(1, len(PAGES) + 1))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_pages_have_title_status_and_date(page: Path) -> None:
    head = page.read_text().split("\n\n")[:2]
    assert head[0].startswith(f"# {number(page)}. ")
    assert re.match(rf"Status: ({STATUS})\b", head[1])
    assert re.search(r"^Date: \d{4}-\d\d-\d\d$", head[1], re.MULTILINE)


HEADINGS = ("Question", "Decision", "Why", "Considered", "What follows")
# What pages called these before they had the template's names.
OTHERS = r"Alternatives|Consequences?|Context|Cost|Decisions|Options|What was measured"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_pages_have_the_template_s_headings(page: Path) -> None:
    """A question and a decision on each; the others where there is something to say."""
    text = page.read_text()
    found = re.findall(rf"^\*\*({'|'.join(HEADINGS)})\b", text, re.MULTILINE)
    assert {"Question", "Decision"} <= set(found)
    assert len(found) == len(set(found))
    assert re.findall(rf"^\*\*({OTHERS})\b|^## ", text, re.MULTILINE) == []


def test_the_template_has_these_headings() -> None:
    text = (FOLDER / "template.md").read_text()
    assert tuple(re.findall(r"^\*\*([^.*]+)\.\*\*", text, re.MULTILINE)) == HEADINGS


def test_index_is_complete() -> None:
    """Title, status and date of each row are those of the page."""
    rows = []
    for page in PAGES:
        text = page.read_text()
        title = re.match(r"# \d+\. (.*)", text)
        status = re.search(rf"^Status: ({STATUS})", text, re.MULTILINE)
        date = re.search(r"^Date: (\S+)", text, re.MULTILINE)
        assert title, page.name
        assert status, page.name
        assert date, page.name
        row = f"| {number(page)} | [{title[1]}]({page.name}) | {status[1]} | {date[1]} |"
        rows.append(row)
    index = (FOLDER / "README.md").read_text().splitlines()
    assert [line for line in index if re.match(r"\| \d", line)] == rows


def test_code_names_each_decision() -> None:
    named = {int(found) for found in re.findall(r"\bADR (\d+)", sources())}
    assert sorted(named) == [number(page) for page in PAGES]
